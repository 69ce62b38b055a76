"""May this VM go to that node? One small filter a rule; every "no" says rule, reason and remedy, and all are kept.

Whether there is room is `capacity.py`'s question.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from shunter.topology.estimate import link_mbps
from shunter.topology.model import AffinityRule, Cluster, Node, VirtualMachine
from shunter.topology.plan import Verdict


@dataclass(frozen=True, slots=True)
class Question:
    """May `vm` go to `target`, while `emptied` nodes are being emptied and `promised` VMs are on their way?"""

    cluster: Cluster
    vm: VirtualMachine
    target: Node
    emptied: Collection[str] = ()
    promised: Mapping[str, str] = field(default_factory=dict)
    passing: bool = False

    def no(self, rule: str, reason: str, remedy: str) -> Verdict:
        return Verdict(target=self.target.name, rule=rule, reason=reason, remedy=remedy)

    @property
    def source(self) -> Node:
        return self.cluster.node_by_name[self.vm.node]


def verdicts(
    cluster: Cluster,
    vm: VirtualMachine,
    target: str,
    *,
    emptied: Collection[str] = (),
    promised: Mapping[str, str] | None = None,
    passing: bool = False,
) -> tuple[Verdict, ...]:
    """Every reason against the VM on `target`, room apart; none means that it may go there.

    `emptied`: nodes that this run empties; `promised`: VM → node of moves already decided (for affinity rules).
    `passing`: it will move on; rules that keep VMs together are about where it ends.
    """
    asked = Question(cluster, vm, cluster.node_by_name[target], emptied, promised or {}, passing)
    return tuple(verdict for check in CHECKS for verdict in check(asked))


class FitNodes:
    """The nodes that each VM may go to, room and the other VMs apart. What VMs have in common is asked once.

    `checks`: those of FITNESS that matter; all, unless only some are asked about.
    """

    def __init__(
        self,
        cluster: Cluster,
        nodes: Collection[str],
        emptied: Collection[str] = (),
        checks: Iterable[Check] | None = None,
    ) -> None:
        self._cluster, self._nodes, self._emptied = cluster, tuple(nodes), emptied
        self._checks = tuple(FITNESS if checks is None else checks)
        self._passing: dict[tuple[Check, Hashable], int] = {}
        self._named: dict[int, tuple[str, ...]] = {}

    def of(self, vm: VirtualMachine) -> tuple[str, ...]:
        """In the order of the nodes given."""
        fit = (1 << len(self._nodes)) - 1
        for check in self._checks:
            alike = (check, FITNESS[check](self._cluster, vm))
            if alike not in self._passing:
                self._passing[alike] = self._asked(check, vm)
            fit &= self._passing[alike]
        if fit not in self._named:
            self._named[fit] = tuple(node for i, node in enumerate(self._nodes) if fit >> i & 1)
        return self._named[fit]

    def _asked(self, check: Check, vm: VirtualMachine) -> int:
        """The nodes that pass this check, a bit each."""
        fit = 0
        for i, node in enumerate(self._nodes):
            asked = Question(self._cluster, vm, self._cluster.node_by_name[node], self._emptied)
            fit |= (next(check(asked), None) is None) << i
        return fit


def _in_this_cluster(ask: Question) -> Iterator[Verdict]:
    if not ask.vm.clustered:
        yield ask.no(
            "R01",
            f"{ask.vm.name} is not in the cluster's care",
            "add it to the cluster (Add-ClusterVirtualMachineRole), or move or stop it by hand",
        )
    if ask.vm.node == ask.target.name:
        yield ask.no("R01", f"{ask.vm.name} is on {ask.target.name} already", "choose another node")


_STATE_REMEDY = {
    "down": ("R01", "is down", "start it, or wait until it is back"),
    "joining": ("R01", "is still joining the cluster", "wait until it is up"),
    "isolated": ("R01", "is isolated: the other nodes do not hear it", "restore its cluster network"),
    "quarantined": ("R01", "is quarantined", "find out why it left, then Start-ClusterNode -ClearQuarantine"),
}


def _node_takes_vms(ask: Question) -> Iterator[Verdict]:
    node = ask.target
    if node.name in ask.emptied:
        yield ask.no("R16", f"{node.name} is being emptied itself", "evacuate fewer nodes at once")
    elif node.state == "paused":
        whom = {"us": "by an earlier run", "elsewhere": "by somebody else", None: ""}[node.paused_by]
        yield ask.no("I8", f"{node.name} is paused {whom}".rstrip(), "resume it if it may take VMs again")
    elif node.state != "up":
        rule, what, remedy = _STATE_REMEDY[node.state]
        yield ask.no(rule, f"{node.name} {what}", remedy)


def _possible_owner(ask: Question) -> Iterator[Verdict]:
    owners = ask.vm.possible_owners
    if owners and ask.target.name not in owners:
        yield ask.no(
            "I4",
            f"{ask.target.name} is not a possible owner of {ask.vm.name} ({', '.join(owners)})",
            f"add {ask.target.name} to its possible owners",
        )


def _same_kind_of_processor(ask: Question) -> Iterator[Verdict]:
    here, there = ask.source.processor, ask.target.processor
    if ask.vm.state not in ("running", "paused", "saved") or here == there or here is None or there is None:
        return
    if here.manufacturer.casefold() != there.manufacturer.casefold():
        yield ask.no(
            "R13",
            f"{here.manufacturer} → {there.manufacturer}: no setting bridges manufacturers",
            "choose a node with a processor of the same manufacturer; once shut down, the VM may start anywhere",
        )
    elif not ask.vm.processor_compatibility:
        yield ask.no(
            "R13",
            f"processor versions differ ({here.version} → {there.version})",
            "turn on 'migrate to a physical computer with a different processor version', possible only while the "
            "VM is off (Set-VMProcessor -CompatibilityForMigrationEnabled)",
        )


def _storage_in_reach(ask: Question) -> Iterator[Verdict]:
    for name in ask.vm.volumes:
        volume = ask.cluster.volume_by_name[name]
        if volume.reachable_from and ask.target.name not in volume.reachable_from:
            yield ask.no(
                "R08", f"{ask.target.name} does not reach volume {name}", f"connect {ask.target.name} to {name}"
            )


def _storage_online(ask: Question) -> Iterator[Verdict]:
    for name in ask.vm.volumes:
        volume = ask.cluster.volume_by_name[name]
        if volume.state in ("offline", "failed"):
            yield ask.no("R08", f"volume {name} is {volume.state}", f"bring {name} online")


def _shared_disk(ask: Question) -> Iterator[Verdict]:
    """A `disk` volume has one owner: it can follow one running VM, not two."""
    others = running_companions(ask.cluster, ask.vm)
    if ask.vm.holds_memory and others:
        disks = ", ".join(sorted({disk for disk, _ in others}))
        vms = ", ".join(sorted({vm for _, vm in others}))
        yield ask.no(
            "R11",
            f"{ask.vm.name} shares disk {disks} with {vms}, running too: one disk cannot follow two running VMs",
            f"put the VMs on a Cluster Shared Volume or on a LUN each, or stop all but one of them ({vms})",
        )
    for disk in disks_of(ask.cluster, ask.vm):
        for other in ask.cluster.vms_by_disk[disk]:
            if not other.clustered and not other.holds_memory and ask.vm.clustered:
                yield ask.no(
                    "R11",
                    f"{ask.vm.name} shares disk {disk} with {other.name}, which is not in the cluster's care and "
                    "would be left without it",
                    f"add {other.name} to the cluster, or give it a disk of its own",
                )


def _switches_exist(ask: Question) -> Iterator[Verdict]:
    there = {switch.casefold() for switch in ask.target.switches}
    for switch in ask.vm.switches:
        if switch.casefold() not in there:
            yield ask.no(
                "R20",
                f'{ask.target.name} has no virtual switch "{switch}"',
                f'create or rename a virtual switch "{switch}" on {ask.target.name}',
            )


def _no_backup_under_way(ask: Question) -> Iterator[Verdict]:
    if ask.vm.backup and ask.vm.holds_memory:
        yield ask.no(
            "R17",
            f"a backup of {ask.vm.name} is under way; moved now, it would be degraded to a plain copy",
            "wait until the backup is done; a run holds the VM meanwhile",
        )


def _network_between(ask: Question) -> Iterator[Verdict]:
    moves_live = ask.vm.holds_memory and ask.source.name != ask.target.name
    if moves_live and link_mbps(ask.cluster, ask.source, ask.target) is None:
        yield ask.no(
            "R07",
            f"no network joins {ask.source.name} and {ask.target.name}",
            "give both an adapter on one live-migration network",
        )


def _affinity(ask: Question) -> Iterator[Verdict]:
    for rule in ask.cluster.rules_by_vm.get(ask.vm.name, ()):
        if not rule.soft and not (ask.passing and rule.kind.startswith("same")):
            broken_by = breaks(ask, rule)
            if broken_by:
                yield ask.no(
                    "I4",
                    f"rule {rule.name} ({rule.kind.replace('_', ' ')}): {broken_by}",
                    f"choose another node, or change rule {rule.name}",
                )


def breaks(ask: Question, rule: AffinityRule) -> str:
    """What in the rule the VM on the target would break, given where the rule's other VMs are and will be."""
    apart = rule.kind.startswith("different")
    for name in rule.vms:
        if name == ask.vm.name:
            continue
        other = ask.cluster.vm_by_name[name]
        going = ask.promised.get(name, ask.cluster.heading.get(name))
        leaves_too = other.node in ask.emptied and other.clustered
        place = other.node if going is None and not leaves_too else going
        if apart:
            # at every instant: where it is now counts, too, unless the rule is broken there already
            present = (p for p in (other.node, ask.cluster.leaving.get(name)) if p is not None)
            now = [p for p in present if not _close(ask, rule, ask.source, p)]
            places = now if place is None else [place, *now]
            broken = next((p for p in places if _close(ask, rule, ask.target, p)), None)
        else:
            broken = place if place is not None and not _close(ask, rule, ask.target, place) else None
        if broken:
            return f"{other.name} is on {broken}"
    return ""


