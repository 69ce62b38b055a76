"""Moves of a rolling run that are decided at once and made as fresh looks allow: to make room, or after the last turn.

Who waits for whom is part of the decision; when each starts is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shunter.engine.crew import Crew
from shunter.topology.model import Cluster
from shunter.topology.pairing import Backlog, pair
from shunter.topology.placement import Placement, wanted_move
from shunter.topology.rolling.fleet import Fleet
from shunter.topology.rolling.reserve import Reserve


@dataclass(slots=True, eq=False)
class MovesInOrder:
    """`targets`: VM → the node to which it was to go. What cannot go there stays where it is."""

    crew: Crew
    reserve_nodes: int
    targets: Mapping[str, str] = field(default_factory=dict)
    _backlog: Backlog = field(default_factory=Backlog)
    _begun: set[str] = field(default_factory=set)

    def want(self, seen: Cluster, placement: Placement, promised: Mapping[str, str]) -> None:
        """These moves, in this order. `promised`: VM → node, of further VMs that were to go there."""
        self.targets = {**promised, **placement.targets}
        for vm, target in placement.targets.items():
            if seen.vm_by_name[vm].holds_memory:
                self._backlog.add(wanted_move(seen, vm, target, placement.after.get(vm, ())))

    @property
    def is_over(self) -> bool:
        return not len(self._backlog) and not self._begun

    async def begin(self, seen: Cluster, fleet: Fleet) -> None:
        """Start what may start: both nodes are idle, and the reserve is kept."""
        self._conclude(seen)
        self._drop_what_cannot_go(seen)
        reserve = Reserve(fleet, self.reserve_nodes)
        passed_over = set(fleet.busy)
        while moves := pair(self._backlog, passed_over):
            for move in moves:
                passed_over |= {move.source, move.target}
                if not reserve.allows_start(move.vm, move.target):
                    continue
                if await self.crew.send(seen, move.vm, move.target, (), self._promised(move.vm)):
                    fleet.begin(move.vm, move.target)
                    self._backlog.begin(move.vm)
                    self._begun.add(move.vm)

    def _promised(self, vm: str) -> Mapping[str, str]:
        """Where it goes, and all that are still to go."""
        return {vm: self.targets[vm], **{move.vm: move.target for move in self._backlog}}

    def _conclude(self, seen: Cluster) -> None:
        """One that was postponed is wanted again; one that failed is not: it does no harm where it is."""
        for name in sorted(self._begun - self.crew.in_hand()):
            self._begun.discard(name)
            self._backlog.end(name)
            vm, target = seen.vm_by_name[name], self.targets[name]
            if vm.holds_memory and vm.node != target and (name, target) not in self.crew.tried:
                self._backlog.add(wanted_move(seen, name, target))

    def _drop_what_cannot_go(self, seen: Cluster) -> None:
        for move in self._backlog:
            vm, target = seen.vm_by_name[move.vm], seen.node_by_name[move.target]
            if not vm.holds_memory or vm.node != move.source or target.state != "up":
                self._backlog.remove(move.vm)
