"""Whether a node may take VMs again: who paused it (I8), and what a look proves of its health (R02, R03, R08, R10)."""

from __future__ import annotations

from collections.abc import Iterator

from shunter.topology.model import Cluster, Node
from shunter.topology.plan import Finding, Severity
from shunter.topology.quorum import MEMBER
from shunter.topology.requirements import findings, storage, whole
from shunter.topology.requirements.differing import listed

_CANNOT_RETURN: dict[str, tuple[str, str]] = {
    "down": ("is down", "start it (Start-ClusterNode {node}); once it is up, resume it again"),
    "joining": ("is still joining the cluster", "wait until it is up, then resume it again"),
    "isolated": (
        "is isolated: the other nodes do not hear it",
        "restore its cluster network; start none of its VMs elsewhere meanwhile",
    ),
    "quarantined": (
        "is quarantined: it left the cluster too often",
        "find out why (Get-ClusterLog -Node {node}), then Start-ClusterNode {node} -ClearQuarantine, and resume it "
        "again",
    ),
}


def against_return(cluster: Cluster, name: str, *, ours: bool = False, whoever_paused: bool = False) -> list[Finding]:
    """What is to be known before the node is resumed; an error forbids it.

    `ours`: a run of ours is known to have paused it, where the cluster cannot tell. `whoever_paused`: resume it whoever
    paused it.
    """
    node = cluster.node_by_name[name]
    if node.state not in MEMBER:
        what, remedy = _CANNOT_RETURN[node.state]
        return [_about(node, "R01", "error", f"{name} {what}", remedy.format(node=name))]
    return [
        *_pause(node, ours=ours, whoever_paused=whoever_paused),
        *_being_emptied(cluster, node),
        *_storage(cluster, node),
        *_networks(cluster, node),
        *findings(cluster, (whole.same_version, whole.same_updates, storage.jobs)),
    ]


def _about(node: Node, rule: str, severity: Severity, message: str, remedy: str) -> Finding:
    return Finding(rule=rule, severity=severity, subject=f"node {node.name}", message=message, remedy=remedy)


def _pause(node: Node, *, ours: bool, whoever_paused: bool) -> Iterator[Finding]:
    if node.state == "up":
        yield _about(node, "I8", "info", f"{node.name} is not paused: it takes VMs already", "nothing")
        return
    if node.paused_by == "us" or (node.paused_by is None and ours):
        return
    by = "was paused by somebody else" if node.paused_by == "elsewhere" else "is paused, and by whom is not known"
    if whoever_paused:
        yield _about(node, "I8", "info", f"{node.name} {by}: it is resumed all the same", "nothing; it was asked for")
    else:
        remedy = f"ask whether its maintenance is over; if so, shunter resume {node.name} --whoever-paused"
        yield _about(node, "I8", "error", f"{node.name} {by}", remedy)


def _being_emptied(cluster: Cluster, node: Node) -> Iterator[Finding]:
    leaving = [move for move in cluster.migrations if move.source == node.name and move.by == "us"]
    if leaving:
        message = f"a run of ours is moving {listed([move.vm for move in leaving])} away from {node.name}"
        yield _about(node, "I8", "error", message, "wait until that run is over, or stop it")


def _peers(cluster: Cluster, node: Node) -> list[Node]:
    return [other for other in cluster.nodes if other.state in MEMBER and other.name != node.name]


def _storage(cluster: Cluster, node: Node) -> Iterator[Finding]:
    """A volume that some of its peers do not reach either may be meant to be so: R08 keeps its VMs away."""
    peers = _peers(cluster, node)
    for volume in cluster.volumes:
        reaches = not volume.reachable_from or node.name in volume.reachable_from
        by_peers = bool(peers) and all(not volume.reachable_from or p.name in volume.reachable_from for p in peers)
        if not reaches:
            yield _about(
                node,
                "R08",
                "error" if by_peers else "warning",
                f"{node.name} does not reach {volume.name}" + (", as the other nodes do" if by_peers else ""),
                f"connect {node.name} to {volume.name}; until then no VM that is on it can run there",
            )
        elif volume.state == "redirected_no_path" and (not volume.reachable_from or by_peers):
            yield _about(
                node,
                "R08",
                "error",
                f"{volume.name} is in redirected I/O because a node has no path to it, which may be {node.name}",
                f"look which node it is (Get-ClusterSharedVolumeState -Name {volume.name}) and restore its path",
            )
        elif volume.owner == node.name and volume.state in ("offline", "failed"):
            message = f"{node.name} owns {volume.name}, which is {volume.state}"
            yield _about(node, "R08", "error", message, f"bring {volume.name} online (Start-ClusterResource)")


def _networks(cluster: Cluster, node: Node) -> Iterator[Finding]:
    """What all its peers are on, it must be on; that it is slower there than any of them is said."""
    peers = _peers(cluster, node)
    if not peers:
        return
    for network in cluster.networks:
        roles = {"live_migration", "cluster"} & set(network.roles)
        theirs = [mbps for peer in peers if (mbps := _mbps(cluster, peer, network.name)) is not None]
        if not roles or len(theirs) < len(peers):
            continue
        own = _mbps(cluster, node, network.name)
        what = listed([role.replace("_", " ") for role in sorted(roles)])
        if own is None:
            yield _about(
                node,
                "R07" if "live_migration" in roles else "R10",
                "error",
                f"{node.name} has no adapter on {network.name} ({what}), as all other nodes have",
                f"connect {node.name} to {network.name}",
            )
        elif own < min(theirs):
            message = f"{node.name} has {own} Mbit/s on {network.name} ({what}), the other nodes {min(theirs)} or more"
            yield _about(node, "R10", "warning", message, f"look at its adapter on {network.name}")


def _mbps(cluster: Cluster, node: Node, network: str) -> int | None:
    return dict(cluster.links[node.name]).get(network)
