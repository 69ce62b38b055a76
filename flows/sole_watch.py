"""One watch of a cluster at a time: two would tell everything twice, and start two failovers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shunter.engine.holds import Denied
from shunter.engine.stop import Stop
from shunter.flows.errors import RunRefused
from shunter.flows.locks import PrefectHold, PrefectHolds, watch_limit_name
from shunter.flows.server import Unavailable

LOOK_AFTER_LEASE_S = 30.0


class SoleWatch:
    """What a watch holds for its whole length. Use `held`. `overtaken`: another watch has it by now."""

    def __init__(self, holds: PrefectHolds, hold: PrefectHold, stop: Stop) -> None:
        self.overtaken = False
        self._holds, self._hold, self._stop = holds, hold, stop

    @classmethod
    @asynccontextmanager
    async def held(cls, holds: PrefectHolds, cluster: str, stop: Stop) -> AsyncIterator[SoleWatch]:
        """`stop` is asked to end the watch once another one has taken over. Raises RunRefused where one goes on, and
        PrefectUnreachable.
        """
        hold = await holds.server.insist(holds.try_hold_watch, stop)
        if isinstance(hold, Denied):
            raise RunRefused(
                f"{cluster} is watched already: {hold}. If the other watch died, its lock ends by itself, or at once "
                f"with `prefect gcl update '{watch_limit_name(cluster)}' --active-slots 0`"
            )
        sole = cls(holds, hold, stop)
        keeping = asyncio.create_task(sole._keep(), name=f"lock of the watch of {cluster}")
        try:
            yield sole
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await sole._hold.release()

    async def _keep(self) -> None:
        """A lease that ran out, while the server was away perhaps, is taken again if nobody did so."""
        while not self.overtaken:
            await asyncio.sleep(LOOK_AFTER_LEASE_S)
            if not self._hold.lost:
                continue
            try:
                again = await self._holds.try_hold_watch()
            except Unavailable:
                continue  # asked again
            if isinstance(again, Denied):
                self.overtaken = True
                self._stop.request()
            else:
                self._hold = again
