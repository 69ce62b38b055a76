"""The recheck of a node's return notices each way to break a plan or a report of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from building import cluster, node, vm

from shunter.topology.clusterfile import cluster_json
from shunter.topology.homes import Before
from shunter.topology.model import Cluster
from shunter.topology.plan import Finding, Move, Plan, RoleMove, Unplaced, Verdict, VolumeMove
from shunter.topology.recheck import check_plan, check_report, check_resume
from shunter.topology.resuming import plan_resume

HOMES = {"web": "N1", "held": "N1", "app": "N3"}


def away() -> Cluster:
    nodes = [node("N1", state="paused", paused_by="us"), node("N2"), node("N3")]
    vms = [
        vm("web", "N2", preferred_owners=["N1"]),
        vm("held", "N2", preferred_owners=["N1"], backup=True),
        vm("app", "N3"),
    ]
    return cluster(nodes, vms, volumes=[{"name": "CSV1", "owner": "N2"}])


def sound() -> Plan:
    return plan_resume(away(), "N1", "as-before", Before(HOMES))


def changed(**fields: Any) -> Plan:
    return sound().model_copy(update=fields)


def said(plan: Plan, failback: Any = "as-before") -> str:
    return "; ".join(str(violation) for violation in check_resume(away(), plan, failback, HOMES))


def move(name: str, source: str, target: str) -> Move:
    return Move(vm=name, source=source, target=target, start_s=100.0, end_s=110.0, why="back")


def verdict(target: str, **fields: str) -> Verdict:
    return Verdict.model_validate({"target": target, "rule": "R17", "reason": "held", "remedy": "wait", **fields})


def test_a_sound_plan_passes_by_its_own_policy() -> None:
    assert said(sound()) == ""
    assert said(plan_resume(away(), "N1", "preferred"), "preferred") == ""
    assert said(plan_resume(away(), "N1"), "none") == ""


@pytest.mark.parametrize(
    ("plan", "names"),
    [
        (changed(moves=()), "web: as-before wants it on N1; the plan does not speak of it"),
        (changed(moves=(move("web", "N2", "N3"),)), "web: goes to N3; as-before wants it on N1"),
        (changed(moves=(*sound().moves, move("app", "N3", "N2"))), "app: goes to N2; as-before wants it on N3"),
        (changed(moves=(*sound().moves, move("web", "N1", "N3"))), "web: goes to N1 and N3"),
        (changed(moves=(*sound().moves, move("held", "N2", "N1")), unplaced=()), "a backup of it is under way"),
        (changed(unplaced=()), "held: as-before wants it on N1; the plan does not speak of it"),
        (changed(unplaced=(Unplaced(vm="held", node="N2", verdicts=()),)), "held: its verdicts are about no node"),
        (
            changed(unplaced=(Unplaced(vm="held", node="N3", verdicts=(verdict("N1"),)),)),
            "held: it is on N2, not on N3",
        ),
        (
            changed(unplaced=(Unplaced(vm="held", node="N2", verdicts=(verdict("N3"),)),)),
            "held: is said to stay, and nothing wants it elsewhere",
        ),
        (
            changed(unplaced=(Unplaced(vm="held", node="N2", verdicts=(verdict("N1", remedy=""),)),)),
            "held: the verdict on N1 lacks rule, reason or remedy",
        ),
        (
            changed(unplaced=(*sound().unplaced, Unplaced(vm="app", node="N3", verdicts=(verdict("N1"),)))),
            "app: is said to stay, and nothing wants it elsewhere",
        ),
        (changed(ok=True), "the plan calls itself ok all the same"),
        (
            changed(volume_moves=(VolumeMove(volume="CSV1", source="N2", target="N3", start_s=0.0),)),
            "CSV1: moves, and goes along with nobody",
        ),
        (changed(node="N9"), "N9: is the node of a plan of kind resume"),
        (changed(kind="repair"), "N1: is the node of a plan of kind repair"),
    ],
)
def test_each_way_to_break_a_plan_is_named(plan: Plan, names: str) -> None:
    assert names in said(plan)


def test_a_vm_that_is_off_and_goes_along_with_nobody_is_named() -> None:
    of = cluster([node("N1", state="paused", paused_by="us"), node("N2"), node("N3")], [vm("off", "N2", state="off")])
    plan = plan_resume(of, "N1").model_copy(
        update={"role_moves": (RoleMove(name="off", source="N2", target="N1", start_s=0.0),)}
    )
    assert [violation.message for violation in check_resume(of, plan, "none")] == ["moves, and goes along with nobody"]


def test_moves_by_another_policy_than_asked_for_are_named() -> None:
    assert "web: goes to N1; none wants it on no node in particular" in said(sound(), "none")


def test_only_the_node_of_the_plan_is_taken_for_resumed() -> None:
    of = away()
    elsewhere = of.with_nodes(tuple(each.model_copy(update={"state": "paused"}) for each in of.nodes))
    plan = changed(moves=(move("web", "N2", "N3"),), unplaced=(), ok=False)
    assert "its target N3 is paused" in "; ".join(str(each) for each in check_plan(elsewhere, plan, ()))


# ---------------------------------------------------------------- reports


def log(*events: dict[str, Any]) -> list[Any]:
    first = {"t_s": 0, "what": "cluster", "cluster": json.loads(cluster_json(away()))}
    return [first, *events]


RESUMED = {"t_s": 1.0, "what": "node_resumed", "node": "N1", "by": "us"}
WENT = [
    {"t_s": 2.0, "what": "migration_started", "vm": "web", "source": "N2", "target": "N1", "by": "us"},
    {
        "t_s": 9.0,
        "what": "migration_ended",
        "vm": "web",
        "source": "N2",
        "target": "N1",
        "by": "us",
        "outcome": "done",
        "node": "N1",
    },
]
CRASHED = {"t_s": 20.0, "what": "vm_crashed", "vm": "web", "node": "N1", "by": "fault"}
RESTARTED = {"t_s": 30.0, "what": "vm_started", "vm": "web", "node": "N3", "by": "cluster"}
FATE = Finding(rule="I2", severity="warning", subject="vm web", message="it is on N3 now", remedy="check it")


def report(**fields: Any) -> Plan:
    went = Move(vm="web", source="N2", target="N1", start_s=2.0, end_s=9.0, outcome="done")
    done = {"kind": "resume", "node": "N1", "resumes": True, "cluster": "test", "ok": True, "executed": True}
    return Plan.model_validate({**done, "reserve_nodes": 0, "moves": (went,), **fields})


@pytest.mark.parametrize(
    ("told", "events", "names"),
    [
        (report(), [RESUMED, *WENT], ""),
        (report(ok=False), [*WENT], ""),
        (report(), [*WENT], "the report calls itself ok, and the node is paused"),
        (report(), [RESUMED], "is not in the log"),
        (report(moves=()), [RESUMED, *WENT], "the report lacks its migration N2 → N1"),
        (report(), [RESUMED, *WENT, CRASHED, RESTARTED], "was taken to N1 and is on N3; the report does not say why"),
        (report(findings=(FATE,)), [RESUMED, *WENT, CRASHED, RESTARTED], ""),
        (
            report(unplaced=(Unplaced(vm="held", node="N2", verdicts=(verdict("N1"),)),)),
            [RESUMED, *WENT],
            "the report calls itself ok though VMs stay",
        ),
    ],
)
def test_a_report_that_the_log_does_not_bear_out_is_named(told: Plan, events: list[Any], names: str) -> None:
    found = "; ".join(str(violation) for violation in check_report(told, log(*events), ()))
    assert (found == "") == (names == "")
    assert names in found
