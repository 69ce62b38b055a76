"""Holding nodes across runs and processes (I1, R15): one global concurrency limit of size 1 a node, taken by a lease.

Prefect's own `concurrency(...)` is not used: it enters with whatever names exist, also with none locked, and it says
nothing of a lease that ran out. The raw calls tell which names were granted, and renewing answers "still ours?".

A lease is no fence. A server that is away for longer than the rest of the lease may give the nodes to another run when
it returns; hence the deadline of our own here, and the engine's fresh look at migrations under way before each start.
An operator frees what a dead run left behind before its lease ends with `prefect gcl update NAME --active-slots 0`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self
from urllib.parse import quote
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import ConcurrencyLeaseHolder
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.logging.loggers import LoggingAdapter

LEASE_S = 300.0
RENEW_EVERY_S = LEASE_S / 3
RENEW_AGAIN_S = 5.0
CALL_DEADLINE_S = 10.0

Logger = logging.Logger | LoggingAdapter


def limit_name(cluster: str, node: str) -> str:
    """The name of a node's limit, such as "shunter:prod-1:N1".

    Prefect forbids / % & < > and puts the name into a URL as it is, so everything but letters, digits and "-_.~ " is
    written as in quoted-printable text (=2F for a slash): different nodes never share a limit.
    """
    return ":".join(["shunter", *(quote(name, safe=" ").replace("%", "=") for name in (cluster, node))])


class PrefectHolds:
    """Holds on nodes of one cluster, for one run. Use as an async context manager.

    `flow_run_id` is shown at the limit as its holder. A server that does not answer is no reason to fail a run: nodes
    that cannot be locked count as held by others, and the log says why.
    """

    def __init__(self, cluster: str, log: Logger, flow_run_id: UUID | None = None) -> None:
        self._cluster = cluster
        self._log = log
        self._holder = ConcurrencyLeaseHolder(type="flow_run", id=flow_run_id) if flow_run_id else None
        self._created: set[str] = set()
        self._stack = AsyncExitStack()
        self._client: PrefectClient

    async def __aenter__(self) -> Self:
        self._client = await self._stack.enter_async_context(get_client())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def prepare(self, nodes: Sequence[str]) -> None:
        """Create the limits of these nodes, so that the first migrations need not wait for that."""
        try:
            async with asyncio.timeout(CALL_DEADLINE_S):
                await self._create([limit_name(self._cluster, node) for node in nodes])
        except (httpx.HTTPError, TimeoutError) as error:
            self._log.warning("the locks of %s cannot be prepared: %s", self._cluster, str(error) or "no answer")

    async def try_hold(self, nodes: tuple[str, ...]) -> PrefectHold | None:
        """Take all of these nodes at once, without waiting. None: not ours now, ask again later."""
        names = [limit_name(self._cluster, node) for node in nodes]
        try:
            async with asyncio.timeout(CALL_DEADLINE_S):
                await self._create(names)
                lease, granted = await self._take(names)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.LOCKED:
                self._log.warning("%s cannot be locked, Prefect says: %s", " and ".join(nodes), error)
            return None
        except (httpx.HTTPError, TimeoutError) as error:
            reason = str(error) or "no answer"
            self._log.warning("%s cannot be locked, the Prefect server is out of reach: %s", " and ".join(nodes), reason)
            return None
        hold = PrefectHold(self._client, lease, nodes, self._log)
        if not await self._locks_them(names, granted):
            await hold.release()
            return None
        return hold

    async def _create(self, names: Sequence[str]) -> None:
        for name in names:
            if name in self._created:
                continue
            try:
                await self._client.upsert_global_concurrency_limit_by_name(name, 1)
            except ObjectAlreadyExists:
                pass  # another run created it since we looked, with the same size
            self._created.add(name)

    async def _take(self, names: list[str]) -> tuple[UUID, set[str]]:
        response = await self._client.increment_concurrency_slots_with_lease(
            names=names, slots=1, mode="concurrency", lease_duration=LEASE_S, holder=self._holder
        )
        answer = response.json()
        return UUID(answer["lease_id"]), {limit["name"] for limit in answer["limits"]}

    async def _locks_them(self, names: list[str], granted: set[str]) -> bool:
        """A limit that somebody deleted, disabled or widened is granted to everybody."""
        try:
            async with asyncio.timeout(CALL_DEADLINE_S):
                limits = await asyncio.gather(*map(self._client.read_global_concurrency_limit_by_name, names))
        except (ObjectNotFound, httpx.HTTPError, TimeoutError) as error:
            self._log.warning("locks %s cannot be checked: %s", ", ".join(names), str(error) or "no answer")
            self._created.difference_update(names)
            return False
        useless = [limit.name for limit in limits if not limit.active or limit.limit != 1]
        if useless or granted != set(names):
            self._created.difference_update(names)
            self._log.error(
                "%s would lock nothing: make each an active limit of size 1 "
                "(`prefect gcl enable NAME`, `prefect gcl update NAME --limit 1`)",
                ", ".join(useless or sorted(set(names) - granted)),
            )
            return False
        return True


class PrefectHold:
    """Nodes leased until released; renewed in the background. `lost`: they may be somebody else's by now."""

    def __init__(self, client: PrefectClient, lease: UUID, nodes: tuple[str, ...], log: Logger) -> None:
        self._client, self.lease, self._nodes, self._log = client, lease, nodes, log
        self._loop = asyncio.get_running_loop()
        self._ends_at = self._loop.time() + LEASE_S
        self._released = False
        self.lost = False
        self._renewing = asyncio.create_task(self._renew_until_lost(), name=f"lease on {' and '.join(nodes)}")

    async def still_ours(self) -> bool:
        """Whether the server, asked just now, says so. While it does not answer nobody can know: False."""
        return not self._released and not self.lost and await self._renew()

    async def release(self) -> None:
        """Give the nodes back. Never raises: what was done under the lock is done, and the lease ends by itself."""
        if self._released:
            return
        self._released = True
        self._renewing.cancel()
        try:
            async with asyncio.timeout(CALL_DEADLINE_S):
                await self._client.release_concurrency_slots_with_lease(lease_id=self.lease)
        except (httpx.HTTPError, TimeoutError) as error:
            self._log.warning(
                "the lock on %s could not be given back (%s); it ends by itself within %g s",
                " and ".join(self._nodes),
                str(error) or "no answer",
                LEASE_S,
            )

    async def _renew(self) -> bool:
        """Ask for another full lease. False: not renewed, and where the server refused, lost for good."""
        asked_at = self._loop.time()
        try:
            async with asyncio.timeout(CALL_DEADLINE_S):
                await self._client.renew_concurrency_lease(lease_id=self.lease, lease_duration=LEASE_S)
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.GONE:
                self._lose("the server knows nothing of it any more")
            return False
        except (httpx.HTTPError, TimeoutError):
            return False
        self._ends_at = asked_at + LEASE_S
        return not self.lost

    async def _renew_until_lost(self) -> None:
        while not self.lost:
            await asyncio.sleep(RENEW_EVERY_S)
            while not self.lost and not await self._renew():
                if self._loop.time() >= self._ends_at:
                    self._lose(f"it could not be renewed for {LEASE_S:g} s")
                else:
                    await asyncio.sleep(RENEW_AGAIN_S)

    def _lose(self, why: str) -> None:
        if not self.lost and not self._released:
            self._log.warning("the lock on %s is lost: %s", " and ".join(self._nodes), why)
        self.lost = True
