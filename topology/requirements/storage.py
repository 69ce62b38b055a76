"""Volumes: who reaches them, what state they are in, who shares a disk (R08, R11, R18, I7)."""

from __future__ import annotations

from collections.abc import Iterator

from shunter.topology.model import Cluster, Volume
from shunter.topology.plan import Finding, Severity
from shunter.topology.precautions import is_left_redirected
from shunter.topology.quorum import MEMBER
from shunter.topology.requirements.differing import listed


def reach(cluster: Cluster) -> Iterator[Finding]:
    """Volumes that the same nodes do not reach are one finding: mostly it is the nodes that lack a connection."""
    beyond: dict[tuple[str, ...], list[str]] = {}
    for volume in cluster.volumes:
        if volume.reachable_from:
            nodes = tuple(node.name for node in cluster.nodes if node.name not in volume.reachable_from)
            if nodes:
                beyond.setdefault(nodes, []).append(volume.name)
    for nodes, volumes in beyond.items():
        one, several = f"volume {volumes[0]}", f"cluster {cluster.name}"
        yield Finding(
            rule="R08",
            severity="warning",
            subject=one if len(volumes) == 1 else f"node {nodes[0]}" if len(nodes) == 1 else several,
            message=f"{listed(volumes, 64)} out of reach of {listed(nodes, 64)}: VMs on it cannot go there",
            remedy=f"connect {listed(nodes)} to the storage",
        )


def redirected(cluster: Cluster) -> Iterator[Finding]:
    """Redirected by design (ReFS on Storage Spaces Direct) is healthy; by an operator, it is said elsewhere."""
    for volume in cluster.volumes:
        if is_left_redirected(cluster, volume):
            yield left_redirected(volume)


def left_redirected(volume: Volume, refused: str = "") -> Finding:
    """R18, and what to do by hand. `refused`: what the cluster said when it was asked to restore direct I/O."""
    answer = f"; the cluster was asked to restore direct I/O and refused: {refused}" if refused else ""
    return _about(
        volume,
        "R18",
        "error",
        f"{volume.name} is still in redirected I/O although no backup of it is under way: the I/O of all nodes "
        f"suffers{answer}",
        f"Resume-ClusterResource -VolumeName {volume.name}; if that does not help, change its owner "
        f"(Move-ClusterSharedVolume -Name {volume.name})",
    )


def states(cluster: Cluster) -> Iterator[Finding]:
    for volume in cluster.volumes:
        name, owner = volume.name, cluster.node_by_name[volume.owner]
        match volume.state:
            case "offline" | "failed":
                message = f"{name} is {volume.state}: VMs on it cannot move or start"
                yield _about(volume, "R08", "warning", message, f"bring {name} online (Start-ClusterResource)")
            case "redirected_by_user" | "maintenance":
                what = "in maintenance" if volume.state == "maintenance" else "redirected by an operator"
                remedy = f"end it when it is no longer wanted (Resume-ClusterResource -VolumeName {name})"
                yield _about(volume, "I7", "info", f"{name} is {what}", remedy)
        if owner.state not in MEMBER:
            remedy = f"give it another owner (Move-ClusterSharedVolume -Name {name})"
            yield _about(volume, "I7", "warning", f"{owner.name}, which owns {name}, is {owner.state}", remedy)


def paths(cluster: Cluster) -> Iterator[Finding]:
    """Volumes to which a node has no direct path."""
    for volume in cluster.volumes:
        if volume.state == "redirected_no_path":
            yield _about(volume, "R08", "warning", *_no_path(cluster, volume))


def _no_path(cluster: Cluster, volume: Volume) -> tuple[str, str]:
    """Which nodes have none is known where the volume says who reaches it."""
    name, through = volume.name, f"over the network, through {volume.owner}"
    cut_off = [node.name for node in cluster.nodes if volume.reachable_from and node.name not in volume.reachable_from]
    if not cut_off:
        message = f"a node has no direct path to {name}: its I/O goes {through}"
        return message, f"restore the connection of all nodes to {name}"
    nodes, have = listed(cut_off, 64), "has" if len(cut_off) == 1 else "have"
    message = f"{nodes} {have} no direct path to {name}: I/O goes {through}, and no VM on {name} is moved there"
    return message, f"restore the connection of {nodes} to {name} (disk, HBA, cabling, multipath)"


def backed_up_online(cluster: Cluster) -> Iterator[Finding]:
    """Before 2012 every backup of a Cluster Shared Volume redirects its I/O (R18)."""
    for volume in cluster.volumes:
        if cluster.windows_version == "2008R2" and volume.kind == "csv" and volume.backup and volume.state == "online":
            yield _about(
                volume,
                "R17",
                "warning",
                f"a backup of {volume.name} is said to be under way, and its I/O not to be redirected: on Windows "
                "Server 2008 R2 it always is",
                "look again (Get-ClusterSharedVolume): one of both is not so",
            )


def jobs(cluster: Cluster) -> Iterator[Finding]:
    for job in cluster.storage_jobs:
        yield Finding(
            rule="I7",
            severity="info",
            subject=f"volume {job.volume}",
            message=f"storage job {job.name} is at {job.percent:g} %: {job.volume} is not fully redundant yet",
            remedy="let it finish before a node that holds a part of the storage goes away (Get-StorageJob)",
        )


def shared_disks(cluster: Cluster) -> Iterator[Finding]:
    """A disk that is no Cluster Shared Volume can follow one running VM, not two."""
    for name, vms in cluster.vms_by_disk.items():
        running = [vm.name for vm in vms if vm.holds_memory]
        if len(running) > 1:
            yield _about(
                cluster.volume_by_name[name],
                "R11",
                "warning",
                f"{listed(running)} run on the same disk {name}: none of them can move live",
                f"put them on a Cluster Shared Volume (Add-ClusterSharedVolume -Name {name}) or on a LUN each",
            )


def _about(volume: Volume, rule: str, severity: Severity, message: str, remedy: str) -> Finding:
    return Finding(rule=rule, severity=severity, subject=f"volume {volume.name}", message=message, remedy=remedy)
