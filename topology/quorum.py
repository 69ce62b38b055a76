"""Votes, as the cluster's Windows version counts them (I6).

With a static majority (2008 R2) every vote counts for ever. With dynamic quorum the votes of nodes that left one by one
no longer count; from 2012 R2 on the number of votes is kept odd besides: the witness votes only beside an even number
of nodes, and without a witness one node of an even number loses its vote.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from shunter.topology.model import Cluster, Node, NodeState
from shunter.topology.versions import VERSIONS

MEMBER: frozenset[NodeState] = frozenset({"up", "paused"})


@dataclass(frozen=True, slots=True)
class Votes:
    """`there` votes of `of` that count."""

    there: int
    of: int

    @property
    def is_majority(self) -> bool:
        return 2 * self.there > self.of

    def without(self, votes: int) -> Votes:
        """After so many votes are lost at once, before anything is counted anew."""
        return Votes(self.there - votes, self.of)


def votes_of(cluster: Cluster, away: Collection[str] = ()) -> Votes:
    """The votes now, or after these nodes have left in good order, one after the other."""
    there = sum(node.votes for node in members(cluster) if node.name not in away)
    witness = int(cluster.witness)
    match VERSIONS[cluster.windows_version].quorum:
        case "static":
            return Votes(there + witness, sum(node.votes for node in cluster.nodes) + witness)
        case "dynamic":
            # the witness alone is no cluster
            return Votes(there + witness, there + witness) if there else Votes(0, witness)
        case "dynamic_with_witness":
            even = there > 0 and there % 2 == 0
            odd = there + (witness if even else 0) - (1 if even and not witness else 0)
            return Votes(odd, odd)


def members(cluster: Cluster) -> tuple[Node, ...]:
    """The nodes that are in the cluster now; a paused node votes."""
    return tuple(node for node in cluster.nodes if node.state in MEMBER)


def would_end_it(cluster: Cluster) -> tuple[str, ...]:
    """The nodes that are there and whose sudden loss would leave no majority."""
    now = votes_of(cluster)
    return tuple(node.name for node in members(cluster) if not now.without(node.votes).is_majority)


def after_loss(cluster: Cluster, lost: Collection[str]) -> tuple[Votes, Votes]:
    """The votes that are left, at worst and at best, when these nodes are lost at once, before the cluster counts anew.

    They differ where the cluster leaves one node's vote out and the snapshot does not say whose.
    """
    now, there = votes_of(cluster), members(cluster)
    gone = sum(node.votes for node in there if node.name in lost)
    if all(node.name in lost for node in there):
        nothing = Votes(0, now.of)  # the witness alone is no cluster
        return nothing, nothing
    voters = sum(node.votes for node in there)
    one_left_out = VERSIONS[cluster.windows_version].quorum == "dynamic_with_witness" and not cluster.witness
    if one_left_out and voters % 2 == 0 and gone:
        return now.without(min(gone, now.of)), now.without(gone - 1)
    return now.without(gone), now.without(gone)
