"""R15: which migrations start now. No node joins two, and nothing that could start waits."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from shunter.topology.pairing import Backlog, Wanted, pair
from shunter.topology.timeline import lower_bound_s, schedule

NODES = st.sampled_from([f"N{i}" for i in range(1, 9)])


@st.composite
def backlogs(draw: st.DrawFn) -> list[Wanted]:
    routes = draw(st.lists(st.tuples(NODES, NODES).filter(lambda route: route[0] != route[1]), max_size=30))
    durations = draw(st.lists(st.floats(0.1, 100), min_size=len(routes), max_size=len(routes)))
    return [Wanted(f"vm-{i}", *route, d) for i, (route, d) in enumerate(zip(routes, durations, strict=True))]


@given(moves=backlogs(), busy=st.sets(NODES))
def test_r15_no_node_joins_two_migrations_and_no_further_one_could_start(moves: list[Wanted], busy: set[str]) -> None:
    pairs = pair(Backlog(moves), busy)
    taken = Counter(node for move in pairs for node in (move.source, move.target))
    assert all(count == 1 for count in taken.values())
    assert busy.isdisjoint(taken)
    for move in moves:
        assert {move.source, move.target} & (busy | set(taken)), f"{move} could have started"


def test_r15_a_cluster_of_four_nodes_runs_two_migrations_at_most() -> None:
    moves = [Wanted(f"{s}{t}", s, t, 5.0) for s in ("N1", "N2") for t in ("N3", "N4")]
    assert len(pair(Backlog(moves), busy=())) == 2


def test_of_several_moves_between_two_nodes_the_longest_starts() -> None:
    moves = [Wanted("short", "N1", "N2", 5.0), Wanted("long", "N1", "N2", 50.0)]
    assert [move.vm for move in pair(Backlog(moves), busy=())] == ["long"]


@given(moves=backlogs())
def test_the_order_in_which_moves_are_wanted_does_not_matter(moves: list[Wanted]) -> None:
    assert pair(Backlog(moves), busy=()) == pair(Backlog(reversed(moves)), busy=())


@given(moves=backlogs())
def test_r15_at_every_instant_of_the_forecast_each_node_is_in_one_migration_at_most(moves: list[Wanted]) -> None:
    planned = schedule(moves)
    assert sorted(move.vm for _, _, move in planned) == sorted(move.vm for move in moves)
    for start_s, end_s, move in planned:
        for other_start_s, other_end_s, other in planned:
            overlap = start_s < other_end_s and other_start_s < end_s
            if other is not move and overlap:
                assert {move.source, move.target}.isdisjoint({other.source, other.target})


@given(moves=backlogs())
def test_the_forecast_never_takes_twice_what_its_busiest_node_needs(moves: list[Wanted]) -> None:
    load: Counter[str] = Counter()
    for move in moves:
        load[move.source] += move.duration_s
        load[move.target] += move.duration_s
    makespan_s = max((end_s for _, end_s, _ in schedule(moves)), default=0.0)
    busiest_s = max(load.values(), default=0.0)
    assert busiest_s - 1e-6 <= makespan_s <= 2 * busiest_s + 1e-6


def test_a_node_that_is_busy_at_the_start_joins_when_it_is_free() -> None:
    planned = schedule([Wanted("a", "N1", "N2", 5.0), Wanted("b", "N3", "N4", 5.0)], {"N1": 7.0, "N5": 7.0})
    assert [(start_s, move.vm) for start_s, _, move in planned] == [(0.0, "b"), (7.0, "a")]


def test_the_lower_bound_is_the_largest_source_the_spread_work_or_the_longest_move() -> None:
    assert lower_bound_s([("N1", 30.0), ("N1", 20.0), ("N2", 10.0)], possible_targets=4) == 50.0
    assert lower_bound_s([("N1", 30.0), ("N2", 30.0), ("N3", 30.0)], possible_targets=1) == 90.0
    assert lower_bound_s([], possible_targets=0) == 0.0
