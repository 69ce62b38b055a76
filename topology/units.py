"""VMs that must end on one node together (R11, hard same-node rules), and what rules ask of them as a whole (I4)."""

# ruff: noqa: PLC0415  (networkx takes a sixth of a second to import: only who has VMs that stay together pays)
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from shunter.topology.eligibility import disks_of
from shunter.topology.model import AffinityRule, Cluster, VirtualMachine


@dataclass(frozen=True, slots=True)
class Unit:
    """VMs that must end on one node together: R11's disk with its VMs, a hard same-node rule, mostly just one VM."""

    vms: tuple[VirtualMachine, ...]
    live: tuple[VirtualMachine, ...] = field(init=False)
    memory_mib: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "live", tuple(vm for vm in self.vms if vm.holds_memory))
        object.__setattr__(self, "memory_mib", sum(vm.memory_mib for vm in self.live))

    @property
    def name(self) -> str:
        return self.vms[0].name


def units_of(cluster: Cluster, leaving: Sequence[VirtualMachine]) -> list[Unit]:
    """The leaving VMs, grouped by what must stay together, in the order of the cluster file."""
    by_name = {vm.name: vm for vm in leaving}
    ties = list(_ties(cluster, by_name))
    if not ties:
        return [Unit((vm,)) for vm in by_name.values()]
    import networkx as nx

    together: nx.Graph[str] = nx.Graph(ties)
    together.add_nodes_from(by_name)
    order = {vm.name: i for i, vm in enumerate(leaving)}
    groups = [sorted(group, key=order.__getitem__) for group in nx.connected_components(together)]
    return [Unit(tuple(by_name[name] for name in group)) for group in sorted(groups, key=lambda g: order[g[0]])]


def _ties(cluster: Cluster, among: Mapping[str, VirtualMachine]) -> Iterator[tuple[str, str]]:
    """Pairs of these VMs that must stay together."""
    for vm in among.values():
        for disk in disks_of(cluster, vm):
            others = (other.name for other in cluster.vms_by_disk[disk] if other.name != vm.name)
            yield from ((vm.name, other) for other in others if other in among)
        for rule in cluster.rules_by_vm.get(vm.name, ()):
            if rule.kind == "same_node" and not rule.soft:
                yield from ((vm.name, other) for other in rule.vms if other in among)


def units_at_home(cluster: Cluster, vms: Sequence[VirtualMachine]) -> list[Unit]:
    """Move units; where a unit is scattered over several nodes, what is on each is a unit of its own."""
    found = []
    for unit in units_of(cluster, vms):
        homes = dict.fromkeys(vm.node for vm in unit.vms)
        found += [Unit(tuple(vm for vm in unit.vms if vm.node == home)) for home in homes]
    return found


def torn_by(cluster: Cluster, unit: Unit) -> AffinityRule | None:
    """A hard rule that keeps apart what the unit keeps together."""
    if len(unit.vms) == 1:
        return None
    names = {vm.name for vm in unit.vms}
    rules = (rule for vm in unit.vms for rule in cluster.rules_by_vm.get(vm.name, ()))
    apart = (rule for rule in rules if rule.kind.startswith("different") and not rule.soft)
    return next((rule for rule in apart if len(names.intersection(rule.vms)) > 1), None)


def must_be_near_others(cluster: Cluster, vm: str) -> bool:
    """Whether a hard rule keeps this VM on one node, or in one fault domain, with others."""
    return any(rule.kind.startswith("same") and not rule.soft for rule in cluster.rules_by_vm.get(vm, ()))
