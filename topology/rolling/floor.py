"""What no rolling run can beat, in time and in moves, whatever its order and its targets.

Every move takes two nodes for its duration, and every node is away for its maintenance. Before the first node is back
none is done, so that all VMs are still on nodes to be emptied, and must move after that; what cannot be away at once
comes one after the other; and a node is not emptied or filled in no time, so that the memory it takes out of service
is more than its maintenance alone takes. See docs/rolling.md for the argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from shunter.topology.model import Cluster
from shunter.topology.rolling.emptiness import Emptiness
from shunter.topology.rolling.fleet import Fitness
from shunter.topology.rolling.rounds import fewest_rounds


@dataclass(frozen=True, slots=True)
class Floor:
    """`time_s`; `moves`: live migrations. `parallel`: nodes that may be away at once, by the sum of memory. `plain_s`:
    the floor for time that knows of no memory but for `parallel`.
    """

    time_s: float
    moves: int
    parallel: int
    plain_s: float


def floor(cluster: Cluster, wanted: Sequence[str], maintenance_s: float, reserve_nodes: int, fitness: Fitness) -> Floor:
    """Of maintaining these nodes, each for `maintenance_s`."""
    memory = Memory.of(cluster, wanted, reserve_nodes)
    parallel = memory.most_away()
    drains_s = {name: drain_s(cluster, name, fitness) for name in wanted}
    counts = {name: sum(vm.holds_memory for vm in cluster.vms_by_node[name]) for name in wanted}
    later_s = {name: from_anywhere_s(cluster, name, fitness) for name in wanted}
    all_s, first_s = sum(drains_s.values()), min(drains_s.values(), default=0.0)
    nobody_stays = len(wanted) == len(memory.rooms_mib) + len(memory.staying_mib) and not memory.staying_mib
    moves = sum(counts.values()) + (min(counts.values(), default=0) if nobody_stays else 0)
    if not wanted or not parallel:
        return Floor(0.0, moves, parallel, 0.0)
    again_s = min(later_s.values()) if nobody_stays else 0.0
    count = len(wanted)
    bounds = [
        (2 * (all_s + again_s) + count * maintenance_s) / (count + len(memory.staying_mib)),
        first_s + ceil(count / parallel) * maintenance_s,
    ]
    if nobody_stays:
        after_s = (
            max(sum(later_s.values()) / (count - away) + maintenance_s, ceil((count - away) / parallel) * maintenance_s)
            for away in range(1, min(parallel, count - 1) + 1)
        )
        bounds.append(first_s + maintenance_s + min(after_s, default=0.0))
    plain_s = max(bounds)
    emptiness = Emptiness(
        rooms_mib=tuple(memory.rooms_mib[name] for name in wanted),
        drains_s=tuple(drains_s[name] for name in wanted),
        empty_mib=memory.empty_mib,
        parallel=parallel,
        mib_per_s=fastest_mib_per_s(cluster, fitness),
        maintenance_s=maintenance_s,
    )
    bounds += [
        first_s + fewest_rounds(memory.rooms_mib.values(), memory.may_be_away) * maintenance_s,
        emptiness.over_time_s(),
        first_s + emptiness.between_rounds_s(),
    ]
    return Floor(max(bounds), moves, parallel, plain_s)


@dataclass(frozen=True, slots=True)
class Memory:
    """What bounds how many nodes may be away, by the sum of memory alone. `rooms_mib`: of the nodes to be maintained;
    `staying_mib`: of the other nodes in service. `unneeded_mib`: of VMs that are not restarted after a loss. A node
    that is filled beyond its memory counts as large as that.
    """

    rooms_mib: dict[str, int]
    staying_mib: tuple[int, ...]
    used_mib: int
    unneeded_mib: int
    reserve_nodes: int

    @classmethod
    def of(cls, cluster: Cluster, wanted: Sequence[str], reserve_nodes: int) -> Memory:
        room_mib = {node.name: max(node.for_vms_mib, cluster.used_mib[node.name]) for node in cluster.nodes}
        rooms = {name: room_mib[name] for name in wanted}
        staying = tuple(room_mib[node.name] for node in cluster.nodes if node.state == "up" and node.name not in rooms)
        members = {node.name for node in cluster.nodes if node.state == "up"} | set(rooms)
        vms = [vm for vm in cluster.vms if vm.holds_memory and vm.node in members]
        unneeded_mib = sum(vm.memory_mib for vm in vms if vm.priority == 0)
        return cls(rooms, staying, sum(vm.memory_mib for vm in vms), unneeded_mib, reserve_nodes)

    @property
    def empty_mib(self) -> int:
        """What no VM uses, with all nodes there."""
        return sum(self.rooms_mib.values()) + sum(self.staying_mib) - self.used_mib

    def may_be_away(self, away_mib: Sequence[int]) -> bool:
        """Whether nodes of these sizes may: the others hold all VMs, even without the largest that may be lost."""
        left = sorted((*self.rooms_mib.values(), *self.staying_mib), reverse=True)
        for mib in away_mib:
            left.remove(mib)
        lost_mib = max(0, sum(left[: self.reserve_nodes]) - self.unneeded_mib)
        return sum(left) - lost_mib >= self.used_mib and bool(left)

    def most_away(self) -> int:
        """How many of the nodes may be away at once: the smallest ones."""
        smallest = sorted(self.rooms_mib.values())
        away = 0
        while away < len(smallest) and self.may_be_away(smallest[: away + 1]):
            away += 1
        return away


def fastest_mib_per_s(cluster: Cluster, fitness: Fitness) -> float:
    """No live migration moves more memory a second than this, between any two nodes."""
    return max(
        (vm.memory_mib / way_s for vm in cluster.vms if (way_s := fitness.shortest_s(vm)) is not None), default=0.0
    )


def drain_s(cluster: Cluster, node: str, fitness: Fitness) -> float:
    """Its VMs one after the other, each to where it gets soonest."""
    running = (vm for vm in cluster.vms_by_node[node] if vm.holds_memory)
    return sum(fitness.shortest_s(vm, node) or 0.0 for vm in running)


def from_anywhere_s(cluster: Cluster, node: str, fitness: Fitness) -> float:
    """The same from wherever they may have come to meanwhile: another node may send faster."""
    running = (vm for vm in cluster.vms_by_node[node] if vm.holds_memory)
    return sum(min(fitness.shortest_s(vm, node) or 0.0, fitness.shortest_s(vm) or 0.0) for vm in running)
