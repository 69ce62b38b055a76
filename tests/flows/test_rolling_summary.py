"""A rolling run in figures and in one sentence."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rolling_plans import GIB, UNTOUCHED, WAYS, move, rolling_plan, rolling_report, turn

from shunter.flows.markdown import headline
from shunter.flows.rolling_summary import away_at_once, left_out_alike, left_steps, moves_per_vm, rows_of_run, turns
from shunter.topology.plan import Finding, Plan, Untouched


@pytest.mark.parametrize(
    ("of", "sentence"),
    [
        (
            rolling_plan(),
            "Planned: 3 nodes in 1 h 36 min, 4 moves (1.33 a VM), one node away at a time, at least 48 GiB left over.",
        ),
        (
            rolling_plan(maintenance=(turn("N1", 0, 10, 50), turn("N2", 0, 20, 60)), moves=(), makespan_s=60.0),
            "Planned: 2 nodes in 1 min 0 s, 0 moves, up to 2 nodes away at once.",
        ),
        (
            rolling_plan(maintenance=(turn("N1", 0, 0, 60, -5 * GIB),), moves=(), makespan_s=60.0),
            "Planned: 1 node in 1 min 0 s, 0 moves, 5 GiB too little at the worst.",
        ),
        (
            rolling_plan(ok=False, untouched=(Untouched(node="N9", reason="full", remedy="make room"),)),
            "Planned: 3 of 4 nodes in 1 h 36 min (N9 left out), 4 moves (1.33 a VM), one node away at a time, "
            "at least 48 GiB left over.",
        ),
        (
            rolling_plan(ok=False, moves=(), maintenance=(), untouched=(UNTOUCHED,)),
            "Nothing is planned: N1 left out.",
        ),
        (
            rolling_report(),
            "Partly done: 1 of 3 nodes maintained in 1 h 5 min (N3 failed, N1 left out), 3 moves (1.50 a VM), "
            "one node away at a time, at least 48 GiB left over.",
        ),
        (
            rolling_report(interrupted=True, maintenance=(), moves=()),
            "Interrupted: N1 left out.",
        ),
        (
            rolling_report(moves=(move("db-1", "N3", "N2", 0, 9, outcome="lost_sight"),), maintenance=(), untouched=()),
            "Not done: what became of db-1 is unknown.",
        ),
        (rolling_plan(executed=True, moves=(), maintenance=()), "Done: no node is to be maintained."),
        (
            rolling_plan(
                ok=False,
                findings=(Finding(rule="I3", severity="error", subject="cluster", message="no reserve", remedy="add"),),
            ),
            "Refused, nothing was touched: no reserve.",
        ),
    ],
)
def test_the_headline_says_how_many_nodes_at_what_price_and_which_are_not_done(of: Plan, sentence: str) -> None:
    assert headline(of, ["N1", "N2", "N3"]) == sentence


def test_a_turn_begins_with_the_first_move_off_the_node_and_ends_with_the_last_onto_it() -> None:
    first, second, third = turns(rolling_plan())
    assert (first.node, first.emptied_from_s, first.moves_off, first.filled_until_s) == ("N2", 0, 1, 2100)
    assert (second.node, second.emptied_from_s, second.moves_off, second.filled_until_s) == ("N3", 1860, 2, 4000)
    assert (third.node, third.emptied_from_s, third.moves_off, third.filled_until_s) == ("N1", 3900, 1, None)


def test_moves_that_failed_are_not_counted_as_moves_off_a_node() -> None:
    failed = move("web-1", "N1", "N2", 0, 5, outcome="failed")
    done = move("web-1", "N1", "N2", 5, 10, outcome="done")
    (only,) = turns(rolling_report(moves=(failed, done), maintenance=(turn("N1", 0, 10, 20, outcome="done"),)))
    assert only.moves_off == 1


def test_rows_follow_the_order_of_the_run_and_then_come_those_left_out_and_the_others() -> None:
    of = rolling_plan(
        moves=(*rolling_plan().moves, move("x", "N1", "N10", 0, 1), move("y", "N1", "N9", 0, 1)),
        untouched=(Untouched(node="N20", reason="full", remedy="make room"),),
    )
    assert rows_of_run(of) == ["N2", "N3", "N1", "N20", "N9", "N10"]


def test_a_node_that_comes_back_as_another_goes_makes_way_for_it() -> None:
    assert away_at_once(rolling_plan(maintenance=(turn("N1", 0, 0, 10), turn("N2", 5, 10, 20)))) == 1
    assert away_at_once(rolling_plan(maintenance=(turn("N1", 0, 0, 11), turn("N2", 5, 10, 20)))) == 2


def test_moves_per_vm_count_the_vms_that_the_ways_were_counted_for() -> None:
    assert moves_per_vm(rolling_plan(alternatives=WAYS)) == pytest.approx(1.25)
    assert moves_per_vm(rolling_plan()) == pytest.approx(4 / 3)


def test_while_two_nodes_are_away_the_closer_bound_is_what_is_left_over() -> None:
    of = rolling_plan(maintenance=(turn("N1", 0, 0, 20, 30), turn("N2", 10, 10, 30, 50), turn("N3", 40, 40, 50, 50)))
    assert left_steps(of) == [(0, 10, 30), (10, 30, 50), (40, 50, 50)]


def test_nodes_left_out_for_one_reason_stand_together() -> None:
    left = [Untouched(node=n, reason=f"{n} is full, N10 is not", remedy=f"free some on {n}") for n in ("N1", "N2")]
    other = Untouched(node="N3", reason="N3 is down", remedy="mend N3")
    assert left_out_alike(rolling_plan(untouched=(*left, other))) == [
        (("N1", "N2"), "the node is full, N10 is not", "free some on the node"),
        (("N3",), "N3 is down", "mend N3"),
    ]


SPELLS = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50), st.integers(-10, 10)), min_size=1, max_size=6)


@given(SPELLS)
def test_the_steps_of_what_is_left_over_promise_too_little_rather_than_too_much(of: list[tuple[int, int, int]]) -> None:
    """What was left at each second is drawn first; each turn then tells the least of its own time."""
    left = [99] * 100
    for begin_s, lasts_s, mib in of:
        for at_s in range(begin_s, begin_s + lasts_s):
            left[at_s] = min(left[at_s], mib)
    spells = [(begin_s, begin_s + lasts_s, min(left[begin_s : begin_s + lasts_s])) for begin_s, lasts_s, _ in of]
    maintenance = tuple(turn(f"N{i}", begin, begin, end, mib) for i, (begin, end, mib) in enumerate(spells))
    steps = left_steps(rolling_plan(maintenance=maintenance))
    assert all(one[1] <= other[0] for one, other in pairwise(steps))
    assert min(mib for *_, mib in steps) == min(left)
    for from_s, to_s, mib in steps:
        assert mib <= min(left[int(from_s) : int(to_s)])
