"""The recheck of repairs: what stays out of order is said, nothing gets worse, and ok means in order."""

from __future__ import annotations

from typing import Any

import pytest
from building import AMD, INTEL, cluster, node, vm

from shunter.topology.model import Cluster
from shunter.topology.plan import Finding, Move, Plan, RoleMove, Unplaced, Verdict
from shunter.topology.recheck import check_plan, check_report

RACKS = [node("N1", 100, fault_domain="r1"), node("N2", 100, fault_domain="r1"), node("N3", 100, fault_domain="r2")]


def repair(*moves: Move, **fields: Any) -> Plan:
    return Plan(**{"kind": "repair", "cluster": "test", "ok": True, "reserve_nodes": 0, "moves": moves, **fields})


def to(name: str, source: str, target: str, start_s: float = 0) -> Move:
    return Move(vm=name, source=source, target=target, start_s=start_s, end_s=start_s + 5, why="I4: it must")


def stays(name: str, on: str, *targets: str) -> Unplaced:
    verdicts = tuple(Verdict(target=t, rule="I3", reason="no room", remedy="make some") for t in targets)
    return Unplaced(vm=name, node=on, verdicts=verdicts)


def wrong(of: Cluster, plan: Plan) -> list[tuple[str, str]]:
    return [(found.invariant, found.subject) for found in check_plan(of, plan, ())]


def misplaced(what: str) -> Cluster:
    nodes = [node("N1", 100, switches=["lan"]), node("N2", 100, switches=["lan", "dmz"]), node("N3", 100, switches=[])]
    fields: dict[str, Any] = {
        "I4": {"possible_owners": ["N2"]},
        "R20": {"switches": ["dmz"]},
        "R08": {"volumes": ["CSV"]},
    }[what]
    volumes = [{"name": "CSV", "owner": "N2", "reachable_from": ["N2"]}]
    return cluster(nodes, [vm("a", "N1", 10, **fields)], volumes=volumes)


@pytest.mark.parametrize("rule", ["I4", "R20", "R08"])
def test_i4_r08_r20_a_vm_that_stays_where_it_must_not_is_found(rule: str) -> None:
    assert wrong(misplaced(rule), repair()) == [(rule, "a")]
    assert wrong(misplaced(rule), repair(to("a", "N1", "N2"))) == []
    assert wrong(misplaced(rule), repair(ok=False)) == [(rule, "a")]
    assert wrong(misplaced(rule), repair(ok=False, unplaced=(stays("a", "N1", "N2", "N3"),))) == []


def test_i3_a_node_that_stays_short_of_memory_is_found() -> None:
    of = cluster([node("N1", 100), node("N2", 100)], [vm("a", "N1", 60), vm("b", "N1", 60)])
    assert wrong(of, repair()) == [("I3", "N1")]
    assert wrong(of, repair(to("a", "N1", "N2"))) == []
    assert wrong(of, repair(ok=False, unplaced=(stays("b", "N1", "N2"),))) == []


@pytest.mark.parametrize(
    ("kind", "places", "mended"),
    [
        ("different_node", ("N1", "N1"), "N2"),
        ("same_node", ("N1", "N2"), "N1"),
        ("different_fault_domain", ("N1", "N2"), "N3"),
        ("same_fault_domain", ("N1", "N3"), "N2"),
    ],
)
def test_i4_a_rule_that_stays_broken_is_found(kind: str, places: tuple[str, str], mended: str) -> None:
    vms = [vm("a", places[0], 10), vm("b", places[1], 10)]
    of = cluster(RACKS, vms, affinity_rules=[{"name": "r", "kind": kind, "vms": ["a", "b"]}])
    assert wrong(of, repair()) == [("I4", "rule r")]
    assert wrong(of, repair(to("b", places[1], mended))) == []
    soft = cluster(RACKS, vms, affinity_rules=[{"name": "r", "kind": kind, "vms": ["a", "b"], "soft": True}])
    assert wrong(soft, repair()) == []


