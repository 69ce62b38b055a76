"""What stands where it must not: VMs on nodes that a rule forbids, nodes short of memory, affinity rules broken.

What is about moving (the processor, R13, a backup, R17) is no breach: a VM may stand where it could not go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from shunter.topology.model import AffinityRule, Cluster, VirtualMachine
from shunter.topology.ordering import near


@dataclass(frozen=True, slots=True)
class Breach:
    """`vms`: of these at least one must move for it to end. `misplaced`: and that is true of each of them alone."""

    rule: str
    subject: str
    message: str
    vms: tuple[str, ...]
    misplaced: bool = False


def breaches(cluster: Cluster) -> tuple[Breach, ...]:
    """All of them, in the order of the cluster file."""
    return (*_misplaced(cluster), *_too_full(cluster), *_broken_rules(cluster))


def _misplaced(cluster: Cluster) -> Iterator[Breach]:
    for vm in cluster.vms:
        for rule, message in _why_misplaced(cluster, vm):
            yield Breach(rule, f"vm {vm.name}", message, (vm.name,), misplaced=True)


def _why_misplaced(cluster: Cluster, vm: VirtualMachine) -> Iterator[tuple[str, str]]:
    node = cluster.node_by_name[vm.node]
    if vm.possible_owners and vm.node not in vm.possible_owners:
        yield "I4", f"{vm.name} stands on {vm.node}, which is not one of its possible owners"
    switches = {switch.casefold() for switch in node.switches}
    for switch in vm.switches:
        if switch.casefold() not in switches:
            yield "R20", f'{vm.name} stands on {vm.node}, which has no virtual switch "{switch}"'
    for name in vm.volumes:
        reachable_from = cluster.volume_by_name[name].reachable_from
        if reachable_from and vm.node not in reachable_from:
            yield "R08", f"{vm.name} stands on {vm.node}, which does not reach volume {name}"


def _too_full(cluster: Cluster) -> Iterator[Breach]:
    for node in cluster.nodes:
        short_mib = -cluster.free_mib(node.name)
        if short_mib > 0:
            running = tuple(vm.name for vm in cluster.vms_by_node[node.name] if vm.holds_memory)
            yield Breach("I3", f"node {node.name}", f"{node.name} is short of {short_mib} MiB", running)


def _broken_rules(cluster: Cluster) -> Iterator[Breach]:
    for rule in cluster.affinity_rules:
        if rule.soft:
            continue
        place = {vm: cluster.vm_by_name[vm].node for vm in rule.vms}
        if rule.kind.startswith("different"):
            for one, other in combinations(rule.vms, 2):
                if near(cluster, rule, place[one], place[other]):
                    message = f"{one} on {place[one]} and {other} on {place[other]} break rule {rule.name}{_kind(rule)}"
                    yield Breach("I4", f"rule {rule.name}", message, (one, other))
        else:
            first = rule.vms[0]
            if not all(near(cluster, rule, place[first], place[other]) for other in rule.vms):
                where = ", ".join(f"{vm} on {node}" for vm, node in place.items())
                yield Breach("I4", f"rule {rule.name}", f"{where}: breaks rule {rule.name}{_kind(rule)}", rule.vms)


def _kind(rule: AffinityRule) -> str:
    return f" ({rule.kind.replace('_', ' ')})"
