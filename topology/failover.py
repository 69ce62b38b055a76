"""The plan of a failover: what would happen if nodes were lost now. What restarts where and when, what cannot and why.

Targets are one placement that works; the cluster restarts roles by itself and may choose others. The reserve is spent,
not kept. What is then no longer protected is a part of the answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from shunter.topology.errors import RequestError
from shunter.topology.failover_findings import Aftermath, findings_of
from shunter.topology.loss import losses
from shunter.topology.memory import memory
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.new_owners import HandedOver, hand_over, lost_too
from shunter.topology.plan import Move, Plan, Unplaced, Verdict
from shunter.topology.quorum import Votes, after_loss
from shunter.topology.restart_times import BEGINS_AFTER_S, restart_times
from shunter.topology.restarting import Restarts, choose_restarts, restarts_after

MOST_WORK_AFTERWARDS = 0.3
"""For the question what is protected afterwards, in the solver's deterministic units."""


def plan_failover(cluster: Cluster, nodes: Sequence[str]) -> Plan:
    """What would happen if these nodes were lost now, all at once. Raises RequestError for an unknown node.

    A node that is down already may be among them: then what failed with it restarts. An error (I6) where no majority of
    votes would be left: then nothing runs. VMs of priority 0 are unplaced, which does not count against `ok`.
    """
    lost = lost_nodes(cluster, nodes)
    dying = Dying.of(cluster, lost)
    _, at_best = after_loss(cluster, lost)
    if not at_best.is_majority:
        return _ended(cluster, lost, dying, at_best)
    begin_s = BEGINS_AFTER_S if any(cluster.node_by_name[name].state != "down" for name in lost) else 0.0
    restarts = restarts_after(cluster, dying.restarting, lost)
    handed = hand_over(cluster, lost, restarts.targets, begin_s)
    after = afterwards(cluster, lost, restarts.targets, handed)
    moves = _moves(cluster, restarts, begin_s)
    further = losses(after, most_work=MOST_WORK_AFTERWARDS)
    unplaced = {
        **restarts.unplaced,
        **handed.unplaced,
        **{vm.name: _not_started(cluster, vm, lost) for vm in dying.not_wanted},
        **{vm.name: _uncared_for(cluster, vm, lost) for vm in dying.uncared_for},
    }
    findings = findings_of(cluster, lost, Aftermath(after, restarts, handed, further))
    missing = unplaced.keys() - {vm.name for vm in dying.not_wanted}
    shown = after.with_nodes(cluster.nodes)
    return Plan(
        kind="failover",
        cluster=cluster.name,
        ok=not (missing or handed.stuck) and all(finding.severity != "error" for finding in findings),
        reserve_nodes=0,
        findings=findings,
        moves=moves,
        role_moves=tuple(handed.role_moves),
        volume_moves=tuple(handed.volume_moves),
        unplaced=_unplaced(cluster, unplaced),
        makespan_s=max([0.0, *(move.end_s for move in moves), *(move.start_s for move in handed.volume_moves)]),
        memory=memory(cluster, shown, lost, 0),
        survives_loss=further,
    )


def plan_starts(cluster: Cluster, nodes: Sequence[str]) -> Plan:
    """Where VMs that failed on these nodes would be started now, though the nodes are there: one may have come back, or
    a VM may not have come up on it. What runs there stays.
    """
    failed = [vm for name in nodes for vm in cluster.vms_by_node[name] if vm.clustered and vm.state == "failed"]
    restarts = choose_restarts(cluster, [vm for vm in failed if vm.priority > 0])
    moves = _moves(cluster, restarts, 0.0)
    not_wanted = {vm.name: _not_started(cluster, vm, ()) for vm in failed if vm.priority == 0}
    return Plan(
        kind="failover",
        cluster=cluster.name,
        ok=not restarts.unplaced,
        reserve_nodes=0,
        moves=moves,
        unplaced=_unplaced(cluster, {**restarts.unplaced, **not_wanted}),
        makespan_s=max((move.end_s for move in moves), default=0.0),
    )


def lost_nodes(cluster: Cluster, nodes: Sequence[str]) -> tuple[str, ...]:
    """Spelled as in the cluster, each once. Raises RequestError."""
    if not nodes:
        raise RequestError("no node given: name at least one node that is lost")
    return tuple(dict.fromkeys(cluster.find_node(name).name for name in nodes))


@dataclass(frozen=True, slots=True)
class Dying:
    """The VMs of lost nodes that run no more: to restart, of priority 0, outside the cluster's care."""

    restarting: tuple[VirtualMachine, ...]
    not_wanted: tuple[VirtualMachine, ...]
    uncared_for: tuple[VirtualMachine, ...]

    @classmethod
    def of(cls, cluster: Cluster, lost: Sequence[str]) -> Dying:
        on_them = [vm for name in lost for vm in cluster.vms_by_node[name]]
        down = [vm for vm in on_them if vm.clustered and (vm.holds_memory or vm.state == "failed")]
        return cls(
            restarting=tuple(vm for vm in down if vm.priority > 0),
            not_wanted=tuple(vm for vm in down if vm.priority == 0),
            uncared_for=tuple(vm for vm in on_them if not vm.clustered and vm.holds_memory),
        )


