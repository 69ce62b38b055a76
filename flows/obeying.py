"""A run looks at its own state: cancelled from outside it obeys, whether or not whoever started it has heard of that.

Prefect tells a run by a signal from its worker or `serve`; after an outage of the server nobody may be left who sends
one, and the state would say "Cancelled" of a run that goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound

from shunter.flows.server import Logger, PrefectServer, Unavailable

LOOK_EVERY_S = 2.0


@asynccontextmanager
async def own_cancellation(server: PrefectServer, run: UUID | None, log: Logger) -> AsyncIterator[asyncio.Task[None]]:
    """A task that is done once the state of this flow run says that it is to be cancelled; else it never is."""
    watching = asyncio.create_task(_until_cancelled(server, run, log), name="own state")
    try:
        yield watching
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _until_cancelled(server: PrefectServer, run: UUID | None, log: Logger) -> None:
    while run is None or not await _is_cancelled(server, run):  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(LOOK_EVERY_S)
    log.warning("the state of this run says that it is cancelled")


async def _is_cancelled(server: PrefectServer, run: UUID) -> bool:
    """Whether it is known to be."""
    try:
        state = (await server.ask(lambda client: client.read_flow_run(run))).state
    except (Unavailable, ObjectNotFound):
        return False
    return state is not None and state.type in (StateType.CANCELLING, StateType.CANCELLED)
