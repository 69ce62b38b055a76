"""The recheck of plans in which others make room, of waiting and of detours, and of the reserve on the way."""

from __future__ import annotations

from typing import Any

from building import cluster, node, vm

from shunter.topology.model import Cluster
from shunter.topology.plan import Move, Plan
from shunter.topology.recheck import check_plan


def plan(*moves: Move, **fields: Any) -> Plan:
    return Plan(**{"cluster": "test", "ok": True, "reserve_nodes": 0, "moves": moves, **fields})


def move(name: str, source: str, target: str, start_s: float, end_s: float, **fields: Any) -> Move:
    return Move(vm=name, source=source, target=target, start_s=start_s, end_s=end_s, **fields)


def wrong(of: Cluster, made: Plan, nodes: tuple[str, ...] = ("N1",)) -> list[tuple[float, str, str]]:
    return [(found.at_s, found.invariant, found.subject) for found in check_plan(of, made, nodes)]


def crowded() -> Cluster:
    """big finds room on N2 or on N3 only when somebody has left it."""
    return cluster([node(f"N{i}", 100) for i in (1, 2, 3)], [vm("big", "N1", 80), vm("b", "N2", 30), vm("c", "N3", 60)])


ROOM = move("b", "N2", "N3", 0, 10, why="makes room on N2")
BIG = move("big", "N1", "N2", 10, 30, after=("b",))


def test_a_plan_in_which_a_staying_vm_makes_room_first_passes() -> None:
    assert wrong(crowded(), plan(ROOM, BIG)) == []


def test_i3_room_is_there_only_when_the_other_has_left() -> None:
    early = BIG.model_copy(update={"start_s": 9.0})
    assert (9.0, "I3", "N2") in wrong(crowded(), plan(ROOM, early))


def test_a_move_that_starts_before_those_it_waits_for_are_over_is_found_though_there_is_room() -> None:
    of = cluster(4, [vm("a", "N1"), vm("b", "N2")])
    early = plan(move("b", "N2", "N3", 0, 10, why="makes room"), move("a", "N1", "N4", 5, 9, after=("b",)))
    assert wrong(of, early) == [(5.0, "I3", "a")]
    assert "before the move of b is over" in check_plan(of, early, ["N1"])[0].message


def test_waiting_for_a_stranger_for_oneself_or_in_a_circle_is_found() -> None:
    stranger = BIG.model_copy(update={"after": ("b", "nobody")})
    assert wrong(crowded(), plan(ROOM, stranger)) == [(10.0, "I3", "big")]
    itself = BIG.model_copy(update={"after": ("b", "big")})
    assert wrong(crowded(), plan(ROOM, itself)) == [(10.0, "I3", "big")]
    stays = BIG.model_copy(update={"after": ("b", "c")})
    assert wrong(crowded(), plan(ROOM, stays)) == [(10.0, "I3", "big")]
    circle = ROOM.model_copy(update={"after": ("big",)})
    found = check_plan(crowded(), plan(circle, BIG), ["N1"])
    assert any("waits for itself in the end" in violation.message for violation in found)


def test_who_makes_room_says_so() -> None:
    assert wrong(crowded(), plan(ROOM.model_copy(update={"why": ""}), BIG)) == [(0.0, "I2", "b")]


def test_who_makes_room_obeys_its_rules() -> None:
    owned = cluster(
        [node(f"N{i}", 100) for i in (1, 2, 3)],
        [vm("big", "N1", 80), vm("b", "N2", 30, possible_owners=["N1", "N2"]), vm("c", "N3", 60)],
    )
    assert wrong(owned, plan(ROOM, BIG)) == [(0.0, "I4", "b")]
    rule = {"name": "apart", "kind": "different_node", "vms": ["b", "c"]}
    apart = cluster(
        [node(f"N{i}", 100) for i in (1, 2, 3)],
        [vm("big", "N1", 80), vm("b", "N2", 30), vm("c", "N3", 60)],
        affinity_rules=[rule],
    )
    assert wrong(apart, plan(ROOM, BIG)) == [(0.0, "I4", "b")]


def test_what_was_out_of_order_and_is_not_touched_is_not_held_against_an_evacuation() -> None:
    rule = {"name": "apart", "kind": "different_node", "vms": ["b", "c"]}
    vms = [vm("a", "N1"), vm("b", "N2"), vm("c", "N2"), vm("d", "N3", possible_owners=["N4"])]
    of = cluster(4, vms, affinity_rules=[rule])
    assert wrong(of, plan(move("a", "N1", "N3", 0, 5))) == []


STEPS = (
    move("a", "N1", "N3", 0, 10, why="steps aside on its way to N2"),
    move("b", "N2", "N4", 10, 20, why="makes room on N2", after=("a",)),
    move("a", "N3", "N2", 20, 30, why="N1 is emptied", after=("b",)),
)


def test_i2_a_detour_is_two_moves_in_a_row_and_says_where_it_leads() -> None:
    of = cluster(4, [vm("a", "N1"), vm("b", "N2")])
    assert wrong(of, plan(*STEPS)) == []
    silent = STEPS[0].model_copy(update={"why": "the only node with room"})
    assert wrong(of, plan(silent, *STEPS[1:])) == [(0.0, "I2", "a")]
    from_home = STEPS[2].model_copy(update={"source": "N1"})
    assert (20.0, "I2", "a") in wrong(of, plan(*STEPS[:2], from_home))
    too_soon = STEPS[2].model_copy(update={"start_s": 9.0, "end_s": 19.0, "after": None})
    assert {(9.0, "I2", "a"), (9.0, "I1", "N3")} <= set(wrong(of, plan(STEPS[0], STEPS[1], too_soon)))


def test_i4_each_leg_of_a_detour_obeys_the_rules() -> None:
    of = cluster(4, [vm("a", "N1", possible_owners=["N1", "N2"]), vm("b", "N2")])
    assert wrong(of, plan(*STEPS)) == [(0.0, "I4", "a")]


def test_i3_the_reserve_holds_while_room_is_made_not_only_at_the_end() -> None:
    """While b counts on N2 and on N3, the loss of N4 cannot be absorbed; before and afterwards it can."""
    vms = [vm("a", "N1", 10), vm("b", "N2", 40), vm("c", "N3", 20), vm("d", "N4", 70)]
    of = cluster([node("N1", 100), node("N2", 100), node("N3", 120), node("N4", 100)], vms)
    there = move("b", "N2", "N3", 0, 10, why="makes room")
    assert wrong(of, plan(there, move("a", "N1", "N4", 10, 20), reserve_nodes=1)) == [(0.0, "I3", "cluster test")]
    assert wrong(of, plan(there, move("a", "N1", "N4", 10, 20), reserve_nodes=0)) == []
    assert wrong(of, plan(move("a", "N1", "N3", 10, 20), reserve_nodes=1)) == []


def test_i3_of_a_vm_under_way_only_the_loss_of_the_node_it_comes_from_needs_a_restart() -> None:
    vms = [vm("b", "N2", 50)]
    of = cluster([node("N1", 60), node("N2", 60), node("N3", 60)], vms)
    on_its_way = plan(move("b", "N2", "N3", 0, 10, why="as asked"), reserve_nodes=1)
    assert wrong(of, on_its_way, ()) == []
    assert wrong(of, on_its_way) == [(0.0, "I3", "cluster test")]  # N1 is no refuge while it is emptied
