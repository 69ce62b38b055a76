"""Exact packing of VMs into what nodes have free, to judge whether a loss can be absorbed (I3)."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from itertools import combinations
from math import comb

MOST_STEPS = 30_000
MOST_LOSSES = 50_000


class Undecided(Exception):
    """The search ended at its limit."""


def unabsorbed_loss(
    nodes: Collection[str], free_mib: Mapping[str, int], restart_mib: Mapping[str, Sequence[int]], lost_nodes: int
) -> str | None:
    """Why the loss of some `lost_nodes` of these nodes cannot be absorbed by the others; None where any can."""
    ordered = sorted(nodes, key=lambda name: -sum(restart_mib.get(name, ())))
    count = min(lost_nodes, len(ordered))
    if comb(len(ordered), count) > MOST_LOSSES:
        return f"undecided: there are {comb(len(ordered), count)} ways to lose {count} of {len(ordered)} nodes"
    undecided = None
    for lost in combinations(ordered, count):
        items = [mib for name in lost for mib in restart_mib.get(name, ())]
        rooms = [max(0, free_mib[name]) for name in ordered if name not in lost]
        try:
            if fit(items, rooms):
                continue
        except Undecided:
            undecided = f"undecided within {MOST_STEPS} steps: whether the loss of {' and '.join(lost)} is absorbed"
            continue
        return f"the VMs of {' and '.join(lost)} ({sum(items)} MiB) do not pack into what is left ({sum(rooms)} MiB)"
    return undecided


def fit(items_mib: Sequence[int], rooms_mib: Sequence[int]) -> bool:
    """Whether every item finds a room and none is split. Raises Undecided."""
    items, rooms = sorted(items_mib, reverse=True), sorted(rooms_mib, reverse=True)
    if not items:
        return True
    if not rooms or items[0] > rooms[0] or sum(items) > sum(rooms):
        return False
    # a room refuses an item only when it has less left than the largest item, whatever the order
    if sum(room - items[0] for room in rooms if room > items[0]) >= sum(items):
        return True
    return _fit_tightly(items, rooms) or _Search(items).places_all(tuple(rooms))


@dataclass(slots=True)
class Budget:
    """Steps that searches may still take together."""

    steps: int


def taken(items_mib: Sequence[int], rooms_mib: Mapping[str, int], budget: Budget) -> dict[str, int] | None:
    """How much of each room the items take where they are put so that all fit; None where they cannot.

    Raises Undecided when the budget is spent.
    """
    items, rooms = sorted(items_mib, reverse=True), sorted(rooms_mib.values(), reverse=True)
    if not items:
        return {}
    if not rooms or items[0] > rooms[0] or sum(items) > sum(rooms) or _too_many_pieces(items, rooms):
        return None
    # spread first: what leaves every room some rest stays good for longer
    return _spread(items, rooms_mib) or _searched(items, rooms_mib, budget)


def _too_many_pieces(items: Sequence[int], rooms: Sequence[int]) -> bool:
    """Whether the items hold more pieces of some size than the rooms: no order of packing helps against that."""
    return any(sum(item // size for item in items) > sum(room // size for room in rooms) for size in {*items})


def _spread(items: Sequence[int], rooms: Mapping[str, int]) -> dict[str, int] | None:
    left = [(-mib, name) for name, mib in rooms.items()]
    heapify(left)
    held: dict[str, int] = {}
    for item in items:
        mib, name = left[0]
        if item > -mib:
            return None
        heapreplace(left, (mib + item, name))
        held[name] = held.get(name, 0) + item
    return held


def _searched(items: Sequence[int], rooms: Mapping[str, int], budget: Budget) -> dict[str, int] | None:
    search = _Search(items, min(MOST_STEPS, budget.steps))
    try:
        if not search.places_all(tuple(sorted(rooms.values(), reverse=True))):
            return None
    finally:
        budget.steps -= min(search.steps, budget.steps)
    left, held = dict(rooms), dict.fromkeys(rooms, 0)
    for item, size in zip(items, search.chosen, strict=True):
        name = next(name for name, mib in left.items() if mib == size)
        left[name] -= item
        held[name] += item
    return {name: mib for name, mib in held.items() if mib}


def _fit_tightly(items: Sequence[int], rooms: Sequence[int]) -> bool:
    """Best fit decreasing: quick, and often enough."""
    left = sorted(rooms)
    for item in items:
        at = bisect_left(left, item)
        if at == len(left):
            return False
        insort(left, left.pop(at) - item)
    return True


class _Search:
    """Branch and bound: the largest item first; rooms are told apart by size alone; a dead end is met only once."""

    def __init__(self, items: Sequence[int], most_steps: int = MOST_STEPS) -> None:
        self.items, self.most_steps = items, most_steps
        self.chosen: list[int] = []
        """What each item's room had left when the item was put into it."""
        self.rest = [sum(items[i:]) for i in range(len(items) + 1)]
        self.dead: set[tuple[int, tuple[int, ...]]] = set()
        self.steps = 0

    def places_all(self, rooms: tuple[int, ...]) -> bool:
        # a stack of what is still to be tried, as there may be more items than Python allows nested calls
        stack = [(0, rooms, iter(sorted(set(rooms))))]
        while stack:
            at, left, untried = stack[-1]
            room = next((room for room in untried if room >= self.items[at]), None)
            if room is None:
                self.dead.add((at, left))
                stack.pop()
                continue
            self.steps += 1
            if self.steps > self.most_steps:
                raise Undecided
            self.chosen[at:] = [room]
            after = self._after(left, room, self.items[at])
            if at + 1 == len(self.items):
                return True
            if not self._hopeless(at + 1, after):
                stack.append((at + 1, after, iter(sorted(set(after)))))
        return False

    def _after(self, rooms: tuple[int, ...], room: int, item: int) -> tuple[int, ...]:
        left = list(rooms)
        left[left.index(room)] -= item
        return tuple(sorted(left, reverse=True))

    def _hopeless(self, at: int, rooms: tuple[int, ...]) -> bool:
        smallest = self.items[-1]
        return (
            rooms[0] < self.items[at]
            or sum(room for room in rooms if room >= smallest) < self.rest[at]
            or (at, rooms) in self.dead
        )
