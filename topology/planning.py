"""The plan of an evacuation: who goes where and when, who cannot and why not, before anything is touched."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from shunter.topology.capacity import available
from shunter.topology.choosing import ReserveNodes, check_reserve, choose_targets
from shunter.topology.eligibility import disks_of, verdicts
from shunter.topology.errors import RequestError
from shunter.topology.estimate import estimate
from shunter.topology.memory import memory
from shunter.topology.model import Cluster, Role, VirtualMachine
from shunter.topology.ordering import order_of_roles, riders
from shunter.topology.pairing import Wanted
from shunter.topology.placement import Placement, wanted_move
from shunter.topology.plan import Finding, Move, Plan, RoleMove, Unplaced, Verdict, VolumeMove
from shunter.topology.precautions import USUAL_PRECAUTIONS, Precautions, said_beforehand
from shunter.topology.timeline import schedule
from shunter.topology.underway import arrived, busy_until_s, under_way, waits_for


def plan_evacuation(
    cluster: Cluster,
    nodes: Sequence[str],
    reserve_nodes: ReserveNodes = "auto",
    precautions: Precautions = USUAL_PRECAUTIONS,
) -> Plan:
    """How these nodes are emptied. Raises RequestError for an unknown node or a senseless reserve."""
    emptied = emptied_nodes(cluster, nodes)
    check_reserve(reserve_nodes)
    others, cluster = under_way(cluster), arrived(cluster)
    as_it_is, cluster = cluster, precautions.planned_on(cluster)
    choice = choose_targets(cluster, leaving(cluster, emptied), emptied, reserve_nodes)
    moves = scheduled(cluster, choice.placement, busy_until_s(others))
    makespan_s = max((move.end_s for move in moves), default=0.0)
    volume_moves, stuck_volumes = plan_volume_moves(cluster, emptied, choice.placement.ends, moves, makespan_s)
    role_moves = (
        *role_moves_of(cluster, choice.placement, moves, makespan_s),
        *plan_role_moves(cluster, emptied, makespan_s),
    )
    handed_over = {move.name for move in role_moves}
    stuck_roles = [_stuck_role(role) for role in cluster.roles if role.node in emptied and role.name not in handed_over]
    findings = (
        *_of_nodes(cluster, emptied),
        *_of_vms(cluster, emptied),
        *waits_for(others),
        *said_beforehand(as_it_is, precautions, choice.placement.targets),
        *choice.findings,
        *_growth(cluster, choice.placement.ends, emptied),
        *_slow_to_converge(cluster, choice.placement.targets),
        *stuck_volumes,
        *stuck_roles,
    )
    unplaced = tuple(
        Unplaced(vm=name, node=cluster.vm_by_name[name].node, verdicts=reasons)
        for name, reasons in choice.placement.unplaced.items()
    )
    return Plan(
        cluster=cluster.name,
        ok=not (unplaced or stuck_volumes or stuck_roles) and all(finding.severity != "error" for finding in findings),
        reserve_nodes=choice.reserve_nodes,
        findings=findings,
        moves=moves,
        role_moves=role_moves,
        volume_moves=volume_moves,
        unplaced=unplaced,
        makespan_s=makespan_s,
        lower_bound_s=choice.placement.least_bound_s,
        memory=memory(cluster, cluster.with_vms_on(choice.placement.ends), emptied, choice.reserve_nodes),
        under_way=others,
    )


def plan_migration(
    cluster: Cluster, vm_name: str, target_name: str, precautions: Precautions = USUAL_PRECAUTIONS
) -> Plan:
    """How one VM goes to one node, or every reason why it may not. Raises RequestError for unknown names."""
    as_it_is, cluster = cluster, precautions.planned_on(cluster)
    vm, target = cluster.find_vm(vm_name), cluster.find_node(target_name)
    along = [cluster.vm_by_name[name] for name in riders(cluster, vm.name)]
    all_go = {each.name: target.name for each in (vm, *along)}
    against = list(verdicts(cluster, vm, target.name, promised=all_go))
    for rider in along:
        for verdict in verdicts(cluster, rider, target.name, promised=all_go):
            reason = f"{rider.name} must come along (they share a disk): {verdict.reason}"
            against.append(verdict.model_copy(update={"reason": reason}))
    free_mib = cluster.free_mib(target.name)
    if not vm.holds_memory:
        reason = f"{vm.name} is {vm.state}: only a running VM migrates live"
        against.append(Verdict(target=target.name, rule="R01", reason=reason, remedy="start it, or move it as it is"))
    elif vm.node != target.name and free_mib < vm.memory_mib:
        reason = f"{vm.name} needs {vm.memory_mib} MiB, {free_mib} MiB are free on {target.name}"
        remedy = f"free {vm.memory_mib - free_mib} MiB more on {target.name}"
        against.append(Verdict(target=target.name, rule="I3", reason=reason, remedy=remedy))
    if against:
        unplaced = (Unplaced(vm=vm.name, node=vm.node, verdicts=tuple(against)),)
        return Plan(kind="migration", cluster=cluster.name, ok=False, reserve_nodes=0, unplaced=unplaced)
    move = wanted_move(cluster, vm.name, target.name)
    moves = (
        Move(
            vm=vm.name,
            source=vm.node,
            target=target.name,
            start_s=0.0,
            end_s=move.duration_s,
            why="asked for",
            downtime_s=_downtime_s(cluster, move),
        ),
    )
    findings = (
        *said_beforehand(as_it_is, precautions, [vm.name]),
        *_slow_to_converge(cluster, {vm.name: target.name}),
    )
    volume_moves, _ = plan_volume_moves(cluster, (), all_go, moves, move.duration_s)
    return Plan(
        kind="migration",
        cluster=cluster.name,
        ok=True,
        reserve_nodes=0,
        findings=findings,
        moves=moves,
        role_moves=tuple(
            RoleMove(name=rider.name, source=rider.node, target=target.name, start_s=move.duration_s) for rider in along
        ),
        volume_moves=volume_moves,
        makespan_s=move.duration_s,
        lower_bound_s=move.duration_s,
        memory=memory(cluster, cluster.with_vms_on(all_go), (), 0),
    )


def emptied_nodes(cluster: Cluster, nodes: Sequence[str]) -> tuple[str, ...]:
    """The nodes to empty, spelled as in the cluster, each once. Raises RequestError."""
    if not nodes:
        raise RequestError("no node given: name at least one node to evacuate")
    return tuple(dict.fromkeys(cluster.find_node(name).name for name in nodes))


def leaving(cluster: Cluster, emptied: Collection[str]) -> tuple[VirtualMachine, ...]:
    """The VMs that must leave these nodes, those not in the cluster's care included while they hold memory.

    A VM outside the cluster's care that is off or saved does not die with a reboot: it stays, and a finding says so.
    """
    return tuple(vm for vm in cluster.vms if vm.node in emptied and (vm.clustered or vm.holds_memory))


def scheduled(cluster: Cluster, placement: Placement, busy_s: Mapping[str, float] | None = None) -> tuple[Move, ...]:
    """The live migrations of a placement, each when its two nodes are free and room has been made for it. `busy_s`:
    node → until when, where that is not what the cluster has under way.
    """
    live = [vm for vm in placement.targets if cluster.vm_by_name[vm].holds_memory]
    after, order = placement.after, placement.order
    wanted = (wanted_move(cluster, vm, placement.targets[vm], after.get(vm, ()), order.get(vm)) for vm in live)
    planned = schedule(wanted, busy_until_s(under_way(cluster)) if busy_s is None else busy_s)
    for vm, node in placement.onward:
        stands = cluster.with_vms_on({move.vm: move.target for _, _, move in planned})
        start_s = max(end_s for _, end_s, _ in planned)
        move = wanted_move(stands, vm, node, {move.vm for _, _, move in planned} - {vm})
        planned.append((start_s, start_s + move.duration_s, move))
    return tuple(_as_planned(cluster, placement, *leg) for leg in planned)


def _as_planned(cluster: Cluster, placement: Placement, start_s: float, end_s: float, move: Wanted) -> Move:
    why = placement.why[move.vm]
    end = placement.ends[move.vm]
    if move.vm in cluster.heading:
        why = f"only if its migration to {cluster.heading[move.vm]}, under way now, comes to nothing; {why}"
    return Move(
        vm=move.vm,
        source=move.source,
        target=move.target,
        start_s=start_s,
        end_s=end_s,
        why=why if move.target == end else f"steps aside on its way to {end}: no straight order is valid; {why}",
        after=tuple(sorted(move.after)) or None,
        downtime_s=_downtime_s(cluster, move),
    )


def _downtime_s(cluster: Cluster, move: Wanted) -> float | None:
    expected = estimate(cluster, cluster.vm_by_name[move.vm], move.target)
    return expected.downtime_s if expected else None


def role_moves_of(
    cluster: Cluster, placement: Placement, moves: Sequence[Move], makespan_s: float
) -> tuple[RoleMove, ...]:
    """What is off or saved follows a running VM with which it shares a disk, else goes when all that runs is gone."""
    ends = {move.vm: move.end_s for move in moves}
    following: list[RoleMove] = []
    others: list[RoleMove] = []
    for name, target in placement.targets.items():
        vm = cluster.vm_by_name[name]
        if not vm.holds_memory:
            leader = leader_of(cluster, vm)
            start_s = ends.get(leader, makespan_s) if leader else makespan_s
            move = RoleMove(name=name, source=vm.node, target=target, start_s=start_s)
            (following if leader else others).append(move)
    arrived = {move.vm: move.target for move in moves} | {move.name: move.target for move in following}
    turn = order_of_roles(cluster.with_vms_on(arrived), {move.name: move.target for move in others})
    return (*following, *sorted(others, key=lambda move: turn.index(move.name) if turn else 0))


def leader_of(cluster: Cluster, vm: VirtualMachine) -> str | None:
    """The running VM that this one follows, because they share a disk (R11)."""
    return next((o.name for disk in disks_of(cluster, vm) for o in cluster.vms_by_disk[disk] if o.holds_memory), None)


def plan_role_moves(cluster: Cluster, emptied: Collection[str], start_s: float) -> tuple[RoleMove, ...]:
    """Roles other than VMs on these nodes, spread over the nodes with fewest of them."""
    nodes = available(cluster, emptied)
    held = {name: sum(role.node == name for role in cluster.roles) for name in nodes}
    found = []
    for role in cluster.roles:
        if role.node in emptied and nodes:
            target = min(nodes, key=lambda name: (held[name], name))
            held[target] += 1
            found.append(RoleMove(name=role.name, source=role.node, target=target, start_s=start_s))
    return tuple(found)


def plan_volume_moves(
    cluster: Cluster, emptied: Collection[str], targets: Mapping[str, str], moves: Sequence[Move], start_s: float
) -> tuple[tuple[VolumeMove, ...], tuple[Finding, ...]]:
    """New owners for the volumes these nodes own, and a finding for each that nobody else can own (I7).

    A disk goes with the VMs on it, or to the node where one that uses it runs (R11), a Cluster Shared Volume to the
    node that owns fewest.
    """
    nodes = available(cluster, emptied)
    owned = {name: sum(volume.owner == name for volume in cluster.volumes) for name in nodes}
    ends = {move.vm: move.end_s for move in moves}
    found: list[VolumeMove] = []
    stuck: list[Finding] = []
    for volume in cluster.volumes:
        on_it = [vm for vm in cluster.vms_by_disk.get(volume.name, ()) if vm.node == volume.owner]
        if volume.owner not in emptied and not any(targets.get(vm.name, vm.node) != vm.node for vm in on_it):
            continue
        staying = [vm for vm in on_it if vm.name not in targets]
        if staying:
            if volume.owner in emptied and not any(vm.clustered or vm.holds_memory for vm in staying):
                stuck.append(_kept(volume.name, volume.owner, staying[0].name))  # no VM that is unplaced says it
            continue
        if on_it:
            target: str | None = targets[on_it[0].name]
            when_s = max(ends.get(vm.name, start_s if not leader_of(cluster, vm) else 0.0) for vm in on_it)
        else:
            reaching = [name for name in nodes if not volume.reachable_from or name in volume.reachable_from]
            able = [name for name in reaching if could_own(cluster, volume.name, name, targets)]
            target, when_s = min(able, key=lambda name: (owned[name], name), default=None), start_s
            if reaching and not able:
                stuck.append(_stuck(volume.name, volume.owner, "VMs that use it run elsewhere"))
                continue
        if target is None or volume.state in ("offline", "failed"):
            why = f"it is {volume.state}" if target else "none that is up reaches it"
            stuck.append(_stuck(volume.name, volume.owner, why))
            continue
        owned[target] += 1
        found.append(VolumeMove(volume=volume.name, source=volume.owner, target=target, start_s=when_s))
    return tuple(found), tuple(stuck)


def could_own(cluster: Cluster, volume: str, node: str, places: Mapping[str, str]) -> bool:
    """Whether no VM that runs elsewhere uses the volume, if it is a disk. `places`: VM → node, where not as now."""
    on_it = cluster.vms_by_disk.get(volume, ())
    return all(places.get(vm.name, vm.node) == node for vm in on_it if vm.holds_memory)


def _stuck(volume: str, owner: str, why: str) -> Finding:
    return Finding(
        rule="I7",
        severity="warning",
        subject=f"volume {volume}",
        message=f"{owner} owns it and no other node can: {why}",
        remedy=f"bring {volume} online, or connect another node to it; until then {owner} is not empty",
    )


def _kept(volume: str, owner: str, vm: str) -> Finding:
    return Finding(
        rule="I7",
        severity="warning",
        subject=f"volume {volume}",
        message=f"{owner} keeps it: {vm}, which is on it, is not in the cluster's care and stays",
        remedy=f"add {vm} to the cluster, or put it on another volume; until then {owner} is not empty",
    )


def _stuck_role(role: Role) -> Finding:
    return Finding(
        rule="R16",
        severity="warning",
        subject=f"role {role.name}",
        message=f"{role.name} stays on {role.node}: no other node is up",
        remedy="bring another node up, or resume one that is paused",
    )


def _of_nodes(cluster: Cluster, emptied: Collection[str]) -> list[Finding]:
    found = []
    if not available(cluster, emptied):
        found.append(
            Finding(
                rule="R01",
                severity="warning",
                subject=f"cluster {cluster.name}",
                message="no other node is up: there is nowhere to move anything to",
                remedy="bring another node up, or resume one that is paused",
            )
        )
    for name in emptied:
        node = cluster.node_by_name[name]
        if node.state not in ("up", "paused"):
            found.append(
                Finding(
                    rule="R01",
                    severity="error",
                    subject=f"node {name}",
                    message=f"{name} is {node.state}: nothing can be moved live from it",
                    remedy="bring it back first, or leave it out of the evacuation",
                )
            )
        elif node.state == "paused" and node.paused_by != "us":
            found.append(
                Finding(
                    rule="I8",
                    severity="info",
                    subject=f"node {name}",
                    message=f"{name} was paused already, not by a run of ours",
                    remedy="nothing; it will stay paused, and whoever paused it resumes it",
                )
            )
    return found


def _of_vms(cluster: Cluster, emptied: Collection[str]) -> list[Finding]:
    return [
        Finding(
            rule="R01",
            severity="info",
            subject=f"vm {vm.name}",
            message=f"{vm.name} is {vm.state} and not in the cluster's care: it stays on {vm.node}",
            remedy="nothing, if it need not start while the node is away; else add it to the cluster",
        )
        for vm in cluster.vms
        if vm.node in emptied and not vm.clustered and not vm.holds_memory
    ]


def _growth(cluster: Cluster, targets: Mapping[str, str], emptied: Collection[str]) -> list[Finding]:
    """Dynamic memory may grow: where all VMs of a target at their maximum would not fit, say so."""
    most = dict.fromkeys(available(cluster, emptied), 0)
    for vm in cluster.vms:
        place_of = targets.get(vm.name, vm.node)
        if vm.holds_memory and place_of in most:
            most[place_of] += vm.memory_maximum_mib
    return [
        Finding(
            rule="I3",
            severity="warning",
            subject=f"node {name}",
            message=f"if its VMs grow to their maximum memory they need {mib} MiB, "
            f"{name} has {cluster.node_by_name[name].for_vms_mib} MiB for VMs",
            remedy="keep an eye on memory demand, or lower the maximum of VMs that never use it",
        )
        for name, mib in most.items()
        if mib > cluster.node_by_name[name].for_vms_mib and name in set(targets.values())
    ]


def _slow_to_converge(cluster: Cluster, targets: Mapping[str, str]) -> list[Finding]:
    found = []
    for name, target in targets.items():
        vm = cluster.vm_by_name[name]
        expected = estimate(cluster, vm, target) if vm.holds_memory else None
        if expected and not expected.converges:
            found.append(
                Finding(
                    rule="R12",
                    severity="warning",
                    subject=f"vm {name}",
                    message=f"{name} writes memory at {vm.dirty_mib_per_s:g} MiB/s, the link copies "
                    f"{expected.rate_mib_per_s:.0f} MiB/s: it would stand still for about {expected.downtime_s:.0f} s",
                    remedy="move it in a quieter hour, or over a faster live-migration network",
                )
            )
    return found
