"""Other targets for moves that wait, where migrations take other times than estimated.

A plan sees to it that a source always finds an idle target when it matters. Where durations turn out differently, all
targets of its VMs may be busy while others stand idle. Then one of its VMs goes to one of these instead, and where that
has no room left, or would end later, a VM that waits for it goes where the first one was to go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from shunter.topology.capacity import available, survives_loss
from shunter.topology.eligibility import disks_of, verdicts
from shunter.topology.estimate import estimate
from shunter.topology.model import Cluster
from shunter.topology.pairing import Backlog, Wanted
from shunter.topology.reasons import Tried

MOST_MOVES, MOST_IDLE = 24, 16
"""Of a source that waits the longest moves, of idle nodes the roomiest: the others are not tried."""

MOST_CANDIDATES = 8
"""Redirections from one source that are held against every rule and the reserve."""


@dataclass(frozen=True, slots=True)
class Redirection:
    """`ends_s`: work that the busier of the two targets has before it afterwards."""

    ends_s: float
    targets: Mapping[str, str]


def redirection(
    cluster: Cluster,
    backlog: Backlog,
    busy: Collection[str],
    *,
    emptied: Collection[str],
    promised: Mapping[str, str],
    reserve_nodes: int,
    tried: Tried | None = None,
) -> Mapping[str, str]:
    """New targets (VM → node) for one or two moves that wait, so that an idle source need not; empty where none help.

    To be asked when no further pair can start, once migrations took other times than planned: before that the plan
    knows better. `promised`: VM → node of all moves that wait or are under way. `reserve_nodes`: kept at the end, if it
    would be without the redirection. `tried`: not to be repeated.
    """
    waiting = {move.source for move in backlog if move.source in emptied and move.source not in busy}
    idle = [node for node in available(cluster, emptied) if node not in busy]
    if not waiting or not idle:
        return {}
    ask = _Redirecting(cluster, backlog, emptied, promised, tried or {})
    idle = sorted(idle, key=lambda node: (-ask.spare_mib[node], node))[:MOST_IDLE]
    for source in sorted(waiting, key=lambda source: (-backlog.load_s[source], source)):
        found = sorted(ask.from_source(source, idle), key=lambda r: (round(r.ends_s, 6), sorted(r.targets.items())))
        for candidate in found[:MOST_CANDIDATES]:
            if ask.is_allowed(candidate.targets) and ask.keeps(candidate.targets, reserve_nodes):
                return candidate.targets
    return {}


class _Redirecting:
    def __init__(
        self,
        cluster: Cluster,
        backlog: Backlog,
        emptied: Collection[str],
        promised: Mapping[str, str],
        tried: Tried,
    ) -> None:
        self.cluster, self.backlog, self.emptied = cluster, backlog, emptied
        self.promised, self.tried = promised, tried
        self.spare_mib = {node.name: cluster.free_mib(node.name) for node in cluster.nodes}
        for name, node in promised.items():
            vm = cluster.vm_by_name[name]
            if vm.node != node and cluster.heading.get(name) != node:
                self.spare_mib[node] -= vm.memory_mib
        made_room_by = {other for move in backlog for other in move.after}
        free_to_choose = [move for move in backlog if move.vm not in made_room_by and self._is_free(move)]
        self.from_: dict[str, list[Wanted]] = {}
        self.to: dict[str, list[Wanted]] = {}
        for move in sorted(free_to_choose, key=lambda move: move.turn):
            self.from_.setdefault(move.source, []).append(move)
            self.to.setdefault(move.target, []).append(move)

    def _is_free(self, move: Wanted) -> bool:
        """Nothing ties the VM to others, to this target or to its place in an order."""
        vm = self.cluster.vm_by_name[move.vm]
        tied = self.cluster.rules_by_vm.get(vm.name) or disks_of(self.cluster, vm) or vm.preferred_owners
        return not tied and not move.after and move.source in self.emptied

    def from_source(self, source: str, idle: Collection[str]) -> Iterator[Redirection]:
        for move in self.from_.get(source, ())[:MOST_MOVES]:
            for node in idle:
                yield from self._redirections(move, node)

    def _redirections(self, move: Wanted, node: str) -> Iterator[Redirection]:
        mib, there = self._mib(move), estimate(self.cluster, self.cluster.vm_by_name[move.vm], node)
        if there is None:
            return
        if mib <= self.spare_mib[node]:
            yield Redirection(self._ends_s({node: there.duration_s, move.target: -move.duration_s}), {move.vm: node})
        for back in self.to.get(node, ()):
            more_mib = mib - self._mib(back)
            if back.source == move.source or more_mib > self.spare_mib[node] or -more_mib > self.spare_mib[move.target]:
                continue
            changed_s = there.duration_s - back.duration_s
            yield Redirection(
                self._ends_s({node: changed_s, move.target: -changed_s}), {move.vm: node, back.vm: move.target}
            )

    def _ends_s(self, more_s: Mapping[str, float]) -> float:
        return max(self.backlog.load_s.get(node, 0.0) + by_s for node, by_s in more_s.items())

    def _mib(self, move: Wanted) -> int:
        return self.cluster.vm_by_name[move.vm].memory_mib

    def is_allowed(self, targets: Mapping[str, str]) -> bool:
        promised = {**self.promised, **targets}
        return not any(
            (vm, node) in self.tried
            or verdicts(self.cluster, self.cluster.vm_by_name[vm], node, emptied=self.emptied, promised=promised)
            for vm, node in targets.items()
        )

    def keeps(self, targets: Mapping[str, str], reserve_nodes: int) -> bool:
        """Whether the reserve is kept at the end, unless it would not be anyhow."""
        if survives_loss(self.cluster, reserve_nodes, placed={**self.promised, **targets}, emptied=self.emptied).ok:
            return True
        return not survives_loss(self.cluster, reserve_nodes, placed=self.promised, emptied=self.emptied).ok
