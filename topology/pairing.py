"""Which migrations start now: a matching on the graph of idle nodes, so that no node joins two (R15, I1).

Every idle node is a vertex and every pair of idle nodes with a wanted move between them an edge, weighted by the work
that its two nodes still have before them and, so that no long move is left for the end, by its own duration. Taking the
heaviest edge first yields a maximal matching: nothing that could start waits, and the nodes that would end last are
served first. Between two nodes the longest move goes first. It stays cheap on a thousand idle nodes, where a
maximum-weight matching takes a minute and ends no sooner.

How much a long move counts is a matter of the case: a plan tries several (`timeline.py`).
"""

# ruff: noqa: PLC0415  (networkx takes a sixth of a second to import: only who pairs pays)
from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import networkx as nx

RANKED_FIRST = 1e12


@dataclass(frozen=True, slots=True)
class Wanted:
    """A move that may start as soon as both of its nodes are idle and those that make room for it are over.

    `duration_s`: estimated. `after`: the VMs whose moves make that room. `rank`: its place in an order that is known to
    end early; what has none follows the work that is left.
    """

    vm: str
    source: str
    target: str
    duration_s: float
    after: frozenset[str] = frozenset()
    rank: int | None = None

    @property
    def turn(self) -> tuple[float, float, str]:
        """Between two nodes: by rank, then the longest first."""
        return (inf if self.rank is None else self.rank, -self.duration_s, self.vm)


Weigh = Callable[[float, float], float]
"""The weight of an edge from the work left on both of its nodes together and the duration of its move, in s."""


def _weighing(share: float) -> Weigh:
    return lambda left_s, duration_s: left_s + share * duration_s


WEIGHINGS: tuple[Weigh, ...] = tuple(_weighing(share) for share in (4, 2, 6, 0, 3, 5, 8, 1))


class Backlog:
    """The wanted moves that have not started, and how much work each node still has before it."""

    def __init__(self, moves: Iterable[Wanted] = (), weigh: Weigh = WEIGHINGS[0]) -> None:
        self._weigh = weigh
        self._by_vm: dict[str, Wanted] = {}
        self._begun: set[str] = set()
        self._between: dict[str, dict[str, list[tuple[float, float, str]]]] = {}
        self.load_s: dict[str, float] = {}
        for move in moves:
            self.add(move)

    def __len__(self) -> int:
        return len(self._by_vm)

    def __iter__(self) -> Iterator[Wanted]:
        return iter(tuple(self._by_vm.values()))

    def __contains__(self, vm: str) -> bool:
        return vm in self._by_vm

    def get(self, vm: str) -> Wanted | None:
        return self._by_vm.get(vm)

    def add(self, move: Wanted) -> None:
        """Want this move; a VM is wanted elsewhere at most once."""
        if move.vm in self._by_vm:
            raise ValueError(f"{move.vm} is wanted on {self._by_vm[move.vm].target} already")
        self._by_vm[move.vm] = move
        queue = self._between.setdefault(move.source, {}).setdefault(move.target, [])
        insort(queue, move.turn)
        for node in (move.source, move.target):
            self.load_s[node] = self.load_s.get(node, 0.0) + move.duration_s

    def begin(self, vm: str) -> Wanted:
        """Take out a move that starts; until `end`, what comes after it waits on."""
        move = self.remove(vm)
        self._begun.add(vm)
        return move

    def end(self, vm: str) -> None:
        """The move of this VM is over."""
        self._begun.discard(vm)

    def is_ready(self, vm: str) -> bool:
        """Whether every move that makes room for this one is over."""
        after = self._by_vm[vm].after
        return not after or not any(other in self._by_vm or other in self._begun for other in after)

    def remove(self, vm: str) -> Wanted:
        """Take out a move that is not wanted any more."""
        move = self._by_vm.pop(vm)
        targets = self._between[move.source]
        targets[move.target].remove(move.turn)
        if not targets[move.target]:
            del targets[move.target]
        for node in (move.source, move.target):
            self.load_s[node] -= move.duration_s
        return move

    def idle_graph(self, busy: Collection[str]) -> nx.Graph[str]:
        """The graph of idle nodes; of several ready moves between two nodes the longest is the edge."""
        import networkx as nx

        graph: nx.Graph[str] = nx.Graph()
        for source, targets in self._between.items():
            if source in busy:
                continue
            for target, queue in targets.items():
                if target in busy:
                    continue
                longest = next((vm for *_, vm in queue if self.is_ready(vm)), None)
                if longest is None:
                    continue
                move = self._by_vm[longest]
                weight = self._weight(move)
                known = graph.get_edge_data(source, target)
                if known is None or (weight, known["move"].vm) > (known["weight"], move.vm):
                    graph.add_edge(source, target, weight=weight, move=move)
        return graph

    def _weight(self, move: Wanted) -> float:
        if move.rank is not None:
            return RANKED_FIRST - move.rank
        return round(self._weigh(self.load_s[move.source] + self.load_s[move.target], move.duration_s), 6)


def pair(backlog: Backlog, busy: Collection[str]) -> list[Wanted]:
    """The moves to start now: none touches a busy node, no two share a node, and no further one could be added.
    Deterministic: equal weights are taken in the order of the VMs' names.
    """
    import networkx as nx

    graph = backlog.idle_graph(busy)
    edges = [(-edge["weight"], edge["move"].vm, edge["move"]) for _, _, edge in graph.edges(data=True)]
    pairs: list[Wanted] = []
    taken: set[str] = set()
    for _, _, move in sorted(edges, key=lambda edge: edge[:2]):
        if taken.isdisjoint((move.source, move.target)):
            taken |= {move.source, move.target}
            pairs.append(move)
    assert nx.is_maximal_matching(graph, {(move.source, move.target) for move in pairs})  # noqa: S101  our own invariant
    return pairs
