"""A node brought back by the real engine on a simulated cluster, in virtual time, whatever goes wrong meanwhile."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from building import cluster, node, vm
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual import Night, Notes, evacuated, in_virtual_time, returned

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import Fault, SimulatedCluster, draw_faults
from shunter.engine.evacuate import evacuate
from shunter.engine.holds import HELD_ELSEWHERE, Denied, Hold, OwnHolds
from shunter.engine.resume import resume
from shunter.engine.stop import Stop
from shunter.topology.homes import Before
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.recheck import check_log, check_report

HOMES = {f"vm-{i}": "N1" for i in range(4)}


def away(*more: dict[str, Any], nodes: int = 4, memory_mib: int = 8192, **fields: Any) -> Cluster:
    """N1 was emptied by a run of ours; four VMs that prefer it stand on N2 and N3."""
    of = [node(f"N{i}") for i in range(1, nodes + 1)]
    of[0] |= {"state": "paused", "paused_by": "us"}
    vms = [vm(name, f"N{2 + i % 2}", memory_mib, preferred_owners=["N1"]) for i, name in enumerate(HOMES)]
    return cluster(of, [*vms, *more], **fields)


def done(night: Night) -> list[tuple[str, str]]:
    return sorted((move.vm, move.target) for move in night.report.moves if move.outcome == "done")


def places(night: Night) -> dict[str, str]:
    return {name: night.after.vm_by_name[name].node for name in HOMES}


def sound(night: Night) -> bool:
    return check_log(night.log) == () and check_report(night.report, night.log, (), night.notes.began_s) == ()


# ---------------------------------------------------------------- the node


def test_a_node_that_we_paused_takes_vms_again_and_none_is_moved_unasked() -> None:
    night = returned(away())
    assert night.report.ok
    assert (night.report.executed, night.report.moves) == (True, ())
    assert [line["by"] for line in night.happened("node_resumed", node="N1")] == ["us"]
    assert night.happened("migration_started") == []
    assert night.notes.of("node N1") == ["resuming", "up"]
    assert sound(night)


@pytest.mark.parametrize("paused_by", ["elsewhere", None])
def test_i8_what_somebody_else_paused_stays_paused_and_nothing_is_touched(paused_by: str | None) -> None:
    of = cluster([node("N1", state="paused", paused_by=paused_by), node("N2")])
    night = returned(of)
    assert (night.report.executed, night.report.ok) == (False, False)
    assert night.log[1:] == []
    asked = returned(of, whoever_paused=True)
    assert asked.report.ok
    assert asked.after.node_by_name["N1"].state == "up"


@pytest.mark.parametrize("state", ["down", "isolated", "quarantined"])
def test_a_node_that_is_not_there_is_refused_and_nothing_is_touched(state: str) -> None:
    night = returned(cluster([node("N1", state=state), node("N2"), node("N3")]))
    assert not night.report.executed
    assert [finding.rule for finding in night.report.errors] == ["R01"]
    assert [line["what"] for line in night.log if line.get("by") == "us"] == []


def test_a_node_that_takes_vms_already_and_has_nothing_to_take_back_is_left_alone() -> None:
    night = returned(cluster(3, [vm("web")]))
    assert (night.report.executed, night.report.ok, night.report.resumes) == (False, True, False)
    assert night.log[1:] == []


@pytest.mark.parametrize("moved", [True, False])
def test_a_lost_answer_to_the_order_is_settled_by_looking(moved: bool) -> None:
    lost = {"when": {"node": "N1"}, "do": "answer_lost", "moved": moved}
    night = returned(away(), faults=[lost], failback="preferred")
    assert night.report.ok
    assert len(night.happened("node_resumed", node="N1")) == 1
    assert night.notes.of("node N1")[:2] == ["resuming", "lost_sight"]
    assert set(places(night).values()) == {"N1"}
    assert sound(night)


class Goes:
    """An audience that lets the node go down at the first step of its return."""

    def __init__(self, world: SimulatedCluster) -> None:
        self.world, self.notes = world, Notes()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.notes, name)

    def stepped(self, step: Any) -> None:
        if step.target == "resuming":
            self.world.presence.lose("N1")
        self.notes.stepped(step)


def test_a_node_that_goes_down_while_it_is_resumed_is_named_and_its_vms_stay_where_they_are() -> None:
    async def night() -> tuple[Plan, Cluster, list[Any]]:
        world = SimulatedCluster(away(), clock=Clock())
        audience = Goes(world)
        report = await resume(world, "N1", failback="preferred", holds=OwnHolds(), audience=audience)
        return report, await world.look(), [json.loads(line) for line in world.witness.lines]

    report, after, log = in_virtual_time(night)
    assert not report.ok
    assert report.executed
    assert [finding.message for finding in report.errors] == ["N1 is down: it went while it was brought back"]
    assert {stays.vm for stays in report.unplaced} == HOMES.keys()
    assert {verdict.rule for stays in report.unplaced for verdict in stays.verdicts} == {"R01"}
    assert {vm.node for vm in after.vms} == {"N2", "N3"}
    assert check_log(log) == ()


class HeldByOthers(OwnHolds):
    async def try_hold(self, nodes: tuple[str, ...]) -> Hold | Denied:
        return Denied.alike(["N1"], HELD_ELSEWHERE) if "N1" in nodes else await super().try_hold(nodes)


def test_a_node_that_another_run_holds_is_not_resumed_under_it() -> None:
    async def night() -> tuple[Plan, list[str]]:
        world = SimulatedCluster(away(), clock=Clock())
        report = await resume(world, "N1", failback="preferred", holds=HeldByOthers(), audience=Notes())
        return report, world.witness.lines[1:]

    report, lines = in_virtual_time(night)
    assert not report.executed
    assert [finding.message for finding in report.errors] == ["N1 is held by another run"]
    assert lines == []


# ---------------------------------------------------------------- failback


def test_vms_go_back_live_one_migration_a_node_and_their_number_is_said_before() -> None:
    night = returned(away(), failback="preferred")
    assert night.report.ok
    assert night.notes.plan is not None
    assert len(night.notes.plan.moves) == 4
    assert done(night) == sorted(HOMES.items())
    assert sound(night)


def test_what_an_evacuation_moved_is_back_where_it_was_made_room_for_included() -> None:
    before = cluster(
        [node("N1", 32), node("N2", 32), node("N3", 32)],
        [vm("big", "N1", 20), vm("small", "N2", 14), vm("other", "N3", 14)],
    )
    emptied = evacuated(before, ["N1"], reserve_nodes=0)
    assert len(emptied.report.moves) == 2, "one makes room for the other"
    homes = {move.vm: before.vm_by_name[move.vm].node for move in emptied.report.moves}
    night = returned(emptied.after, failback="as-before", before=Before(homes), reserve_nodes=0)
    assert night.report.ok
    assert {vm.name: vm.node for vm in night.after.vms} == {vm.name: vm.node for vm in before.vms}
    assert sound(night)


def test_r11_a_disk_and_what_is_off_on_it_go_back_with_the_vm_that_runs() -> None:
    disk = {"name": "LUN1", "kind": "disk", "owner": "N4"}
    more = [vm("runs", "N4", preferred_owners=["N1"], volumes=["LUN1"]), vm("off", "N4", state="off", volumes=["LUN1"])]
    night = returned(away(*more, volumes=[disk]), failback="preferred")
    assert night.report.ok
    assert [night.after.vm_by_name[name].node for name in ("runs", "off")] == ["N1", "N1"]
    assert night.after.volume_by_name["LUN1"].owner == "N1"
    assert [(move.name, move.target) for move in night.report.role_moves] == [("off", "N1")]
    assert sound(night)


def test_a_migration_that_fails_is_tried_again() -> None:
    fails = {"when": {"vm": "vm-1"}, "do": "migration_fails", "fraction": 0.5}
    night = returned(away(), faults=[fails], failback="preferred")
    assert night.report.ok
    assert [move.outcome for move in night.report.moves if move.vm == "vm-1"] == ["failed", "done"]
    assert sound(night)


def test_a_migration_that_keeps_failing_leaves_its_vm_where_it_is_with_the_reason() -> None:
    fails = {"when": {"vm": "vm-1"}, "do": "migration_fails", "fraction": 0.5, "lasting": True}
    night = returned(away(), faults=[fails], failback="preferred")
    assert not night.report.ok
    [stays] = night.report.unplaced
    assert (stays.vm, [verdict.target for verdict in stays.verdicts]) == ("vm-1", ["N1"])
    assert places(night) == {**dict.fromkeys(HOMES, "N1"), "vm-1": "N3"}
    assert sound(night)


def test_r17_a_vm_that_a_backup_holds_goes_back_when_it_is_done() -> None:
    of = away(vm("held", "N4", backup=True, preferred_owners=["N1"]))
    night = returned(of, faults=[{"at_s": 300, "do": "backup_ends", "vm": "held"}], failback="preferred")
    assert night.report.ok
    assert night.after.vm_by_name["held"].node == "N1"
    assert next(move.start_s for move in night.report.moves if move.vm == "held") >= 300
    assert sound(night)


def test_a_node_that_is_lost_in_the_middle_keeps_what_has_not_gone_where_it_is() -> None:
    night = returned(away(), faults=[{"at_s": 10, "do": "node_down", "node": "N1"}], failback="preferred")
    assert not night.report.ok
    assert [finding.rule for finding in night.report.errors] == ["I8"]
    assert {stays.vm for stays in night.report.unplaced} == {
        name for name, place in places(night).items() if place != "N1"
    }
    assert all(vm.state == "running" for vm in night.after.vms)
    assert sound(night)


def test_i3_once_another_node_is_lost_nothing_more_goes_that_would_spend_the_reserve() -> None:
    """Of four nodes, one may be lost: N4 goes. Then a VM on both nodes leaves no room for the loss of one more."""
    nodes = [node("N1", 20, state="paused", paused_by="us"), *(node(f"N{i}", 20) for i in (2, 3, 4))]
    vms = [vm(f"x-{i}", f"N{i}", 12, preferred_owners=["N1"] if i == 2 else []) for i in (2, 3)]
    of = cluster(nodes, [*vms, vm("first", "N2", 4, preferred_owners=["N1"])])
    quiet = returned(of, failback="preferred", reserve_nodes=1)
    assert quiet.report.ok
    first_ends_s = max(move.end_s for move in quiet.report.moves[:1])
    night = returned(
        of, faults=[{"at_s": first_ends_s / 2, "do": "node_down", "node": "N4"}], failback="preferred", reserve_nodes=1
    )
    began = [line["vm"] for line in night.happened("migration_started")]
    assert len(began) == 1
    assert {verdict.rule for stays in night.report.unplaced for verdict in stays.verdicts} <= {"I3", "R01"}
    assert sound(night)


# ---------------------------------------------------------------- stopping


def stopped(at_s: float, *, cancel: bool = False) -> tuple[Any, Cluster, list[Any]]:
    async def night() -> tuple[Any, Cluster, list[Any]]:
        world, stop = SimulatedCluster(away(), clock=Clock()), Stop()
        run = asyncio.create_task(
            resume(world, "N1", failback="preferred", holds=OwnHolds(), audience=Notes(), stop=stop)
        )
        await asyncio.sleep(at_s)
        run.cancel() if cancel else stop.request()
        (outcome,) = await asyncio.gather(run, return_exceptions=True)
        return outcome, await world.look(), [json.loads(line) for line in world.witness.lines]

    return in_virtual_time(night)


def test_a_stopped_return_lets_its_migration_finish_starts_none_and_keeps_the_node_in_service() -> None:
    report, after, log = stopped(5)
    assert (report.interrupted, report.ok) == (True, False)
    assert len(done_in(log)) == 1
    assert after.node_by_name["N1"].state == "up"
    assert len(report.unplaced) == 3
    assert check_log(log) == ()


def test_a_cancelled_return_leaves_every_vm_in_a_known_place() -> None:
    outcome, after, log = stopped(5, cancel=True)
    assert isinstance(outcome, asyncio.CancelledError)
    assert after.migrations == ()
    assert all(vm.state == "running" for vm in after.vms)
    assert check_log(log) == ()


def test_a_return_that_is_stopped_waits_no_longer_for_the_cluster_to_restart_a_vm() -> None:
    async def day() -> tuple[Plan, float]:
        faults = [Fault(do="node_down", node="N1", at_s=5.0), Fault(do="node_down", node="N2", at_s=5.0)]
        world, stop = SimulatedCluster(away(nodes=5), clock=Clock(), faults=faults), Stop()
        run = asyncio.create_task(
            resume(world, "N1", failback="preferred", holds=OwnHolds(), audience=Notes(), stop=stop)
        )
        await asyncio.sleep(15)
        stop.request()
        return await run, world.clock.now_s()

    report, ended_s = in_virtual_time(day)
    assert report.interrupted
    assert ended_s < 20


def done_in(log: list[Any]) -> list[Any]:
    return [line for line in log if line["what"] == "migration_ended" and line["outcome"] == "done"]


# ---------------------------------------------------------------- nights

FULL = cluster(4, [vm(f"vm-{i}", f"N{1 + i % 4}", 4096) for i in range(12)])


def in_one_night(seed: int, amount: Any, *, evacuate_first: bool) -> tuple[Plan, list[Any], float]:
    """N1 is emptied, in this night or in a quiet one before it, and taken back; the report of that, and the log."""
    quiet = evacuated(FULL, ["N1"])
    of = FULL if evacuate_first else quiet.after

    async def night() -> tuple[Plan, list[Any], float]:
        world = SimulatedCluster(of, clock=Clock(), seed=seed, faults=draw_faults(of, seed, amount), noise=0.3)
        emptied = quiet.report
        if evacuate_first:
            emptied = await evacuate(world, ["N1"], holds=OwnHolds(), audience=Notes())
        before = Before({move.vm: FULL.vm_by_name[move.vm].node for move in emptied.moves})
        notes = Notes()
        report = await resume(world, "N1", failback="as-before", before=before, holds=OwnHolds(), audience=notes)
        log = [json.loads(line) for line in world.witness.lines]
        await world.close()
        return report, log, notes.began_s

    return in_virtual_time(night)


@given(seed=st.integers(0, 10_000), amount=st.sampled_from(["none", "some", "many"]))
@settings(deadline=None, max_examples=60)
def test_whatever_goes_wrong_in_a_return_its_report_agrees_with_what_happened(seed: int, amount: Any) -> None:
    report, log, began_s = in_one_night(seed, amount, evacuate_first=False)
    assert check_log(log) == ()
    assert check_report(report, log, (), began_s) == ()
    assert all(move.target == FULL.vm_by_name[move.vm].node for move in report.moves), "home, and nowhere else"
    if amount == "none":
        assert report.ok
        assert [move.target for move in report.moves] == ["N1"] * 3


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=40)
def test_whatever_goes_wrong_in_an_evacuation_and_the_return_after_it_no_invariant_is_broken(seed: int) -> None:
    _, log, _ = in_one_night(seed, "many", evacuate_first=True)
    assert check_log(log) == ()
