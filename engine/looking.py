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
    until_s = cluster.clock.now_s() + UNREACHABLE_PATIENCE_S
    while True:
        try:
            return await cluster.look()
        except Unreachable:
            if cluster.clock.now_s() >= until_s:
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
        async with asyncio.timeout(clock.loop_s(deadline_s)):
            yield
    except TimeoutError as error:
        raise OutcomeUnknown(f"no answer within {deadline_s:g} s") from error


async def change_or_stop(cluster: ClusterPort, seen: Cluster, within_s: float, stop: Stop) -> None:
    """Return when the cluster is no longer as in `seen`, when the run is asked to stop, or after `within_s`."""
    waits = [asyncio.ensure_future(cluster.wait_for_change(seen, within_s)), asyncio.ensure_future(stop.wait())]
    try:
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
    for wait in done:
        wait.result()


async def change_or_event(
    cluster: ClusterPort, seen: Cluster, within_s: float, events: Collection[asyncio.Task[None]]
) -> None:
    """Return when the cluster is no longer as in `seen`, when one of the events is there, or after `within_s`.

    Out of reach, the cluster tells no change: then after a while, so that it is looked again.
    """
    change = asyncio.create_task(cluster.wait_for_change(seen, max(within_s, 0.01)))
    try:
        await asyncio.wait({change, *events}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not change.done():
            change.cancel()
    if change.done() and not change.cancelled() and (error := change.exception()) is not None:
        if not isinstance(error, Unreachable):
            raise error
        await cluster.clock.sleep(LOOK_AGAIN_S)


async def to_its_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await what must not stop half-way: cancelled, it goes on to its end, and then CancelledError is raised."""
    task = asyncio.create_task(coroutine)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise
