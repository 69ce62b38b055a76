"""What one may wish of a rolling plan: order, window, few moves, rules, failback; and what leaves besides VMs."""

from __future__ import annotations

from typing import Any

import pytest
from building import cluster, node, vm
from rolling_requests import filled, most_away, moves_of, planned, turns

from shunter.topology.model import Cluster
from shunter.topology.rolling import RollingPolicy, plan_rolling


def uneven(nodes: int = 8) -> Cluster:
    """Each node has one VM more than the one before."""
    vms = [vm(f"vm-{n}-{i}", f"N{n}", 3072) for n in range(1, nodes + 1) for i in range(n + 1)]
    return cluster(nodes, vms)


# ------------------------------------------------------------------ order, window, moves


def test_nodes_that_are_wished_first_have_their_turns_first_in_that_order() -> None:
    plan = planned(filled(6), order=("N5", "N2"), parallel=1)
    assert turns(plan)[:2] == ["N5", "N2"]


def assert_go_first(plan: Any, *wished: str) -> None:
    start_s = {turn.node: turn.start_s for turn in plan.maintenance}
    of_wished = [start_s[name] for name in wished]
    assert of_wished == sorted(of_wished)
    assert all(at_s >= of_wished[-1] for name, at_s in start_s.items() if name not in wished)


def test_an_empty_node_does_not_take_the_place_of_one_that_is_wished_first() -> None:
    of = cluster(3, [*(vm(f"a-{i}", "N1") for i in range(4)), *(vm(f"c-{i}", "N3") for i in range(4))])
    plan = planned(of, order=("N1",), parallel=1)
    assert plan.ok
    assert turns(plan)[0] == "N1"


@pytest.mark.parametrize("prefer", ["time", "moves"])
@pytest.mark.parametrize("parallel", [1, 2, None])
@pytest.mark.parametrize("wished", [("N2",), ("N2", "N1"), ("N5", "N3", "N2"), ("N4", "N1"), ("N1", "N2", "N6", "N3")])
def test_no_node_leaves_before_those_that_are_wished_first_whichever_are_empty(
    wished: tuple[str, ...], parallel: int | None, prefer: str
) -> None:
    of = cluster(6, [vm(f"vm-{n}-{i}", f"N{n}", 6144) for n in (1, 2, 5, 6) for i in range(6)])
    plan = planned(of, order=wished, parallel=parallel, prefer=prefer)
    assert plan.ok
    assert len(plan.maintenance) == 6
    assert_go_first(plan, *wished)


def test_a_node_that_is_wished_first_and_cannot_leave_keeps_no_other_from_leaving() -> None:
    vms = [vm("huge", "N2", 100_000), *(vm(f"vm-{n}-{i}", f"N{n}") for n in (1, 3, 4) for i in range(4))]
    nodes = [node(f"N{i}", 131072 if i == 2 else 65536) for i in range(1, 5)]
    plan = planned(cluster(nodes, vms), ("N1", "N2", "N3"), order=("N2", "N3"), reserve_nodes=0, parallel=1)
    assert [entry.node for entry in plan.untouched] == ["N2"]
    assert turns(plan) == ["N3", "N1"]


def test_a_node_that_finds_room_only_after_another_goes_after_it_and_that_is_said() -> None:
    nodes = [node("N1", state="paused", paused_by="us"), *(node(f"N{i}") for i in range(2, 5))]
    of = cluster(nodes, [vm("bound", "N2", possible_owners=["N1", "N2"]), vm("other", "N3")])
    plan = planned(of, ("N1", "N2"), order=("N2",))
    assert turns(plan) == ["N1", "N2"]
    assert [(f.severity, f.subject, f.message) for f in plan.findings if f.rule == "R16"] == [
        ("warning", "node N2", "N2 is to go before N1, and cannot: it finds room only after")
    ]


def test_the_fewest_moves_are_one_a_vm_and_one_more_for_the_vms_of_the_node_with_fewest() -> None:
    of = uneven()
    assert len(planned(of, prefer="moves").moves) == len(of.vms) + 2


def test_the_fastest_plan_is_faster_than_that_of_fewest_moves_and_moves_no_more_than_k_over_n_twice() -> None:
    of = filled(8)
    fast, few = planned(of), planned(of, prefer="moves")
    assert fast.makespan_s < few.makespan_s
    assert len(few.moves) < len(fast.moves) <= len(of.vms) * (1 + most_away(fast) / 8)


def test_in_a_window_between_the_two_the_moves_are_between_them_too_and_all_nodes_are_back_in_time() -> None:
    of = filled(16, each=8)
    fast, few = planned(of), planned(of, prefer="moves")
    window_s = (fast.makespan_s + few.makespan_s) / 2
    within = planned(of, prefer="moves", window_s=window_s)
    assert within.ok
    assert within.makespan_s <= window_s
    assert len(few.moves) < len(within.moves) <= len(fast.moves)


def test_no_node_starts_that_would_not_be_back_before_the_window_ends() -> None:
    of = filled(8)
    plan = planned(of, window_s=1000.0)
    assert 0 < len(plan.maintenance) < 8
    assert all(turn.end_s <= 1000.0 for turn in plan.maintenance)
    assert sorted([*turns(plan), *(entry.node for entry in plan.untouched)]) == sorted(of.node_by_name)
    assert all("would not be back before the window" in entry.reason for entry in plan.untouched)


def test_what_is_left_out_by_the_window_is_not_drained_ahead() -> None:
    of = filled(8)
    plan = planned(of, window_s=1000.0)
    done = set(turns(plan))
    assert {of.vm_by_name[move.vm].node for move in plan.moves} <= done


def test_the_same_input_gives_the_same_plan_to_the_byte() -> None:
    texts = {plan_rolling(uneven(), (), RollingPolicy()).to_json() for _ in range(3)}
    assert len(texts) == 1


def test_alternatives_name_what_one_and_two_at_a_time_would_cost_beside_the_choice() -> None:
    plan = planned(filled(8, each=4))
    by_name = {entry.name: entry for entry in plan.alternatives}
    assert list(by_name) == ["one at a time", "two at a time", "as planned"]
    assert by_name["one at a time"].makespan_s > by_name["two at a time"].makespan_s > by_name["as planned"].makespan_s
    assert by_name["as planned"].makespan_s == plan.makespan_s
    assert [entry.chosen for entry in plan.alternatives] == [False, False, True]


def test_progress_tells_how_many_forecasts_there_were_and_the_best_so_far() -> None:
    told: list[tuple[int, float]] = []
    plan = plan_rolling(filled(8), (), RollingPolicy(), lambda count, best_s: told.append((count, best_s)))
    assert [count for count, _ in told] == list(range(1, len(told) + 1))
    assert told[-1][1] == pytest.approx(plan.makespan_s)


# ------------------------------------------------------------------ rules among VMs


def rule(kind: str, *vms: str, soft: bool = False) -> dict[str, Any]:
    return {"name": kind, "kind": kind, "vms": list(vms), "soft": soft}


def places_over_time(of: Cluster, plan: Any, names: tuple[str, ...]) -> list[set[str]]:
    """The nodes of these VMs after each move, both ends while they move."""
    at = {name: of.vm_by_name[name].node for name in names}
    found = [set(at.values())]
    for move in sorted((m for m in plan.moves if m.vm in at), key=lambda m: m.end_s):
        at[move.vm] = move.target
        found.append(set(at.values()))
    return found


def test_i4_vms_that_must_be_apart_are_so_at_every_moment() -> None:
    base = filled(5, each=3)
    of = cluster(
        5,
        [dict(v.model_dump(include={"name", "node", "memory_mib"})) for v in base.vms],
        affinity_rules=[rule("different_node", "vm-1-0", "vm-2-0", "vm-3-0")],
    )
    plan = planned(of)
    assert plan.ok
    assert all(len(nodes) == 3 for nodes in places_over_time(of, plan, ("vm-1-0", "vm-2-0", "vm-3-0")))


def test_i4_vms_that_must_be_together_end_together() -> None:
    vms = [vm("a", "N1"), vm("b", "N1"), vm("c", "N2"), vm("d", "N3")]
    of = cluster(4, vms, affinity_rules=[rule("same_node", "a", "b")])
    plan = planned(of)
    assert plan.ok
    assert moves_of(plan, "a") == moves_of(plan, "b") != []


def test_i4_the_first_of_vms_that_must_be_together_goes_where_the_others_can_follow() -> None:
    near = [{"name": "CSV1", "kind": "csv", "owner": "N1", "reachable_from": ["N1", "N2"]}]
    vms = [vm("large", "N1", 8192), vm("bound", "N1", volumes=["CSV1"]), vm("other", "N2", 16384)]
    of = cluster(4, vms, volumes=near, affinity_rules=[rule("same_node", "large", "bound")])
    plan = planned(of, ("N1",))
    assert plan.ok
    assert moves_of(plan, "large") == moves_of(plan, "bound") == ["N2"]


