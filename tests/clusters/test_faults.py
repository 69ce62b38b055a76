"""What goes wrong in a simulated cluster when the fault plan says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from building import cluster, node, vm

from shunter.clusters.port import OutcomeUnknown, Phase
from shunter.clusters.simulated import SimulatedCluster

Log = list[dict[str, Any]]
Play = Callable[..., Log]
Script = Callable[[SimulatedCluster], Any]


def moving(name: str = "web", target: str = "N2") -> Script:
    async def script(world: SimulatedCluster) -> None:
        await world.start_migration(name, target)

    return script


def happened(log: Log, what: str, **fields: Any) -> Log:
    return [line for line in log if line["what"] == what and fields.items() <= line.items()]


def whats(log: Log) -> list[str]:
    return [line["what"] for line in log[1:]]


# ------------------------------------------------------------------ migrations


def test_a_migration_fails_at_the_given_fraction_of_its_copying(play: Play) -> None:
    of = cluster(2, [vm("web", memory_mib=30000, state="paused")])
    log = play(of, moving(), faults=[{"when": {"vm": "WEB"}, "do": "migration_fails", "fraction": 0.5}])
    assert whats(log) == ["fault_injected", "migration_started", "migration_ended"]
    assert (log[3]["outcome"], log[3]["node"]) == ("failed", "N1")
    copying_s = 30000 / (10_000 * 1e6 / 8 / 2**20 * 0.9 * 0.91)
    assert log[3]["t_s"] == pytest.approx(1.5 + copying_s / 2, abs=1e-4)


def test_one_migration_uses_up_one_fault_of_a_kind(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        for _ in range(3):
            await world.start_migration("web", "N2")
            async for _ in world.follow_migration("web"):
                pass

    fails = {"when": {"target": "N2"}, "do": "migration_fails"}
    log = play(cluster(2, [vm("web")]), script, faults=[fails, fails])
    assert [line["outcome"] for line in happened(log, "migration_ended")] == ["failed", "failed", "done"]


def test_a_slow_migration_takes_so_many_times_as_long(play: Play) -> None:
    of = cluster(2, [vm("web")])
    usual_s = play(of, moving())[-1]["t_s"]
    slow = play(of, moving(), faults=[{"when": {"source": "N1"}, "do": "migration_slow", "factor": 4}])
    assert slow[-1]["t_s"] == pytest.approx(4 * usual_s, abs=1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_an_answer_is_lost_and_the_vm_has_moved_all_the_same(play: Play, seed: int) -> None:
    async def moved(world: SimulatedCluster) -> None:
        await world.start_migration("web", "N2")
        async for seen in world.follow_migration("web"):
            assert seen.phase is Phase.PREPARING

    async def script(world: SimulatedCluster) -> None:
        with pytest.raises(OutcomeUnknown):
            await moved(world)

    faults = [
        {"when": {"vm": "web"}, "do": "answer_lost", "moved": True},
        {"when": {"vm": "web"}, "do": "migration_fails"},
    ]
    log = play(cluster(2, [vm("web")]), script, faults=faults, seed=seed)
    assert [(line["outcome"], line["node"]) for line in happened(log, "migration_ended")] == [("done", "N2")]


def test_an_answer_is_lost_and_the_vm_has_not_moved(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        with pytest.raises(OutcomeUnknown):
            await world.start_migration("web", "N2")

    ways = set()
    for seed in range(12):
        faults = [{"when": {"vm": "web"}, "do": "answer_lost", "moved": False}]
        log = play(cluster(2, [vm("web")]), script, faults=faults, seed=seed)
        assert happened(log, "migration_ended", outcome="done") == []
        ways.add(tuple(whats(log)))
    assert ways == {("fault_injected",), ("fault_injected", "migration_started", "migration_ended")}


@pytest.mark.parametrize("moved", [True, False])
def test_answers_about_nodes_volumes_and_roles_are_lost_once(play: Play, moved: bool) -> None:
    async def script(world: SimulatedCluster) -> None:
        with pytest.raises(OutcomeUnknown):
            await world.pause_node("N1")
        with pytest.raises(OutcomeUnknown):
            await world.move_volume("CSV1", "N2")
        with pytest.raises(OutcomeUnknown):
            await world.move_role("old", "N2")
        seen = await world.look()
        assert seen.node_by_name["N1"].state == ("paused" if moved else "up")
        assert seen.volume_by_name["CSV1"].owner == seen.vm_by_name["old"].node == ("N2" if moved else "N1")
        await world.pause_node("N1")
        await world.move_volume("CSV1", "N2")
        await world.move_role("old", "N2")

    of = cluster(2, [vm("old", state="off")], volumes=[{"name": "CSV1", "owner": "N1"}])
    whens = [{"node": "N1"}, {"volume": "CSV1"}, {"vm": "old"}]
    faults = [{"when": when, "do": "answer_lost", "moved": moved} for when in whens]
    log = play(of, script, faults=faults)
    assert [len(happened(log, w)) for w in ("node_paused", "volume_owner_changed", "role_moved")] == [1, 1, 1]


def test_r09_somebody_elses_migration_occupies_its_nodes_and_is_in_the_snapshot(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.clock.sleep(2)
        seen = await world.look()
        assert [(m.vm, m.by) for m in seen.migrations] == [("web", "elsewhere")]

    faults = [{"at_s": 1, "do": "migration_elsewhere", "vm": "web", "target": "N2"}]
    log = play(cluster(3, [vm("web")]), script, faults=faults)
    assert [(line["what"], line["by"]) for line in log[2:]] == [
        ("migration_started", "elsewhere"),
        ("migration_ended", "elsewhere"),
    ]


def test_r15_somebody_else_is_refused_like_everybody(play: Play) -> None:
    faults = [{"at_s": 1, "do": "migration_elsewhere", "vm": "db", "target": "N2"}]
    log = play(cluster(3, [vm("web"), vm("db", "N3")]), moving(), faults=faults)
    assert whats(log) == ["migration_started", "fault_injected", "migration_refused", "migration_ended"]
    assert happened(log, "migration_refused", vm="db", by="elsewhere")


def test_migrations_of_the_cluster_file_are_under_way_and_end(play: Play) -> None:
    of = cluster(2, [vm("web")], migrations=[{"vm": "web", "source": "N1", "target": "N2"}])
    log = play(of)
    assert happened(log, "migration_ended", by="elsewhere", outcome="done", node="N2")


def test_a_fault_that_waits_for_a_migration_happens_as_it_starts(play: Play) -> None:
    faults = [{"when": {"target": "N2"}, "do": "node_down", "node": "N2"}]
    log = play(cluster(3, [vm("web")]), moving(), faults=faults)
    assert whats(log)[:4] == ["migration_started", "fault_injected", "node_down", "migration_ended"]
    assert happened(log, "migration_ended", outcome="target_lost", node="N1")


# ------------------------------------------------------------------ nodes


def test_i2_a_lost_source_takes_the_vm_along_and_the_cluster_starts_it_elsewhere_30_s_later(play: Play) -> None:
    log = play(cluster(3, [vm("web")]), moving(), faults=[{"at_s": 3, "do": "node_down", "node": "N1"}])
    assert whats(log) == [
        "migration_started",
        "fault_injected",
        "node_down",
        "migration_ended",
        "vm_crashed",
        "vm_started",
    ]
    assert happened(log, "migration_ended", outcome="source_lost", node=None)
    (started,) = happened(log, "vm_started", vm="web", by="cluster")
    assert started["t_s"] == pytest.approx(33, abs=1e-3)
    assert started["node"] != "N1"


def test_i2_a_lost_target_leaves_the_vm_running_on_its_source(play: Play) -> None:
    log = play(cluster(2, [vm("web")]), moving(), faults=[{"at_s": 3, "do": "node_down", "node": "N2"}])
    assert happened(log, "migration_ended", outcome="target_lost", node="N1")
    assert happened(log, "vm_crashed") == happened(log, "vm_started") == []


@pytest.mark.parametrize(("lost", "survives"), [("N1", True), ("N2", False)])
def test_i2_once_it_has_switched_the_vm_shares_the_fate_of_the_target(play: Play, lost: str, survives: bool) -> None:
    of = cluster(2, [vm("web")])
    settling_s = play(of, moving())[-1]["t_s"] - 0.25
    log = play(of, moving(), faults=[{"at_s": settling_s, "do": "node_down", "node": lost}], then_s=20)
    assert happened(log, "migration_ended", outcome="done", node="N2")
    assert [(line["vm"], line["node"]) for line in happened(log, "vm_crashed")] == ([] if survives else [("web", "N2")])


def test_a_node_lost_at_the_very_instant_of_the_switch_gets_no_vm(play: Play) -> None:
    of = cluster(2, [vm("web", memory_mib=1000, state="paused")])
    switch_s = play(of, moving())[-1]["t_s"] - 0.5
    for off_by_s in (-2e-6, -1e-6, 0.0, 1e-6, 2e-6):
        faults = [{"at_s": switch_s + off_by_s, "do": "node_down", "node": "N2"}]
        log = play(of, moving(), faults=faults, then_s=20)
        (ended,) = happened(log, "migration_ended")
        crashed = happened(log, "vm_crashed", vm="web", node="N2")
        assert (ended["outcome"], ended["node"], len(crashed)) in (("target_lost", "N1", 0), ("done", "N2", 1))


def test_the_most_important_vms_start_first_where_they_fit_and_priority_0_never(play: Play) -> None:
    vms = [
        vm("low", memory_mib=6000, priority=1000),
        vm("high", memory_mib=6000, priority=3000),
        vm("never", memory_mib=100, priority=0),
        vm("local", memory_mib=100, clustered=False),
    ]
    nodes = [node("N1"), node("N2", 10000), node("N3", state="paused")]
    log = play(cluster(nodes, vms), faults=[{"at_s": 1, "do": "node_down", "node": "N1"}])
    assert [(line["vm"], line["node"]) for line in happened(log, "vm_started")] == [("high", "N2")]


def test_what_fits_nowhere_is_tried_again_when_something_changes(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.clock.sleep(60)
        assert (await world.look()).vm_by_name["web"].state == "failed"
        await world.resume_node("N2")
        await world.clock.sleep(0.1)
        seen = (await world.look()).vm_by_name["web"]
        assert (seen.state, seen.node) == ("running", "N2")

    of = cluster([node("N1"), node("N2", state="paused")], [vm("web")])
    log = play(of, script, faults=[{"at_s": 1, "do": "node_down", "node": "N1"}])
    assert len(happened(log, "vm_started")) == 1


def test_a_restart_needs_the_memory_the_vm_starts_with(play: Play) -> None:
    nodes = [node("N1"), node("N2", 5000), node("N3", 7000)]
    of = cluster(nodes, [vm("web", memory_mib=2000, memory_startup_mib=6000, memory_maximum_mib=8000)])
    log = play(of, faults=[{"at_s": 1, "do": "node_down", "node": "N1"}])
    assert [(line["node"], line["memory_mib"]) for line in happened(log, "vm_started")] == [("N3", 6000)]


def test_r13_a_restart_may_change_the_processor_but_i4_binds_it(play: Play) -> None:
    intel, amd = ({"manufacturer": m, "version": "1"} for m in ("GenuineIntel", "AuthenticAMD"))
    nodes = [node("N1", processor=intel), node("N2", processor=amd), node("N3", processor=intel)]
    of = cluster(
        nodes,
        [vm("web"), vm("dc", "N3")],
        affinity_rules=[{"name": "apart", "kind": "different_node", "vms": ["web", "dc"]}],
    )
    log = play(of, faults=[{"at_s": 1, "do": "node_down", "node": "N1"}])
    assert [line["node"] for line in happened(log, "vm_started")] == ["N2"]


def test_r11_a_disk_goes_where_its_vm_is_started(play: Play) -> None:
    of = cluster(
        [node("N1"), node("N2", 2000), node("N3")],
        [vm("web", volumes=["LUN1"]), vm("old", volumes=["LUN1"], state="off")],
        volumes=[{"name": "LUN1", "kind": "disk", "owner": "N1"}],
    )
    log = play(of, faults=[{"at_s": 1, "do": "node_down", "node": "N1"}])
    assert [line["node"] for line in happened(log, "vm_started")] == ["N3"]
    assert [line["target"] for line in happened(log, "volume_owner_changed")] == ["N2", "N3"]
    assert [(line["name"], line["target"]) for line in happened(log, "role_moved", by="cluster")] == [("old", "N3")]


def test_r11_what_is_off_and_the_disk_follow_a_running_vm_at_the_end(play: Play) -> None:
    of = cluster(
        2,
        [vm("web", volumes=["LUN1"]), vm("old", volumes=["LUN1"], state="off"), vm("other", state="off")],
        volumes=[{"name": "LUN1", "kind": "disk", "owner": "N1"}],
    )
    log = play(of, moving())
    assert whats(log) == ["migration_started", "migration_ended", "role_moved", "volume_owner_changed"]
    assert happened(log, "role_moved", name="old", source="N1", target="N2")


def test_i7_volumes_of_a_lost_node_go_to_one_that_reaches_them_or_offline_until_it_is_back(play: Play) -> None:
    of = cluster(
        3,
        volumes=[
            {"name": "CSV1", "owner": "N1", "reachable_from": ["N1", "N3"]},
            {"name": "CSV2", "owner": "N1", "reachable_from": ["N1"]},
            {"name": "CSV3", "owner": "N1", "state": "failed"},
        ],
    )
    faults = [{"at_s": 1, "do": "node_down", "node": "N1"}, {"at_s": 9, "do": "node_up", "node": "N1"}]
    log = play(of, faults=faults)
    assert [(line["volume"], line["target"]) for line in happened(log, "volume_owner_changed", by="cluster")] == [
        ("CSV1", "N3"),
        ("CSV3", "N2"),
    ]
    states = [(line["t_s"], line["volume"], line["state"]) for line in happened(log, "volume_state_changed")]
    assert states == [(1.0, "CSV2", "offline"), (9.0, "CSV2", "online")]


def test_a_node_that_comes_back_is_up_and_empty(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.pause_node("N1")
        await world.clock.sleep(100)
        seen = await world.look()
        assert (seen.node_by_name["N1"].state, seen.node_by_name["N1"].paused_by) == ("up", None)
        assert not [v for v in seen.vms_by_node["N1"] if v.holds_memory]

    faults = [{"at_s": 1, "do": "node_down", "node": "N1"}, {"at_s": 90, "do": "node_up", "node": "N1"}]
    play(cluster(2, [vm("web")]), script, faults=faults)


# ------------------------------------------------------------------ VMs, backups, volumes


def test_i3_memory_grows_only_as_far_as_there_is_room(play: Play) -> None:
    of = cluster([node("N1", 10000), node("N2")], [vm("guest", memory_mib=3000), vm("web", memory_mib=4000)])
    log = play(of, faults=[{"at_s": 1, "do": "vm_memory_changed", "vm": "guest", "memory_mib": 9000}])
    assert [line["memory_mib"] for line in happened(log, "vm_memory_changed")] == [6000]


def test_i3_a_vm_on_its_way_counts_at_both_ends_until_it_has_arrived(play: Play) -> None:
    of = cluster([node("N1", 10000), node("N2", 10000)], [vm("web", memory_mib=8000), vm("guest", "N2", 1000)])
    grow = {"do": "vm_memory_changed", "vm": "guest", "memory_mib": 9000}
    log = play(of, moving(), faults=[{"at_s": 2, **grow}, {"at_s": 100, **grow}])
    assert [line["memory_mib"] for line in happened(log, "vm_memory_changed")] == [2000]


def test_i3_its_source_keeps_the_room_until_the_migration_is_over(play: Play) -> None:
    of = cluster([node("N1", 10000), node("N2", 10000)], [vm("web", memory_mib=8000), vm("guest", "N1", 1000)])
    settling_s = play(of, moving())[-1]["t_s"] - 0.25
    grow = {"do": "vm_memory_changed", "vm": "guest", "memory_mib": 9000}
    log = play(of, moving(), faults=[{"at_s": settling_s, **grow}, {"at_s": 100, **grow}])
    assert [line["memory_mib"] for line in happened(log, "vm_memory_changed")] == [2000, 9000]


def test_the_memory_of_a_vm_that_moves_changes_when_it_has_arrived(play: Play) -> None:
    faults = [{"at_s": 2, "do": "vm_memory_changed", "vm": "web", "memory_mib": 9000}]
    log = play(cluster(2, [vm("web")]), moving(), faults=faults)
    assert whats(log) == ["migration_started", "fault_injected", "migration_ended", "vm_memory_changed"]


def test_a_vm_that_is_off_is_started_where_it_is_if_it_may_run_there(play: Play) -> None:
    vms = [vm("old", state="off"), vm("big", state="off", memory_mib=99999), vm("paused", "N2", state="off")]
    of = cluster([node("N1"), node("N2", state="paused")], vms)
    faults = [{"at_s": 1, "do": "vm_started", "vm": name} for name in ("old", "big", "paused", "old")]
    log = play(of, faults=faults)
    assert [(line["vm"], line["node"], line["by"]) for line in happened(log, "vm_started")] == [("old", "N1", "fault")]


def test_a_volume_changes_its_state(play: Play) -> None:
    of = cluster(2, volumes=[{"name": "CSV1", "owner": "N1"}])
    log = play(of, faults=[{"at_s": 1, "do": "volume_state", "volume": "csv1", "state": "offline"}])
    assert [(line["volume"], line["state"]) for line in happened(log, "volume_state_changed")] == [("CSV1", "offline")]


def test_time_never_goes_back_in_the_log_and_every_fault_stands_before_its_effects(play: Play) -> None:
    faults = [{"at_s": t, "do": "vm_memory_changed", "vm": "web", "memory_mib": 4000 + t} for t in (9, 1, 5)]
    log = play(cluster(2, [vm("web")]), faults=faults)
    assert [(line["t_s"], line["what"]) for line in log[1:]] == [
        (t, what) for t in (1.0, 5.0, 9.0) for what in ("fault_injected", "vm_memory_changed")
    ]
