"""What is done to a node once it is empty. Each action says itself whether it really was done.

An action raises Failed (with the reason) where it was not; that the node is back is proven apart from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from shunter.clusters.port import ClusterError, ClusterPort, Failed, OutcomeUnknown, Refused
from shunter.engine.control import Control
from shunter.engine.emptied import why_not_to_go
from shunter.engine.looking import LOOK_AGAIN_S, look, until_change

Action = Callable[[ClusterPort, str], Awaitable[None]]
"""Given the cluster and the node's name."""

Hook = Callable[[str], Awaitable[None]]
"""Given the name of a node, or of the cluster. What it raises counts as the node's failure, or ends the run."""


ANSWER_WITHIN_S = 120.0
ABSENT_AGAIN_S = 60.0
"""That a node is a member again is a change of the cluster, which ends the wait earlier."""
TAKEN_UP_WITHIN_S = 60.0
"""After an order to restart whose answer was lost: so long it may be on its way."""
MOST_ORDERS = 3


@dataclass(frozen=True, slots=True)
class Hooks:
    """The user's own, each awaited: before the first and after the last node; before a node is drained (where it fails,
    the node is not touched), and after it is back. None may take longer than `within_s`, in seconds of this machine.
    """

    before_run: Hook | None = None
    after_run: Hook | None = None
    before_node: Hook | None = None
    after_node: Hook | None = None
    within_s: float = 1800.0

    async def call(self, hook: Hook | None, name: str, when: str) -> None:
        """Call one of these hooks, if it is there. Raises Failed with whatever it raised, or if it takes too long."""
        if hook is None:
            return
        try:
            async with asyncio.timeout(self.within_s) as limit:
                await hook(name)
        except Exception as error:
            why = f"it took more than {self.within_s:g} s" if limit.expired() else error
            raise Failed(f"the hook {when} {name} failed: {why}") from error


class Reboot:
    """Restart the operating system: done once the node says that it started anew, and is a member again.

    An order whose answer was lost is given again, if the node shows no sign of it and is still paused and empty.
    """

    async def __call__(self, cluster: ClusterPort, node: str) -> None:
        before_s = await _booted_s(cluster, node)
        if before_s is None:
            raise Failed(f"{node} does not tell when it started, so its restart could not be proven")
        for _ in range(MOST_ORDERS):
            if await _order(cluster, node) or await _is_on_its_way(cluster, node, before_s):
                break
        else:
            raise Failed(f"{node} was told {MOST_ORDERS} times to restart; no answer came, and it did not")
        while True:
            seen = await look(cluster)
            is_member = seen.node_by_name[node].state in ("up", "paused")
            now_s = await _booted_s(cluster, node) if is_member else None
            if now_s is not None and now_s > before_s:
                return
            await until_change(cluster, seen, LOOK_AGAIN_S if is_member else ABSENT_AGAIN_S, node=node)


async def _order(cluster: ClusterPort, node: str) -> bool:
    """Whether the node has surely taken the order up. Raises Failed where nothing can come of it."""
    try:
        async with cluster.clock.timeout(ANSWER_WITHIN_S):
            await cluster.reboot_node(node)
    except Refused as error:
        raise Failed(f"{node} was not restarted: {error}") from error
    except (OutcomeUnknown, TimeoutError):
        return False
    return True


async def _is_on_its_way(cluster: ClusterPort, node: str, before_s: float) -> bool:
    """Whether the node shows, soon enough, that it took the order up. Raises Failed if it must not be ordered again."""
    until_s = cluster.clock.now_s() + TAKEN_UP_WITHIN_S
    while True:
        seen = await look(cluster)
        state = seen.node_by_name[node].state
        if state not in ("up", "paused") or await _booted_s(cluster, node) not in (None, before_s):
            return True
        left_s = until_s - cluster.clock.now_s()
        if left_s <= 0:
            break
        await until_change(cluster, seen, left_s)
    if against := why_not_to_go(seen, node):
        raise Failed(f"{node} did not take the order to restart up, and must not be told again: {against}")
    return False


async def _booted_s(cluster: ClusterPort, node: str) -> float | None:
    try:
        return await cluster.booted_s(node)
    except ClusterError:
        return None  # it cannot be asked now; whoever waits for it asks again


@dataclass(frozen=True, slots=True)
class Own:
    """The user's own coroutine, given the node's name: done when it returns, failed when it raises."""

    work: Callable[[str], Awaitable[None]]

    async def __call__(self, cluster: ClusterPort, node: str) -> None:  # noqa: ARG002  an action's
        try:
            await self.work(node)
        except Exception as error:
            raise Failed(f"the maintenance of {node} failed: {error}") from error


@dataclass(frozen=True, slots=True)
class ByHand:
    """Somebody does it: done when the operator says so."""

    control: Control

    async def __call__(self, cluster: ClusterPort, node: str) -> None:  # noqa: ARG002  an action's
        if not await self.control.until_done_by_hand(node):
            raise Failed(f"the operator says that the maintenance of {node} went wrong")
