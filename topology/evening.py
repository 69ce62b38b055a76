"""Targets evened out: where the busiest target bounds the makespan, VMs change targets until nothing ends sooner.

A local search over single moves and exchanges of two VMs, as after LPT for scheduling on parallel machines. It matters
where half of the nodes leave, or more; before that the sources are the bottleneck.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shunter.topology.placement import Problem
from shunter.topology.units import Unit

MOST_STEPS = 2_000
MOST_TARGETS, MOST_PARTNERS = 8, 12
LEAST_GAIN_S = 0.001


@dataclass(frozen=True, slots=True)
class _Change:
    """`unit` goes to `target`, and `back`, where there is one, from there to where the unit was to go."""

    ends_s: float
    unit: Unit
    target: str
    back: Unit | None = None


def evened_out(problem: Problem, targets: Mapping[str, str], goal_s: float) -> dict[str, str]:
    """Targets (VM → node) with which the busiest node is done earlier; at best at `goal_s`. VMs that a rule ties to
    others keep theirs, as do those that only make room.
    """
    return _Evening(problem, targets).run(goal_s)


class _Evening:
    def __init__(self, problem: Problem, targets: Mapping[str, str]) -> None:
        self.problem, self.targets = problem, dict(targets)
        self.free_mib = dict(problem.free_mib)
        self.inbound_s = dict.fromkeys(problem.nodes, 0.0)
        self.takes_s: dict[str, dict[str, float]] = {}
        self.coming: dict[str, list[tuple[float, str]]] = {node: [] for node in problem.nodes}
        self.unit_of = {unit.name: unit for unit in problem.units}
        for unit in (unit for unit in problem.units if unit.live and unit.name in targets):
            if problem.ruled[unit.name]:
                self.free_mib[targets[unit.name]] -= unit.memory_mib
                self.inbound_s[targets[unit.name]] += problem.takes_s(unit, targets[unit.name])
            else:
                self.takes_s[unit.name] = {option.target: option.duration_s for option in problem.options[unit.name]}
                self._put(unit, targets[unit.name])

    def run(self, goal_s: float) -> dict[str, str]:
        for _ in range(MOST_STEPS if self.inbound_s else 0):
            busiest = max(self.inbound_s, key=lambda node: (self.inbound_s[node], node))
            now_s = self.inbound_s[busiest]
            best = min(self._changes(busiest), key=lambda change: change.ends_s, default=None)
            if now_s <= goal_s or best is None or best.ends_s > now_s - LEAST_GAIN_S:
                break
            self._make(best, busiest)
        return self.targets

    def _changes(self, busiest: str) -> Iterator[_Change]:
        idlest = sorted(self.inbound_s, key=lambda node: (self.inbound_s[node], node))[:MOST_TARGETS]
        for here_s, name in self.coming[busiest]:
            unit = self.unit_of[name]
            for node in idlest:
                there_s = self.takes_s[name].get(node)
                if node == busiest or there_s is None:
                    continue
                if unit.memory_mib <= self.free_mib[node]:
                    yield _Change(self._ends_s(busiest, -here_s, node, there_s), unit, node)
                for back_s, back in self._partners(unit, here_s, busiest, node):
                    after_s = self.takes_s[back.name][busiest]
                    yield _Change(self._ends_s(busiest, after_s - here_s, node, there_s - back_s), unit, node, back)

    def _ends_s(self, one: str, one_more_s: float, other: str, other_more_s: float) -> float:
        return max(self.inbound_s[one] + one_more_s, self.inbound_s[other] + other_more_s)

    def _partners(self, unit: Unit, here_s: float, busiest: str, node: str) -> Iterator[tuple[float, Unit]]:
        """Those on their way to the node in whose stead the unit evens out both best, and that leave room for it."""
        coming = self.coming[node]
        wanted_s = here_s - (self.inbound_s[busiest] - self.inbound_s[node]) / 2
        at = bisect_left(coming, (wanted_s, ""))
        for back_s, name in coming[max(at - MOST_PARTNERS // 2, 0) : at + MOST_PARTNERS // 2]:
            back = self.unit_of[name]
            more_mib = unit.memory_mib - back.memory_mib
            has_room = more_mib <= self.free_mib[node] and -more_mib <= self.free_mib[busiest]
            if has_room and busiest in self.takes_s[name]:
                yield back_s, back

    def _make(self, change: _Change, busiest: str) -> None:
        self._take(change.unit, busiest)
        if change.back is not None:
            self._take(change.back, change.target)
            self._put(change.back, busiest)
        self._put(change.unit, change.target)

    def _put(self, unit: Unit, node: str) -> None:
        self.targets.update((vm.name, node) for vm in unit.vms)
        self.free_mib[node] -= unit.memory_mib
        self.inbound_s[node] += self.takes_s[unit.name][node]
        insort(self.coming[node], (self.takes_s[unit.name][node], unit.name))

    def _take(self, unit: Unit, node: str) -> None:
        duration_s = self.takes_s[unit.name][node]
        self.free_mib[node] += unit.memory_mib
        self.inbound_s[node] -= duration_s
        self.coming[node].remove((duration_s, unit.name))
