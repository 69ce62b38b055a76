"""Whether the VMs of a node that is lost still find room, at every instant of a rolling run (I3).

For each node one packing of its VMs is kept as a witness: what happens elsewhere in the cluster concerns it
only where it takes room that the packing needs. So most starts are decided without packing anything.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from math import comb
from typing import NamedTuple

from shunter.topology.capacity import packs
from shunter.topology.rolling.fleet import Fleet

MOST_LOSSES = 5_000


class Packing(NamedTuple):
    """Where the VMs of a lost node would be restarted: VM → refuge, and MiB that they would use there."""

    refuges: Mapping[str, str]
    load_mib: Mapping[str, int]

    def mended(self, needed_mib: Mapping[str, int], lost: str, free_mib: Mapping[str, int]) -> Packing | None:
        """The same for these VMs with this room, with as few as possible elsewhere; None where that is not found."""
        refuges: dict[str, str] = {}
        homeless: list[str] = []
        left_mib = {**dict.fromkeys(self.load_mib, -1), **free_mib, "": -1}  # nothing goes where nothing is there
        for vm, mib in needed_mib.items():
            refuge = self.refuges.get(vm, "")
            if mib <= left_mib[refuge]:
                refuges[vm] = refuge
                left_mib[refuge] -= mib
            else:
                homeless.append(vm)
        for vm in sorted(homeless, key=lambda vm: (-needed_mib[vm], vm)):
            mib = needed_mib[vm]
            rooms = [(left_mib[name], name) for name in free_mib if left_mib[name] >= mib and name != lost]
            if not rooms:
                return None
            _, refuge = min(rooms)
            refuges[vm] = refuge
            left_mib[refuge] -= mib
        load = {name: mib - left_mib[name] for name, mib in free_mib.items() if left_mib[name] < mib}
        return Packing(refuges, load)


class Reserve:
    """Of one fleet: `nodes` is how many may be lost at once. `before`: that of an earlier fleet, whose witnesses are
    kept; what has come to a node since, or fills it more, makes them doubtful.
    """

    def __init__(self, fleet: Fleet, nodes: int, before: Reserve | None = None) -> None:
        self.fleet, self.nodes = fleet, nodes
        self._packings: dict[str, Packing] = {}
        self._guests: dict[str, set[str]] = {}  # refuge → nodes whose packing needs it
        if before is not None and before.nodes == nodes and before.fleet.restart_mib is fleet.restart_mib:
            self._packings, self._guests = before._packings, before._guests
            fleet.fuller = before.fleet.fuller | {node for node in fleet.on if _is_fuller(node, before.fleet, fleet)}

    def holds(self) -> bool:
        """Whether it is kept now, as far as a long search finds."""
        return self.nodes == 0 or self._holds_with(self.fleet.taking())

    def allows_start(self, vm: str, target: str) -> bool:
        """Whether it is kept while the VM moves there, and once it has arrived."""
        left_mib = self.fleet.free_mib[target] - self.fleet.vms[vm].memory_mib
        if left_mib < 0:
            return False
        if self.nodes == 0:
            return True
        there = self.fleet.taking()
        if self.nodes > 1:
            restart_mib = self.fleet.restart_mib[vm]
            return self._any_loss({target: left_mib}, {target: (restart_mib,)} if restart_mib else {}, there)
        return self._absorbs(there, target=target, left_mib=left_mib, vm=vm)

    def allows_leaving(self, node: str, *, thorough: bool = False) -> bool:
        """Whether it is kept without this node, which is empty. `thorough`: as far as a long search finds."""
        if self.nodes == 0:
            return True
        there = [name for name in self.fleet.taking() if name != node]
        return (self.nodes == 1 and self._absorbs(there)) or ((thorough or self.nodes > 1) and self._holds_with(there))

    def left_mib(self) -> int | None:
        """What is left free after the worst loss of one node; below 0: so much is missing. None with no node there."""
        there = self.fleet.taking()
        free, needed = self.fleet.free_mib, self.fleet.needed_mib
        if not there:
            return None
        return sum([free[name] for name in there]) - max([free[name] + needed[name] for name in there])

    def _holds_with(self, there: Sequence[str]) -> bool:
        """Whether it is kept with these nodes, as far as a long search finds."""
        if self.nodes != 1:
            return self._any_loss({}, {}, there)
        free = {name: max(0, self.fleet.free_mib[name]) for name in there}
        return all(
            packs(self.fleet.restarts_mib(name), [mib for other, mib in free.items() if other != name])
            for name in there
        )

    # -------------------------------------------------------------- one lost

    def _absorbs(self, there: Collection[str], target: str = "", left_mib: int = 0, vm: str = "") -> bool:
        """Whether the loss of any one of these nodes is absorbed, with this VM on its way to `target` besides."""
        fleet = self.fleet
        free_mib = {name: left_mib if name == target else fleet.free_mib[name] for name in there}
        rooms: list[tuple[int, str]] | None = None
        found: dict[str, Packing] = {}
        for name in self._doubtful(there, target, left_mib):
            needed = self._needed(name, vm if name == target else "")
            packing = self._packings[name].mended(needed, name, free_mib) if name in self._packings else None
            if packing is None:
                rooms = rooms or sorted((mib, other) for other, mib in free_mib.items())
                packing = packed(needed, [room for room in rooms if room[1] != name])
            if packing is None:
                return False
            found[name] = packing
        for name, packing in found.items():
            self._note(name, packing)
        fleet.fuller.clear()
        fleet.foreseen = (vm, target)
        return True

    def _doubtful(self, there: Collection[str], target: str, left_mib: int) -> Collection[str]:
        """The nodes whose packing may not do any more; what is not there any more needs none."""
        fleet, members = self.fleet, set(there)
        for name in [name for name in self._packings if name not in members]:
            self._forget(name)
        doubtful = {name for name in there if name not in self._packings or name in fleet.fuller or name == target}
        for refuge, guests in self._guests.items():
            if refuge in members and refuge not in fleet.fuller and refuge != target:
                continue
            room_mib = left_mib if refuge == target else fleet.free_mib[refuge] if refuge in members else -1
            doubtful |= {name for name in guests if self._packings[name].load_mib[refuge] > room_mib}
        return sorted(doubtful)

    def _needed(self, node: str, coming: str) -> dict[str, int]:
        """MiB of each VM that would have to be restarted elsewhere."""
        fleet = self.fleet
        names = (*fleet.on[node], *fleet.inbound[node], coming) if coming else (*fleet.on[node], *fleet.inbound[node])
        restart_mib = fleet.restart_mib
        return {name: restart_mib[name] for name in names if restart_mib[name]}

    def _note(self, name: str, packing: Packing) -> None:
        before = self._packings.get(name)
        if before is None or before.load_mib.keys() != packing.load_mib.keys():
            self._forget(name)
            for refuge in packing.load_mib:
                self._guests.setdefault(refuge, set()).add(name)
        self._packings[name] = packing

    def _forget(self, name: str) -> None:
        packing = self._packings.pop(name, None)
        for refuge in packing.load_mib if packing else ():
            self._guests[refuge].discard(name)

    # -------------------------------------------------------------- several lost

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


def _is_fuller(node: str, before: Fleet, now: Fleet) -> bool:
    if now.free_mib[node] < before.free_mib[node]:
        return True
    if not now.inbound[node] and now.on[node].keys() <= before.on[node].keys():
        return False
    were_there = before.on[node].keys() | before.inbound[node].keys()
    return not (now.on[node].keys() <= were_there and now.inbound[node].keys() <= were_there)


def packed(needed_mib: Mapping[str, int], rooms: Sequence[tuple[int, str]]) -> Packing | None:
    """The largest VM first, each into the tightest of the rooms, which ascend; or else each into the roomiest; None
    where neither is enough.
    """
    items = sorted(needed_mib.items(), key=lambda item: (-item[1], item[0]))
    if not items:
        return Packing({}, {})
    if not rooms or items[0][1] > rooms[-1][0] or sum(needed_mib.values()) > sum([mib for mib, _ in rooms if mib > 0]):
        return None
    return _packed(items, rooms, tightest=True) or _packed(items, rooms, tightest=False)


def _packed(items: Sequence[tuple[str, int]], rooms: Sequence[tuple[int, str]], *, tightest: bool) -> Packing | None:
    rooms = list(rooms)
    refuges: dict[str, str] = {}
    load: dict[str, int] = {}
    for vm, item in items:
        at = bisect_left(rooms, (item, "")) if tightest else len(rooms) - 1
        if not 0 <= at < len(rooms) or rooms[at][0] < item:
            return None
        mib, name = rooms.pop(at)
        insort(rooms, (mib - item, name))
        refuges[vm] = name
        load[name] = load.get(name, 0) + item
    return Packing(refuges, load)
