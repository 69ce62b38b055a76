"""A simulated node that the others lose sight of: its VMs run on, and nobody else may start them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from building import cluster, node, vm

from shunter.clusters.port import Refused
from shunter.clusters.simulated import SimulatedCluster

Log = list[dict[str, Any]]
Play = Callable[..., Log]

ISOLATED = {"at_s": 1, "do": "node_isolated", "node": "N1"}
BACK = {"at_s": 100, "do": "node_back", "node": "N1"}


def happened(log: Log, what: str, **fields: Any) -> Log:
    return [line for line in log if line["what"] == what and fields.items() <= line.items()]


def told(log: Log, *fields: str) -> list[tuple[Any, ...]]:
    return [tuple(line[field] for field in fields) for line in log]


def test_i2_vms_of_an_isolated_node_run_on_and_are_started_nowhere_else(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.clock.sleep(50)
        seen = await world.look()
        assert (seen.node_by_name["N1"].state, seen.node_by_name["N1"].paused_by) == ("isolated", None)
        assert (seen.vm_by_name["web"].state, seen.vm_by_name["web"].node) == ("running", "N1")
        assert await world.booted_s("N1") is None

    log = play(cluster(3, [vm("web")]), script, faults=[ISOLATED, BACK], then_s=900)
    assert told(log[1:], "what") == [("fault_injected",), ("node_isolated",), ("fault_injected",), ("node_up",)]
    assert [line["by"] for line in log if line["what"].startswith("node")] == ["fault", "fault"]


def test_an_isolated_node_is_neither_source_nor_target_nor_told_anything(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.clock.sleep(10)
        orders = (
            world.start_migration("web", "N2"),
            world.start_migration("db", "N1"),
            world.move_role("old", "N1"),
            world.pause_node("N1"),
            world.resume_node("N1"),
            world.reboot_node("N1"),
        )
        for order in orders:
            with pytest.raises(Refused, match="N1 is isolated"):
                await order

    play(cluster(3, [vm("web"), vm("db", "N2"), vm("old", "N2", state="off")]), script, faults=[ISOLATED])


def test_an_isolated_node_is_no_refuge(play: Play) -> None:
    of = cluster([node("N1"), node("N2"), node("N3"), node("N4", 2000), node("N5", 2000)], [vm("web", "N2")])
    lost = [{"at_s": t, "do": "node_down", "node": name} for t, name in ((2, "N3"), (20, "N2"))]
    log = play(of, faults=[ISOLATED, *lost])
    assert told(happened(log, "vm_crashed"), "vm") == [("web",)]
    assert happened(log, "vm_started") == []


@pytest.mark.parametrize(("source", "outcome"), [("N1", "failed"), ("N2", "target_lost")], ids=["from it", "to it"])
def test_a_migration_under_way_ends_where_it_began(play: Play, source: str, outcome: str) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.start_migration("web", "N2" if source == "N1" else "N1")

    of = cluster(3, [vm("web", source, memory_mib=30000)])
    log = play(of, script, faults=[{**ISOLATED, "at_s": 5}], then_s=60)
    assert told(happened(log, "migration_ended"), "outcome", "node", "t_s") == [(outcome, source, 5.0)]
    assert happened(log, "vm_crashed") == []


@pytest.mark.parametrize("isolated", ["N1", "N2"])
def test_a_vm_that_has_switched_over_already_is_where_it_arrived(play: Play, isolated: str) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.start_migration("web", "N2")

    of = cluster(3, [vm("web")])
    settling_s = play(of, script)[-1]["t_s"] - 0.25
    log = play(of, script, faults=[{**ISOLATED, "at_s": settling_s, "node": isolated}], then_s=60)
    assert told(happened(log, "migration_ended"), "outcome", "node") == [("done", "N2")]


def test_i8_a_node_that_was_paused_is_paused_when_it_is_back(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.pause_node("N1")
        await world.clock.sleep(200)
        back = (await world.look()).node_by_name["N1"]
        assert (back.state, back.paused_by) == ("paused", "us")
        assert await world.booted_s("N1") == 0

    log = play(cluster(3), script, faults=[ISOLATED, BACK])
    assert told(log[-2:], "what", "by", "t_s") == [("node_up", "fault", 100.0), ("node_paused", "us", 100.0)]


def test_after_240_s_the_cluster_takes_the_vms_of_an_isolated_node(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.clock.sleep(800)
        seen = await world.look()
        assert seen.node_by_name["N1"].state == "down"
        assert seen.vm_by_name["web"].node != "N1"

    of = cluster(3, [vm("web"), vm("old", state="off")])
    log = play(of, script, faults=[ISOLATED, {**BACK, "at_s": 900}])
    assert told([line for line in log if line["t_s"] > 1 and line["what"] != "fault_injected"], "what", "t_s") == [
        ("node_down", 241.0),
        ("vm_crashed", 241.0),
        ("vm_started", pytest.approx(271, abs=1e-3)),
        ("node_up", 900.0),
    ]
    assert told(happened(log, "vm_crashed"), "node", "by") == [("N1", "cluster")]
    assert told(happened(log, "role_moved", by="cluster"), "name", "t_s") == [("old", 1.0)]


def test_a_node_isolated_anew_has_its_240_s_anew(play: Play) -> None:
    again = [{**ISOLATED, "at_s": 200}, {**BACK, "at_s": 430}]
    log = play(cluster(3, [vm("web")]), faults=[ISOLATED, BACK, *again], then_s=900)
    assert happened(log, "node_down") == happened(log, "vm_crashed") == []
    assert len(happened(log, "node_up")) == 2


def test_i7_its_volumes_go_to_others_but_for_the_disk_of_a_vm_that_runs_there(play: Play) -> None:
    of = cluster(
        3,
        [vm("web", volumes=["LUN1"])],
        volumes=[{"name": "CSV1", "owner": "N1"}, {"name": "LUN1", "kind": "disk", "owner": "N1"}],
    )
    log = play(of, faults=[ISOLATED], then_s=900)
    moved = told(happened(log, "volume_owner_changed", by="cluster"), "volume", "t_s")
    assert moved[:2] == [("CSV1", 1.0), ("LUN1", 241.0)]


def test_an_isolated_node_that_crashes_waits_to_be_started(play: Play) -> None:
    faults = [ISOLATED, {"at_s": 50, "do": "node_down", "node": "N1"}, BACK]
    log = play(cluster(3, [vm("web")]), faults=faults)
    assert told(happened(log, "vm_crashed"), "t_s", "by") == [(50.0, "fault")]
    assert happened(log, "node_up") == []


def test_faults_that_cannot_happen_to_a_node_pass_without_effect(play: Play) -> None:
    kinds = ("node_back", "node_up", "node_down", "node_down", "node_isolated", "node_back")
    log = play(cluster(3), faults=[{"at_s": t, "do": do, "node": "N1"} for t, do in enumerate(kinds)])
    assert told([line for line in log[1:] if line["what"] != "fault_injected"], "what", "t_s") == [("node_down", 2.0)]
