"""Does it fit, and what is left when nodes are lost (I3)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

from shunter.topology.model import Cluster

MOST_SEARCH_STEPS = 20_000
MOST_LOSSES = 20_000


@dataclass(frozen=True, slots=True)
class Survival:
    """Whether the loss of any of so many nodes can be absorbed. `ok` None: not decided within the limits.

    Where it cannot (or is undecided): `lost` are the nodes whose VMs do not pack, `needed_mib` what they need and
    `free_mib` what the others have, all together.
    """

    ok: bool | None
    lost: tuple[str, ...] = ()
    needed_mib: int = 0
    free_mib: int = 0

    def why(self) -> str:
        nodes = " and ".join(self.lost)
        if self.free_mib < 0:
            return f"{nodes} would be short of {-self.free_mib} MiB even without a loss"
        if self.ok is None:
            return f"whether the loss of {nodes} could be absorbed was not decided within the limits of the search"
        return (
            f"if {nodes} were lost, its VMs ({self.needed_mib} MiB) would not all fit on the remaining nodes "
            f"({self.free_mib} MiB free)"
        )


def available(cluster: Cluster, emptied: Collection[str] = ()) -> tuple[str, ...]:
    """The nodes that may take VMs: up and not being emptied."""
    return tuple(node.name for node in cluster.nodes if node.state == "up" and node.name not in emptied)


def survives_loss(
    cluster: Cluster,
    reserve_nodes: int,
    *,
    placed: Mapping[str, str] | None = None,
    moving: Mapping[str, str] | None = None,
    emptied: Collection[str] = (),
) -> Survival:
    """Whether any `reserve_nodes` of the available nodes may be lost once the VMs in `placed` (VM → node) stand there.

    Their VMs of a priority above 0 must pack into what the others have free, each needing what a restart needs.
    Emptied nodes are neither lost nor refuge. While VMs only leave emptied nodes, less is needed and more is free at
    every earlier instant, so the end decides for the whole evacuation. Where others move too, `moving` (VM → node) are
    the moves under way at the instant in question: they hold memory on their targets as well.
    """
    nodes = available(cluster, emptied)
    if reserve_nodes == 0:
        return Survival(ok=True)
    free = {name: cluster.free_mib(name) for name in nodes}
    restart: dict[str, list[int]] = {name: [] for name in nodes}
    for vm in cluster.vms:
        if not vm.holds_memory:
            continue
        place = (placed or {}).get(vm.name, vm.node)
        if place not in (vm.node, cluster.heading.get(vm.name)):
            if place in free:
                free[place] -= vm.memory_mib
            if vm.node in free:
                free[vm.node] += vm.memory_mib
        if (going := (moving or {}).get(vm.name)) in free and going is not None:
            free[going] -= vm.memory_mib
        if place in restart and vm.priority > 0:
            restart[place].append(vm.restart_mib)
    return _any_loss(nodes, free, restart, reserve_nodes)


def _any_loss(
    nodes: Sequence[str], free: Mapping[str, int], restart: Mapping[str, Sequence[int]], reserve_nodes: int
) -> Survival:
    if any(room < 0 for room in free.values()):
        worst = min(nodes, key=lambda name: free[name])
        return Survival(ok=False, lost=(worst,), needed_mib=sum(restart[worst]), free_mib=free[worst])
    undecided: Survival | None = None
    if comb(len(nodes), reserve_nodes) > MOST_LOSSES:
        return Survival(ok=None, lost=tuple(nodes[:reserve_nodes]))
    for lost in combinations(nodes, min(reserve_nodes, len(nodes))):
        needed = [mib for name in lost for mib in restart[name]]
        room = [free[name] for name in nodes if name not in lost]
        fits = packs(needed, room)
        if not fits:
            survival = Survival(fits, lost, sum(needed), sum(room))
            if fits is False:
                return survival
            undecided = undecided or survival
    return undecided or Survival(ok=True)


def packs(items_mib: Sequence[int], rooms_mib: Sequence[int]) -> bool | None:
    """Whether the items fit into the rooms, none split. Cheap answers first, then a search; None: it ran too long."""
    items = sorted(items_mib, reverse=True)
    if not items:
        return True
    if sum(items) > sum(rooms_mib) or items[0] > max(rooms_mib, default=0):
        return False
    if sum(max(0, room - items[0]) for room in rooms_mib) >= sum(items):
        return True
    if _packs_greedily(items, rooms_mib, tightest=True) or _packs_greedily(items, rooms_mib, tightest=False):
        return True
    return _packs_by_search(items, sorted(rooms_mib, reverse=True))


def _packs_greedily(items: Sequence[int], rooms_mib: Sequence[int], *, tightest: bool) -> bool:
    rooms = list(rooms_mib)
    for item in items:
        fitting = [i for i, room in enumerate(rooms) if room >= item]
        if not fitting:
            return False
        best = min(fitting, key=lambda i: rooms[i]) if tightest else max(fitting, key=lambda i: rooms[i])
        rooms[best] -= item
    return True


def _packs_by_search(items: Sequence[int], rooms: list[int]) -> bool | None:
    """Depth first, largest item first; rooms equally large are tried once. Iterative: there may be many items."""
    choices: list[Iterator[int]] = [_distinct_rooms(rooms, items[0])]
    taken: list[int] = []
    for _ in range(MOST_SEARCH_STEPS):
        room = next(choices[-1], None)
        if room is None:
            choices.pop()
            if not choices:
                return False
            rooms[taken.pop()] += items[len(choices) - 1]
            continue
        rooms[room] -= items[len(choices) - 1]
        taken.append(room)
        if len(choices) == len(items):
            return True
        choices.append(_distinct_rooms(rooms, items[len(choices)]))
    return None


def _distinct_rooms(rooms: Sequence[int], item: int) -> Iterator[int]:
    distinct = {room: i for i, room in reversed(list(enumerate(rooms))) if room >= item}
    return iter([distinct[room] for room in sorted(distinct)])
