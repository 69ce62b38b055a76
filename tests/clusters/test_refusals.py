"""What a simulated cluster refuses, by rules of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from building import AMD, INTEL, INTEL_OLDER, cluster, node, vm

from shunter.clusters.port import Refused
from shunter.clusters.simulated import SimulatedCluster
from shunter.topology.errors import RequestError
from shunter.topology.model import Cluster

Play = Callable[..., list[dict[str, Any]]]


def refused(play: Play, of: Cluster, name: str = "web", target: str = "N2") -> str:
    """Why the migration is refused; and the log says the same, and nothing else happened."""
    said: list[Refused] = []

    async def script(world: SimulatedCluster) -> None:
        with pytest.raises(Refused) as refusal:
            await world.start_migration(name, target)
        said.append(refusal.value)

    log = play(of, script, then_s=1)
    assert [line["what"] for line in log] == ["cluster", "migration_refused"]
    assert (log[1]["vm"], log[1]["target"], log[1]["reason"]) == (name, target, str(said[0]))
    assert not said[0].busy
    return str(said[0])


def accepted(play: Play, of: Cluster, name: str = "web", target: str = "N2") -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.start_migration(name, target)

    log = play(of, script, then_s=600)
    assert (log[-1]["what"], log[-1]["outcome"], log[-1]["node"]) == ("migration_ended", "done", target)


def test_a_vm_that_is_not_there_or_not_clustered(play: Play) -> None:
    assert "no clustered VM web" in refused(play, cluster(2))
    assert "no clustered VM web" in refused(play, cluster(2, [vm("web", clustered=False)]))


@pytest.mark.parametrize("state", ["off", "saved", "failed"])
def test_r01_only_what_runs_migrates_live(play: Play, state: str) -> None:
    assert f"web is {state}" in refused(play, cluster(2, [vm("web", state=state)]))
    accepted(play, cluster(2, [vm("web", state="paused")]))


def test_a_vm_does_not_migrate_to_where_it_is(play: Play) -> None:
    assert "on N1 already" in refused(play, cluster(2, [vm("web")]), target="N1")


@pytest.mark.parametrize("state", ["paused", "down", "joining", "isolated", "quarantined"])
def test_a_node_that_is_not_up_is_never_a_target(play: Play, state: str) -> None:
    assert f"N2 is {state}" in refused(play, cluster([node("N1"), node("N2", state=state)], [vm("web")]))


def test_a_paused_node_may_be_left(play: Play) -> None:
    accepted(play, cluster([node("N1", state="paused"), node("N2")], [vm("web")]))


def test_r15_a_node_takes_part_in_one_migration_at_a_time(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.start_migration("a", "N2")
        for name, target in (("b", "N3"), ("c", "N3"), ("d", "N1"), ("d", "N2"), ("a", "N3")):
            with pytest.raises(Refused, match="migration limit reached") as refusal:
                await world.start_migration(name, target)
            assert refusal.value.busy
        await world.start_migration("d", "N4")
        async for _ in world.follow_migration("a"):
            pass
        await world.start_migration("b", "N2")

    log = play(cluster(4, [vm("a"), vm("b"), vm("c", "N2"), vm("d", "N3")]), script)
    assert [line["vm"] for line in log if line["what"] == "migration_started"] == ["a", "d", "b"]


def test_i3_what_does_not_fit_is_refused_and_the_host_keeps_its_reserve(play: Play) -> None:
    of = [node("N1"), node("N2", 10000, reserved_mib=1000)]
    assert "5001 MiB needed, 5000 free" in refused(play, cluster(of, [vm("web", memory_mib=5001), vm("b", "N2", 4000)]))
    accepted(play, cluster(of, [vm("web", memory_mib=5000), vm("b", "N2", 4000)]))
    accepted(play, cluster(of, [vm("web", memory_mib=9000), vm("b", "N2", 4000, state="off")]))


def test_r13_processors_of_two_manufacturers_are_never_bridged(play: Play) -> None:
    of = [node("N1", processor=INTEL), node("N2", processor=AMD)]
    assert "processor of N2" in refused(play, cluster(of, [vm("web", processor_compatibility=True)]))


def test_r13_another_version_needs_compatibility_mode(play: Play) -> None:
    of = [node("N1", processor=INTEL), node("N2", processor=INTEL_OLDER)]
    assert "processor of N2" in refused(play, cluster(of, [vm("web")]))
    accepted(play, cluster(of, [vm("web", processor_compatibility=True)]))


def test_r20_a_switch_must_be_there_under_the_same_name_whatever_its_case(play: Play) -> None:
    of = [node("N1", switches=["LAN"]), node("N2", switches=["lan"]), node("N3", switches=["other"])]
    vms = [vm("web", switches=["Lan"])]
    assert 'no virtual switch "Lan"' in refused(play, cluster(of, vms), target="N3")
    accepted(play, cluster(of, vms))


def test_r08_storage_must_be_reachable_and_serve(play: Play) -> None:
    def of(**fields: Any) -> Cluster:
        return cluster(3, [vm("web", volumes=["CSV1"])], volumes=[{"name": "CSV1", "owner": "N1", **fields}])

    assert "N2 cannot reach volume CSV1" in refused(play, of(reachable_from=["N1", "N3"]))
    assert "volume CSV1 is offline" in refused(play, of(state="offline"))
    assert "volume CSV1 is failed" in refused(play, of(state="failed"))
    accepted(play, of(state="redirected_stuck"))


def test_possible_owners_bind(play: Play) -> None:
    assert "not a possible owner" in refused(play, cluster(3, [vm("web", possible_owners=["N1", "N3"])]))


def test_i4_vms_kept_apart_do_not_meet_not_even_on_their_way(play: Play) -> None:
    rules = [{"name": "dc", "kind": "different_node", "vms": ["web", "dc"]}]
    assert "rule dc" in refused(play, cluster(2, [vm("web"), vm("dc", "N2")], affinity_rules=rules))
    accepted(play, cluster(2, [vm("web"), vm("dc", "N2", state="off")], affinity_rules=rules))
    accepted(play, cluster(2, [vm("web"), vm("dc", "N2")], affinity_rules=[{**rules[0], "soft": True}]))

    async def script(world: SimulatedCluster) -> None:
        await world.start_migration("dc", "N4")
        with pytest.raises(Refused, match="rule dc"):
            await world.start_migration("web", "N3")

    near = [node("N1"), node("N2"), node("N3", fault_domain="r1"), node("N4", fault_domain="r1")]
    for n in near[:2]:
        n["fault_domain"] = n["name"]
    racks = [{"name": "dc", "kind": "different_fault_domain", "vms": ["web", "dc"]}]
    play(cluster(near, [vm("web"), vm("dc", "N2")], affinity_rules=racks), script)


def test_r11_a_disk_cannot_follow_two_running_vms(play: Play) -> None:
    disk = [{"name": "LUN1", "kind": "disk", "owner": "N1"}]
    both = [vm("web", volumes=["LUN1"]), vm("db", volumes=["LUN1"])]
    assert "LUN1 is in use by db" in refused(play, cluster(2, both, volumes=disk))
    accepted(play, cluster(2, both, volumes=[{**disk[0], "kind": "csv"}]))


def test_nodes_that_no_network_joins(play: Play) -> None:
    networks = [{"name": "LM", "roles": ["live_migration"], "nodes": ["N1", "N3"]}]
    assert "no network joins N1 and N2" in refused(play, cluster(3, [vm("web")], networks=networks))
    accepted(play, cluster(3, [vm("web")], networks=networks), target="N3")


def test_a_migration_under_way_is_too_late_to_cancel_once_it_switches(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.start_migration("web", "N2")
        async for seen in world.follow_migration("web"):
            if seen.phase in ("switching", "settling"):
                with pytest.raises(Refused, match="too late"):
                    await world.cancel_migration("web")

    log = play(cluster(2, [vm("web")]), script)
    assert log[-1]["outcome"] == "done"


def test_what_runs_is_never_moved_as_a_role(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        for name, reason in {
            "web": "it would be stopped",
            "alone": "not in the cluster",
            "owned": "not a possible owner",
            "lan": "no virtual switch",
            "far": "cannot reach",
            "saved": "processor",
            "on-disk": "in use by db",
        }.items():
            with pytest.raises(Refused, match=reason):
                await world.move_role(name, "N2")
        with pytest.raises(Refused, match="N3 is down"):
            await world.move_role("fine", "N3")
        with pytest.raises(Refused, match="N3 is down"):
            await world.move_role("files", "N3")

    of = cluster(
        [
            node("N1", processor=INTEL, switches=["lan"]),
            node("N2", processor=AMD, switches=[]),
            node("N3", processor=INTEL, switches=[], state="down"),
        ],
        [
            vm("web"),
            vm("alone", state="off", clustered=False),
            vm("owned", state="off", possible_owners=["N1"]),
            vm("lan", state="off", switches=["lan"]),
            vm("far", state="failed", volumes=["CSV1"]),
            vm("saved", state="saved"),
            vm("on-disk", state="off", volumes=["LUN1"]),
            vm("db", volumes=["LUN1"]),
            vm("fine", state="off"),
        ],
        volumes=[
            {"name": "CSV1", "owner": "N1", "reachable_from": ["N1"]},
            {"name": "LUN1", "kind": "disk", "owner": "N1"},
        ],
        roles=[{"name": "files", "kind": "file_server", "node": "N1"}],
    )
    assert [line["what"] for line in play(of, script, then_s=1)] == ["cluster"]


def test_r13_a_vm_that_is_off_may_go_where_its_saved_state_may_not(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.move_role("off", "N2")

    of = cluster([node("N1", processor=INTEL), node("N2", processor=AMD)], [vm("off", state="off")])
    assert [line["what"] for line in play(of, script, then_s=1)] == ["cluster", "role_moved"]


def test_i7_a_volume_goes_only_to_a_node_that_is_up_and_reaches_it(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        for name, target, reason in (
            ("CSV1", "N2", "cannot reach"),
            ("CSV2", "N3", "N3 is paused"),
            ("CSV3", "N2", "is offline"),
            ("LUN1", "N2", "in use by db"),
        ):
            with pytest.raises(Refused, match=reason):
                await world.move_volume(name, target)

    of = cluster(
        [node("N1"), node("N2"), node("N3", state="paused")],
        [vm("db", volumes=["LUN1"])],
        volumes=[
            {"name": "CSV1", "owner": "N1", "reachable_from": ["N1"]},
            {"name": "CSV2", "owner": "N1"},
            {"name": "CSV3", "owner": "N1", "state": "offline"},
            {"name": "LUN1", "kind": "disk", "owner": "N1"},
        ],
    )
    assert [line["what"] for line in play(of, script, then_s=1)] == ["cluster"]


def test_a_node_that_is_down_can_be_neither_paused_nor_resumed(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        for order in (world.pause_node("N2"), world.resume_node("N2")):
            with pytest.raises(Refused, match="N2 is down"):
                await order

    play(cluster([node("N1"), node("N2", state="down")]), script)


def test_noise_of_one_or_more_would_make_time_stand_still(play: Play) -> None:
    with pytest.raises(RequestError, match="noise 1: must be at least 0 and below 1"):
        play(cluster(2), noise=1.0)
