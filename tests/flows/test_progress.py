"""How far a run is, in percent and in words."""

from __future__ import annotations

import pytest

from shunter.engine.audience import Progress, Waiting
from shunter.flows.progress import FailoverHowFar, MovesHowFar, RollingHowFar, how_far
from shunter.statemachines.lifecycle import Step
from shunter.topology.plan import Maintenance, Move, Plan

BEGAN_S = 1000.0


def node(name: str, source: str, target: str, at_s: float) -> Step:
    return Step("node", f"node {name}", "seen", source, target, at_s, "")


def moved(vm: str, at_s: float) -> Step:
    return Step("migration", f"{vm}: N1 → N2", "seen", "settling", "done", at_s, "")


@pytest.fixture
def plan() -> Plan:
    """Two nodes one after the other, a move of 50 s before each."""
    return Plan(
        kind="rolling_maintenance",
        cluster="c",
        ok=True,
        reserve_nodes=1,
        makespan_s=1300.0,
        moves=(
            Move(vm="a", source="N1", target="N2", start_s=0, end_s=50),
            Move(vm="a", source="N2", target="N1", start_s=650, end_s=700),
        ),
        maintenance=(
            Maintenance(node="N1", paused_s=0, start_s=50, end_s=650),
            Maintenance(node="N2", paused_s=650, start_s=700, end_s=1300),
        ),
    )


@pytest.fixture
def far(plan: Plan) -> RollingHowFar:
    found = RollingHowFar()
    found.planned(plan, BEGAN_S)
    return found


def turn(far: RollingHowFar, name: str, from_s: float, to_s: float) -> None:
    for source, target, at_s in (
        ("drained", "in_maintenance", from_s),
        ("in_maintenance", "rejoining", to_s),
        ("rejoining", "paused", to_s),
        ("paused", "resuming", to_s),
        ("resuming", "up", to_s),
    ):
        far.stepped(node(name, source, target, BEGAN_S + at_s))


def test_the_kind_of_the_plan_decides_what_is_counted(plan: Plan) -> None:
    assert isinstance(how_far(plan), RollingHowFar)
    assert isinstance(how_far(plan.model_copy(update={"kind": "repair"})), MovesHowFar)
    assert isinstance(how_far(plan.model_copy(update={"kind": "failover"})), FailoverHowFar)


def test_a_rolling_run_counts_nodes_and_moves_and_says_what_is_left(far: RollingHowFar) -> None:
    assert far.told(BEGAN_S) == "0 of 2 nodes done; 0 of 2 moves made; about 21 min 40 s left"
    far.progressed(Progress("a", "N1", "N2", BEGAN_S + 20, 40.0, 50.0))
    assert "copying a 40 %" in far.told(BEGAN_S + 20)
    far.stepped(moved("a", BEGAN_S + 50))
    far.stepped(node("N1", "drained", "in_maintenance", BEGAN_S + 50))
    far.stepped(node("N2", "up", "pausing", BEGAN_S + 60))
    assert far.told(BEGAN_S + 60) == (
        "0 of 2 nodes done; in maintenance: N1; being emptied: N2; 1 of 2 moves made; about 20 min 40 s left"
    )
    assert far.percent(BEGAN_S + 60) == pytest.approx(100 * (50 + 10) / 1300, abs=0.1)


def test_the_estimated_end_follows_how_late_the_nodes_are(far: RollingHowFar) -> None:
    turn(far, "N1", 50, 750)
    assert far.left_s(BEGAN_S + 750) == 1300 + 100 - 750
    assert far.percent(BEGAN_S + 750) == pytest.approx(100 * 600 / 1300, abs=0.1)
    far.stepped(node("N2", "drained", "in_maintenance", BEGAN_S + 800))
    assert far.left_s(BEGAN_S + 1000) == 400.0
    assert far.left_s(BEGAN_S + 1600) == 0.0, "overdue: nobody knows"


def test_when_all_nodes_are_done_nothing_is_left(far: RollingHowFar) -> None:
    far.stepped(moved("a", BEGAN_S + 50))
    turn(far, "N1", 50, 650)
    far.stepped(moved("a", BEGAN_S + 700))
    turn(far, "N2", 700, 1300)
    assert far.told(BEGAN_S + 1300) == "2 of 2 nodes done; 2 of 2 moves made"
    assert far.percent(BEGAN_S + 1300) == 100.0


def test_a_failed_node_comes_first(far: RollingHowFar) -> None:
    far.stepped(node("N1", "drained", "in_maintenance", BEGAN_S + 50))
    far.stepped(node("N1", "in_maintenance", "down", BEGAN_S + 900))
    far.waiting((Waiting("the run", "begins nothing: N1 failed, and no more may fail", 0.0),))
    assert far.told(BEGAN_S + 900).startswith("FAILED: N1; 0 of 2 nodes done; ")
    assert "left" in far.told(BEGAN_S + 900)
    assert "left" not in far.told(None), "once the run is over"
    assert "waiting: the run begins nothing: N1 failed" in far.told(BEGAN_S + 900)


def test_an_evacuation_counts_its_moves() -> None:
    found = MovesHowFar()
    moves = tuple(Move(vm=vm, source="N1", target="N2", start_s=0, end_s=50) for vm in ("a", "b"))
    found.planned(Plan(cluster="c", ok=True, reserve_nodes=1, moves=moves), BEGAN_S)
    found.stepped(moved("a", BEGAN_S + 50))
    found.progressed(Progress("b", "N1", "N2", BEGAN_S + 60, 50.0, 50.0))
    assert found.told(BEGAN_S + 60) == "1 of 2 moved; copying b 50 %"
    assert found.percent(BEGAN_S + 60) == 75.0


def test_a_failover_counts_the_vms_that_run_again() -> None:
    found = FailoverHowFar()
    moves = tuple(Move(vm=vm, source="N1", target="N2", start_s=0, end_s=50) for vm in ("a", "b", "c"))
    found.planned(Plan(kind="failover", cluster="c", ok=True, reserve_nodes=0, moves=moves), BEGAN_S)

    def vm(name: str, source: str, target: str, reason: str) -> None:
        found.stepped(Step("vm", f"vm {name}", "", source, target, BEGAN_S, reason))

    for name in ("a", "b", "c"):
        vm(name, "running", "failed", "on N1")
    found.waiting(tuple(Waiting(name, "waits to be restarted by the cluster", BEGAN_S + 180) for name in "abc"))
    vm("a", "failed", "running", "on N3")
    assert found.percent(BEGAN_S + 60) == 33.3
    assert found.told(BEGAN_S + 60) == (
        "1 of 3 VMs run again; b and c: each waits to be restarted by the cluster, for at most 2 min 0 s more"
    )
    vm("b", "failed", "starting", "on N2")
    vm("c", "failed", "starting", "on N2")
    vm("c", "starting", "failed", "on N2: it stops at once")
    assert found.told(BEGAN_S + 200).startswith(
        "did not come up: c (tried on N2); 1 of 3 VMs run again; starting: b on N2; c waits to be restarted"
    )
    vm("b", "starting", "lost_sight", "no answer")
    assert "; lost sight of b, looking; " in found.told(BEGAN_S + 200)
    vm("b", "lost_sight", "running", "on N2")
    assert found.told(None) == "did not come up: c (tried on N2); 2 of 3 VMs run again"