def test_what_a_finding_of_some_weight_names_need_not_be_unplaced_too() -> None:
    of = misplaced("I4")

    def told(severity: Any) -> Plan:
        finding = Finding(rule="I4", severity=severity, subject="vm a", message="stays", remedy="see to it")
        return repair(ok=False, findings=(finding,))

    assert wrong(of, told("warning")) == []
    assert wrong(of, told("info")) == [("I4", "a")]


def test_r13_a_vm_may_stand_on_a_processor_that_it_could_not_go_to() -> None:
    of = cluster(
        [node("N1", 100, processor=INTEL), node("N2", 100, processor=AMD, state="paused")], [vm("a", "N2", 10)]
    )
    assert wrong(of, repair()) == []


def test_a_repair_brings_nothing_else_out_of_order() -> None:
    rules = [{"name": "r", "kind": "same_node", "vms": ["a", "b"]}]
    of = cluster(3, [vm("a", possible_owners=["N2"]), vm("b")], affinity_rules=rules)
    torn = repair(to("a", "N1", "N2"), ok=False, unplaced=(stays("b", "N1", "N2", "N3"),))
    assert wrong(of, torn) == [("I4", "rule r")]
    assert wrong(of, repair(to("a", "N1", "N2"), to("b", "N1", "N2", 5))) == []


def test_three_vms_kept_together_end_together() -> None:
    rules = [{"name": "r", "kind": "same_node", "vms": ["a", "b", "c"]}]
    of = cluster(3, [vm("a", "N1"), vm("b", "N1"), vm("c", "N2")], affinity_rules=rules)
    assert wrong(of, repair(to("c", "N2", "N1"))) == []
    farther = repair(to("b", "N1", "N3"), ok=False, unplaced=(stays("c", "N2", "N1", "N3"),))
    assert ("I4", "rule r") in wrong(of, farther)


def test_i2_a_vm_that_stands_where_it_may_is_not_unplaced() -> None:
    of = cluster(3, [vm("a")])
    assert wrong(of, repair(ok=False, unplaced=(stays("a", "N1", "N2", "N3"),))) == [("I2", "a")]


def test_a_vm_that_moves_and_is_out_of_order_there_too_is_named_where_it_ends() -> None:
    rules = [{"name": "r", "kind": "different_fault_domain", "vms": ["a", "b"]}]
    of = cluster(RACKS[:2], [vm(name, "N1", 10, possible_owners=["N2"]) for name in "ab"], affinity_rules=rules)
    moves = (to("a", "N1", "N2"), to("b", "N1", "N2", 5))
    assert wrong(of, repair(*moves)) == [("I4", "rule r")]
    assert wrong(of, repair(*moves, ok=False, unplaced=(stays("b", "N2", "N1"),))) == []
    assert ("I2", "b") in wrong(of, repair(*moves, ok=False, unplaced=(stays("b", "N1", "N2"),)))


def test_i2_nobody_is_moved_without_a_reason() -> None:
    silent = to("a", "N1", "N2").model_copy(update={"why": ""})
    assert wrong(misplaced("I4"), repair(silent)) == [("I2", "a")]


def test_what_is_off_is_repaired_by_a_change_of_its_node() -> None:
    of = cluster(2, [vm("old", state="off", possible_owners=["N2"])])
    assert wrong(of, repair()) == [("I4", "old")]
    assert wrong(of, repair(role_moves=(RoleMove(name="old", source="N1", target="N2", start_s=0),))) == []


def test_a_report_of_a_repair_that_calls_itself_ok_has_left_nothing_out_of_order() -> None:
    of = misplaced("I4")
    log = [{"t_s": 0, "what": "cluster", "cluster": of.model_dump(mode="json")}]
    assert [(v.invariant, v.subject) for v in check_report(repair(executed=True), log, ())] == [("I4", "a")]
    moving = {"vm": "a", "source": "N1", "target": "N2", "by": "us"}
    log += [
        {"t_s": 0, "what": "migration_started", **moving},
        {"t_s": 5, "what": "migration_ended", **moving, "outcome": "done", "node": "N2"},
    ]
    done = to("a", "N1", "N2").model_copy(update={"outcome": "done"})
    assert check_report(repair(done, executed=True), log, ()) == ()
