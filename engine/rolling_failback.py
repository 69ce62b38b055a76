"""After the last turn of a rolling run: VMs go back to where they were, or are spread evenly, as fresh looks allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunter.engine.moves_in_order import MovesInOrder
from shunter.topology.model import Cluster
from shunter.topology.placement import Placement
from shunter.topology.plan import Finding
from shunter.topology.rolling.failback import way_back
from shunter.topology.rolling.fleet import Fleet

if TYPE_CHECKING:
    from shunter.engine.rolling import Rolling


class GoingBack:
    """Of one run, as its policy wants."""

    def __init__(self, run: Rolling) -> None:
        self._run = run
        self._moves: MovesInOrder | None = None

    @property
    def is_under_way(self) -> bool:
        return self._moves is not None and not self._moves.is_over

    async def begin(self, seen: Cluster, fleet: Fleet) -> None:
        """Let everything begin of it that may."""
        run = self._run
        if run.policy.failback == "none" or not run.turns.done:
            return
        if self._moves is None:
            if run.crew.running or run.crew.in_hand():
                return
            self._moves = MovesInOrder(run.crew, run.plan.reserve_nodes)
            placement = way_back(seen, run.before, run.policy, run.plan.reserve_nodes)
            self._moves.want(seen, placement or Placement(), self._promised())
        await self._moves.begin(seen, fleet)

    def findings(self, seen: Cluster) -> list[Finding]:
        """VMs that did not get to where they were to go, also those of which the plan said that they would."""
        where = "back to" if self._run.policy.failback == "as_it_was" else "to"
        return [
            Finding(
                rule="R16",
                severity="warning",
                subject=f"vm {name}",
                message=f"{name} was to go {where} {target}, and is on {seen.vm_by_name[name].node}",
                remedy=f"see what stands against it (shunter why {name} {target}), or leave it where it is",
            )
            for name, target in (self._moves.targets.items() if self._moves is not None else ())
            if seen.vm_by_name[name].holds_memory and seen.vm_by_name[name].node != target
        ]

    def _promised(self) -> dict[str, str]:
        """The VMs that the plan takes back to where they were."""
        run = self._run
        if run.policy.failback != "as_it_was":
            return {}
        last_s = max((turn.end_s for turn in run.plan.maintenance), default=0.0)
        return {move.vm: move.target for move in run.plan.moves if move.start_s >= last_s}
