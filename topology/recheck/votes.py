"""Who may leave without ending the cluster, counted afresh as each Windows version counts votes (I6).

2008 R2: the votes of all nodes and of the witness count for ever, and more than half of them must be there. From 2012
on the cluster counts again after every orderly departure, so that whoever leaves in good order takes its vote along;
whether the witness votes then changes nothing, as it is no cluster by itself: a node with a vote must stay.
"""

from __future__ import annotations

from collections.abc import Collection

from shunter.topology.model import Cluster


def lost_majority(cluster: Cluster, node: str, members: Collection[str]) -> str | None:
    """Why `node` must not leave the nodes that are in the cluster now; None where it may."""
    staying = [other for other in cluster.nodes if other.name in members and other.name != node]
    votes = sum(other.votes for other in staying)
    if cluster.windows_version == "2008R2":
        witness = 1 if cluster.witness else 0
        everybody = sum(other.votes for other in cluster.nodes) + witness
        if 2 * (votes + witness) <= everybody:
            return f"{votes + witness} of {everybody} votes stay, which is no majority"
    elif not votes:
        return "no node with a vote stays"
    return None
