"""The turns of nodes in a rolling run: which are under way, what came of those that are over, which are tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from shunter.clusters.port import Failed
from shunter.engine.rest import Rest
from shunter.engine.turn import Turn
from shunter.statemachines.node import State
from shunter.topology.model import Cluster

if TYPE_CHECKING:
    from shunter.engine.rolling import Rolling

MOST_OCCUPIED = 6
OCCUPIED_AGAIN_S = 30.0
"""A node that was not empty after all is tried again after so long, then after twice as long, and so on."""


class Turns:
    """Of one run. `all`: in the order in which they began; `done`: nodes that are back from their maintenance;
    `failed`: those whose turn failed, and why; `refused`: those that have no turn any more, and why; `tasks`: the turns
    under way; `ended_s`: when one ended last.
    """

    def __init__(self, run: Rolling, done: Collection[str]) -> None:
        self._run = run
        self.all: list[Turn] = []
        self.done = set(done)
        self.failed: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.ended_s = 0.0
        self.tasks: dict[asyncio.Task[None], Turn] = {}
        self._again: dict[str, str] = {}
        self._tries: dict[str, int] = {}
        self._occupied: dict[str, int] = {}
        self._not_before_s: dict[str, float] = {}
        self._hooked: set[str] = set()
        self._one_volume = asyncio.Lock()

    # -------------------------------------------------------------- questions

    @property
    def away(self) -> tuple[Turn, ...]:
        """The turns under way."""
        return tuple(self.tasks.values())

    def pending(self) -> list[str]:
        over = self.done | self.failed.keys() | self.refused.keys() | self._run.control.skipped | self.nodes_away()
        return [node for node in self._run.wanted if node not in over]

    def left(self) -> list[str]:
        """Those whose turn is still to come, and those that are to be tried again."""
        return [*self.pending(), *self._again]

    def nodes_away(self) -> set[str]:
        """Those in their turn, and those that failed in it and are to be tried again: until then they are not back."""
        return {*(turn.node for turn in self.tasks.values()), *self._again}

    def was_begun(self, node: str) -> bool:
        """Whether its maintenance was."""
        return any(turn.node == node and turn.started_s is not None for turn in self.all)

    def put_off_s(self) -> dict[str, float]:
        """Nodes that were not empty after all, and when they are tried again at the earliest: of those later on."""
        now_s = self._run.cluster.clock.now_s()
        return {node: at_s for node, at_s in self._not_before_s.items() if at_s > now_s}

    def is_put_off(self, node: str) -> bool:
        """Whether it was not empty after all, and is to be tried later."""
        return node in self.put_off_s()

    # -------------------------------------------------------------- beginning

    async def may_leave(self, node: str) -> bool:
        """Whether the hook before a node lets it be touched; asked once."""
        run = self._run
        if node in self._hooked:
            return node not in self.refused
        self._hooked.add(node)
        try:
            await run.hooks.call(run.hooks.before_node, node, "before")
        except Failed as error:
            self.refused[node] = str(error)
        return node not in self.refused

    def begin(self, seen: Cluster, node: str, soonest: Sequence[str]) -> None:
        """`soonest`: the nodes that go after it, the next one first."""
        run = self._run
        planned = {move.name: move.target for move in run.plan.role_moves if move.source == node}
        soon = dict.fromkeys((*self.nodes_away(), *(name for name in soonest if name != node)))
        rest = Rest(
            run.cluster,
            run.lives,
            (node,),
            0,
            run.crew.tried,
            planned,
            run.care,
            avoided=tuple(soon),
            one_volume=self._one_volume,
        )
        turn = Turn(
            node,
            run.cluster,
            run.lives,
            run.pausing,
            run.holds,
            run.audience,
            rest,
            run.action,
            run.hooks,
            run.policy.maintenance_s,
            seen,
            run.beginning.held_back,
        )
        self.all.append(turn)
        task = asyncio.create_task(turn.run())
        task.add_done_callback(lambda _: run.woken.set())
        self.tasks[task] = turn

    def try_again(self, seen: Cluster) -> None:
        """Nodes whose maintenance failed, before any other node has its turn."""
        for node in tuple(self._again):
            if node in self._run.control.skipped:
                self.failed[node] = self._again.pop(node)
            elif not seen.storage_jobs and not self.is_put_off(node):
                del self._again[node]
                self.begin(seen, node, self.pending())

    # -------------------------------------------------------------- what is over

    def conclude(self) -> None:
        """Draw the consequences of the turns that are over."""
        for task in [task for task in self.tasks if task.done()]:
            turn = self.tasks.pop(task)
            self.ended_s = self._run.cluster.clock.now_s()
            task.result()
            self._after(turn)

    def give_up(self) -> None:
        """What was to be tried again has failed: the run is over."""
        self.failed |= self._again
        self._again.clear()

    def _after(self, turn: Turn) -> None:
        node = turn.node
        match turn.ended:
            case "done":
                self.done.add(node)
            case "occupied":
                times = self._occupied[node] = self._occupied.get(node, 0) + 1
                self._not_before_s[node] = self._run.cluster.clock.now_s() + OCCUPIED_AGAIN_S * 2 ** (times - 1)
                if times >= MOST_OCCUPIED:
                    (self.failed if self.was_begun(node) else self.refused)[node] = turn.why
                elif self.was_begun(node):
                    self._again[node] = turn.why
            case "failed":
                self._tries[node] = self._tries.get(node, 0) + 1
                state = self._run.lives.nodes[node].state
                is_there = state in (State.UP, State.PAUSED, State.DRAINED)
                if self._tries[node] > self._run.budget.retries or not is_there:
                    self.failed[node] = turn.why
                    self._run.replanning.is_due = True
                elif state is not State.UP:
                    self._again[node] = turn.why
            case "called off":
                if self.was_begun(node):
                    self._again[node] = turn.why
