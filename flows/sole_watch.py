"""One watch of a cluster at a time: two would tell everything twice, and start two failovers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shunter.engine.stop import Stop
from shunter.flows.errors import RunRefused
from shunter.flows.lock_server import LEASE_S
from shunter.flows.locks import PrefectHold, PrefectHolds, watch_limit_name

LOOK_AFTER_LEASE_S = 30.0


class SoleWatch:
    """What a watch holds for its whole length. Use `held`. `overtaken`: another watch has it by now."""

    def __init__(self, holds: PrefectHolds, hold: PrefectHold, stop: Stop) -> None:
        self.overtaken = False
        self._holds, self._hold, self._stop = holds, hold, stop

    @classmethod
    @asynccontextmanager
    async def held(cls, holds: PrefectHolds, cluster: str, stop: Stop) -> AsyncIterator[SoleWatch]:
        """`stop` is asked to end the watch once another one has taken over. Raises RunRefused where one goes on."""
        hold = await holds.try_hold_watch()
        if hold is None:
            raise RunRefused(
                f"{cluster} is watched already, or the lock {watch_limit_name(cluster)} cannot be taken (the log of "
                f"the run says so). If the other watch died, its lock ends by itself within {LEASE_S:g} s, or at once "
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
            if self._hold.lost and await self._holds.watch_is_held():
                self.overtaken = True
                self._stop.request()
            elif self._hold.lost and (again := await self._holds.try_hold_watch()) is not None:
                self._hold = again
