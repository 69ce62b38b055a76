"""The predicted schedule: pairing run against the estimates. Its makespan, and what no schedule can beat."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from shunter.topology.pairing import Backlog, Wanted, pair
from shunter.topology.plan import Move


def schedule(
    moves: Iterable[Wanted], busy_until_s: Mapping[str, float] | None = None
) -> list[tuple[float, float, Wanted]]:
    """(start_s, end_s, move) for every move, in order of start: whenever nodes become idle, pairs of them start.

    `busy_until_s`: nodes that take part in a migration now, and until when.
    """
    backlog = Backlog(moves)
    busy: dict[str, float] = dict(busy_until_s or {})
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
