"""Whether any nodes may be lost, kept up to date as VMs move and nodes come and go (I3).

For each loss there is a proof: how much every other node would take of what must restart. It stays good until one of
these nodes has less free than that or the lost ones run more, so that most of what happens needs no new search.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from itertools import combinations
from math import comb

from shunter.topology.recheck.packing import MOST_LOSSES, Budget, Undecided, taken

MOST_STEPS_OF_ALL = 200_000

Loss = tuple[str, ...]


class Losses:
    """The losses of `lost_nodes` at once of the nodes that count."""

    def __init__(self, lost_nodes: int) -> None:
        self.lost_nodes = lost_nodes
        self.free_mib: dict[str, int] = {}
        """Of the nodes that count."""
        self._restart_mib: dict[str, dict[str, int]] = {}
        self._runs_on: dict[str, str] = {}
        self._proofs: dict[Loss, dict[str, int]] = {}
        self._open: dict[Loss, None] = {}
        self._losses_of: dict[str, dict[Loss, None]] = {}
        self._fullest: dict[str, list[tuple[int, Loss]]] = {}
        self._budget = Budget(MOST_STEPS_OF_ALL)

    # -------------------------------------------------------------- what happens

    def count(self, node: str, free_mib: int) -> None:
        """From now on the node may be lost, and takes what must restart."""
        if node in self.free_mib:
            return
        others = sorted(self.free_mib)
        self.free_mib[node] = free_mib
        self._fullest[node] = []
        if comb(len(self.free_mib), self.lost_nodes) <= MOST_LOSSES:
            for rest in combinations(others, self.lost_nodes - 1):
                loss = tuple(sorted((node, *rest)))
                self._open[loss] = None
                for name in loss:
                    self._losses_of.setdefault(name, {})[loss] = None

    def uncount(self, node: str) -> None:
        """From now on the node is neither lost nor refuge."""
        if node not in self.free_mib:
            return
        for loss in list(self._losses_of.pop(node, ())):
            self._proofs.pop(loss, None)
            self._open.pop(loss, None)
            for name in loss:
                self._losses_of.get(name, {}).pop(loss, None)
        del self.free_mib[node]
        self._break(loss for held_mib, loss in self._fullest.pop(node) if self._holds(loss, node) == -held_mib)

    def set_free(self, node: str, free_mib: int) -> None:
        """Of a node that counts: how much it has free now."""
        if node not in self.free_mib:
            return
        self.free_mib[node] = free_mib
        fullest = self._fullest[node]
        while fullest and -fullest[0][0] > free_mib:
            held_mib, loss = heappop(fullest)
            if self._holds(loss, node) == -held_mib:
                self._break((loss,))

    def put(self, vm: str, restart_mib: int, node: str) -> None:
        """From now on the VM must restart if this node is lost."""
        before = self._runs_on.get(vm)
        if before == node:
            return
        if before is not None:
            del self._restart_mib[before][vm]
        self._runs_on[vm] = node
        self._restart_mib.setdefault(node, {})[vm] = restart_mib
        for loss in self._losses_of.get(node, ()):
            if loss in self._proofs:
                self._extend(loss, restart_mib)

    # -------------------------------------------------------------- what follows

    def unabsorbed(self) -> str | None:
        """Why some loss cannot be absorbed by the other nodes that count now; None where any can."""
        ways = comb(len(self.free_mib), self.lost_nodes)
        if ways > MOST_LOSSES:
            return f"undecided: there are {ways} ways to lose {self.lost_nodes} of {len(self.free_mib)} nodes"
        if len(self.free_mib) < self.lost_nodes:
            everybody = tuple(sorted(self.free_mib))
            return self._too_much(everybody) if any(self._items(everybody)) else None
        undecided = None
        for loss in list(self._open):
            rooms = {name: mib for name, mib in self.free_mib.items() if name not in loss and mib > 0}
            try:
                held = taken(list(self._items(loss)), rooms, self._budget)
            except Undecided:
                undecided = f"undecided within its limit: whether the loss of {' and '.join(loss)} is absorbed"
                continue
            if held is None:
                return self._too_much(loss)
            del self._open[loss]
            self._prove(loss, held)
        return undecided

    def _too_much(self, loss: Loss) -> str:
        left_mib = sum(max(0, mib) for name, mib in self.free_mib.items() if name not in loss)
        lost_mib = sum(self._items(loss))
        return f"the VMs of {' and '.join(loss)} ({lost_mib} MiB) do not pack into what is left ({left_mib} MiB)"

    def _items(self, loss: Loss) -> Iterator[int]:
        for name in loss:
            yield from self._restart_mib.get(name, {}).values()

    # -------------------------------------------------------------- proofs

    def _holds(self, loss: Loss, node: str) -> int:
        return self._proofs.get(loss, {}).get(node, 0)

    def _prove(self, loss: Loss, held: dict[str, int]) -> None:
        self._proofs[loss] = held
        for name, mib in held.items():
            heappush(self._fullest[name], (-mib, loss))

    def _extend(self, loss: Loss, mib: int) -> None:
        """One VM more on the lost nodes: it goes where most is left, or all is searched anew."""
        held = self._proofs[loss]
        left = {name: free - held.get(name, 0) for name, free in self.free_mib.items() if name not in loss}
        most = max(left, key=left.__getitem__, default=None)
        if most is None or left[most] < mib:
            self._break((loss,))
            return
        held[most] = held.get(most, 0) + mib
        heappush(self._fullest[most], (-held[most], loss))

    def _break(self, losses: Iterable[Loss]) -> None:
        for loss in list(losses):
            if self._proofs.pop(loss, None) is not None:
                self._open[loss] = None
