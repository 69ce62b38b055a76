"""The predicted schedule: pairing run against the estimates. Its makespan, and what no schedule can beat."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from shunter.topology.pairing import WEIGHINGS, Backlog, Wanted, Weigh, pair
from shunter.topology.plan import Move

WELL_SCHEDULED = 1.001
WORTH_IT = 0.995


def schedule(
    moves: Iterable[Wanted], busy_until_s: Mapping[str, float] | None = None
) -> list[tuple[float, float, Wanted]]:
    """(start_s, end_s, move) for every move, in order of start: whenever nodes become idle, pairs of them start.

    Of several ways to weigh the pairs the one that ends first; one is enough where it ends with the busiest node.
    `busy_until_s`: nodes that take part in a migration now, and until when.
    """
    return _best(list(moves), busy_until_s or {})[1]


def how_to_start(moves: Sequence[Wanted], makespan_s: float) -> tuple[Weigh, bool]:
    """How pairs are to be weighed so that these moves, planned to end after `makespan_s`, end so early; and whether
    only the planned order does it. Weighing what is left stands up better to durations that were not as estimated.
    """
    weigh, planned = _best(moves, {})
    return weigh, _end_s(planned) > makespan_s * WELL_SCHEDULED


def _best(
    moves: Sequence[Wanted], busy_until_s: Mapping[str, float]
) -> tuple[Weigh, list[tuple[float, float, Wanted]]]:
    load_s = dict(busy_until_s)
    for move in moves:
        for node in (move.source, move.target):
            load_s[node] = load_s.get(node, 0.0) + move.duration_s
    best: tuple[Weigh, list[tuple[float, float, Wanted]]] | None = None
    for weigh in WEIGHINGS:
        planned = _run(moves, busy_until_s, weigh)
        # the first ones stand up best to durations that were not as estimated: others must be worth it
        if best is None or _end_s(planned) < _end_s(best[1]) * WORTH_IT:
            best = weigh, planned
        if _end_s(best[1]) <= max(load_s.values(), default=0.0) * WELL_SCHEDULED:
            break
    assert best is not None  # noqa: S101  there is a first weighing
    return best


def _end_s(planned: Sequence[tuple[float, float, Wanted]]) -> float:
    return max((end_s for _, end_s, _ in planned), default=0.0)


def _run(moves: Iterable[Wanted], busy_until_s: Mapping[str, float], weigh: Weigh) -> list[tuple[float, float, Wanted]]:
    backlog = Backlog(moves, weigh)
    busy: dict[str, float] = dict(busy_until_s)
    ends: list[tuple[float, str, tuple[str, ...]]] = [(until_s, "", (node,)) for node, until_s in busy.items()]
    heapq.heapify(ends)
    planned: list[tuple[float, float, Wanted]] = []
    now_s = 0.0
    while True:
        for move in pair(backlog, busy):
            backlog.begin(move.vm)
            end_s = now_s + move.duration_s
            planned.append((now_s, end_s, move))
            busy[move.source] = busy[move.target] = end_s
            heapq.heappush(ends, (end_s, move.vm, (move.source, move.target)))
        if not ends:
            return planned
        now_s = ends[0][0]
        while ends and ends[0][0] <= now_s:
            _, vm, nodes = heapq.heappop(ends)
            backlog.end(vm)
            for node in nodes:
                busy.pop(node, None)


def lower_bound_s(durations: Sequence[tuple[str, float]], possible_targets: int) -> float:
    """What no choice of targets can beat, from (source, least possible duration in s) of each move.

    The source with most to send, all work spread evenly over the possible targets, and the longest move.
    """
    sent: dict[str, float] = {}
    for source, duration_s in durations:
        sent[source] = sent.get(source, 0.0) + duration_s
    total_s = sum(sent.values())
    longest_s = max((duration_s for _, duration_s in durations), default=0.0)
    return max(*sent.values(), total_s / max(possible_targets, 1), longest_s, 0.0) if sent else 0.0


def fixed_pairs_bound_s(moves: Sequence[Move]) -> float:
    """What no order of these moves can beat: the busiest node, and the busiest three.

    Of three nodes only two can be in one migration at a time, so that all moves among them come one after the other
    (the odd-set bound of edge colouring, for sets of three).
    """
    load_s: dict[str, float] = {}
    between_s: dict[frozenset[str], float] = {}
    for move in moves:
        ends = frozenset((move.source, move.target))
        between_s[ends] = between_s.get(ends, 0.0) + move.end_s - move.start_s
        for node in ends:
            load_s[node] = load_s.get(node, 0.0) + move.end_s - move.start_s
    threes = (
        sum(between_s.get(frozenset(two), 0.0) for two in combinations(three, 2))
        for three in combinations(sorted(load_s), 3)
    )
    return max(max(load_s.values(), default=0.0), max(threes, default=0.0))
