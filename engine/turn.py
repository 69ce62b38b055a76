"""One node's turn in a rolling run: pause, a fresh look that it is empty, maintenance, proof that it is back, resume.

I5: a node is restarted only after a look shows nothing running on it and no volume owned by it, and it counts as back
only when it is a member again, its volumes are healthy and no storage is being rebuilt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal

from shunter.clusters.port import ClusterPort, Failed, Unreachable
from shunter.engine.audience import Audience, Waiting
from shunter.engine.emptied import is_in_use, why_not_to_go
from shunter.engine.holds import Denied, Hold, Holds, hold_patiently
from shunter.engine.lives import Lives
from shunter.engine.looking import LOOK_AGAIN_S, look, until_change
from shunter.engine.maintenance import Action, Hooks
from shunter.engine.pausing import Pausing
from shunter.engine.rest import Rest
from shunter.statemachines.node import NODE, Event, State
from shunter.topology.model import Cluster

Ended = Literal["done", "failed", "occupied", "called off"]
BROKEN = ("offline", "failed")
SEEN = {"up": Event.SEEN_UP, "paused": Event.SEEN_PAUSED, "isolated": Event.SEEN_ISOLATED}
IN_TURN = (State.IN_MAINTENANCE, State.REJOINING)


@dataclass(slots=True, eq=False)
class Turn:
    """`ended` after `run`: done; failed (`why` says it, and the node stays as it is); occupied (something runs on it
    that must leave first); called off before its maintenance began, because `held_back` gave a reason (empty: none).
    Times are the cluster's clock.
    """

    node: str
    cluster: ClusterPort
    lives: Lives
    pausing: Pausing
    holds: Holds
    audience: Audience
    rest: Rest
    action: Action
    hooks: Hooks
    maintenance_s: float
    before: Cluster
    held_back: Callable[[Cluster, str], str]
    paused_s: float | None = None
    started_s: float | None = None
    ended_s: float | None = None
    ended: Ended = "failed"
    why: str = ""

    async def run(self) -> None:
        """Carry it out. Only bugs and cancellation raise."""
        hold = await hold_patiently(
            self.holds,
            self.node,
            self.audience,
            self.cluster.clock,
            give_up=lambda: bool(self.held_back(self.before, self.node)),
        )
        if isinstance(hold, Denied):
            self._end("occupied", str(hold))
            return
        try:
            await self._run(hold)
        except Failed as error:
            await self._fail(str(error))
        except TimeoutError:
            state = self.lives.nodes[self.node].state.replace("_", " ")
            self._lose_sight()
            await self._fail(f"{self.node} was {state} past its deadline")
        except Unreachable as error:
            self._lose_sight()
            await self._fail(f"the cluster was out of reach: {error}")
        finally:
            await hold.release()

    async def _run(self, hold: Hold) -> None:
        if not await self._is_left(hold):
            return
        life = self.lives.nodes[self.node]
        self.started_s = self.cluster.clock.now_s()
        self.lives.step(NODE, life, Event.BEGIN_MAINTENANCE)
        async with self._deadline(self.maintenance_s):
            await self.action(self.cluster, self.node)
        self.lives.step(NODE, life, Event.SEEN_BACK)
        async with self._deadline(0.0):
            await self._prove_back()
        await self._resume()
        await self.hooks.call(self.hooks.after_node, self.node, "after")
        self._end("done", "")

    def _lose_sight(self) -> None:
        if self._state() in IN_TURN:
            self.lives.step(NODE, self.lives.nodes[self.node], Event.ANSWER_LOST)

    async def _fail(self, why: str) -> None:
        """What failed stays as it is; its lifecycle is brought in line with what a look shows."""
        life = self.lives.nodes[self.node]
        if life.state in (*IN_TURN, State.LOST_SIGHT):
            try:
                state = (await look(self.cluster)).node_by_name[self.node].state
                self.lives.step(NODE, life, SEEN.get(state, Event.SEEN_DOWN))
            except Unreachable as error:
                why = f"{why}; then the cluster was out of reach: {error}"
        self._end("failed", why)

    def _state(self) -> State:
        return self.lives.nodes[self.node].state

    def _end(self, ended: Ended, why: str) -> None:
        self.ended, self.why = ended, why
        self.ended_s = self.cluster.clock.now_s()

    def _deadline(self, estimate_s: float) -> AbstractAsyncContextManager[asyncio.Timeout]:
        about = NODE.states[self.lives.nodes[self.node].state]
        assert about.deadline is not None, about.truth  # noqa: S101  the table says so
        return self.cluster.clock.timeout(about.deadline.after_s(estimate_s))

    # -------------------------------------------------------------- leaving

    async def _is_left(self, hold: Hold) -> bool:
        """Pause it and hand over what does not run; whether a fresh look then finds nothing on it (I5, I6)."""
        if self._is_held_back(await look(self.cluster)):
            return False
        await self.pausing.pause((self.node,))
        life = self.lives.nodes[self.node]
        if self._state() is not State.PAUSED:
            raise Failed(f"{self.node} was not paused: {self.pausing.refused.get(self.node, f'it is {life.state}')}")
        self.paused_s = self.cluster.clock.now_s()
        self.lives.step(NODE, life, Event.DRAIN)
        if not is_in_use(await look(self.cluster), self.node):
            await self.rest.move_roles()
            await self.rest.move_volumes()
        not_ours = await hold.why_not_ours()
        seen = await look(self.cluster)
        if self._state() is not State.DRAINING:
            raise Failed(f"{self.node} is {life.state} in the middle of its turn")
        if self._is_held_back(seen):
            self.lives.step(NODE, life, Event.STOP_DRAINING, self.why)
            return False
        against = why_not_to_go(seen, self.node) if not not_ours else f"{self.node} is not left: {not_ours}"
        if not against:
            self.lives.step(NODE, life, Event.SEEN_EMPTY)
            return True
        self.lives.step(NODE, life, Event.STOP_DRAINING, against)
        self._end("occupied", against)
        return False

    def _is_held_back(self, seen: Cluster) -> bool:
        reason = self.held_back(seen, self.node)
        if reason:
            self._end("called off", reason)
        return bool(reason)

    # -------------------------------------------------------------- coming back

    async def _prove_back(self) -> None:
        """Until its volumes and the storage are as healthy as they were; its state's deadline ends that."""
        broken_before = {volume.name for volume in self.before.volumes if volume.state in BROKEN}
        while True:
            seen = await look(self.cluster)
            state = seen.node_by_name[self.node].state
            waits = _unhealthy(seen, broken_before)
            if state in ("up", "paused") and not waits:
                return
            reason = waits or f"is {state}"
            self.audience.waiting((Waiting(f"node {self.node}", f"is not proven back: {reason}", 0.0),))
            await until_change(self.cluster, seen, LOOK_AGAIN_S)

    async def _resume(self) -> None:
        """Let it take VMs again, if we paused it (I8)."""
        life = self.lives.nodes[self.node]
        state = (await look(self.cluster)).node_by_name[self.node].state
        if state == "up":
            self.lives.step(NODE, life, Event.SEEN_UP)
            return
        self.lives.step(NODE, life, Event.PROVEN_BACK)
        if self.node not in self.pausing.ours:
            return
        await self.pausing.resume(self.node)
        if life.state is not State.UP:
            raise Failed(f"{self.node} is back, and could not be resumed: it is {life.state}")


def _unhealthy(seen: Cluster, broken_before: Collection[str]) -> str:
    broken = [v.name for v in seen.volumes if v.state in BROKEN and v.name not in broken_before]
    if broken:
        return f"{', '.join(broken)} {'is' if len(broken) == 1 else 'are'} not online"
    jobs = [job.name for job in seen.storage_jobs]
    return f"storage is being rebuilt ({', '.join(jobs)})" if jobs else ""
