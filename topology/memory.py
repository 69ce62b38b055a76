"""The memory of every node before and after, and how far it may be filled while the reserve is kept (I3)."""

from __future__ import annotations

from collections.abc import Collection

from shunter.topology.capacity import available
from shunter.topology.model import Cluster
from shunter.topology.plan import NodeMemory


def memory(before: Cluster, after: Cluster, emptied: Collection[str], reserve_nodes: int) -> tuple[NodeMemory, ...]:
    """Node by node; of nodes that are down nobody knows."""
    lines = _lines_mib(after, emptied, reserve_nodes)
    known = {node.name for node in after.nodes if node.state != "down"}
    return tuple(
        NodeMemory(
            node=node.name,
            for_vms_mib=node.for_vms_mib,
            before_mib=before.used_mib[node.name],
            after_mib=after.used_mib[node.name],
            line_mib=lines.get(node.name),
            emptied=node.name in emptied,
        )
        for node in before.nodes
        if node.name in known
    )


def _lines_mib(cluster: Cluster, emptied: Collection[str], reserve_nodes: int) -> dict[str, int]:
    """As long as no node is filled beyond its line, the VMs of any `reserve_nodes` nodes find room in the others, by
    the sum of memory: each line is the same share of its node, what is left without the largest of them.
    """
    room_mib = {name: cluster.node_by_name[name].for_vms_mib for name in available(cluster, emptied)}
    total_mib = sum(room_mib.values())
    if not reserve_nodes or not total_mib:
        return {}
    kept_mib = sum(sorted(room_mib.values())[-reserve_nodes:])
    return {name: mib * (total_mib - kept_mib) // total_mib for name, mib in room_mib.items()}
