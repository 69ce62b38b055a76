"""What is done to a node once it is empty. Each action says itself whether it really was done.

An action raises Failed (with the reason) where it was not; that the node is back is proven apart from it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from shunter.clusters.port import ClusterPort, Failed, OutcomeUnknown, Refused
from shunter.engine.control import Control
from shunter.engine.looking import LOOK_AGAIN_S, look

Action = Callable[[ClusterPort, str], Awaitable[None]]
"""Given the cluster and the node's name."""

Hook = Callable[[str], Awaitable[None]]
"""Given the name of a node, or of the cluster. What it raises counts as the node's failure, or ends the run."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """The user's own, each awaited: before the first and after the last node; before a node is drained (where it fails,
    the node is not touched), and after it is back.
    """

    before_run: Hook | None = None
    after_run: Hook | None = None
    before_node: Hook | None = None
    after_node: Hook | None = None


async def call(hook: Hook | None, name: str, when: str) -> None:
    """Call a hook, if there is one. Raises Failed with whatever it raised."""
    if hook is not None:
        try:
            await hook(name)
        except Exception as error:
            raise Failed(f"the hook {when} {name} failed: {error}") from error


class Reboot:
    """Restart the operating system: done once the node says that it started anew, and is a member again."""

    async def __call__(self, cluster: ClusterPort, node: str) -> None:
        before_s = await cluster.booted_s(node)
        try:
            await cluster.reboot_node(node)
        except Refused as error:
            raise Failed(f"{node} was not restarted: {error}") from error
        except OutcomeUnknown:
            # whether it took the order is seen by its new start, or by the deadline
            await cluster.clock.sleep(LOOK_AGAIN_S)
        while True:
            seen = await look(cluster)
            now_s = await cluster.booted_s(node)
            is_new = now_s is not None and (before_s is None or now_s > before_s)
            if is_new and seen.node_by_name[node].state in ("up", "paused"):
                return
            await cluster.wait_for_change(seen, LOOK_AGAIN_S)


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
