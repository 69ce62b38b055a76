"""Evacuations of small, tight clusters beside what trying everything finds (R16, I3, I4)."""

from __future__ import annotations

from brute_force import fewest_live_steps, fewest_moves, most_placed, most_placed_live
from building import cluster, node, vm
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from smallclusters import Drawn, small_clusters

from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.planning import plan_evacuation
from shunter.topology.recheck import check_plan


def says_no_order(plan: Plan) -> bool:
    return any("no order" in finding.message for finding in plan.findings)


def number_placed(of: Cluster, leaving: list[str], plan: Plan) -> int:
    """Of the VMs that run on these nodes or share a disk with one that does."""
    running = [v for v in of.vms if v.node in leaving and v.holds_memory]
    along = [v for v in of.vms if not v.holds_memory and any(set(v.volumes) & set(r.volumes) for r in running)]
    return len({v.name for v in running + along} - {stays.vm for stays in plan.unplaced})


@given(drawn=small_clusters(), emptied=st.sets(st.integers(0, 3), min_size=1, max_size=2))
@settings(deadline=None, max_examples=200)
def test_r16_as_many_leave_as_can_and_nobody_moves_in_vain(drawn: Drawn, emptied: set[int]) -> None:
    of = drawn.cluster(sound=True)
    leaving = sorted({f"N{i % len(of.nodes) + 1}" for i in emptied})
    plan = plan_evacuation(of, leaving, reserve_nodes=0)
    assert check_plan(of, plan, leaving) == ()
    steps = fewest_live_steps(of, leaving)
    assume(steps != "undecided")
    if steps is not None:
        assert not plan.unplaced
        assert len(plan.moves) == steps
        return
    assert plan.unplaced
    most = most_placed_live(of, leaving)
    assume(most != "undecided")
    assert number_placed(of, leaving, plan) == most
    if most_placed(of, leaving) > most:
        assert says_no_order(plan)


@given(drawn=small_clusters(), emptied=st.sets(st.integers(0, 3), min_size=1, max_size=2))
@settings(deadline=None, max_examples=100)
def test_r16_who_can_leave_without_the_help_of_others_moves_alone(drawn: Drawn, emptied: set[int]) -> None:
    of = drawn.cluster(sound=True)
    leaving = sorted({f"N{i % len(of.nodes) + 1}" for i in emptied})
    alone = fewest_moves(of, leaving, helped=False)
    assume(alone is not None and fewest_live_steps(of, leaving) == alone)
    plan = plan_evacuation(of, leaving, reserve_nodes=0)
    assert sorted(move.vm for move in plan.moves) == sorted(
        v.name for v in of.vms if v.node in leaving and v.holds_memory
    )


@given(
    drawn=small_clusters(),
    emptied=st.sets(st.integers(0, 3), min_size=1, max_size=2),
    reserve=st.sampled_from(["auto", 1]),
)
@settings(deadline=None, max_examples=100)
def test_i3_plans_in_which_others_make_room_keep_the_reserve_that_they_name(
    drawn: Drawn, emptied: set[int], reserve: int
) -> None:
    of = drawn.cluster(sound=True)
    leaving = sorted({f"N{i % len(of.nodes) + 1}" for i in emptied})
    assert check_plan(of, plan_evacuation(of, leaving, reserve), leaving) == ()


@given(drawn=small_clusters(), emptied=st.sets(st.integers(0, 3), min_size=1, max_size=2))
@settings(deadline=None, max_examples=100)
def test_a_cluster_that_is_out_of_order_is_evacuated_without_making_it_worse(drawn: Drawn, emptied: set[int]) -> None:
    of = drawn.cluster(sound=False)
    leaving = sorted({f"N{i % len(of.nodes) + 1}" for i in emptied})
    assert check_plan(of, plan_evacuation(of, leaving), leaving) == ()


def test_two_staying_vms_make_room_for_a_large_one() -> None:
    """big (8) fits on N2 (9 MiB) alone, and only when b (4) and c (3) are both elsewhere: b on N4, c on N3."""
    vms = [
        vm("big", "N1", 8),
        vm("b", "N2", 4),
        vm("c", "N2", 3),
        vm("d", "N3", 4, possible_owners=["N3"]),
        vm("e", "N4", 4, possible_owners=["N4"]),
    ]
    of = cluster([node("N1", 8), node("N2", 9), node("N3", 7), node("N4", 8)], vms)
    plan = plan_evacuation(of, ["N1"], reserve_nodes=0)
    assert {(move.vm, move.target) for move in plan.moves} == {("b", "N4"), ("c", "N3"), ("big", "N2")}
    assert plan.moves[-1].vm == "big"
    assert plan.moves[-1].after == ("b", "c")
    assert check_plan(of, plan, ["N1"]) == ()


def test_a_fault_domain_decides_who_can_leave_and_the_other_vm_makes_way() -> None:
    """a must stay out of b's rack, and there is no room in the third: b makes way for it."""
    nodes = [node(f"N{i}", mib, fault_domain=rack) for i, mib, rack in ((1, 10, "r1"), (2, 10, "r2"), (3, 4, "r3"))]
    rules = [{"name": "apart", "kind": "different_fault_domain", "vms": ["a", "b"]}]
    of = cluster(nodes, [vm("a", "N1", 8), vm("b", "N2", 2)], affinity_rules=rules)
    plan = plan_evacuation(of, ["N1"], reserve_nodes=0)
    assert [(move.vm, move.target) for move in plan.moves] == [("b", "N3"), ("a", "N2")]
    assert check_plan(of, plan, ["N1"]) == ()


def test_a_vm_of_a_node_that_somebody_has_paused_joins_the_one_it_belongs_to() -> None:
    """They must be together; on N2, which takes nobody, they cannot be."""
    rule = {"name": "pair", "kind": "same_node", "vms": ["a", "b"]}
    nodes = [node("N1"), node("N2", state="paused", paused_by="elsewhere"), node("N3")]
    of = cluster(nodes, [vm("a", "N1"), vm("b", "N2")], affinity_rules=[rule])
    plan = plan_evacuation(of, ["N1"], reserve_nodes=0)
    assert check_plan(of, plan, ("N1",)) == ()
    assert {(move.vm, move.target) for move in plan.moves} == {("a", "N3"), ("b", "N3")}
