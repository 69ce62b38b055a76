"""What a run writes on the server for others to know: variables, each tried until the server has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from shunter.engine.stop import Stop
from shunter.flows import variables
from shunter.flows.server import CALL_DEADLINE_S, Logger, PrefectServer, Unavailable
from shunter.topology.plan import Finding


class Records:
    """Of one run. Use `opened`. Of each variable only the latest value counts. No trouble with the server fails a run:
    what it has not taken yet is tried again until the run ends, and `unsaved` then.
    """

    def __init__(self, server: PrefectServer, log: Logger, stop: Stop) -> None:
        self.server = server
        self._log, self._stop = log, stop
        self._pending: dict[str, Any] = {}
        self._refused: dict[str, tuple[Any, str]] = {}
        self._tried = asyncio.Condition()
        self._writing: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def opened(cls, server: PrefectServer, log: Logger, stop: Stop) -> AsyncIterator[Records]:
        records = cls(server, log, stop)
        try:
            yield records
        finally:
            if records._writing is not None:
                records._writing.cancel()
                await asyncio.gather(records._writing, return_exceptions=True)

    async def read(self, name: str) -> Any | None:
        """Its value; None where there is none. What this run wrote is known whether the server has it or not. Waits for
        a server that does not answer: no answer is not "nothing". Raises PrefectUnreachable.
        """
        if name in self._pending:
            return self._pending[name]
        return await self.server.insist(lambda: variables.read(self.server, name), self._stop)

    async def keep(self, name: str, value: Any) -> None:
        """Returns once the server has it, or has not answered in time."""
        await self._put(name, value)

    async def forget(self, name: str) -> None:
        """See to it that there is none of this name; as `keep`."""
        await self._put(name, None)

    async def settle(self, within_s: float) -> None:
        """Return once the server has everything, or after so long."""
        try:
            async with asyncio.timeout(within_s), self._tried:
                await self._tried.wait_for(lambda: not self._pending)
        except TimeoutError:
            return

    @property
    def unsaved(self) -> dict[str, Any]:
        """What the server does not have, by name; None is what should not be there."""
        return self._pending | {name: value for name, (value, _) in self._refused.items()}

    def findings(self, cluster: str, kept_in: str | None) -> tuple[Finding, ...]:
        """For the report. `kept_in`: where what is unsaved can be read instead."""
        return tuple(
            Finding(
                rule="I8",
                severity="warning",
                subject=f"cluster {cluster}",
                message=f"the record {name} could not be kept on the Prefect server: {why}",
                remedy=f"the next run does not know it; {f'it is in {kept_in}' if kept_in else 'the log tells it'}",
            )
            for name, why in {
                **dict.fromkeys(self._pending, str(self.server.silence or "it was not answered in time")),
                **{name: why for name, (_, why) in self._refused.items()},
            }.items()
        )

    async def _put(self, name: str, value: Any) -> None:
        self._refused.pop(name, None)
        self._pending[name] = value
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="records of the run")
        try:
            async with asyncio.timeout(CALL_DEADLINE_S), self._tried:
                await self._tried.wait_for(lambda: name not in self._pending or self._pending[name] is not value)
        except TimeoutError:
            self._log.warning("the record %s is not kept on the Prefect server yet; it is tried on", name)

    async def _write(self) -> None:
        while self._pending:
            for name, value in tuple(self._pending.items()):
                if await self._is_written(name, value) and self._pending.get(name) is value:
                    del self._pending[name]
                async with self._tried:
                    self._tried.notify_all()
            if self._pending and self.server.silence is not None:
                await self.server.pause()

    async def _is_written(self, name: str, value: Any) -> bool:
        try:
            if value is None:
                await variables.remove(self.server, name)
            else:
                await variables.write(self.server, name, value)
        except Unavailable:
            return False
        except httpx.HTTPStatusError as error:
            self._refused[name] = value, f"{error.response.status_code} {error.response.text[:200]}"
            self._log.error("the record %s is refused by the Prefect server: %s", name, self._refused[name][1])
        return True
