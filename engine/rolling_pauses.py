"""Nodes that a rolling run paused and whose maintenance does not come take VMs again (I8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunter.statemachines.node import State

if TYPE_CHECKING:
    from shunter.engine.rolling import Rolling

RESUME_AGAIN_S = 300.0


class PausedForNothing:
    """Of one run."""

    def __init__(self, run: Rolling) -> None:
        self._run = run
        self._not_before_s: dict[str, float] = {}

    async def give_back(self) -> None:
        """All of them: the run is over."""
        for name in self._nodes():
            await self._run.pausing.resume(name)

    async def give_back_at_once(self) -> None:
        """Those that have no turn any more: skipped, refused, or failed before their maintenance began."""
        now_s = self._run.cluster.clock.now_s()
        for name in self._nodes():
            if name not in self._run.turns.pending() and now_s >= self._not_before_s.get(name, now_s):
                self._not_before_s[name] = now_s + RESUME_AGAIN_S
                await self._run.pausing.resume(name)

    def _nodes(self) -> list[str]:
        """What was paused before this run stays so, unless this one goes on."""
        run = self._run
        return [
            name
            for name in run.pausing.ours
            if run.lives.nodes[name].state in (State.PAUSED, State.DRAINED)
            and (run.goes_on or run.before.node_by_name[name].state != "paused")
            and name not in run.turns.nodes_away()
            and (name in run.turns.done or not run.turns.was_begun(name))
        ]
