"""Room for VMs that a failover could start nowhere: others move on live, for one of them after the other (I3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shunter.engine import report
from shunter.engine.crew import Crew, isolated
from shunter.engine.dispatch import Dispatcher
from shunter.engine.homeward import Homeward
from shunter.engine.stop import Stop
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.plan import Move, Plan
from shunter.topology.reasons import Tried
from shunter.topology.room import room_to_start


class _MadeRoom(Homeward):
    """What waits to be started does not wait for a node that is isolated meanwhile."""

    __slots__ = ()

    def to_move(self, seen: Cluster) -> Sequence[VirtualMachine]:
        return [vm for vm in super().to_move(seen) if vm.node not in isolated(seen)]


@dataclass(slots=True, eq=False)
class MakesRoom:
    """Of one failover. The reserve is spent, not kept: it is there for days like this."""

    crew: Crew
    stop: Stop
    _for: dict[tuple[str, str], str] = field(default_factory=dict)

    async def make(self, seen: Cluster, waiting: Sequence[VirtualMachine], barred: Tried) -> bool:
        """For one of these VMs, the most important one for which there is a way; whether anything moved on or was tried
        to. `barred`: by (VM, node), where one could not be started.
        """
        ways = room_to_start(self.crew.care.as_decided_on(seen), waiting, {**self.crew.tried, **barred})
        way = next((way for way in ways if way.moves), None)
        if way is None:
            return False
        self._for |= dict.fromkeys(way.moves, f"makes room for {way.vm}, which starts on {way.node} then")
        orders = len(self.crew.errands)
        await Dispatcher(_MadeRoom(dict(way.moves), 0), self.crew, self.stop).run(seen, ())
        return len(self.crew.errands) > orders

    async def moves(self, plan: Plan, started_s: float) -> tuple[Move, ...]:
        """What the cluster was asked for, and how it ended. Times count from `started_s`, by the cluster's clock."""
        made = report.moves(self.crew.errands, await self.crew.cluster.migration_log(), plan, started_s)
        return tuple(move.model_copy(update={"why": self._for[move.vm, move.target]}) for move in made)