def test_i4_who_must_follow_another_goes_before_somebody_else_takes_the_room() -> None:
    vms = [vm("a", "N1", 24576), vm("b", "N1", 2048), *(vm(f"vm-{i}", "N1", 4096) for i in range(4))]
    of = cluster([node("N1"), node("N2", 32768), node("N3", 12288)], vms, affinity_rules=[rule("same_node", "a", "b")])
    plan = planned(of, ("N1",), reserve_nodes=0)
    assert plan.ok
    assert moves_of(plan, "a") == moves_of(plan, "b") == ["N2"]


def test_i4_a_vm_that_is_off_keeps_away_from_the_one_it_must_be_apart_from() -> None:
    vms = [vm("a", "N1"), vm("b", "N2", state="off"), *(vm(f"vm-{i}", f"N{i}") for i in range(1, 5))]
    of = cluster(4, vms, affinity_rules=[rule("different_node", "a", "b")])
    plan = planned(of)
    assert plan.ok
    assert {move.name for move in plan.role_moves} == {"b"}


def test_a_soft_rule_is_kept_where_it_can_be_and_stops_nobody_where_it_cannot() -> None:
    vms = [vm("a", "N1"), vm("b", "N2"), vm("c", "N3")]
    soft = [rule("different_node", "a", "b", soft=True)]
    of = cluster(4, vms, affinity_rules=soft)
    assert all(len(nodes) == 2 for nodes in places_over_time(of, planned(of, ("N1",)), ("a", "b")))
    narrow = cluster(2, vms[:2], affinity_rules=soft)
    assert planned(narrow, reserve_nodes=0).ok


def test_a_vm_goes_to_its_preferred_owner_among_nodes_that_stay() -> None:
    vms = [vm("a", "N1", preferred_owners=["N4"]), vm("b", "N1"), vm("c", "N3")]
    assert moves_of(planned(cluster(4, vms), ("N1",)), "a") == ["N4"]


# ------------------------------------------------------------------ what else leaves


def test_off_and_saved_vms_volumes_and_roles_leave_and_spread_over_the_nodes_that_stay() -> None:
    vms = [vm(f"off-{i}", "N1", state="off" if i % 2 else "saved") for i in range(4)]
    of = cluster(
        3,
        vms,
        volumes=[{"name": f"CSV{i}", "owner": "N1"} for i in range(4)],
        roles=[{"name": "Cluster Group", "kind": "core", "node": "N1"}],
    )
    plan = planned(of, ("N1",))
    assert sorted(move.target for move in plan.role_moves if move.name.startswith("off")) == ["N2", "N2", "N3", "N3"]
    assert sorted(move.target for move in plan.volume_moves) == ["N2", "N2", "N3", "N3"]
    assert [move.name for move in plan.role_moves if move.name == "Cluster Group"] == ["Cluster Group"]
    assert all(move.start_s <= plan.maintenance[0].start_s for move in (*plan.role_moves, *plan.volume_moves))


def test_a_saved_vm_with_nowhere_to_go_keeps_its_node_untouched() -> None:
    of = cluster(3, [vm("s", "N1", state="saved", possible_owners=["N1"]), vm("a", "N2")])
    plan = planned(of)
    assert [entry.node for entry in plan.untouched] == ["N1"]
    assert sorted(turns(plan)) == ["N2", "N3"]


def test_i3_a_node_leaves_although_only_a_long_search_finds_room_for_the_vms_of_another_one() -> None:
    """Without N1 those of N2 fit into 5 and 8 as 2 + 3 and 4 + 4 alone, and no largest-first rule finds that."""
    vms = [vm(f"n2-{i}", "N2", mib) for i, mib in enumerate((2, 3, 4, 4))]
    vms += [vm("n3", "N3", 5, priority=0), vm("n4", "N4", 4, priority=0)]
    of = cluster([node("N1", 13), node("N2", 13), node("N3", 10), node("N4", 12)], vms)
    plan = planned(of, ("N1",), reserve_nodes=1)
    assert turns(plan) == ["N1"]
    assert plan.moves == ()


def test_i4_a_vm_at_rest_stays_with_one_that_it_must_be_with_and_that_no_cluster_moves() -> None:
    vms = [vm("stays", "N1", state="saved", clustered=False), vm("off", "N1", state="off"), vm("a", "N2")]
    of = cluster(3, vms, affinity_rules=[{"name": "near", "kind": "same_node", "vms": ["stays", "off"]}])
    plan = planned(of)
    assert [entry.node for entry in plan.untouched] == ["N1"]
    assert plan.role_moves == ()


