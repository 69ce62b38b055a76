"""How long each phase of a simulated live migration takes: what the wire and the guest make of it (R12)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shunter.topology.model import Cluster, Node, VirtualMachine

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Course:
    """Durations in s of the phases of one migration, if nothing comes between."""

    preparing_s: float
    unloading_s: float
    copying_s: float
    switching_s: float
    settling_s: float


def wire_mib_per_s(cluster: Cluster, source: Node, target: Node) -> float | None:
    """What the wire between two nodes carries, as busy as they are; None where nothing joins them."""
    best = max(_wires(cluster, source, target), default=None)
    if best is None:
        return None
    _, megabits = best
    load = max(source.cpu_percent, target.cpu_percent) / 100.0
    return megabits * 1_000_000 / 8 / MEBIBYTE * 0.9 * max(0.05, 1.0 - load * load)


def are_joined(cluster: Cluster, source: Node, target: Node) -> bool:
    """Whether any wire does."""
    return next(_wires(cluster, source, target), None) is not None


def _wires(cluster: Cluster, source: Node, target: Node) -> Iterator[tuple[bool, int]]:
    """Whether it is for live migration, and its speed in Mbit/s."""
    for network in cluster.networks:
        members = network.nodes
        if members and (source.name not in members or target.name not in members):
            continue
        here = [adapter.link_mbps for adapter in source.adapters if adapter.network == network.name]
        there = [adapter.link_mbps for adapter in target.adapters if adapter.network == network.name]
        if here and there:
            yield "live_migration" in network.roles, min(max(here), max(there))


def course(cluster: Cluster, vm: VirtualMachine, target: Node, stretch: float) -> Course | None:
    """The phases of this VM's migration, each `stretch` times as long as undisturbed."""
    source = cluster.node_by_name[vm.node]
    wire = wire_mib_per_s(cluster, source, target)
    if wire is None:
        return None
    writes = vm.dirty_mib_per_s if vm.state == "running" else 0.0
    copying_s, dirty_mib, rounds = 0.0, float(vm.memory_mib), 0
    while True:
        pass_s = dirty_mib / wire
        copying_s += pass_s
        rounds += 1
        before_mib, dirty_mib = dirty_mib, min(float(vm.memory_mib), writes * pass_s)
        if dirty_mib <= 0.3 * wire or dirty_mib >= before_mib or rounds == 10:
            break
    return Course(
        preparing_s=1.5 * stretch,
        unloading_s=0.2 * stretch if source.tcp_offload else 0.0,
        copying_s=copying_s * stretch,
        switching_s=(0.5 + dirty_mib / wire) * stretch,
        settling_s=0.5 * stretch,
    )
