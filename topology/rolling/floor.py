"""What no rolling run can beat, in time and in moves, whatever its order and its targets.

Every move takes two nodes for its duration, and every node is away for its maintenance. Before the first node is back
none is done, so that all VMs are still on nodes to be emptied, and must move after that; what cannot be away at once
comes one after the other. See docs/rolling.md for the argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from shunter.topology.model import Cluster
from shunter.topology.rolling.fleet import Fitness


@dataclass(frozen=True, slots=True)
class Floor:
    """`time_s`; `moves`: live migrations. `parallel`: nodes that may be away at once, by the sum of memory."""

    time_s: float
    moves: int
    parallel: int


def floor(cluster: Cluster, wanted: Sequence[str], maintenance_s: float, reserve_nodes: int, fitness: Fitness) -> Floor:
    """Of maintaining these nodes, each for `maintenance_s`."""
    taking = [node for node in cluster.nodes if node.state == "up" or node.name in wanted]
    parallel = most_away(cluster, wanted, reserve_nodes)
    drains_s = {name: drain_s(cluster, name, fitness) for name in wanted}
    counts = {name: sum(vm.holds_memory for vm in cluster.vms_by_node[name]) for name in wanted}
    all_s, first_s = sum(drains_s.values()), min(drains_s.values(), default=0.0)
    nobody_stays = len(wanted) == len(taking)
    moves = sum(counts.values()) + (min(counts.values(), default=0) if nobody_stays else 0)
    if not wanted or not parallel:
        return Floor(0.0, moves, parallel)
    again_s = first_s if nobody_stays else 0.0
    rounds = max(ceil(len(wanted) / parallel), _bins(cluster, wanted, reserve_nodes, parallel))
    bounds = [
        (2 * (all_s + again_s) + len(wanted) * maintenance_s) / len(taking),
        first_s + rounds * maintenance_s,
    ]
    if nobody_stays:
        count = len(wanted)
        after_s = (
            max(all_s / (count - away) + maintenance_s, ceil((count - away) / parallel) * maintenance_s)
            for away in range(1, min(parallel, count - 1) + 1)
        )
        bounds.append(first_s + maintenance_s + min(after_s, default=0.0))
    return Floor(max(bounds), moves, parallel)


def most_away(cluster: Cluster, wanted: Sequence[str], reserve_nodes: int) -> int:
    """How many of these nodes may be away at once, as far as the sum of memory tells: the smallest ones, while the
    others, without the largest that may be lost besides, still hold all VMs.
    """
    room = {node.name: node.for_vms_mib for node in cluster.nodes if node.state == "up" or node.name in wanted}
    used_mib = sum(vm.memory_mib for vm in cluster.vms if vm.holds_memory and vm.node in room)
    smallest = sorted(wanted, key=lambda name: (room.get(name, 0), name))
    away = 0
    for count in range(1, len(smallest) + 1):
        left = sorted(mib for name, mib in room.items() if name not in smallest[:count])
        if not left or sum(left[: len(left) - reserve_nodes]) < used_mib:
            break
        away = count
    return away


def _bins(cluster: Cluster, wanted: Sequence[str], reserve_nodes: int, parallel: int) -> int:
    """How many rounds the sum of memory asks for: what may be away at once, less the node that may be lost besides."""
    room = {node.name: node.for_vms_mib for node in cluster.nodes if node.state == "up" or node.name in wanted}
    used_mib = sum(vm.memory_mib for vm in cluster.vms if vm.holds_memory and vm.node in room)
    largest = sorted(room.values(), reverse=True)
    # at most `parallel` nodes are away: of those that stay, the largest are at least so large
    lost_mib = sum(largest[parallel : parallel + reserve_nodes])
    may_be_away_mib = sum(largest) - used_mib - lost_mib
    return ceil(sum(room[name] for name in wanted) / may_be_away_mib) if may_be_away_mib > 0 else len(wanted)


def drain_s(cluster: Cluster, node: str, fitness: Fitness) -> float:
    """Its VMs one after the other, each to where it gets soonest."""
    total_s = 0.0
    for vm in cluster.vms_by_node[node]:
        ways_s = (fitness.duration_s(vm, node, to) for to in fitness.of(vm.name) if to != node)
        total_s += min((way_s for way_s in ways_s if way_s is not None), default=0.0) if vm.holds_memory else 0.0
    return total_s
