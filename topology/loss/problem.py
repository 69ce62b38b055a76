"""What is asked when a node is lost: which VMs restart, where each may, and what they ask of each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from shunter.topology.capacity import available
from shunter.topology.eligibility import RESTART, FitNodes, disks_of
from shunter.topology.model import AffinityRule, Cluster, VirtualMachine


@dataclass(frozen=True, slots=True)
class Joint:
    """VMs that restart in different domains (`apart`), or all in one. `domain`: of each refuge."""

    vms: frozenset[str]
    domain: Mapping[str, str]
    apart: bool


@dataclass(frozen=True, slots=True)
class Restart:
    """A VM that is to be restarted. `fit`: the refuges that may take it, room apart."""

    vm: str
    mib: int
    priority: int
    fit: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One loss. `room_mib`: of each refuge. `priorities`: those that occur, the highest first."""

    node: str
    room_mib: Mapping[str, int]
    restarts: tuple[Restart, ...]
    joints: tuple[Joint, ...] = ()
    joints_of: Mapping[str, tuple[Joint, ...]] = field(init=False)
    priorities: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        joints: dict[str, tuple[Joint, ...]] = {}
        for joint in self.joints:
            for vm in joint.vms:
                joints[vm] = (*joints.get(vm, ()), joint)
        object.__setattr__(self, "joints_of", joints)
        priorities = sorted({restart.priority for restart in self.restarts}, reverse=True)
        object.__setattr__(self, "priorities", tuple(priorities))


class Losses:
    """The problems of one cluster, node by node.

    Restarted are the clustered VMs of a priority above 0 that hold memory, each with what a restart needs. A cold start
    is free of R13; possible owners, switches, storage (R08), disks that are shared (R11) and hard affinity rules hold.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.refuges = available(cluster)
        self._fit = FitNodes(cluster, self.refuges, checks=RESTART)
        self._free_mib = {name: cluster.free_mib(name) for name in self.refuges}

    def of(self, node: str) -> Problem:
        room = {name: mib for name, mib in self._free_mib.items() if name != node}
        for migration in self.cluster.migrations:
            if migration.source == node and migration.target in room:
                room[migration.target] += self.cluster.vm_by_name[migration.vm].memory_mib  # it never arrives
        lost = [vm for vm in self.cluster.vms_by_node[node] if vm.holds_memory and vm.clustered and vm.priority > 0]
        restarts = tuple(
            Restart(vm.name, vm.restart_mib, vm.priority, tuple(self._allowed(vm, node, room))) for vm in lost
        )
        joints = tuple(self._joints(lost, room))
        return Problem(node, {name: max(mib, 0) for name, mib in room.items()}, restarts, joints)

    def _allowed(self, vm: VirtualMachine, lost: str, room: Mapping[str, int]) -> Sequence[str]:
        fit = [node for node in self._fit.of(vm) if node in room]
        for disk in disks_of(self.cluster, vm):
            users = {o.node for o in self.cluster.vms_by_disk[disk] if o.holds_memory and o.node != lost}
            fit = [node for node in fit if users <= {node}]
        for rule in self.cluster.rules_by_vm.get(vm.name, ()):
            if not rule.soft:
                fit = self._allowed_by(rule, lost, fit)
        return fit

    def _allowed_by(self, rule: AffinityRule, lost: str, fit: list[str]) -> list[str]:
        """What the VMs of the rule that run on leave open."""
        domain = self._domains(rule)
        running = [vm for vm in map(self.cluster.vm_by_name.__getitem__, rule.vms) if vm.holds_memory]
        taken = {domain[vm.node] for vm in running if vm.node != lost}
        if rule.kind.startswith("different"):
            heading = self.cluster.heading
            taken |= {domain[heading[vm.name]] for vm in running if vm.node != lost and vm.name in heading}
            return [node for node in fit if domain[node] not in taken]
        # those that run on are apart already: then the rule cannot be kept by anybody
        return [node for node in fit if domain[node] in taken] if len(taken) == 1 else fit

    def _joints(self, lost: Sequence[VirtualMachine], refuges: Mapping[str, int]) -> Iterator[Joint]:
        names = {vm.name for vm in lost}
        itself = {node: node for node in refuges}
        for disk in {disk: None for vm in lost for disk in disks_of(self.cluster, vm)}:
            users = names.intersection(vm.name for vm in self.cluster.vms_by_disk[disk])
            if len(users) > 1:
                yield Joint(frozenset(users), itself, apart=False)
        for rule in {rule.name: rule for vm in lost for rule in self.cluster.rules_by_vm.get(vm.name, ())}.values():
            members = names.intersection(rule.vms)
            if len(members) > 1 and not rule.soft:
                domain = self._domains(rule)
                ours = {node: domain[node] for node in refuges}
                yield Joint(frozenset(members), ours, apart=rule.kind.startswith("different"))

    def _domains(self, rule: AffinityRule) -> Mapping[str, str]:
        """Node → what the rule takes for one place: the node itself, or its fault domain where it has one."""
        if not rule.kind.endswith("fault_domain"):
            return {node.name: node.name for node in self.cluster.nodes}
        return {
            node.name: f"domain {node.fault_domain}" if node.fault_domain else f"node {node.name}"
            for node in self.cluster.nodes
        }
