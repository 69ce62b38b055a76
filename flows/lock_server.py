"""Prefect's calls for global concurrency limits and their leases.

A lease begins short and is made long once its number has reached us: what the server grants while its answer gets lost
ends by itself soon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import httpx
from prefect.client.schemas.objects import ConcurrencyLeaseHolder
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from shunter.flows.server import PrefectServer, Unavailable

LEASE_S = 300.0
FIRST_LEASE_S = 60.0
"""The shortest that Prefect grants."""


class Granted(NamedTuple):
    """`existing`: those of the names that there are; the others lock nothing."""

    lease: UUID
    existing: frozenset[str]


class LockServer:
    """Every call returns or raises Unavailable within the server's deadline for a call."""

    def __init__(self, server: PrefectServer) -> None:
        self._server = server
        self._creating = asyncio.Lock()

    async def create(self, name: str) -> None:
        """See to it that a limit of this name and of size 1 exists. It keeps the slots taken.

        Created twice at once, it makes the server fail, and stand still for a minute where that has SQLite: so it is
        written as seldom as can be.
        """
        async with self._creating:
            if await self._has_size_1(name):
                return
            try:
                await self._server.ask(lambda client: client.upsert_global_concurrency_limit_by_name(name, 1))
            except ObjectAlreadyExists:
                return  # another run created it since we looked, with the same size

    async def take(self, names: Sequence[str], flow_run_id: UUID | None) -> Granted | None:
        """One slot of each, all or none, for FIRST_LEASE_S. None: at least one is taken."""
        holder = ConcurrencyLeaseHolder(type="flow_run", id=flow_run_id) if flow_run_id else None
        try:
            response = await self._server.ask_and_listen(
                lambda client: client.increment_concurrency_slots_with_lease(
                    names=list(names), slots=1, mode="concurrency", lease_duration=FIRST_LEASE_S, holder=holder
                ),
                self._give_back_at_once,
            )
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.LOCKED:
                return None
            raise Unavailable(str(error)) from error
        return _granted(response)

    async def _has_size_1(self, name: str) -> bool:
        try:
            limit = await self._server.ask(lambda client: client.read_global_concurrency_limit_by_name(name))
        except ObjectNotFound:
            return False
        return limit.limit == 1

    async def locks_nothing(self, name: str) -> bool:
        """Whether a limit of this name is missing, disabled or wider than 1, and so is granted to everybody."""
        try:
            limit = await self._server.ask(lambda client: client.read_global_concurrency_limit_by_name(name))
        except ObjectNotFound:
            return True
        return not limit.active or limit.limit != 1

    async def is_taken(self, name: str) -> bool:
        """Whether somebody has a slot of this limit; not where there is no such limit."""
        try:
            limit = await self._server.ask(lambda client: client.read_global_concurrency_limit_by_name(name))
        except ObjectNotFound:
            return False
        return limit.active_slots > 0

    async def renew(self, lease: UUID) -> bool:
        """Make the lease last LEASE_S from now. False: the server knows nothing of it any more."""
        try:
            await self._server.ask(
                lambda client: client.renew_concurrency_lease(lease_id=lease, lease_duration=LEASE_S)
            )
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.GONE:
                return False
            raise Unavailable(str(error)) from error
        return True

    async def give_back(self, lease: UUID) -> None:
        """Idempotent."""
        await self._server.ask(lambda client: client.release_concurrency_slots_with_lease(lease_id=lease))

    async def _give_back_at_once(self, response: httpx.Response) -> None:
        """Nobody waits for it any more. Where that fails, too, it ends by itself."""
        try:
            await self.give_back(_granted(response).lease)
        except Unavailable:
            return


def _granted(response: httpx.Response) -> Granted:
    """Raises Unavailable for what no Prefect server says."""
    try:
        answer = response.json()
        return Granted(UUID(answer["lease_id"]), frozenset(limit["name"] for limit in answer["limits"]))
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable("the Prefect server answers with what no Prefect server says") from error
