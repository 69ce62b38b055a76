"""Prefect's calls for global concurrency limits and their leases, each asked once and answered soon.

Prefect's client repeats a request whose answer was lost, and pauses for seconds after "try again" (which a busy SQLite
says now and then). A lock must neither be taken twice nor be waited for, so both are off here.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import ConcurrencyLeaseHolder
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

CALL_DEADLINE_S = 10.0
TRY_AGAIN_AFTER_S = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
LEASE_S = 300.0

T = TypeVar("T")


class Unavailable(Exception):
    """The Prefect server did not answer; what was asked may have happened."""


class _Busy(Exception):
    """The server did nothing and says: try again. Raised past Prefect's client, which would do so in seconds."""


async def _raise_if_busy(response: httpx.Response) -> None:
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        raise _Busy("the Prefect server is too busy")


class LockServer:
    """Every call returns or raises Unavailable within CALL_DEADLINE_S. Use `connected`."""

    def __init__(self, client: PrefectClient, once: contextvars.Context) -> None:
        self._client = client
        self._once = once

    @classmethod
    @asynccontextmanager
    async def connected(cls) -> AsyncIterator[LockServer]:
        async with get_client(httpx_settings={"event_hooks": {"response": [_raise_if_busy]}}) as client:
            with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
                once = contextvars.copy_context()
            yield cls(client, once)

    async def create(self, name: str) -> None:
        """See to it that a limit of this name and of size 1 exists. It keeps the slots taken."""
        try:
            await self._ask(lambda: self._client.upsert_global_concurrency_limit_by_name(name, 1))
        except ObjectAlreadyExists:
            return  # another run created it since we looked, with the same size

    async def take(self, names: Sequence[str], flow_run_id: UUID | None) -> tuple[UUID, frozenset[str]] | None:
        """One slot of each, all or none: the lease, and which of the names exist. None: at least one is taken."""
        holder = ConcurrencyLeaseHolder(type="flow_run", id=flow_run_id) if flow_run_id else None
        try:
            response = await self._ask(
                lambda: self._client.increment_concurrency_slots_with_lease(
                    names=list(names), slots=1, mode="concurrency", lease_duration=LEASE_S, holder=holder
                )
            )
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.LOCKED:
                return None
            raise Unavailable(str(error)) from error
        answer = response.json()
        return UUID(answer["lease_id"]), frozenset(limit["name"] for limit in answer["limits"])

    async def locks_nothing(self, name: str) -> bool:
        """Whether a limit of this name is missing, disabled or wider than 1, and so is granted to everybody."""
        try:
            limit = await self._ask(lambda: self._client.read_global_concurrency_limit_by_name(name))
        except ObjectNotFound:
            return True
        return not limit.active or limit.limit != 1

    async def is_taken(self, name: str) -> bool:
        """Whether somebody has a slot of this limit; not where there is no such limit."""
        try:
            return (await self._ask(lambda: self._client.read_global_concurrency_limit_by_name(name))).active_slots > 0
        except ObjectNotFound:
            return False

    async def renew(self, lease: UUID) -> bool:
        """Make the lease last LEASE_S from now. False: the server knows nothing of it any more."""
        try:
            await self._ask(lambda: self._client.renew_concurrency_lease(lease_id=lease, lease_duration=LEASE_S))
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.GONE:
                return False
            raise Unavailable(str(error)) from error
        return True

    async def give_back(self, lease: UUID) -> None:
        """Idempotent."""
        await self._ask(lambda: self._client.release_concurrency_slots_with_lease(lease_id=lease))

    async def _ask(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Raises what the server says no with; Unavailable when it says nothing."""
        try:
            async with asyncio.timeout(CALL_DEADLINE_S):
                for pause_s in TRY_AGAIN_AFTER_S:
                    try:
                        return await self._ask_once(call)
                    except _Busy:
                        await asyncio.sleep(pause_s)
                return await self._ask_once(call)
        except httpx.HTTPStatusError as error:
            if error.response.is_server_error:
                raise Unavailable(str(error)) from error
            raise
        except (httpx.HTTPError, TimeoutError, _Busy) as error:
            raise Unavailable(str(error) or f"no answer within {CALL_DEADLINE_S:g} s") from error

    async def _ask_once(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await asyncio.get_running_loop().create_task(call(), context=self._once)
