"""A rolling run that is started again goes on from where the cluster stands; and what happens after the last turn."""

from __future__ import annotations

from typing import Any

import pytest
from building import cluster, node, vm
from virtual import Notes, in_virtual_time, maintained

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import SimulatedCluster, read_faults
from shunter.engine.holds import OwnHolds
from shunter.engine.maintain import maintain
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.rolling import RollingPolicy
from shunter.topology.rolling.policy import Failback

VMS = [vm(f"vm-{i}", f"N{i % 4 + 1}", memory_mib=4096) for i in range(8)]
HOME = {each["name"]: each["node"] for each in VMS}


def after_reboots_of(nodes: tuple[str, ...], of: Cluster, **options: Any) -> tuple[Plan, Cluster]:
    """Somebody rebooted these nodes at 100 s; a run that began at 50 s is started again at 1000 s."""

    async def night() -> tuple[Plan, Cluster]:
        world = SimulatedCluster(of, clock=Clock(), reboot_s=300)
        await world.clock.sleep(100)
        for name in nodes:
            await world.reboot_node(name)
        await world.clock.sleep(900)
        policy = RollingPolicy(maintenance_s=300, **options.pop("policy", {}))
        given = {"holds": OwnHolds(), "audience": Notes(), "done_since_s": 50.0, **options}
        report = await maintain(world, options.pop("nodes", ()), policy, **given)
        after = await world.look()
        await world.close()
        return report, after

    return in_virtual_time(night)


def test_nodes_that_have_started_since_count_as_done() -> None:
    report, _ = after_reboots_of(("N1", "N2"), cluster(4, [vm("web", "N3")]))
    assert {turn.node: turn.outcome for turn in report.maintenance} == {"N3": "done", "N4": "done"}
    assert report.ok
    said = [each.message for each in report.findings if each.subject in ("node N1", "node N2")]
    assert said == [
        f"{name} has started anew at 400 s, since the run was begun: it counts as done" for name in ("N1", "N2")
    ]


def while_away(fault: str) -> tuple[Plan, Notes, float]:
    """N1 was rebooted by a run that was killed; it is started again 10 s later. And when that one had planned."""
    of = cluster(3, [vm("web", "N3")])

    async def night() -> tuple[Plan, Notes, float]:
        world = SimulatedCluster(of, clock=Clock(), reboot_s=300, faults=read_faults(fault, of))
        notes = Notes()
        await world.pause_node("N1")
        await world.reboot_node("N1")
        await world.clock.sleep(10)
        policy = RollingPolicy(maintenance_s=300)
        given = {"holds": OwnHolds(), "audience": notes, "done_since_s": 0.0, "away": ["N1"]}
        report = await maintain(world, (), policy, **given)
        began_s = notes.began_s
        await world.close()
        return report, notes, began_s

    return in_virtual_time(night)


def test_a_node_that_was_away_when_the_run_before_ended_is_waited_for_and_counts_as_done() -> None:
    report, notes, began_s = while_away("[]")
    assert began_s == 300
    assert {turn.node: turn.outcome for turn in report.maintenance} == {"N2": "done", "N3": "done"}
    assert report.ok
    (waits,) = notes.waits[0]
    assert waits.subject == "node N1"
    assert waits.reason == "was taken away by the run that this one goes on with, and is not back yet"


def test_a_node_that_was_away_and_does_not_come_back_is_not_waited_for_longer_than_its_maintenance_may_last() -> None:
    report, _, began_s = while_away('[{"when": {"node": "N1"}, "do": "reboot_fails"}]')
    assert began_s == 10 + 900  # three times its maintenance
    assert [stays.node for stays in report.untouched] == ["N1"]


def test_nodes_that_have_not_started_since_are_maintained() -> None:
    report, _ = after_reboots_of((), cluster(3, [vm("web", "N3")]))
    assert {turn.node for turn in report.maintenance} == {"N1", "N2", "N3"}


def test_where_all_is_done_nothing_is_touched() -> None:
    report, after = after_reboots_of(("N1", "N2"), cluster(2))
    assert report.ok
    assert (report.moves, report.maintenance, report.untouched) == ((), (), ())
    assert [each.state for each in after.nodes] == ["up", "up"]


def test_an_order_may_name_nodes_that_are_done_already() -> None:
    report, _ = after_reboots_of(("N1",), cluster(3), policy={"order": ("N1", "N3"), "parallel": 1})
    assert [turn.node for turn in report.maintenance] == ["N3", "N2"]


def test_i8_what_the_run_before_left_paused_by_us_takes_vms_again_though_it_is_done() -> None:
    of = cluster([node("N1", state="paused", paused_by="us"), node("N2"), node("N3")], [vm("web", "N2")])
    report, after = after_reboots_of(("N1",), of)
    assert {turn.node for turn in report.maintenance} == {"N2", "N3"}
    assert [each.state for each in after.nodes] == ["up"] * 3


def test_i8_what_somebody_else_has_paused_stays_paused_though_it_is_done() -> None:
    of = cluster([node("N1", state="paused", paused_by="elsewhere"), node("N2"), node("N3")], [vm("web", "N2")])
    _, after = after_reboots_of(("N1",), of)
    assert after.node_by_name["N1"].state == "paused"


# -------------------------------------------------------------- after the last turn


@pytest.mark.parametrize("failback", ["none", "as_it_was", "spread"])
def test_failback_moves_what_the_plan_said_and_says_so(failback: Failback) -> None:
    night = maintained(cluster(4, VMS), failback=failback)
    assert night.report.ok
    assert night.notes.plan is not None
    assert len(night.report.moves) == len(night.notes.plan.moves)
    last_turn_s = max(turn.end_s for turn in night.report.maintenance)
    back = [move for move in night.report.moves if move.start_s >= last_turn_s]
    assert bool(back) == (failback != "none")
    assert all(move.outcome == "done" for move in back)


def test_failback_as_it_was_takes_every_vm_to_where_it_was() -> None:
    night = maintained(cluster(4, VMS), failback="as_it_was")
    assert {each.name: each.node for each in night.after.vms} == HOME


def test_failback_leaves_a_vm_whose_way_back_fails_where_it_is_and_names_it() -> None:
    undisturbed = maintained(cluster(4, VMS), failback="as_it_was")
    last_turn_s = max(turn.end_s for turn in undisturbed.report.maintenance)
    first = next(move for move in undisturbed.report.moves if move.start_s >= last_turn_s)
    goes_off = {"do": "backup_starts", "vm": first.vm, "at_s": last_turn_s - 1}
    night = maintained(cluster(4, VMS), failback="as_it_was", faults=[goes_off])
    assert not night.report.ok
    assert night.after.vm_by_name[first.vm].node != HOME[first.vm]
    (finding,) = [each for each in night.report.findings if each.subject == f"vm {first.vm}"]
    assert finding.message.startswith(f"{first.vm} was to go back to {HOME[first.vm]}, and is on ")
