"""What is asked when nodes are lost: which VMs restart, where each may, and what they ask of each other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from shunter.topology.capacity import available
from shunter.topology.eligibility import RESTART, RESUME, FitNodes, disks_of
from shunter.topology.model import AffinityRule, Cluster, VirtualMachine


@dataclass(frozen=True, slots=True)
class Joint:
    """VMs that restart in different domains (`apart`), or all in one. `domain`: of each refuge. `soft`: a wish."""

    vms: frozenset[str]
    domain: Mapping[str, str]
    apart: bool
    soft: bool = False


@dataclass(frozen=True, slots=True)
class Restart:
    """A VM that is to be restarted. `fit`: the refuges that may take it, room apart; `preferred`: those of them that
    its owner prefers, the first one most; `shunned`: those where it breaks a soft rule with VMs that run on.
    """

    vm: str
    mib: int
    priority: int
    fit: tuple[str, ...]
    preferred: tuple[str, ...] = ()
    shunned: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Problem:
    """One question. `room_mib`: of each refuge. `priorities`: those that occur, the highest first.

    `joints`: those that hold, `wishes`: the soft ones.
    """

    room_mib: Mapping[str, int]
    restarts: tuple[Restart, ...]
    joints: tuple[Joint, ...] = ()
    wishes: tuple[Joint, ...] = ()
    joints_of: Mapping[str, tuple[Joint, ...]] = field(init=False)
    wishes_of: Mapping[str, tuple[Joint, ...]] = field(init=False)
    priorities: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "joints_of", _by_vm(self.joints))
        object.__setattr__(self, "wishes_of", _by_vm(self.wishes))
        priorities = sorted({restart.priority for restart in self.restarts}, reverse=True)
        object.__setattr__(self, "priorities", tuple(priorities))


def _by_vm(joints: Sequence[Joint]) -> Mapping[str, tuple[Joint, ...]]:
    of: dict[str, tuple[Joint, ...]] = {}
    for joint in joints:
        for vm in joint.vms:
            of[vm] = (*of.get(vm, ()), joint)
    return of


class Losses:
    """The problems of one cluster.

    Restarted are the clustered VMs of a priority above 0 that hold memory, each with what a restart needs. A cold start
    is free of R13; possible owners, switches, storage (R08), disks that are shared (R11) and hard affinity rules hold.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.refuges = available(cluster)
        self._fit = FitNodes(cluster, self.refuges, checks=RESTART)
        self._fit_saved = FitNodes(cluster, self.refuges, checks=RESUME)
        self._free_mib = {name: cluster.free_mib(name) for name in self.refuges}

    def of(self, *nodes: str) -> Problem:
        """If these nodes were lost at once."""
        on_them = (vm for node in nodes for vm in self.cluster.vms_by_node[node])
        return self.restarting([vm for vm in on_them if vm.holds_memory and vm.clustered and vm.priority > 0], nodes)

    def restarting(
        self,
        vms: Sequence[VirtualMachine],
        gone: Collection[str] = (),
        barred: Collection[tuple[str, str]] = (),
    ) -> Problem:
        """These VMs are to be started, each once: they do not run, or only on nodes that are `gone`, with whatever else
        is there. `barred`: (VM, node) where it was tried in vain. The state of a saved VM is bound by R13.
        """
        room = {name: mib for name, mib in self._free_mib.items() if name not in gone}
        for migration in self.cluster.migrations:
            if migration.source in gone and migration.target in room:
                moving = self.cluster.vm_by_name[migration.vm]
                room[migration.target] += moving.memory_mib if moving.node in gone else 0  # it never arrives
        asked = _Asked(self.cluster, frozenset(vm.name for vm in vms), frozenset(gone))
        restarts = []
        for vm in vms:
            fit = (self._fit_saved if vm.state == "saved" else self._fit).of(vm)
            allowed = asked.allowed(vm, [node for node in fit if node in room and (vm.name, node) not in barred])
            preferred = tuple(node for node in vm.preferred_owners if node in allowed)
            shunned = frozenset(allowed).difference(asked.by_rules(vm, allowed, soft=True))
            restarts.append(Restart(vm.name, vm.restart_mib, vm.priority, tuple(allowed), preferred, shunned))
        joints = tuple(asked.joints(vms, room))
        return Problem(
            {name: max(mib, 0) for name, mib in room.items()},
            tuple(restarts),
            tuple(joint for joint in joints if not joint.soft),
            tuple(joint for joint in joints if joint.soft),
        )


@dataclass(frozen=True, slots=True)
class _Asked:
    """What VMs that run on ask of those that are started, and these of each other."""

    cluster: Cluster
    starting: frozenset[str]
    gone: frozenset[str]

    def _runs_on(self, vm: VirtualMachine) -> bool:
        return vm.holds_memory and vm.node not in self.gone and vm.name not in self.starting

    def allowed(self, vm: VirtualMachine, fit: list[str]) -> list[str]:
        for disk in disks_of(self.cluster, vm):
            users = {other.node for other in self.cluster.vms_by_disk[disk] if self._runs_on(other)}
            fit = [node for node in fit if users <= {node}]
        return self.by_rules(vm, fit, soft=False)

    def by_rules(self, vm: VirtualMachine, fit: list[str], *, soft: bool) -> list[str]:
        for rule in self.cluster.rules_by_vm.get(vm.name, ()):
            if rule.soft is soft:
                fit = self._allowed_by(rule, fit)
        return fit

    def _allowed_by(self, rule: AffinityRule, fit: list[str]) -> list[str]:
        """What the VMs of the rule that run on leave open."""
        domain = self._domains(rule)
        running = [vm for vm in map(self.cluster.vm_by_name.__getitem__, rule.vms) if self._runs_on(vm)]
        taken = {domain[vm.node] for vm in running}
        if rule.kind.startswith("different"):
            going = (self.cluster.heading.get(vm.name) for vm in running)
            taken |= {domain[node] for node in going if node is not None and node not in self.gone}
            return [node for node in fit if domain[node] not in taken]
        # those that run on are apart already: then the rule cannot be kept by anybody
        return [node for node in fit if domain[node] in taken] if len(taken) == 1 else fit

    def joints(self, vms: Sequence[VirtualMachine], refuges: Collection[str]) -> Iterator[Joint]:
        itself = {node: node for node in refuges}
        for disk in {disk: None for vm in vms for disk in disks_of(self.cluster, vm)}:
            users = self.starting.intersection(vm.name for vm in self.cluster.vms_by_disk[disk])
            if len(users) > 1:
                yield Joint(users, itself, apart=False)
        for rule in {rule.name: rule for vm in vms for rule in self.cluster.rules_by_vm.get(vm.name, ())}.values():
            members = self.starting.intersection(rule.vms)
            if len(members) > 1:
                domain = self._domains(rule)
                ours = {node: domain[node] for node in refuges}
                yield Joint(members, ours, apart=rule.kind.startswith("different"), soft=rule.soft)

    def _domains(self, rule: AffinityRule) -> Mapping[str, str]:
        """Node → what the rule takes for one place: the node itself, or its fault domain where it has one."""
        if not rule.kind.endswith("fault_domain"):
            return {node.name: node.name for node in self.cluster.nodes}
        return {
            node.name: f"domain {node.fault_domain}" if node.fault_domain else f"node {node.name}"
            for node in self.cluster.nodes
        }
