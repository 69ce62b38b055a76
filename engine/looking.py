"""Looks that are patient, and orders that are not waited for without end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from shunter.clusters.clock import Clock
from shunter.clusters.port import ClusterPort, OutcomeUnknown, Unreachable
from shunter.engine.stop import Stop
from shunter.statemachines.lifecycle import About
from shunter.topology.model import Cluster

T = TypeVar("T")

UNREACHABLE_PATIENCE_S = 300.0
LOOK_AGAIN_S = 5.0


async def look(cluster: ClusterPort) -> Cluster:
    """A fresh look; raises Unreachable when the cluster stays out of reach."""
    until_s = cluster.clock.awake_s() + UNREACHABLE_PATIENCE_S
    while True:
        try:
            return await cluster.look()
        except Unreachable:
            if cluster.clock.awake_s() >= until_s:
                raise
            await cluster.clock.sleep(LOOK_AGAIN_S)


@asynccontextmanager
async def within_deadline(clock: Clock, state: About) -> AsyncIterator[None]:
    """The body gives an order and awaits the answer, no longer than the subject may stay in its state.

    An answer that does not come in time is a lost one: OutcomeUnknown.
    """
    assert state.deadline is not None, state.truth  # noqa: S101  every state with an order under way has one
    deadline_s = state.deadline.after_s(0.0)
    try:
        async with clock.timeout(deadline_s):
            yield
    except TimeoutError as error:
        raise OutcomeUnknown(f"no answer within {deadline_s:g} s") from error


async def until_change(cluster: ClusterPort, seen: Cluster, within_s: float, node: str | None = None) -> None:
    """Return when the cluster is no longer as in `seen`, or after `within_s`; with `node`, when that node is not.

    Out of reach, the cluster tells no change: then after a while, so that it is looked again.
    """
    try:
        await cluster.wait_for_change(seen, within_s, node)
    except Unreachable:
        await cluster.clock.sleep(LOOK_AGAIN_S)


async def change_or_stop(cluster: ClusterPort, seen: Cluster, within_s: float, stop: Stop) -> None:
    """As `until_change`, and when the run is asked to stop."""
    stopped = asyncio.create_task(stop.wait())
    try:
        await change_or_event(cluster, seen, within_s, {stopped})
    finally:
        stopped.cancel()


async def change_or_event(
    cluster: ClusterPort, seen: Cluster, within_s: float, events: Collection[asyncio.Task[None]]
) -> None:
    """As `until_change`, and when one of the events is there."""
    change = asyncio.create_task(until_change(cluster, seen, max(within_s, 0.01)))
    try:
        await asyncio.wait({change, *events}, return_when=asyncio.FIRST_COMPLETED)
        if change.done():
            change.result()
    finally:
        change.cancel()


async def to_its_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await what must not stop half-way: cancelled, it goes on to its end, and then CancelledError is raised."""
    task = asyncio.create_task(coroutine)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise
