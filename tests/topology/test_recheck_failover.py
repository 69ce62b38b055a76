"""A sound plan of a failover passes the recheck, and one that is broken in any one way does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from building import AMD, INTEL, cluster, node, vm

from shunter.topology.failover import plan_failover
from shunter.topology.model import Cluster
from shunter.topology.plan import Loss, Plan, Unplaced, Verdict
from shunter.topology.recheck import check_plan
from shunter.topology.recheck.most_restarts import most_restarts
from shunter.topology.recheck.restarted import Left, majority


def small() -> Cluster:
    """N1 and N2 are lost; N3 to N5 take what they may, N6 is paused."""
    nodes = [
        node("N1", 200, processor=INTEL, switches=["lan"]),
        node("N2", 200, processor=INTEL, switches=["lan"]),
        node("N3", 60, processor=INTEL, switches=["lan"]),
        node("N4", 60, processor=AMD, switches=["lan"]),
        node("N5", 60, processor=INTEL, switches=[]),
        node("N6", 60, processor=INTEL, switches=["lan"], state="paused"),
        node("N7", 1, processor=INTEL, switches=["lan"]),
    ]
    vms = [
        vm("high", "N1", 50, priority=3000),
        vm("usual", "N2", 20, switches=["lan"], configuration_in_cluster_is_current=False),
        vm("low", "N1", 20, priority=1000, possible_owners=["N1", "N4"]),
        vm("on-lun", "N1", 10, volumes=["LUN1"]),
        vm("apart", "N2", 1),
        vm("runs", "N3", 5),
        vm("too-large", "N2", 100, priority=1000),
        vm("spare", "N1", 1, priority=0),
        vm("local", "N1", 1, clustered=False),
        vm("saved", "N1", 1, state="saved"),
        vm("stays", "N4", 1),
    ]
    volumes = [
        {"name": "LUN1", "kind": "disk", "owner": "N1"},
        {"name": "CSV1", "owner": "N2", "reachable_from": ["N1", "N2", "N5"]},
    ]
    return cluster(
        nodes,
        vms,
        volumes=volumes,
        affinity_rules=[{"name": "dc", "kind": "different_node", "vms": ["apart", "runs"]}],
        roles=[{"name": "Cluster Group", "node": "N1", "kind": "core"}],
    )


LOST = ("N1", "N2")


def sound() -> Plan:
    plan = plan_failover(small(), LOST)
    assert check_plan(small(), plan, LOST) == ()
    return plan


def broken(**update: Any) -> set[str]:
    return {violation.invariant for violation in check_plan(small(), sound().model_copy(update=update), LOST)}


def moves(**by_vm: dict[str, Any]) -> dict[str, Any]:
    """The moves of the sound plan with some fields changed."""
    return {"moves": tuple(m.model_copy(update=by_vm.get(m.vm.replace("-", "_"), {})) for m in sound().moves)}


def roles(**targets: str) -> dict[str, Any]:
    return {
        "role_moves": tuple(
            move.model_copy(update={"target": targets.get(move.name, move.target)}) for move in sound().role_moves
        )
    }


def volumes(**targets: str | None) -> dict[str, Any]:
    """With other targets; None: without that move."""
    return {
        "volume_moves": tuple(
            move.model_copy(update={"target": target})
            for move in sound().volume_moves
            if (target := targets.get(move.volume, move.target)) is not None
        )
    }


def without_findings(**of: str) -> dict[str, Any]:
    ((field, value),) = of.items()
    return {"findings": tuple(finding for finding in sound().findings if getattr(finding, field) != value)}


def first_reason_lacking(stays: Unplaced) -> Unplaced:
    return stays.model_copy(update={"verdicts": stays.verdicts[1:]})


def all_covered() -> tuple[Loss, ...]:
    return tuple(Loss(node=name, ok=True) for name in ("N3", "N4", "N5"))


def test_the_sound_plan_restarts_what_can_restart() -> None:
    assert {move.vm for move in sound().moves} == {"high", "usual", "low", "on-lun", "apart"}
    assert {stays.vm for stays in sound().unplaced} == {"too-large", "spare", "local"}
    assert [move.name for move in sound().role_moves] == ["saved", "Cluster Group"]


BREAKS: list[tuple[str, Callable[[], dict[str, Any]], str]] = [
    ("a VM restarts twice", lambda: {"moves": (*sound().moves, sound().moves[0])}, "I2"),
    ("a VM is forgotten", lambda: {"unplaced": sound().unplaced[1:]}, "I2"),
    ("who could restart is left out", lambda: {"moves": sound().moves[:-1]}, "I2"),
    ("a VM that stays is restarted", lambda: moves(high={"vm": "stays", "source": "N4"}), "I2"),
    ("a restart from elsewhere", lambda: moves(high={"source": "N2"}), "I2"),
    ("it is up before it begins", lambda: moves(high={"end_s": 1.0}), "I2"),
    ("to a lost node", lambda: moves(high={"target": "N2"}), "R01"),
    ("to a paused node", lambda: moves(high={"target": "N6"}), "R01"),
    ("to a node without room", lambda: moves(high={"target": "N7"}), "I3"),
    ("to no possible owner", lambda: moves(low={"target": "N3"}), "I4"),
    ("near a VM that a rule keeps it from", lambda: moves(apart={"target": "N3"}), "I4"),
    ("to a node without its switch", lambda: moves(usual={"target": "N5"}), "R20"),
    ("away from its disk", lambda: {"volume_moves": sound().volume_moves[1:]}, "R11"),
    ("the less important begins first", lambda: moves(high={"start_s": 60.0, "end_s": 110.0}), "I2"),
    ("a saved state goes to another make", lambda: roles(saved="N4"), "R13"),
    ("a role goes to a lost node", lambda: roles(**{"Cluster Group": "N2"}), "R01"),
    ("a volume stays with a lost node", lambda: volumes(CSV1=None), "I7"),
    ("a volume goes out of reach", lambda: volumes(CSV1="N3"), "I7"),
    ("drift is not told", lambda: without_findings(rule="R19"), "R19"),
    ("nothing is said of priority 0", lambda: without_findings(subject="vm spare"), "I2"),
    ("reasons are missing", lambda: {"unplaced": tuple(first_reason_lacking(u) for u in sound().unplaced)}, "I2"),
    ("it calls itself ok", lambda: {"ok": True}, "I2"),
    ("a reserve is kept", lambda: {"reserve_nodes": 1}, "I3"),
    ("it ends too early", lambda: {"makespan_s": 31.0}, "I2"),
    ("a loss afterwards is called covered", lambda: {"survives_loss": all_covered()}, "I3"),
    ("an unknown node", lambda: moves(high={"target": "N9"}), "I2"),
]


@pytest.mark.parametrize(("change", "invariant"), [entry[1:] for entry in BREAKS], ids=[entry[0] for entry in BREAKS])
def test_a_plan_that_is_broken_in_one_way_is_named(change: Callable[[], dict[str, Any]], invariant: str) -> None:
    assert invariant in broken(**change())


def test_leaving_out_the_more_important_for_the_less_important_is_noticed() -> None:
    of = cluster(
        [node("N1", 100), node("N2", 50), node("N3", 1)], [vm("h", "N1", 50, priority=3000), vm("l", "N1", 50)]
    )
    plan = plan_failover(of, ["N1"])
    verdicts = tuple(Verdict(target=n, rule="I3", reason="no room", remedy="free some") for n in ("N2", "N3"))
    swapped = plan.model_copy(
        update={
            "moves": (plan.moves[0].model_copy(update={"vm": "l"}),),
            "unplaced": (Unplaced(vm="h", node="N1", verdicts=verdicts),),
        }
    )
    assert any("h" in str(v) and "instead of l" in str(v) for v in check_plan(of, swapped, ["N1"]))


def test_a_better_packing_is_found_by_trying_everything() -> None:
    vms = [vm("a", "N1", 60), vm("b", "N1", 50), vm("c", "N1", 40), vm("d", "N1", 30)]
    of = cluster([node("N1", 200), node("N2", 90), node("N3", 90)], vms)
    assert most_restarts(Left(of, frozenset({"N1"}))) == (4,)
    assert most_restarts(Left(of, frozenset({"N1"})), most_steps=3) is None
    few = plan_failover(of, ["N1"])
    kept = tuple(
        m.model_copy(update={"target": "N2" if m.vm in ("b", "c") else "N3"}) for m in few.moves if m.vm != "d"
    )
    verdicts = tuple(Verdict(target=n, rule="I3", reason="no room", remedy="free some") for n in ("N2", "N3"))
    worse = few.model_copy(
        update={"moves": kept, "unplaced": (Unplaced(vm="d", node="N1", verdicts=verdicts),), "ok": False}
    )
    assert [v.invariant for v in check_plan(of, worse, ["N1"])].count("I2") >= 1


def test_i6_whether_a_majority_is_left_is_counted_afresh() -> None:
    def left(lost: int, **fields: Any) -> bool | None:
        return majority(cluster(4, **fields), {f"N{i}" for i in range(1, lost + 1)})

    assert [left(lost, witness=True) for lost in (1, 2, 3, 4)] == [True, True, False, False]
    assert [left(lost, witness=False) for lost in (1, 2, 3, 4)] == [True, None, False, False]
    assert [left(lost, witness=True, windows_version="2008R2") for lost in (1, 2, 3)] == [True, True, False]
    assert [left(lost, witness=False, windows_version="2012") for lost in (1, 2, 3)] == [True, False, False]


def test_i6_a_plan_that_does_something_without_a_majority_is_wrong() -> None:
    of = cluster(3, [vm("a"), vm("b", "N2")])
    plan = plan_failover(of, ["N1", "N2"])
    assert check_plan(of, plan, ["N1", "N2"]) == ()
    quiet = plan.model_copy(update={"findings": ()})
    assert {"I6"} <= {v.invariant for v in check_plan(of, quiet, ["N1", "N2"])}
    one = plan_failover(of, ["N1"])
    doing = plan.model_copy(update={"moves": one.moves, "unplaced": plan.unplaced[1:]})
    assert {"I6"} <= {v.invariant for v in check_plan(of, doing, ["N1", "N2"])}
