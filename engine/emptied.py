"""Whether a node may be restarted now: a fresh look shows nothing on it that anybody needs (I5, I6)."""

from __future__ import annotations

from shunter.topology.model import Cluster
from shunter.topology.planning import leaving
from shunter.topology.quorum import votes_of


def is_in_use(seen: Cluster, node: str) -> bool:
    """Whether a VM runs there, or is on its way there or from there."""
    under_way = any(node in (move.source, move.target) for move in seen.migrations)
    return under_way or any(vm.holds_memory for vm in seen.vms_by_node[node])


def why_not_to_go(seen: Cluster, node: str) -> str:
    """What speaks against taking the node out of service; empty where nothing does."""
    if seen.node_by_name[node].state != "paused":
        return f"{node} is {seen.node_by_name[node].state}, not paused"
    if is_in_use(seen, node):
        return f"something runs on {node}, or is on its way from it or to it"
    staying = [vm.name for vm in leaving(seen, (node,))]
    if staying:
        return f"{', '.join(staying)} cannot leave {node}"
    owned = [volume.name for volume in seen.volumes if volume.owner == node]
    if owned:
        return f"{node} still owns {', '.join(owned)}"
    if not votes_of(seen, away={node}).is_majority:
        return f"without {node} the cluster would have no majority of votes (I6)"
    return ""
