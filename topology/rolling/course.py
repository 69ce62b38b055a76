"""The course of a rolling run under one strategy, event by event, against the estimates."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from shunter.topology.rolling.fleet import Fleet, Phase
from shunter.topology.rolling.reserve import Reserve
from shunter.topology.rolling.strategy import Deciding, Leave, Strategy
from shunter.topology.underway import under_way


class Leg(NamedTuple):
    """A live migration of the course."""

    vm: str
    source: str
    target: str
    start_s: float
    end_s: float


class Turn(NamedTuple):
    """A node's maintenance. `left_mib`: the least that was left after the worst loss while it was away."""

    node: str
    start_s: float
    end_s: float
    left_mib: int | None


@dataclass(slots=True)
class Course:
    """`undone`: nodes whose turn never came. `decided`: one after the other not all can have theirs, in no order."""

    strategy: Strategy
    legs: list[Leg] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    undone: tuple[str, ...] = ()
    decided: bool = False

    @property
    def total_s(self) -> float:
        return max([0.0, *(leg.end_s for leg in self.legs), *(turn.end_s for turn in self.turns)])


def run(
    fleet: Fleet,
    strategy: Strategy,
    reserve_nodes: int,
    maintenance_s: float,
    *,
    not_with: Mapping[str, frozenset[str]] | None = None,
    no_later_s: float | None = None,
    at_most_s: float = float("inf"),
) -> Course:
    """Moves the fleet on until every node had its turn, or nothing can be done any more. `no_later_s`: no maintenance
    begins that would end later. `at_most_s`: longer courses are of no interest, and are left undone. No VM moves more
    often than there are turns, and once more: whatever is decided, a course ends.
    """
    reserve = Reserve(fleet, reserve_nodes)
    deciding = Deciding(fleet, reserve, strategy, not_with or {})
    course = Course(strategy)
    left_mib: dict[str, int | None] = {}
    ends: list[tuple[float, int, str]] = []  # of migrations (0, VM) and of maintenance (1, node)
    most_legs = len(fleet.vms) * (len(strategy.order) + 1)
    for other in under_way(fleet.cluster):
        heapq.heappush(ends, (other.end_s, 0, other.vm))
    now_s = 0.0
    while now_s <= at_most_s and len(course.legs) <= most_legs:
        action = deciding.next()
        if action is None and not ends:
            if not deciding.search_longer() and deciding.unlock() is None and deciding.release() is None:
                break
            continue
        if isinstance(action, Leave):
            if no_later_s is not None and now_s + maintenance_s > no_later_s:
                break
            fleet.leave(action.node)
            left_mib[action.node] = reserve.left_mib()
            course.turns.append(Turn(action.node, now_s, now_s + maintenance_s, None))
            heapq.heappush(ends, (now_s + maintenance_s, 1, action.node))
            _note_least(left_mib, reserve, fleet)
        elif action is not None:
            duration_s = fleet.fitness.duration_s(fleet.vms[action.vm], action.source, action.target)
            assert duration_s is not None, action  # noqa: S101  what no network joins does not fit
            fleet.begin(action.vm, action.target)
            course.legs.append(Leg(*action, now_s, now_s + duration_s))
            heapq.heappush(ends, (now_s + duration_s, 0, action.vm))
            _note_least(left_mib, reserve, fleet)
        else:
            now_s = ends[0][0]
            while ends and ends[0][0] <= now_s:
                _, is_node, name = heapq.heappop(ends)
                (fleet.come_back if is_node else fleet.arrive)(name)
            deciding.something_ended()
    course.turns = [turn._replace(left_mib=left_mib[turn.node]) for turn in course.turns]
    course.undone = tuple(deciding.pending())
    course.strategy = replace(strategy, first=tuple(deciding.first))
    return course


def _note_least(left_mib: dict[str, int | None], reserve: Reserve, fleet: Fleet) -> None:
    now_mib = reserve.left_mib()
    for node, known in left_mib.items():
        if fleet.phase[node] is Phase.AWAY and now_mib is not None and (known is None or now_mib < known):
            left_mib[node] = now_mib
