"""Repairs of small clusters out of order beside what trying everything finds (I3, I4, R08, R20)."""

from __future__ import annotations

import pytest
from brute_force import fewest_live_steps, fewest_moves
from building import cluster, node, vm
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from smallclusters import Drawn, small_clusters

from shunter.topology.model import Cluster
from shunter.topology.recheck import check_plan
from shunter.topology.repair import plan_repair


@given(drawn=small_clusters())
@settings(deadline=None, max_examples=200)
def test_what_can_be_brought_in_order_is_and_with_the_fewest_moves(drawn: Drawn) -> None:
    of = drawn.cluster(sound=False)
    plan = plan_repair(of, reserve_nodes=0)
    assert check_plan(of, plan, ()) == ()
    assume(all(vm.holds_memory for vm in of.vms))
    fewest = fewest_moves(of)
    steps = fewest_live_steps(of)
    assume(steps != "undecided")
    if steps is None:
        assert not plan.ok
        assert plan.unplaced
        assert fewest is None or any("no order" in finding.message for finding in plan.findings)
        return
    assert plan.ok
    assert len(plan.moves) == steps


@given(drawn=small_clusters(), reserve=st.sampled_from(["auto", 1]))
@settings(deadline=None, max_examples=100)
def test_i3_a_repair_keeps_the_reserve_that_it_names_at_every_instant(drawn: Drawn, reserve: int) -> None:
    of = drawn.cluster(sound=False)
    assert check_plan(of, plan_repair(of, reserve), ()) == ()


def test_a_cluster_in_order_needs_no_moves() -> None:
    plan = plan_repair(cluster(3, [vm("a"), vm("b", "N2")]))
    assert (plan.kind, plan.ok, plan.moves, plan.findings) == ("repair", True, (), ())


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([("N1", 10), ("N2", 10), ("N3", 10)], 3),
        ([("N1", 10), ("N2", 10), ("N3", 6)], None),
    ],
)
def test_two_vms_change_places_over_a_third_node_or_not_at_all(
    nodes: list[tuple[str, int]], expected: int | None
) -> None:
    """a (7) belongs to q on N2, b (7) to p on N1; each stands on the other's node, and no node has room for both."""
    vms = [
        vm("a", "N1", 7),
        vm("b", "N2", 7),
        vm("p", "N1", 1, possible_owners=["N1"]),
        vm("q", "N2", 1, possible_owners=["N2"]),
    ]
    rules = [{"name": f"{x}{y}", "kind": "same_node", "vms": [x, y]} for x, y in (("a", "q"), ("b", "p"))]
    of: Cluster = cluster([node(name, mib) for name, mib in nodes], vms, affinity_rules=rules)
    plan = plan_repair(of, reserve_nodes=0)
    assert check_plan(of, plan, ()) == ()
    assert plan.ok is (expected is not None)
    assert len(plan.moves) == (expected or 0)
    if expected is None:
        assert any("no order" in finding.message for finding in plan.findings)


@pytest.mark.parametrize("room", [13, 14])
def test_five_small_vms_leave_rather_than_all_make_a_detour_for_two_that_change_places(room: int) -> None:
    """ "big" and "late" could change places, but "late" needs more room on N1 than is free before "big" has left."""
    small = [vm(f"small-{i}", "N1", 1) for i in range(5)]
    vms = [*small, vm("big", "N1", 9), vm("late", "N2", 6, possible_owners=["N1"])]
    of = cluster([node("N1", 15), node("N2", room)], vms)
    plan = plan_repair(of, reserve_nodes=0)
    assert plan.ok
    assert sorted(move.vm for move in plan.moves) == ["late", *(f"small-{i}" for i in range(5))]


def test_a_chain_of_vms_kept_apart_moves_from_its_end() -> None:
    vms = [vm(name, f"N{i}", 1, possible_owners=[f"N{i + 1}"]) for i, name in enumerate("abc", start=1)]
    rules = [{"name": f"{x}{y}", "kind": "different_node", "vms": [x, y]} for x, y in ("ab", "bc")]
    of = cluster(4, vms, affinity_rules=rules)
    plan = plan_repair(of, reserve_nodes=0)
    assert [(move.vm, move.target) for move in sorted(plan.moves, key=lambda move: move.start_s)] == [
        ("c", "N4"),
        ("b", "N3"),
        ("a", "N2"),
    ]
    assert check_plan(of, plan, ()) == ()