def test_i7_the_owner_of_a_volume_that_nobody_else_reaches_is_untouched() -> None:
    of = cluster(3, [vm("a", "N2")], volumes=[{"name": "CSV1", "owner": "N1", "reachable_from": ["N1"]}])
    plan = planned(of)
    assert [(entry.node, "(I7)" in entry.reason) for entry in plan.untouched] == [("N1", True)]


def test_i7_the_owner_of_a_disk_on_which_a_vm_stays_that_nobody_can_hand_over_is_untouched() -> None:
    stays = vm("stays", "N1", state="off", clustered=False, volumes=["LUN1"])
    of = cluster(3, [stays, vm("a", "N2")], volumes=[{"name": "LUN1", "kind": "disk", "owner": "N1"}])
    plan = planned(of)
    assert [(entry.node, entry.reason) for entry in plan.untouched] == [
        (
            "N1",
            "N1 owns volume LUN1 and keeps it: stays, which is on it, is not in the cluster's care and stays (I7)",
        )
    ]
    assert sorted(turns(plan)) == ["N2", "N3"]


# ------------------------------------------------------------------ failback


def ends(of: Cluster, plan: Any) -> dict[str, str]:
    return {v.name: v.node for v in of.vms} | {move.vm: move.target for move in plan.moves}


def test_failback_brings_every_vm_back_to_where_it_was_and_says_what_it_costs() -> None:
    of = filled(5, each=4)
    plan, without = planned(of, failback="as_it_was"), planned(of)
    assert ends(of, plan) == {v.name: v.node for v in of.vms}
    costs = len(plan.moves) - len(without.moves)
    assert [f.message.startswith(f"failback costs {costs} moves") for f in plan.findings] == [True]
    assert plan.makespan_s > without.makespan_s


def test_spreading_leaves_the_nodes_about_equally_full_with_few_moves() -> None:
    of = filled(6, each=8, memory_mib=2048)
    plan, without = planned(of, failback="spread"), planned(of)
    on = list(ends(of, plan).values())
    counts = [on.count(f"N{i}") for i in range(1, 7)]
    assert max(counts) - min(counts) <= 2
    assert len(without.moves) < len(plan.moves) < len(planned(of, failback="as_it_was").moves)


@pytest.mark.parametrize("failback", ["as_it_was", "spread"])
@pytest.mark.parametrize("prefer", ["time", "moves"])
def test_i4_a_vm_stays_where_going_back_would_part_what_comes_along_with_it_from_what_it_must_be_with(
    failback: str, prefer: str
) -> None:
    vms = [vm("a", "N3", volumes=["LUN1"]), vm("b", "N3", volumes=["LUN1"], state="off"), vm("c", "N3", state="off")]
    of = cluster(
        4,
        [*vms, *(vm(f"vm-{i}", f"N{i}") for i in range(1, 5))],
        volumes=[{"name": "LUN1", "kind": "disk", "owner": "N3"}],
        affinity_rules=[rule("same_node", "b", "c")],
    )
    plan = planned(of, failback=failback, prefer=prefer)
    assert plan.ok
    roles = {v.name: v.node for v in of.vms} | {move.name: move.target for move in plan.role_moves}
    assert roles["b"] == roles["c"] == ends(of, plan)["a"]


def test_i4_no_vm_is_spread_to_where_what_comes_along_with_it_may_not_be() -> None:
    rider = vm("rider", "N1", volumes=["LUN1"], state="saved", possible_owners=["N1", "N2"])
    stays = vm("stays", "N1", 12288, possible_owners=["N1"])
    vms = [vm("leads", "N1", 8192, volumes=["LUN1"]), rider, stays, vm("goes", "N3")]
    of = cluster(4, vms, volumes=[{"name": "LUN1", "kind": "disk", "owner": "N1"}])
    plan = planned(of, ("N3",), failback="spread")
    assert plan.ok
    assert moves_of(plan, "leads") == []


def test_nodes_of_different_sizes_are_planned_by_memory_and_not_by_their_number() -> None:
    nodes = [node(f"N{i}", 65536 if i % 2 else 131072) for i in range(1, 9)]
    vms = [vm(f"vm-{n}-{i}", f"N{n}", 4096) for n in range(1, 9) for i in range(6 if n % 2 else 12)]
    plan = planned(cluster(nodes, vms), maintenance_s=1800.0)
    assert plan.ok
    assert plan.makespan_s <= 1.35 * plan.lower_bound_s