def afterwards(cluster: Cluster, lost: Collection[str], targets: Mapping[str, str], handed: HandedOver) -> Cluster:
    """The cluster once everything has happened: the nodes are down, each VM is where it restarts or failed."""
    moved = {move.name: move.target for move in handed.role_moves}
    owner = {move.volume: move.target for move in handed.volume_moves}
    stranded = {finding.subject.removeprefix("volume ") for finding in handed.stuck}
    fields = {name: getattr(cluster, name) for name in type(cluster).model_fields}
    fields["nodes"] = tuple(
        node.model_copy(update={"state": "down", "paused_by": None}) if node.name in lost else node
        for node in cluster.nodes
    )
    fields["vms"] = tuple(_vm_after(vm, lost, targets, moved) for vm in cluster.vms)
    fields["volumes"] = tuple(
        volume.model_copy(
            update={"owner": owner.get(volume.name, volume.owner)}
            | ({"state": "offline"} if volume.name in stranded else {})
        )
        for volume in cluster.volumes
    )
    fields["roles"] = tuple(role.model_copy(update={"node": moved.get(role.name, role.node)}) for role in cluster.roles)
    fields["migrations"] = tuple(m for m in cluster.migrations if not {m.source, m.target} & set(lost))
    return Cluster.model_construct(**fields)


def _vm_after(
    vm: VirtualMachine, lost: Collection[str], targets: Mapping[str, str], moved: Mapping[str, str]
) -> VirtualMachine:
    if vm.name in targets:
        memory_mib = vm.restart_mib
        most_mib = max(vm.memory_maximum_mib, memory_mib)
        update = {"state": "running", "node": targets[vm.name], "memory_mib": memory_mib, "backup": False}
        return vm.model_copy(update={**update, "memory_maximum_mib": most_mib})
    if vm.name in moved:
        return vm.model_copy(update={"node": moved[vm.name]})
    if vm.node in lost and vm.holds_memory:
        return vm.model_copy(update={"state": "failed", "backup": False})
    return vm


def _moves(cluster: Cluster, restarts: Restarts, begin_s: float) -> tuple[Move, ...]:
    return tuple(
        Move(
            vm=name,
            source=cluster.vm_by_name[name].node,
            target=restarts.targets[name],
            start_s=start_s,
            end_s=end_s,
            why=f"priority {cluster.vm_by_name[name].priority}; {restarts.why[name]}",
        )
        for name, (start_s, end_s) in restart_times(cluster, restarts.targets, begin_s).items()
    )


# ---------------------------------------------------------------- what does not come back


def _ended(cluster: Cluster, lost: Sequence[str], dying: Dying, left: Votes) -> Plan:
    """No majority: the cluster stops everywhere, and nothing is started."""
    at_rest = [vm for name in lost for vm in cluster.vms_by_node[name] if vm.clustered and vm.state in ("off", "saved")]
    concerned = (*dying.restarting, *dying.not_wanted, *dying.uncared_for, *at_rest)
    unplaced = {vm.name: _stopped(cluster, vm, left) for vm in concerned}
    return Plan(
        kind="failover",
        cluster=cluster.name,
        ok=False,
        reserve_nodes=0,
        findings=findings_of(cluster, lost, None),
        unplaced=_unplaced(cluster, unplaced),
    )


def _unplaced(cluster: Cluster, found: Mapping[str, tuple[Verdict, ...]]) -> tuple[Unplaced, ...]:
    return tuple(
        Unplaced(vm=name, node=cluster.vm_by_name[name].node, verdicts=verdicts) for name, verdicts in found.items()
    )


def _stopped(cluster: Cluster, vm: VirtualMachine, left: Votes) -> tuple[Verdict, ...]:
    reason = f"the cluster has stopped: {left.there} of {left.of} votes are left, no majority"
    remedy = "bring nodes back until more than half of the votes are there"
    return _everywhere(cluster, vm, (), ("I6", reason, remedy))


def _not_started(cluster: Cluster, vm: VirtualMachine, lost: Collection[str]) -> tuple[Verdict, ...]:
    reason = f"{vm.name} has priority 0: the cluster does not start it after a failover"
    remedy = f"start it by hand once there is room (Start-ClusterGroup {vm.name}), or give it a priority"
    return _everywhere(cluster, vm, lost, ("R01", reason, remedy))


def _uncared_for(cluster: Cluster, vm: VirtualMachine, lost: Collection[str]) -> tuple[Verdict, ...]:
    reason = f"{vm.name} is not in the cluster's care: it dies with {vm.node}, and nothing restarts it"
    remedy = f"add it to the cluster while {vm.node} lives (Add-ClusterVirtualMachineRole -VMName {vm.name})"
    return _everywhere(cluster, vm, lost, ("R01", reason, remedy))


def _everywhere(
    cluster: Cluster, vm: VirtualMachine, lost: Collection[str], why_not: tuple[str, str, str]
) -> tuple[Verdict, ...]:
    """The same (rule, reason, remedy) for each other node that is left."""
    rule, reason, remedy = why_not
    return tuple(
        lost_too(node.name) if node.name in lost else Verdict(target=node.name, rule=rule, reason=reason, remedy=remedy)
        for node in cluster.nodes
        if node.name != vm.node
    )
