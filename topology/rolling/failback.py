"""What happens to the VMs once every node is done: nothing, back to where each was, or spread evenly."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from shunter.topology.eligibility import WHEREVER, FitNodes, verdicts
from shunter.topology.going_back import ordered_back
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.ordering import riders
from shunter.topology.placement import Placement, wanted_move
from shunter.topology.plan import Finding, Move
from shunter.topology.rolling.course import Course
from shunter.topology.rolling.policy import RollingPolicy
from shunter.topology.timeline import schedule

LEVEL = 0.05
"""Shares of their memory that nodes may differ by before VMs are spread."""


@dataclass(frozen=True, slots=True)
class Failback:
    moves: tuple[Move, ...] = ()
    findings: tuple[Finding, ...] = ()


def failback_moves(
    cluster: Cluster,
    stands: Cluster,
    course: Course,
    policy: RollingPolicy,
    reserve_nodes: int,
    *,
    staying: Collection[str] = (),
) -> Failback:
    """After the course, which leaves the cluster as it `stands`. What they cost is said in a finding. `staying`: VMs
    that are left where they are.
    """
    if policy.failback == "none" or not course.turns:
        return Failback()
    after = _back_in_service(stands, course)
    as_it_was = policy.failback == "as_it_was"
    placement = way_back(after, cluster, policy, reserve_nodes, staying)
    subject = f"cluster {cluster.name}"
    if placement is None:
        message = "no order was found in which the VMs could be moved back live"
        remedy = "leave them where they are, or move some by hand (shunter migrate)"
        return Failback(
            findings=(Finding(rule="I3", severity="warning", subject=subject, message=message, remedy=remedy),)
        )
    planned = schedule(wanted_move(after, vm, to, placement.after.get(vm, ())) for vm, to in placement.targets.items())
    begin_s = course.total_s
    why = "back to where it was" if as_it_was else "spread evenly"
    moves = tuple(
        Move(
            vm=move.vm,
            source=move.source,
            target=move.target,
            start_s=begin_s + start_s,
            end_s=begin_s + end_s,
            why=why,
            after=tuple(sorted(move.after)) or None,
        )
        for start_s, end_s, move in planned
    )
    took_s = max((end_s for _, end_s, _ in planned), default=0.0)
    message = f"failback costs {len(moves)} moves and {took_s:.0f} s"
    said = Finding(
        rule="R16", severity="info", subject=subject, message=message, remedy="nothing; --failback none saves it"
    )
    return Failback(moves, (said,) if moves else ())


def way_back(
    now: Cluster, before: Cluster, policy: RollingPolicy, reserve_nodes: int, staying: Collection[str] = ()
) -> Placement | None:
    """What the policy wants moved now that all nodes are done, in an order that is valid live and keeps the reserve;
    None where there is none. `before`: how the cluster stood before the run. `staying`: VMs that are left alone.
    """
    if policy.failback == "none":
        return Placement()
    targets = targets_as_it_was(now, before) if policy.failback == "as_it_was" else targets_spread(now)
    return ordered_back(now, {vm: to for vm, to in targets.items() if vm not in staying}, reserve_nodes)


def targets_as_it_was(now: Cluster, before: Cluster) -> dict[str, str]:
    """VM → the node where it ran before, for those that run elsewhere and may go back."""
    home = {vm.name: vm.node for vm in before.vms}
    return {
        vm.name: home[vm.name]
        for vm in now.vms
        if vm.holds_memory and vm.name in home and vm.node != home[vm.name] and _may_go(now, vm, home[vm.name])
    }


def targets_spread(now: Cluster) -> dict[str, str]:
    """Largest VMs from the fullest nodes to the emptiest, until their shares in use differ by no more than `LEVEL`."""
    nodes = {node.name: node.for_vms_mib for node in now.nodes if node.state == "up"}
    used_mib = {name: now.used_mib[name] for name in nodes}
    on = {name: {vm.name for vm in now.vms_by_node[name] if vm.holds_memory} for name in nodes}
    targets: dict[str, str] = {}
    while len(nodes) > 1:
        share = {name: used_mib[name] / mib for name, mib in nodes.items()}
        full, empty = max(nodes, key=lambda n: (share[n], n)), min(nodes, key=lambda n: (share[n], n))
        if share[full] - share[empty] <= LEVEL:
            break
        gap_mib = (share[full] - share[empty]) * nodes[full] * nodes[empty] / (nodes[full] + nodes[empty])
        fitting = [
            name
            for name in sorted(on[full], key=lambda name: (-now.vm_by_name[name].memory_mib, name))
            if name not in targets
            and now.vm_by_name[name].memory_mib <= gap_mib
            and name not in now.rules_by_vm
            and _may_go(now, now.vm_by_name[name], empty)
        ]
        if not fitting:
            break
        name = fitting[0]
        targets[name] = empty
        on[full].discard(name)
        used_mib[full] -= now.vm_by_name[name].memory_mib
        used_mib[empty] += now.vm_by_name[name].memory_mib
    return targets


def _may_go(now: Cluster, vm: VirtualMachine, node: str) -> bool:
    """Whether the VM may be there, and what shares a disk with it and comes along (R11)."""
    coming = FitNodes(now, [node], checks=WHEREVER)
    return not verdicts(now, vm, node) and all(coming.of(now.vm_by_name[rider]) for rider in riders(now, vm.name))


def _back_in_service(stands: Cluster, course: Course) -> Cluster:
    """With the nodes that were done taking VMs, where nobody else has paused them."""
    done = {turn.node for turn in course.turns}
    nodes = tuple(
        node.model_copy(update={"state": "up", "paused_by": None})
        if node.name in done and node.paused_by == "us"
        else node
        for node in stands.nodes
    )
    return stands.with_nodes(nodes)
