"""What stands where it must not, read afresh from the rules (I3, I4, R08, R20), without the planners' code.

Processors (R13), backups (R17) and the state of a node are about moving, never about standing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from shunter.topology.model import AffinityRule, Cluster
from shunter.topology.recheck.fitness import close


@dataclass(frozen=True, slots=True)
class Disorder:
    """Something that is not in order. `vms`: whose place it is about; of these at least one must move to end it."""

    rule: str
    subject: str
    vms: frozenset[str]
    message: str


def disorders(cluster: Cluster, place: Mapping[str, str], used_mib: Mapping[str, int]) -> Iterator[Disorder]:
    """Everything that is out of order while each VM is on its `place` and each node holds `used_mib`."""
    yield from _full_nodes(cluster, place, used_mib)
    for vm in cluster.vms:
        for broken, message in _wrong_node(cluster, vm.name, place[vm.name]):
            yield Disorder(broken, vm.name, frozenset((vm.name,)), message)
    for rule in cluster.affinity_rules:
        if not rule.soft:
            for one, other in broken_pairs(cluster, rule, place):
                message = f"rule {rule.name}: {one} is on {place[one]}, {other} on {place[other]}"
                yield Disorder("I4", f"rule {rule.name}", frozenset((one, other)), message)


def broken_pairs(cluster: Cluster, rule: AffinityRule, place: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The pairs of VMs whose places contradict the rule."""
    wanted = rule.kind in ("same_node", "same_fault_domain")
    for one, other in combinations(rule.vms, 2):
        if close(cluster, rule.kind, place[one], place[other]) is not wanted:
            yield one, other


def _full_nodes(cluster: Cluster, place: Mapping[str, str], used_mib: Mapping[str, int]) -> Iterator[Disorder]:
    for node in cluster.nodes:
        room_mib = node.memory_mib - node.reserved_mib
        if used_mib[node.name] > room_mib:
            there = frozenset(vm.name for vm in cluster.vms if place[vm.name] == node.name and vm.holds_memory)
            message = f"{used_mib[node.name]} MiB are in use, {room_mib} MiB are for VMs"
            yield Disorder("I3", node.name, there, message)


def _wrong_node(cluster: Cluster, name: str, on: str) -> Iterator[tuple[str, str]]:
    vm, node = cluster.vm_by_name[name], cluster.node_by_name[on]
    if vm.possible_owners and on not in vm.possible_owners:
        yield "I4", f"is on {on}, which is not one of its possible owners"
    missing = {switch.casefold() for switch in vm.switches} - {switch.casefold() for switch in node.switches}
    if missing:
        yield "R20", f"is on {on}, which has no switch {', '.join(sorted(missing))}"
    for volume in vm.volumes:
        reaching = cluster.volume_by_name[volume].reachable_from
        if reaching and on not in reaching:
            yield "R08", f"is on {on}, which does not reach {volume}"