def _close(ask: Question, rule: AffinityRule, node: Node, other: str) -> bool:
    """On one node or, where the rule is about fault domains, in one fault domain."""
    domain = ask.cluster.node_by_name[other].fault_domain
    in_one_domain = node.fault_domain is not None and node.fault_domain == domain
    return node.name == other or (rule.kind.endswith("fault_domain") and in_one_domain)


def running_companions(cluster: Cluster, vm: VirtualMachine) -> tuple[tuple[str, str], ...]:
    """(disk, VM) for each other VM that holds memory and shares one of this VM's `disk` volumes (R11)."""
    return tuple(
        (disk, other.name)
        for disk in disks_of(cluster, vm)
        for other in cluster.vms_by_disk.get(disk, ())
        if other.name != vm.name and other.holds_memory
    )


def disks_of(cluster: Cluster, vm: VirtualMachine) -> tuple[str, ...]:
    return tuple(name for name in vm.volumes if cluster.volume_by_name[name].kind == "disk")


Check = Callable[[Question], Iterator[Verdict]]
Trait = Callable[[Cluster, VirtualMachine], Hashable]

FITNESS: Mapping[Check, Trait] = {
    _in_this_cluster: lambda _, vm: (vm.clustered, vm.node),
    _node_takes_vms: lambda _, __: None,
    _possible_owner: lambda _, vm: vm.possible_owners,
    _same_kind_of_processor: lambda _, vm: (vm.node, vm.state, vm.processor_compatibility),
    _storage_in_reach: lambda _, vm: vm.volumes,
    _storage_online: lambda _, vm: vm.volumes,
    _shared_disk: lambda cluster, vm: vm.name if disks_of(cluster, vm) else None,
    _switches_exist: lambda _, vm: vm.switches,
    _no_backup_under_way: lambda _, vm: vm.backup and vm.holds_memory,
    _network_between: lambda _, vm: (vm.holds_memory, vm.node),
}
"""What is asked about a VM and a node, the other VMs apart; and what of the VM the answer depends on."""

CHECKS: tuple[Check, ...] = (*FITNESS, _affinity)
LASTING: tuple[Check, ...] = tuple(check for check in FITNESS if check is not _no_backup_under_way)
"""What does not go away by itself."""

BETWEEN: tuple[Check, ...] = (_same_kind_of_processor, _network_between)
"""What depends on the node that a VM comes from."""

STANDING: tuple[Check, ...] = (_possible_owner, _storage_in_reach, _switches_exist)
"""What a VM asks of the node that it is on."""

RESTART: tuple[Check, ...] = (_node_takes_vms, *STANDING, _storage_online)
"""What a VM asks of the node that it is started on after its own is lost; a cold start is free of R13."""

RESUME: tuple[Check, ...] = (*RESTART, _same_kind_of_processor)
"""What a saved VM asks of the node that it is started on: its state is bound to the processor."""

WHEREVER: tuple[Check, ...] = (*STANDING, _storage_online, *BETWEEN)
"""What a running VM asks of a node that it moves to, whatever the node's state."""
