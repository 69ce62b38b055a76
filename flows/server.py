"""The Prefect server as a run speaks to it: each call is asked once and answered soon, and silence is told as such.

Prefect's client repeats a request whose answer was lost, and pauses for seconds after "try again" (which a busy SQLite
says now and then), for longer and longer while the server is away. A run would neither know what its locks are worth
nor hear within seconds that the server is back, so both are off here.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.logging.loggers import LoggingAdapter
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from shunter.engine.stop import Stop
from shunter.flows.errors import PrefectUnreachable, StoppedWaiting
from shunter.flows.spoken import duration
from shunter.flows.unanswered import is_unanswered, what_came
from shunter.topology.plan import Finding

Logger = logging.Logger | LoggingAdapter

CALL_DEADLINE_S = 10.0
TRY_AGAIN_AFTER_S = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
PATIENCE_S = 900.0
"""How long a run waits for the server before it begins."""
ASK_AGAIN_S = 1.0
LONGEST_ANSWER_S = 360.0
"""An answer that must not get lost is listened for so long."""
WORTH_REPORTING_S = 3.0

T = TypeVar("T")


class Unavailable(Exception):
    """The Prefect server did not answer; what was asked may have happened."""


class _Busy(Exception):
    """The server did nothing and says: try again. Raised past Prefect's client, which would do so in seconds."""


async def _raise_if_busy(response: httpx.Response) -> None:
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        raise _Busy("the Prefect server is too busy")


@dataclass(slots=True)
class Silence:
    """A time in which the server did not answer. `since`, by the wall clock of this machine; `began_at`, the same by
    the event loop's; `lasted_s` None: it still does not.
    """

    since: datetime
    began_at: float
    why: str
    lasted_s: float | None = None

    def __str__(self) -> str:
        if self.lasted_s is None:
            return f"the Prefect server does not answer since {self.since:%H:%M:%S} ({self.why})"
        return f"the Prefect server did not answer for {duration(self.lasted_s)} from {self.since:%H:%M:%S} on"


class PrefectServer:
    """What one run asks of the server. Use `connected`. Each call returns or raises Unavailable within CALL_DEADLINE_S.

    `silences`: all that there were, the last of which may still go on.
    """

    def __init__(
        self, client: PrefectClient, once: contextvars.Context, log: Logger, say: Callable[[str], None]
    ) -> None:
        self.silences: list[Silence] = []
        self._listening: set[asyncio.Future[Any]] = set()
        self._client, self._once, self._log, self._say = client, once, log, say

    @classmethod
    @asynccontextmanager
    async def connected(cls, log: Logger, say: Callable[[str], None] = lambda _: None) -> AsyncIterator[PrefectServer]:
        """`say` is told when the server falls silent, every now and then while something waits for it, and with an
        empty text when it answers again.
        """
        settings = {"event_hooks": {"response": [_raise_if_busy]}, "timeout": LONGEST_ANSWER_S}
        async with get_client(httpx_settings=settings) as client:
            with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
                once = contextvars.copy_context()
            server = cls(client, once, log, say)
            try:
                yield server
            finally:
                for listening in tuple(server._listening):
                    listening.cancel()
                await asyncio.gather(*tuple(server._listening), return_exceptions=True)

    @property
    def silence(self) -> Silence | None:
        """The one that goes on."""
        return self.silences[-1] if self.silences and self.silences[-1].lasted_s is None else None

    async def ask(self, call: Callable[[PrefectClient], Coroutine[Any, Any, T]]) -> T:
        """Raises what the server says no with; Unavailable where it says nothing, or nothing but that it failed."""
        return await self._judged(self._asked(call))

    async def ask_and_listen(
        self, call: Callable[[PrefectClient], Coroutine[Any, Any, T]], late: Callable[[T], Coroutine[Any, Any, None]]
    ) -> T:
        """As `ask`, for a call whose answer must not get lost: one that comes too late is handed to `late`."""
        asking = asyncio.ensure_future(self._asked(call))
        try:
            return await self._judged(asyncio.shield(asking))
        finally:
            if not asking.done():
                self._listening.add(asking)
                asking.add_done_callback(lambda answered: self._hear_late(answered, late))

    async def insist(self, attempt: Callable[[], Awaitable[T]], stop: Stop | None = None) -> T:
        """Try until the server answers: no answer is none. Raises PrefectUnreachable once patience is at its end, or
        the run is asked to stop.
        """
        until_at = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                return await attempt()
            except Unavailable as error:
                if stop is not None and stop.asked:
                    raise StoppedWaiting(f"stopped while waiting: {error}. Nothing was touched") from error
                if asyncio.get_running_loop().time() >= until_at:
                    raise PrefectUnreachable(f"{error}: given up after {duration(PATIENCE_S)}") from error
            await self.pause(stop)

    async def pause(self, stop: Stop | None = None) -> None:
        """Between two tries."""
        if stop is None:
            await asyncio.sleep(ASK_AGAIN_S)
            return
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait({stopped}, timeout=ASK_AGAIN_S)
        stopped.cancel()

    async def probe(self) -> None:
        """Raises Unavailable where it does not answer now."""
        await self.ask(lambda client: client.request("GET", "/health"))

    def findings(self, cluster: str) -> tuple[Finding, ...]:
        """For the report: when the server was silent, and for how long."""
        now_at = asyncio.get_running_loop().time()
        long = [each for each in self.silences if (each.lasted_s or now_at - each.began_at) >= WORTH_REPORTING_S]
        return tuple(
            Finding(
                rule="I1",
                severity="warning",
                subject=f"cluster {cluster}",
                message=f"{each}; no node could be locked meanwhile, so nothing new was started",
                remedy="look at the Prefect server and the network between; the run went on with what was under way",
            )
            for each in long
        )

    async def _judged(self, answering: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(CALL_DEADLINE_S):
                answer = await answering
        except httpx.HTTPStatusError as error:
            if error.response.is_server_error:
                raise self._silent(f"{error.response.status_code} {error.response.reason_phrase}") from error
            self._answers()
            raise
        except (ObjectNotFound, ObjectAlreadyExists):
            self._answers()
            raise
        except (TimeoutError, _Busy) as error:
            raise self._silent(str(error) or f"no answer within {CALL_DEADLINE_S:g} s") from error
        except Exception as error:
            if not is_unanswered(error):
                raise
            why = str(error) if isinstance(error, httpx.RequestError) else what_came(error)
            raise self._silent(why or type(error).__name__) from error
        self._answers()
        return answer

    async def _asked(self, call: Callable[[PrefectClient], Coroutine[Any, Any, T]]) -> T:
        for pause_s in TRY_AGAIN_AFTER_S:
            try:
                return await self._asked_once(call)
            except _Busy:
                await asyncio.sleep(pause_s)
        return await self._asked_once(call)

    async def _asked_once(self, call: Callable[[PrefectClient], Coroutine[Any, Any, T]]) -> T:
        return await asyncio.get_running_loop().create_task(call(self._client), context=self._once)

    def _silent(self, why: str) -> Unavailable:
        if self.silence is None:
            self.silences.append(Silence(datetime.now().astimezone(), asyncio.get_running_loop().time(), why))
            self._log.warning("%s", self.silences[-1])
        silence = self.silences[-1]
        self._say(str(silence))
        return Unavailable(str(silence))

    def _answers(self) -> None:
        silence = self.silence
        if silence is not None:
            silence.lasted_s = asyncio.get_running_loop().time() - silence.began_at
            self._log.warning("it answers again: %s", silence)
            self._say("")

    def _hear_late(self, answered: asyncio.Future[T], late: Callable[[T], Coroutine[Any, Any, None]]) -> None:
        self._listening.discard(answered)
        if answered.cancelled() or answered.exception() is not None:
            return
        hearing = asyncio.ensure_future(late(answered.result()))
        self._listening.add(hearing)
        hearing.add_done_callback(self._listening.discard)
