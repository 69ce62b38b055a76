"""Nodes of a simulated cluster that leave too often are kept out for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from building import cluster, node, vm

from shunter.clusters.port import Refused
from shunter.clusters.simulated import SimulatedCluster
from shunter.topology.model import Cluster
from shunter.topology.recheck import check_log

Log = list[dict[str, Any]]
Play = Callable[..., Log]


def happened(log: Log, what: str, **fields: Any) -> Log:
    return [line for line in log if line["what"] == what and fields.items() <= line.items()]


def isolated(times_s: tuple[float, ...], name: str = "N1", for_s: float = 20.0) -> list[dict[str, Any]]:
    return [
        {"at_s": at_s + late_s, "do": do, "node": name}
        for at_s in times_s
        for late_s, do in ((0.0, "node_isolated"), (for_s, "node_back"))
    ]


THRICE = isolated((100, 200, 300))


def states(log: Log, name: str = "N1") -> list[tuple[str, float]]:
    whats = ("node_isolated", "node_down", "node_up", "node_quarantined")
    return [(line["what"], line["t_s"]) for line in log if line["what"] in whats and line["node"] == name]


def test_a_node_that_left_three_times_in_an_hour_is_kept_out_for_two(play: Play) -> None:
    log = play(cluster(3), faults=THRICE, then_s=9000)
    assert states(log)[-3:] == [("node_isolated", 300), ("node_quarantined", 320), ("node_up", 7520)]
    assert happened(log, "node_quarantined")[0]["until_s"] == 7520
    assert check_log(log) == ()


@pytest.mark.parametrize(
    ("of", "faults"),
    [
        (cluster(3), isolated((100, 200))),
        (cluster(3), isolated((100, 2000, 3801))),
        (cluster(3, windows_version="2012R2"), THRICE),
    ],
    ids=["twice", "three times in more than an hour", "before 2016"],
)
def test_others_join_again(play: Play, of: Cluster, faults: list[dict[str, Any]]) -> None:
    assert happened(play(of, faults=faults, then_s=9000), "node_quarantined") == []


def test_losses_count_too_and_reboots_that_we_ask_for_do_not(play: Play) -> None:
    lost = [
        {"at_s": at_s + late_s, "do": do, "node": "N2"}
        for at_s in (100, 200, 300)
        for late_s, do in ((0, "node_down"), (20, "node_up"))
    ]

    async def script(world: SimulatedCluster) -> None:
        await world.pause_node("N1")
        for _ in range(4):
            await world.reboot_node("N1")
            await world.clock.sleep(100)

    log = play(cluster(4), script, faults=lost, reboot_s=50)
    assert [line["node"] for line in happened(log, "node_quarantined")] == ["N2"]


def test_a_quarter_of_the_nodes_is_kept_out_at_most(play: Play) -> None:
    faults = isolated((100, 200, 300)) + isolated((400, 500, 600), "N2")
    log = play(cluster(7), faults=faults, then_s=3600)
    assert [line["node"] for line in happened(log, "node_quarantined")] == ["N1"]
    log = play(cluster(8), faults=faults, then_s=3600)
    assert [line["node"] for line in happened(log, "node_quarantined")] == ["N1", "N2"]


def test_its_vms_run_on_and_leave_it_live_and_none_gets_there(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.clock.sleep(321)
        seen = await world.look()
        assert seen.node_by_name["N1"].state == "quarantined"
        assert all(each.holds_memory for each in seen.vms if each.name != "off")
        await world.clock.sleep(300)
        assert [each.name for each in (await world.look()).vms_by_node["N1"]] == ["big", "alone"]
        with pytest.raises(Refused, match="N1 is quarantined"):
            await world.start_migration("db", "N1")
        with pytest.raises(Refused, match="N1 is quarantined"):
            await world.start_vm("off", "N1")

    vms = [
        vm("low", priority=1000),
        vm("high", priority=3000),
        vm("big", memory_mib=60000),
        vm("alone", memory_mib=100, clustered=False),
        vm("db", "N2", 30000),
        vm("off", "N3", 30000, state="off"),
    ]
    nodes = [node("N1", 90000), node("N2"), node("N3", 50000)]
    log = play(cluster(nodes, vms), script, faults=THRICE)
    ended = happened(log, "migration_ended", by="elsewhere", source="N1", outcome="done")
    assert [line["vm"] for line in ended] == ["high", "low"]
    assert happened(log, "vm_crashed") == []
    assert check_log(log) == ()


def test_what_finds_no_room_leaves_when_there_is_some(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.clock.sleep(400)
        assert (await world.look()).vm_by_name["web"].node == "N1"
        await world.resume_node("N2")
        await world.clock.sleep(100)
        assert (await world.look()).vm_by_name["web"].node == "N2"

    play(cluster([node("N1"), node("N2", state="paused"), node("N3", 100)], [vm("web")]), script, faults=THRICE)


def test_the_quarantine_is_imposed_and_cleared(play: Play) -> None:
    faults = [
        {"at_s": 10, "do": "node_quarantined", "node": "N1"},
        {"at_s": 60, "do": "quarantine_cleared", "node": "N1"},
        {"at_s": 70, "do": "quarantine_cleared", "node": "N2"},
    ]
    of = cluster(3, [vm("web")], volumes=[{"name": "CSV1", "owner": "N1"}])
    log = play(of, faults=faults, then_s=9000)
    assert states(log) == [("node_quarantined", 10), ("node_up", 60)]
    assert [line["target"] for line in happened(log, "volume_owner_changed", by="cluster")] == ["N2"]
    assert [line["source"] for line in happened(log, "migration_ended", outcome="done")] == ["N1"]
    assert check_log(log) == ()


def test_a_quarantined_node_that_is_lost_and_starts_again_is_still_kept_out(play: Play) -> None:
    faults = [
        {"at_s": 10, "do": "node_quarantined", "node": "N1"},
        {"at_s": 12, "do": "node_down", "node": "N1"},
        {"at_s": 100, "do": "node_up", "node": "N1"},
    ]
    log = play(cluster(3, [vm("web", memory_mib=30000)]), faults=faults, then_s=9000)
    assert states(log) == [
        ("node_quarantined", 10),
        ("node_down", 12),
        ("node_quarantined", 100),
        ("node_up", 7210),
    ]
    assert [line["vm"] for line in happened(log, "vm_crashed", node="N1")] == ["web"]
    assert check_log(log) == ()


def test_a_node_is_paused_after_its_quarantine_if_it_was_before(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.pause_node("N1")
        await world.clock.sleep(7600)
        seen = (await world.look()).node_by_name["N1"]
        assert (seen.state, seen.paused_by) == ("paused", "us")

    assert check_log(play(cluster(3), script, faults=THRICE)) == ()
