"""What an operator must know of a failover: votes, what waits and for whom, what is then no longer protected."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.new_owners import HandedOver
from shunter.topology.plan import Finding, Loss, Severity, Verdict
from shunter.topology.quorum import MEMBER, after_loss, votes_of, would_end_it
from shunter.topology.requirements.differing import about, listed
from shunter.topology.restart_times import ISOLATED_FOR_S, NEVER_ISOLATES
from shunter.topology.restarting import Restarts
from shunter.topology.room import RoomToStart, room_to_start

MOST_WAITING = 4
"""VMs for which it is said how room could be made."""
FORCE_QUORUM = (
    "bring lost nodes back; if they are gone for good, make sure that they are off and none of their VMs runs, then "
    "force the cluster on a node that is left (Start-ClusterNode -ForceQuorum)"
)


@dataclass(frozen=True, slots=True)
class Aftermath:
    """`after`: the cluster once everything has happened. `further`: what the loss of one more node would mean then."""

    after: Cluster
    restarts: Restarts
    handed: HandedOver
    further: tuple[Loss, ...]


def findings_of(cluster: Cluster, lost: Sequence[str], aftermath: Aftermath | None) -> tuple[Finding, ...]:
    """The gravest first. No aftermath: the cluster stops, and nothing else matters."""
    found = [*_votes(cluster, lost)]
    if aftermath is not None:
        after, restarts = aftermath.after, aftermath.restarts
        found += [
            *_uncared_for(cluster, lost),
            *_waiting(cluster, restarts),
            *room_can_be_made(after, [after.vm_by_name[name] for name in lacking_room(restarts.unplaced)], lost),
            *aftermath.handed.stuck,
            *_drifted(cluster, restarts.targets),
            *_drives(cluster, restarts.targets),
            *_growth(after, set(restarts.targets.values())),
            *_backups(cluster, lost),
            *no_longer_protected(after, aftermath.further),
            *_failed_elsewhere(cluster, lost),
            *_not_wanted(cluster, lost),
            *_silence(cluster, lost),
            *_migrations(cluster, lost),
        ]
    found += _nodes(cluster, lost)
    grave = {"error": 0, "warning": 1, "info": 2}
    return tuple(sorted(found, key=lambda finding: grave[finding.severity]))


# ---------------------------------------------------------------- the cluster as a whole


def _votes(cluster: Cluster, lost: Sequence[str]) -> Iterator[Finding]:
    worst, best = after_loss(cluster, lost)
    subject = f"cluster {cluster.name}"
    if not best.is_majority:
        others = sum(vm.holds_memory and vm.node not in lost for vm in cluster.vms)
        also = f", also for the {others} VMs that run on the others" if others else ""
        message = (
            f"only {best.there} of {best.of} votes are left without {listed(lost)}, no majority: the cluster stops "
        )
        message += f"on every node{also}"
        if not votes_of(cluster).is_majority:
            message = f"the cluster has stopped on every node: without {listed(lost)} no majority of votes is left"
        yield Finding(rule="I6", severity="error", subject=subject, message=message, remedy=FORCE_QUORUM)
    elif not worst.is_majority:
        yield Finding(
            rule="I6",
            severity="warning",
            subject=subject,
            message=f"without {listed(lost)}, perhaps only {worst.there} of {worst.of} votes are left, and the cluster "
            "stops with all its VMs: "
            "one node's vote does not count now, and it depends on whose that is",
            remedy="look which node has no vote now (Get-ClusterNode, DynamicWeight), and add a witness "
            "(Set-ClusterQuorum)",
        )


def no_longer_protected(after: Cluster, further: Sequence[Loss]) -> Iterator[Finding]:
    """Which loss would come on top of it and not be survived."""
    last = would_end_it(after)
    if last:
        nodes = "one more node" if len(last) == len([n for n in after.nodes if n.state in MEMBER]) else listed(last)
        yield Finding(
            rule="I6",
            severity="warning",
            subject=f"cluster {after.name}",
            message=f"afterwards the sudden loss of {nodes} could end the cluster with all its VMs",
            remedy="bring the lost nodes back" if after.witness else "bring the lost nodes back, or add a witness",
        )
    up = [node.name for node in after.nodes if node.state == "up"]
    fatal = [loss for loss in further if loss.ok is False and any(name != loss.node for name in up)]
    if fatal:
        what = f"if {fatal[0].node} were lost as well, {listed(fatal[0].unplaced)} would not restart"
        if len(fatal) > 1:
            worst = listed([f"{loss.node} ({len(loss.unplaced)})" for loss in fatal])
            what = f"if one of these nodes were lost as well, so many of its VMs would not restart: {worst}"
        yield Finding(
            rule="I3",
            severity="warning",
            subject=about(after, [loss.node for loss in fatal]),
            message=f"afterwards, {what}",
            remedy="bring the lost nodes back, or free memory on those that are left",
        )
    alone = [loss for loss in further if loss.ok is False and not any(name != loss.node for name in up)]
    for loss in alone:
        yield Finding(
            rule="I3",
            severity="warning",
            subject=f"node {loss.node}",
            message=f"afterwards {loss.node} is the only node that takes VMs: nothing on it could restart elsewhere",
            remedy="bring another node back, or resume one that is paused",
        )
    undecided = [loss.node for loss in further if loss.ok is None]
    if undecided:
        yield Finding(
            rule="I3",
            severity="warning",
            subject=f"cluster {after.name}",
            message=f"whether the loss of {listed(undecided)} would be survived afterwards was not decided within the "
            "limits of the search",
            remedy="shunter check decides it with more work, once the nodes are lost",
        )


def _nodes(cluster: Cluster, lost: Sequence[str]) -> Iterator[Finding]:
    for name in lost:
        state = cluster.node_by_name[name].state
        if state == "isolated":
            yield _of_node(
                name,
                "warning",
                f"{name} is isolated: its VMs run there until the cluster declares it down, and none of them may be "
                "started elsewhere before",
                "restore its cluster network; if it is dead, make sure that it is off",
            )
        elif state in ("down", "joining", "quarantined"):
            yield _of_node(
                name, "info", f"{name} is {state} already: what failed with it restarts", "nothing, or bring it back"
            )


def _silence(cluster: Cluster, lost: Sequence[str]) -> Iterator[Finding]:
    silent = [name for name in lost if cluster.node_by_name[name].state in MEMBER]
    if silent and cluster.windows_version not in NEVER_ISOLATES:
        yield _of_node(
            silent[0],
            "info",
            "the times are for nodes that die at once; one that only falls silent is isolated first: its VMs run on "
            f"there, and nothing restarts for up to {ISOLATED_FOR_S:.0f} s",
            "nothing; (Get-Cluster).ResiliencyDefaultPeriod sets how long",
        )


def _of_node(node: str, severity: Severity, message: str, remedy: str) -> Finding:
    return Finding(rule="I2", severity=severity, subject=f"node {node}", message=message, remedy=remedy)


def _migrations(cluster: Cluster, lost: Collection[str]) -> Iterator[Finding]:
    for migration in cluster.migrations:
        on = cluster.vm_by_name[migration.vm].node
        if {migration.source, migration.target} & set(lost):
            ends = f"{migration.vm} is migrating {migration.source} → {migration.target}"
            what = f"it is lost with {on}" if on in lost else f"its migration comes to nothing, it runs on on {on}"
            yield _of_vm(migration.vm, "R09", "info", f"{ends}: {what}", "nothing; look where it runs afterwards")


def _growth(after: Cluster, targets: Collection[str]) -> Iterator[Finding]:
    for node in after.nodes:
        most = sum(vm.memory_maximum_mib for vm in after.vms_by_node[node.name] if vm.holds_memory)
        if node.name in targets and most > node.for_vms_mib:
            yield Finding(
                rule="I3",
                severity="warning",
                subject=f"node {node.name}",
                message=f"afterwards, if its VMs grow to their maximum memory they need {most} MiB, {node.name} has "
                f"{node.for_vms_mib} MiB for VMs",
                remedy="keep an eye on memory demand, or lower the maximum of VMs that never use it",
            )


# ---------------------------------------------------------------- VMs


def _waiting(cluster: Cluster, restarts: Restarts) -> Iterator[Finding]:
    """Those for whom memory is short, by name: the lower priority waits."""
    short = lacking_room(restarts.unplaced)
    if short:
        needed = sum(cluster.vm_by_name[name].restart_mib for name in short)
        free = sum(mib for mib in restarts.room_mib.values() if mib > 0)
        least = min(cluster.vm_by_name[name].restart_mib for name in short)
        pieces = ", in pieces that are too small" if free >= least else ""
        yield Finding(
            rule="I3",
            severity="warning",
            subject=f"cluster {cluster.name}",
            message=f"memory is short: {listed(short)} {'waits' if len(short) == 1 else 'wait'} ({needed} MiB needed, "
            f"{free} MiB free{pieces})",
            remedy="bring a lost node back, or stop VMs that can be done without; the cluster then starts what waits",
        )
    if not restarts.fewest:
        yield Finding(
            rule="I3",
            severity="info",
            subject=f"cluster {cluster.name}",
            message="whether more VMs, or more important ones, could restart was not decided within the limits of the "
            "search",
            remedy="free some memory: where it is less tight, it is decided quickly",
        )


def room_can_be_made(seen: Cluster, waiting: Sequence[VirtualMachine], lost: Sequence[str]) -> Iterator[Finding]:
    """For whom of those that wait for room, if others move on live, and how. `seen`: when all that fits has started."""
    found = list(room_to_start(seen, waiting))
    if not found:
        return
    parts = [f"{each.vm} fits on {each.node} once {_on_their_way(each)}" for each in found[:MOST_WAITING]]
    more = [f"{len(found) - MOST_WAITING} more in the same way"] if len(found) > MOST_WAITING else []
    yield Finding(
        rule="I3",
        severity="warning",
        subject=f"cluster {seen.name}",
        message=f"room can be made: {'; '.join([*parts, *more])}",
        remedy=f"shunter failover {' '.join(lost)} moves them live, one after the other, and starts what waits",
    )


def _on_their_way(room: RoomToStart) -> str:
    return listed([f"{vm} has moved on to {target}" for vm, target in room.moves])


def lacking_room(unplaced: Mapping[str, Sequence[Verdict]]) -> list[str]:
    """The VMs that room alone keeps from some node."""
    return [name for name, against in unplaced.items() if _lacks_room(against)]


def _lacks_room(against: Sequence[Verdict]) -> bool:
    by_target: dict[str, set[str]] = {}
    for verdict in against:
        by_target.setdefault(verdict.target, set()).add(verdict.rule)
    return {"I3"} in by_target.values()


def _dead(cluster: Cluster, lost: Sequence[str]) -> Iterator[VirtualMachine]:
    return (vm for name in lost for vm in cluster.vms_by_node[name])


def _uncared_for(cluster: Cluster, lost: Sequence[str]) -> Iterator[Finding]:
    for vm in _dead(cluster, lost):
        if not vm.clustered and vm.holds_memory:
            message = f"{vm.name} is not in the cluster's care: it dies with {vm.node}, and nothing restarts it"
            remedy = f"add it to the cluster while {vm.node} lives (Add-ClusterVirtualMachineRole -VMName {vm.name})"
            yield _of_vm(vm.name, "R01", "warning", message, remedy)
        elif not vm.clustered:
            message = f"{vm.name} is {vm.state} and not in the cluster's care: it stays on {vm.node}"
            yield _of_vm(vm.name, "R01", "info", message, "nothing, if it need not start before the node is back")


def _not_wanted(cluster: Cluster, lost: Sequence[str]) -> Iterator[Finding]:
    for vm in _dead(cluster, lost):
        if vm.clustered and vm.priority == 0 and (vm.holds_memory or vm.state == "failed"):
            message = f"{vm.name} has priority 0: the cluster does not start it after a failover"
            yield _of_vm(vm.name, "R01", "info", message, f"start it by hand (Start-ClusterGroup {vm.name})")


def _failed_elsewhere(cluster: Cluster, lost: Collection[str]) -> Iterator[Finding]:
    """They compete for the same room, but nobody asked for them."""
    failed: dict[str, list[str]] = {}
    for vm in cluster.vms:
        if vm.state == "failed" and vm.clustered and vm.priority > 0 and vm.node not in lost:
            failed.setdefault(vm.node, []).append(vm.name)
    for node, vms in failed.items():
        is_down = cluster.node_by_name[node].state not in MEMBER
        yield _of_node(
            node,
            "warning",
            f"{listed(vms)} {'is' if len(vms) == 1 else 'are'} failed on {node} already and not counted here",
            f"plan the failover of {node} as well" if is_down else f"find out why, then start them on {node}",
        )


def _drifted(cluster: Cluster, targets: Mapping[str, str]) -> Iterator[Finding]:
    for name in targets:
        if not cluster.vm_by_name[name].configuration_in_cluster_is_current:
            yield _of_vm(
                name,
                "R19",
                "warning",
                f"{name} was changed outside cluster tools: it may come up with old settings, or not at all",
                f'Update-ClusterVirtualMachineConfiguration -Name "Virtual Machine Configuration {name}" before a loss',
            )


def _drives(cluster: Cluster, targets: Mapping[str, str]) -> Iterator[Finding]:
    """R21: where Windows boots from another drive, Cluster Shared Volumes are found under another path."""
    csvs = {volume.name for volume in cluster.volumes if volume.kind == "csv"}
    wrong: dict[tuple[str, str], list[str]] = {}
    for name, target in targets.items():
        vm = cluster.vm_by_name[name]
        here, there = (cluster.node_by_name[node].system_drive.upper() for node in (vm.node, target))
        if here != there and csvs & set(vm.volumes):
            wrong.setdefault((vm.node, target), []).append(name)
    for (node, target), vms in wrong.items():
        drives = [cluster.node_by_name[name].system_drive.upper() for name in (node, target)]
        yield Finding(
            rule="R21",
            severity="warning",
            subject=f"node {target}",
            message=f"{target} boots from {drives[1]}, {node} from {drives[0]}: {listed(vms)} may not find their files "
            "on Cluster Shared Volumes there",
            remedy="install Windows on the same drive letter everywhere; migration and failover both need it",
        )


def _backups(cluster: Cluster, lost: Sequence[str]) -> Iterator[Finding]:
    for vm in _dead(cluster, lost):
        if vm.backup:
            message = f"a backup of {vm.name} is under way: it ends with {vm.node}"
            yield _of_vm(vm.name, "R17", "warning", message, f"back {vm.name} up again once it runs")


def _of_vm(vm: str, rule: str, severity: Severity, message: str, remedy: str) -> Finding:
    return Finding(rule=rule, severity=severity, subject=f"vm {vm}", message=message, remedy=remedy)
