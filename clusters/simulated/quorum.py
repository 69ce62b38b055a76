"""Votes in a simulated cluster: whose count, and whether a majority is there. Planners count with code of their own."""

from __future__ import annotations

from collections.abc import Collection

from shunter.topology.model import Cluster


class Quorum:
    """The votes that count now.

    2008 R2 counts every node's vote for ever. From 2012 on only the votes of nodes that are there count, once they are
    counted anew; from 2012 R2 on their number is kept odd besides, by the witness or, without one, by leaving the vote
    of the last node out.
    """

    def __init__(self, cluster: Cluster, there: Collection[str]) -> None:
        self._version = cluster.windows_version
        self._has_witness = cluster.witness
        self._voters = tuple(node.name for node in cluster.nodes if node.votes)
        self._counted: tuple[str, ...] = self._voters
        self._witness_votes = cluster.witness
        self.recount(there)

    def recount(self, there: Collection[str]) -> None:
        """Let the votes of these nodes count, and no others, where the version does so.

        Where none of them votes everything stays as it was: that is no cluster.
        """
        if self._version == "2008R2":
            return
        counted = tuple(name for name in self._voters if name in there)
        if not counted:
            return
        even = len(counted) % 2 == 0
        self._counted = counted
        if self._version != "2012":
            self._witness_votes = self._has_witness and even
            if even and not self._has_witness:
                self._counted = counted[:-1]

    def votes(self, there: Collection[str]) -> tuple[int, int]:
        """The votes of these nodes (with them the witness, which is no cluster alone), and of how many."""
        nodes = sum(name in there for name in self._counted)
        witness = int(self._witness_votes)
        return (nodes + witness if there else 0, len(self._counted) + witness)

    def has_majority(self, there: Collection[str]) -> bool:
        votes, of = self.votes(there)
        return 2 * votes > of
