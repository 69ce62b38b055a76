"""Bringing a node back: whether it may be resumed, and which VMs then go back, before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator

from shunter.topology.capacity import survives_loss
from shunter.topology.choosing import ReserveNodes, check_reserve, no_reserve, refusal
from shunter.topology.homes import Before, FailbackPolicy, choose_homes, home_of, wanted_homes
from shunter.topology.memory import memory
from shunter.topology.model import Cluster
from shunter.topology.ordering import riders
from shunter.topology.plan import Finding, Plan, Unplaced
from shunter.topology.planning import plan_volume_moves, role_moves_of, scheduled
from shunter.topology.precautions import USUAL_PRECAUTIONS, Precautions, said_beforehand
from shunter.topology.preflight import with_requirements
from shunter.topology.requirements.differing import listed
from shunter.topology.returning import against_return
from shunter.topology.timeline import fixed_pairs_bound_s


def plan_resume(
    cluster: Cluster,
    node: str,
    failback: FailbackPolicy = "none",
    before: Before | None = None,
    *,
    reserve_nodes: ReserveNodes = "auto",
    whoever_paused: bool = False,
    precautions: Precautions = USUAL_PRECAUTIONS,
) -> Plan:
    """How this node is brought back, and which VMs go where it wants them. Raises RequestError for an unknown node or a
    senseless reserve.

    `before`: needed for `as-before`. `whoever_paused`: resume it also if no run of ours paused it (I8). `precautions`:
    what is done about backups and drifted configurations. What stands against every run on this cluster refuses it only
    where VMs are to be moved.
    """
    check_reserve(reserve_nodes)
    name = cluster.find_node(node).name
    ours = before is not None and before.ours
    back = precautions.planned_on(resumed(cluster, name))
    homes = wanted_homes(back, name, failback, before.homes if before else {})
    reserve, of_reserve = _reserve(back, reserve_nodes) if homes else (0, ())
    placement = choose_homes(back, homes, reserve)
    placement.targets |= {rider: home for vm, home in placement.targets.items() for rider in riders(back, vm)}
    moves = scheduled(back, placement)
    makespan_s = max((move.end_s for move in moves), default=0.0)
    volume_moves, _ = plan_volume_moves(back, (), placement.ends, moves, makespan_s)
    unplaced = tuple(
        Unplaced(vm=vm, node=cluster.vm_by_name[vm].node, verdicts=why) for vm, why in placement.unplaced.items()
    )
    findings = (
        *against_return(cluster, name, ours=ours, whoever_paused=whoever_paused),
        *_of_record(cluster, name, failback, before),
        *of_reserve,
        *_moved_by_others(back, name, failback, before),
        *said_beforehand(cluster, precautions, placement.targets),
    )
    plan = Plan(
        kind="resume",
        node=name,
        resumes=cluster.node_by_name[name].state != "up",
        cluster=cluster.name,
        ok=not unplaced and all(finding.severity != "error" for finding in findings),
        reserve_nodes=reserve,
        findings=findings,
        moves=moves,
        role_moves=role_moves_of(back, placement, moves, makespan_s),
        volume_moves=volume_moves,
        unplaced=unplaced,
        makespan_s=makespan_s,
        lower_bound_s=fixed_pairs_bound_s(moves),
        memory=memory(back, back.with_vms_on(placement.ends), (), reserve) if homes else (),
    )
    return with_requirements(cluster, plan)


def resumed(cluster: Cluster, name: str) -> Cluster:
    """The same cluster with this node taking VMs, if it is paused."""
    node = cluster.node_by_name[name]
    if node.state != "paused":
        return cluster
    up = node.model_copy(update={"state": "up", "paused_by": None})
    return cluster.with_nodes(tuple(up if other.name == name else other for other in cluster.nodes))


def _reserve(cluster: Cluster, reserve_nodes: ReserveNodes) -> tuple[int, tuple[Finding, ...]]:
    """The reserve that no move may touch, which must be there before the first of them, and what is to be said (I3)."""
    now = survives_loss(cluster, 1 if reserve_nodes == "auto" else reserve_nodes)
    if reserve_nodes == "auto":
        return (1, ()) if now.ok else (0, (no_reserve(cluster, "now already, " + now.why()),))
    return reserve_nodes, () if now.ok else (refusal(cluster, reserve_nodes, now.why()),)


def _of_record(cluster: Cluster, node: str, failback: FailbackPolicy, before: Before | None) -> Iterator[Finding]:
    if failback != "as-before":
        return
    subject = f"node {node}"
    if before is None:
        yield Finding(
            rule="R16",
            severity="error",
            subject=subject,
            message=f"no record tells where the VMs were before {node} was emptied",
            remedy="take them back by their preferred owners (--failback preferred), or leave them where they are",
        )
        return
    if before.told:
        message = f"where the VMs were is known from {before.told}"
        yield Finding(rule="R16", severity="info", subject=subject, message=message, remedy="nothing")
    gone = [name for name in before.homes if name not in cluster.vm_by_name]
    if gone:
        message = f"the record names VMs that are no longer there: {listed(gone)}"
        yield Finding(rule="R16", severity="info", subject=subject, message=message, remedy="nothing")


def _moved_by_others(cluster: Cluster, node: str, failback: FailbackPolicy, before: Before | None) -> Iterator[Finding]:
    """What others have on its way now is theirs."""
    homes = before.homes if before else {}
    for name, target in cluster.heading.items():
        home = home_of(cluster, cluster.vm_by_name[name], node, failback, homes)
        if home not in (None, target):
            message = f"{name} is being moved to {target}: it is not taken back to {home}"
            remedy = f"once it has arrived: shunter migrate {name} {home}"
            yield Finding(rule="R09", severity="info", subject=f"vm {name}", message=message, remedy=remedy)
