"""When nothing can begin in a rolling run: VMs that stay make room, so that one more node can leave (I3)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from shunter.engine.moves_in_order import MovesInOrder
from shunter.topology.model import Cluster
from shunter.topology.quorum import votes_of
from shunter.topology.rolling.fleet import Fleet
from shunter.topology.rolling.making_room import room_for_leaving

if TYPE_CHECKING:
    from shunter.engine.rolling import Rolling

MOST_TIMES = 3
"""For one node in one run."""
MOST_TRIED = 4
"""Nodes, of which it is asked at one such moment what would let them leave."""


class MakingRoom:
    """Of one run. While it is under way nothing else begins."""

    def __init__(self, run: Rolling) -> None:
        self._run = run
        self._moves: MovesInOrder | None = None
        self._times: Counter[str] = Counter()

    def is_there_a_way(self, seen: Cluster) -> bool:
        """Decide who makes room for which node; whether there is a way."""
        run = self._run
        fleet = run.standing.fleet(seen)
        pending = run.beginning.deciding(fleet).may_be_next()
        able = [node for node in pending if self._times[node] < MOST_TIMES and self._could_leave(seen, fleet, node)]
        for node in able[:MOST_TRIED]:
            self._times[node] += 1
            held = {vm.name for vm in seen.vms if vm.holds_memory and not fleet.fitness.of(vm.name)}
            placement = room_for_leaving(seen, node, run.plan.reserve_nodes, held, run.crew.tried)
            if placement is None or not placement.targets:
                continue
            self._moves = MovesInOrder(run.crew, run.plan.reserve_nodes)
            self._moves.want(seen, placement, {})
            others = tuple(name for name in run.strategy.order if name != node)
            run.strategy = replace(run.strategy, order=(node, *others))
            return True
        return False

    async def is_under_way(self, seen: Cluster, fleet: Fleet) -> bool:
        """Begin what may begin of it; False once nothing of it is left, or none of it can begin any more."""
        if self._moves is None:
            return False
        await self._moves.begin(seen, fleet)
        crew = self._run.crew
        waits = bool(crew.running or seen.migrations) or crew.asked_again_in_s() is not None
        if self._moves.is_over or not waits:
            self._moves = None
        return self._moves is not None

    def _could_leave(self, seen: Cluster, fleet: Fleet, node: str) -> bool:
        """Whether nothing but room keeps it."""
        run = self._run
        return (
            not run.turns.is_put_off(node)
            and not run.beginning.partners_lost(seen, node)
            and votes_of(seen, away={node}).is_majority
            and all(fleet.fitness.of(vm) - {node} for vm in fleet.on[node])
        )
