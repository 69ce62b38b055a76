"""How long a live migration takes, and how long the VM stands still (R12).

Iterative pre-copy: all memory is copied while the VM runs, then what it wrote meanwhile, and again, until the rest is
small enough to be copied while it stands still (Clark et al., "Live migration of virtual machines", NSDI 2005, §3).
The inputs that matter are memory, dirty rate, link speed and the load of both ends (R12; Akoush et al., "Predicting
the performance of virtual machine migration", MASCOTS 2010).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from shunter.topology.model import Cluster, Node, VirtualMachine

PREPARE_S = 1.5
UNLOAD_OFFLOAD_S = 0.2
SWITCH_S = 0.5
SETTLE_S = 0.5
SMALL_REST_S = 0.3
MOST_ROUNDS = 10
LINK_EFFICIENCY = 0.9
LEAST_HEADROOM = 0.05

MIB_PER_MEGABIT = 1e6 / 8 / 2**20


@dataclass(frozen=True, slots=True)
class Estimate:
    """`duration_s` from the order to the confirmed arrival; `downtime_s` of it the VM stands still.

    `converges` is false where the VM writes memory about as fast as it can be copied: the rest, and with it the
    downtime, stays large.
    """

    duration_s: float
    downtime_s: float
    rate_mib_per_s: float
    converges: bool


def link_mbps(cluster: Cluster, source: Node, target: Node) -> int | None:
    """Speed of the best live-migration network that both nodes are on; failing that, of any network; else None."""
    memo, ends = cluster.link_mbps_between, (cluster.links[source.name], cluster.links[target.name])
    if ends not in memo:
        memo[ends] = _link_mbps(cluster, *map(dict, ends))
    return memo[ends]


def _link_mbps(cluster: Cluster, source: Mapping[str, int], target: Mapping[str, int]) -> int | None:
    best: dict[bool, int] = {}
    for network in cluster.networks:
        slowest = min(source.get(network.name, 0), target.get(network.name, 0))
        dedicated = "live_migration" in network.roles
        if slowest > 0:
            best[dedicated] = max(best.get(dedicated, 0), slowest)
    return best.get(True, best.get(False))


def rate_mib_per_s(cluster: Cluster, source: Node, target: Node) -> float | None:
    """What the link carries between two nodes as busy as these; None where no network joins them."""
    mbps = link_mbps(cluster, source, target)
    if mbps is None:
        return None
    busiest = max(source.cpu_percent, target.cpu_percent) / 100
    headroom = max(LEAST_HEADROOM, 1 - busiest**2)
    return mbps * MIB_PER_MEGABIT * LINK_EFFICIENCY * headroom


def estimate(cluster: Cluster, vm: VirtualMachine, target: str) -> Estimate | None:
    """Of a live migration of this VM from where it is to `target`; None where no network joins the nodes."""
    source_node = cluster.node_by_name[vm.node]
    rate = rate_mib_per_s(cluster, source_node, cluster.node_by_name[target])
    return None if rate is None else at_rate(vm, rate, source_offloads=source_node.tcp_offload)


def at_rate(vm: VirtualMachine, rate: float, *, source_offloads: bool) -> Estimate:
    """Of a live migration at `rate` MiB/s."""
    dirty = vm.dirty_mib_per_s if vm.state == "running" else 0.0
    return _precopy(float(vm.memory_mib), dirty, rate, source_offloads)


@lru_cache(maxsize=65_536)
def _precopy(memory_mib: float, dirty_mib_per_s: float, rate: float, source_offloads: bool) -> Estimate:
    to_copy, copying_s = memory_mib, 0.0
    for _ in range(MOST_ROUNDS):
        round_s = to_copy / rate
        copying_s += round_s
        written = min(dirty_mib_per_s * round_s, memory_mib)
        if written <= SMALL_REST_S * rate or written >= to_copy:
            break
        to_copy = written
    downtime_s = SWITCH_S + written / rate
    preparing_s = PREPARE_S + (UNLOAD_OFFLOAD_S if source_offloads else 0.0)
    return Estimate(
        duration_s=preparing_s + copying_s + downtime_s + SETTLE_S,
        downtime_s=downtime_s,
        rate_mib_per_s=rate,
        converges=written <= SMALL_REST_S * rate,
    )
