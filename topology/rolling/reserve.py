"""Whether any further nodes could be lost at this instant of a rolling run, and their VMs restarted on the others (I3).

For the loss of one node a packing of its VMs is kept as a witness: what happens elsewhere in the cluster concerns it
only where it takes room that the packing needs. So most starts are decided without packing anything.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from math import comb

from shunter.topology.capacity import packs
from shunter.topology.rolling.fleet import Fleet

MOST_LOSSES = 5_000

Packing = Mapping[str, int]
"""MiB that the VMs of a lost node would use, by refuge."""


class Reserve:
    """Of one fleet: `nodes` is how many may be lost at once. To be told of everything that the fleet is told."""

    def __init__(self, fleet: Fleet, nodes: int) -> None:
        self.fleet, self.nodes = fleet, nodes
        self._packings: dict[str, Packing | None] = {}

    def holds(self) -> bool:
        """Whether it is kept now."""
        return self._holds_with({}, {}, self.fleet.taking())

    def allows_start(self, vm: str, target: str) -> bool:
        """Whether it is kept while the VM moves there, and once it has arrived. Remembers what it found out."""
        mib = self.fleet.vms[vm].memory_mib
        left_mib = self.fleet.free_mib[target] - mib
        if left_mib < 0:
            return False
        restart_mib = self.fleet.restart_mib[vm]
        coming = {target: (restart_mib,)} if restart_mib else {}
        return self._holds_with({target: left_mib}, coming, self.fleet.taking())

    def allows_leaving(self, node: str) -> bool:
        """Whether it is kept without this node, which is empty."""
        return self._holds_with({}, {}, [name for name in self.fleet.taking() if name != node])

    def left_mib(self) -> int | None:
        """What is left free after the worst loss of one node; below 0: so much is missing. None with no node there."""
        there = self.fleet.taking()
        free_mib = sum(self.fleet.free_mib[name] for name in there)
        losses = (self.fleet.free_mib[name] + self.fleet.needed_mib[name] for name in there)
        return min((free_mib - lost_mib for lost_mib in losses), default=None)

    def _holds_with(
        self, free_mib: Mapping[str, int], coming: Mapping[str, Sequence[int]], there: Sequence[str]
    ) -> bool:
        """With other free memory on some nodes, further VMs on some, and these nodes there."""
        if self.nodes == 0:
            return True
        if self.nodes > 1:
            return self._any_loss(free_mib, coming, there)
        free = {name: free_mib.get(name, self.fleet.free_mib[name]) for name in there}
        found: dict[str, Packing | None] = {}
        for name in there:
            known = self._packings.get(name)
            if name not in coming and known is not None and all(free.get(n, -1) >= mib for n, mib in known.items()):
                continue
            items = [*self.fleet.restarts_mib(name), *coming.get(name, ())]
            packing = packed(items, {other: mib for other, mib in free.items() if other != name})
            if packing is None and not packs(items, [mib for other, mib in free.items() if other != name]):
                return False
            found[name] = packing
        self._packings.update(found)
        return True

    def _any_loss(self, free_mib: Mapping[str, int], coming: Mapping[str, Sequence[int]], there: Sequence[str]) -> bool:
        if comb(len(there), self.nodes) > MOST_LOSSES:
            return False
        free = {name: max(0, free_mib.get(name, self.fleet.free_mib[name])) for name in there}
        items = {name: [*self.fleet.restarts_mib(name), *coming.get(name, ())] for name in there}
        return all(
            packs(
                [mib for name in lost for mib in items[name]],
                [mib for name, mib in free.items() if name not in lost],
            )
            for lost in combinations(there, min(self.nodes, len(there)))
        )


def packed(items_mib: Iterable[int], free_mib: Mapping[str, int]) -> Packing | None:
    """The largest first, each into the tightest room, or else each into the roomiest; None where neither is enough."""
    items = sorted(items_mib, reverse=True)
    if sum(items) > sum(mib for mib in free_mib.values() if mib > 0):
        return None
    return _packed(items, free_mib, tightest=True) or _packed(items, free_mib, tightest=False)


def _packed(items: Sequence[int], free_mib: Mapping[str, int], *, tightest: bool) -> Packing | None:
    rooms = sorted((mib, name) for name, mib in free_mib.items())
    used: dict[str, int] = {}
    for item in items:
        at = bisect_left(rooms, (item, "")) if tightest else len(rooms) - 1
        if not 0 <= at < len(rooms) or rooms[at][0] < item:
            return None
        mib, name = rooms.pop(at)
        insort(rooms, (mib - item, name))
        used[name] = used.get(name, 0) + item
    return used
