"""Restarting VMs fast: greedy orders that find most placements, and bounds that tell when there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import gcd

from shunter.topology.loss.problem import Joint, Problem, Restart

Counts = tuple[int, ...]
"""How many VMs restart, priority by priority, the highest first: compared like words in a dictionary."""


@dataclass(slots=True)
class Packing:
    """VM → refuge, for those that found one."""

    problem: Problem
    refuge: dict[str, str] = field(default_factory=dict)
    _room: dict[str, int] = field(init=False)
    _places: dict[int, set[str]] = field(init=False)
    """Domains that the VMs of a joint have taken, by the joint's identity."""

    def __post_init__(self) -> None:
        self._room = dict(self.problem.room_mib)
        self._places = {id(joint): set() for joint in (*self.problem.joints, *self.problem.wishes)}

    @property
    def counts(self) -> Counts:
        placed = [restart.priority for restart in self.problem.restarts if restart.vm in self.refuge]
        return tuple(placed.count(priority) for priority in self.problem.priorities)

    @property
    def left(self) -> tuple[str, ...]:
        return tuple(restart.vm for restart in self.problem.restarts if restart.vm not in self.refuge)

    @property
    def preferred(self) -> int:
        """How many VMs restart on a node that their owner prefers."""
        return sum(self.refuge.get(restart.vm) in restart.preferred for restart in self.problem.restarts)

    def put(self, restart: Restart, *, roomiest: bool, company_mib: int = 0, heeding: bool = False) -> None:
        """On the tightest refuge that takes it, or the roomiest; where VMs must follow it, rather where all fit.

        `heeding`: soft rules and what its owner prefers count before all this.
        """
        room = self._room
        joints = self.problem.joints_of.get(restart.vm, ())
        fitting = [node for node in restart.fit if room[node] >= restart.mib]
        if joints:
            fitting = [node for node in fitting if all(self._allows(joint, node) for joint in joints)]
        if not fitting:
            return
        if heeding:
            wishes = self.problem.wishes_of.get(restart.vm, ())
            calm = [n for n in fitting if n not in restart.shunned and all(self._allows(wish, n) for wish in wishes)]
            fitting = calm or fitting
        if company_mib > restart.mib:
            fitting = [node for node in fitting if room[node] >= company_mib] or fitting
        wished = next((node for node in restart.preferred if node in fitting), None) if heeding else None
        best = max(fitting, key=room.__getitem__) if roomiest else min(fitting, key=room.__getitem__)
        node = best if wished is None else wished
        self.put_on(restart, node)

    def put_on(self, restart: Restart, node: str) -> None:
        """Without asking whether it may."""
        self._room[node] -= restart.mib
        self.refuge[restart.vm] = node
        for joint in (*self.problem.joints_of.get(restart.vm, ()), *self.problem.wishes_of.get(restart.vm, ())):
            self._places[id(joint)].add(joint.domain[node])

    def _allows(self, joint: Joint, node: str) -> bool:
        taken, domain = self._places[id(joint)], joint.domain[node]
        return domain not in taken if joint.apart else not taken or domain in taken


Order = Callable[[Restart], tuple[int, ...]]


def _largest(restart: Restart) -> tuple[int, ...]:
    return (-restart.mib,)


def _pickiest(restart: Restart) -> tuple[int, ...]:
    return (len(restart.fit), -restart.mib)


def _smallest_of_the_important(restart: Restart) -> tuple[int, ...]:
    return (-restart.priority, restart.mib, len(restart.fit))


def _pickiest_of_the_important(restart: Restart) -> tuple[int, ...]:
    return (-restart.priority, len(restart.fit), restart.mib)


ORDERS: tuple[tuple[Order, bool], ...] = (
    (_largest, False),
    (_pickiest, False),
    (_largest, True),
    (_smallest_of_the_important, False),
    (_pickiest_of_the_important, False),
)


def fast(problem: Problem) -> tuple[Packing, Counts]:
    """The best of some greedy packings, and what no packing can beat."""
    company, wanted = _company_mib(problem), everybody(problem)
    best, bound = Packing(problem), wanted
    for i, (order, roomiest) in enumerate(ORDERS):
        packing = Packing(problem)
        for restart in sorted(problem.restarts, key=lambda r: (*order(r), r.vm)):
            packing.put(restart, roomiest=roomiest, company_mib=company.get(restart.vm, 0))
        if packing.counts > best.counts:
            best = packing
        if i == 0 and best.counts < wanted:
            bound = at_most(problem)
        if best.counts >= bound:
            break
    return best, bound


def heeding(problem: Problem) -> Packing:
    """The most important and largest first, each where it is preferred, else where most is free: that spreads them."""
    company, packing = _company_mib(problem), Packing(problem)
    for restart in sorted(problem.restarts, key=lambda r: (-r.priority, -r.mib, r.vm)):
        packing.put(restart, roomiest=True, company_mib=company.get(restart.vm, 0), heeding=True)
    return packing


def complete(packing: Packing) -> Packing:
    """Whoever is left and finds room all the same."""
    for restart in sorted(packing.problem.restarts, key=lambda r: (-r.priority, r.mib, r.vm)):
        if restart.vm not in packing.refuge:
            packing.put(restart, roomiest=True, heeding=True)
    return packing


def packed(problem: Problem, refuge: Mapping[str, str]) -> Packing:
    """A packing with these VMs on these refuges, which must be possible."""
    packing = Packing(problem)
    for restart in problem.restarts:
        if restart.vm in refuge:
            packing.put_on(restart, refuge[restart.vm])
    return packing


def _company_mib(problem: Problem) -> dict[str, int]:
    """What a VM and those that must restart on one node with it need together."""
    mib = {restart.vm: restart.mib for restart in problem.restarts}
    return {
        vm: sum(mib[other] for other in joint.vms) for joint in problem.joints if not joint.apart for vm in joint.vms
    }


def at_most(problem: Problem) -> Counts:
    """How many could restart at best: who fits somewhere by itself, the smallest first, while memory lasts."""
    usable = usable_mib(problem)
    able = [r for r in problem.restarts if any(usable[node] >= r.mib for node in r.fit)]
    left = sum(usable[node] for node in {node for restart in able for node in restart.fit})
    counts = []
    for priority in problem.priorities:
        sizes = sorted(restart.mib for restart in able if restart.priority == priority)
        count = _prefix(sizes, left)
        left -= sum(sizes[:count])
        counts.append(count)
    return tuple(counts)


def usable_mib(problem: Problem) -> dict[str, int]:
    """Room in whole multiples of what all sizes are multiples of: the rest is of no use to anybody."""
    unit = unit_mib(problem.restarts)
    return {node: mib // unit * unit for node, mib in problem.room_mib.items()}


def unit_mib(restarts: Iterable[Restart]) -> int:
    return gcd(*(restart.mib for restart in restarts)) or 1


def everybody(problem: Problem) -> Counts:
    wanted = [restart.priority for restart in problem.restarts]
    return tuple(wanted.count(priority) for priority in problem.priorities)


def _prefix(sizes: Sequence[int], room: int) -> int:
    for count, size in enumerate(sizes):
        room -= size
        if room < 0:
            return count
    return len(sizes)
