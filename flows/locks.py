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
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import quote
from uuid import UUID

from prefect.logging.loggers import LoggingAdapter

from shunter.flows.errors import PrefectUnreachable
from shunter.flows.lock_server import LEASE_S, LockServer, Unavailable

RENEW_EVERY_S = LEASE_S / 3
RENEW_AGAIN_S = 5.0

Logger = logging.Logger | LoggingAdapter


def limit_name(cluster: str, node: str) -> str:
    """The name of a node's limit, such as "shunter:prod-1:N1".

    Prefect forbids / % & < > and puts the name into a URL as it is, so everything but letters, digits and "-_.~ " is
    written as in quoted-printable text (=2F for a slash): different nodes never share a limit.
    """
    return ":".join(["shunter", *(quote(name, safe=" ").replace("%", "=") for name in (cluster, node))])


def cluster_limit_name(cluster: str) -> str:
    """The limit that a rolling run holds, such as "shunter:prod-1::rolling maintenance"; no node's is called so."""
    return f"{limit_name(cluster, '')}:rolling maintenance"


def watch_limit_name(cluster: str) -> str:
    """The limit that a watch holds, such as "shunter:prod-1::watch": nothing is told twice."""
    return f"{limit_name(cluster, '')}:watch"


class PrefectHolds:
    """Holds on nodes of one cluster, and on the cluster as a whole, for one run. Use `opened`.

    A server that does not answer is no reason to fail a run: nodes that cannot be locked count as held by others, and
    the log says why.
    """

    def __init__(self, server: LockServer, cluster: str, log: Logger, flow_run_id: UUID | None) -> None:
        self._server, self._cluster, self._log, self._flow_run_id = server, cluster, log, flow_run_id
        self._created: set[str] = set()
        self._held: weakref.WeakSet[PrefectHold] = weakref.WeakSet()

    @classmethod
    @asynccontextmanager
    async def opened(cls, cluster: str, log: Logger, flow_run_id: UUID | None = None) -> AsyncIterator[PrefectHolds]:
        """`flow_run_id` is shown at a limit as its holder."""
        async with LockServer.connected() as server:
            holds = cls(server, cluster, log, flow_run_id)
            try:
                yield holds
            finally:
                await asyncio.gather(*(hold.release() for hold in holds._held))

    async def prepare(self, nodes: Sequence[str]) -> None:
        """Create the limits of these nodes, so that the first migrations need not wait for that."""
        try:
            await self._create([limit_name(self._cluster, node) for node in nodes])
        except Unavailable as error:
            self._log.warning("the locks of %s cannot be prepared: %s", self._cluster, error)

    async def try_hold(self, nodes: tuple[str, ...]) -> PrefectHold | None:
        """Take all of these nodes at once, without waiting. None: not ours now, ask again later."""
        return await self._try_limits([limit_name(self._cluster, node) for node in nodes], nodes)

    async def try_hold_cluster(self) -> PrefectHold | None:
        """Take what only one run of a cluster may have, without waiting. None: not ours now."""
        return await self._try_limits([cluster_limit_name(self._cluster)], (f"the whole of {self._cluster}",))

    async def cluster_is_held(self) -> bool:
        """Whether some run has what `try_hold_cluster` takes. Raises PrefectUnreachable."""
        try:
            return await self._server.is_taken(cluster_limit_name(self._cluster))
        except Unavailable as error:
            raise PrefectUnreachable(f"nobody can tell whether a rolling run is under way: {error}") from error

    async def try_hold_watch(self) -> PrefectHold | None:
        """Take what only one watch of a cluster may have, without waiting. None: not ours now."""
        return await self._try_limits([watch_limit_name(self._cluster)], (f"the watch of {self._cluster}",))

    async def watch_is_held(self) -> bool:
        """Whether some run has what `try_hold_watch` takes. False, too, while the server does not answer."""
        try:
            return await self._server.is_taken(watch_limit_name(self._cluster))
        except Unavailable:
            return False

    async def _try_limits(self, names: list[str], subjects: tuple[str, ...]) -> PrefectHold | None:
        try:
            await self._create(names)
            taken = await self._server.take(names, self._flow_run_id)
            if taken is None:
                return None
            lease, granted = taken
            hold = PrefectHold(self._server, lease, subjects, self._log)
            self._held.add(hold)
            if await self._locks_them(names, granted):
                return hold
        except Unavailable as error:
            self._log.warning("%s cannot be locked, the Prefect server is out of reach: %s", _listed(subjects), error)
            return None
        await hold.release()
        return None

    async def _create(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self._created:
                await self._server.create(name)
                self._created.add(name)

    async def _locks_them(self, names: list[str], granted: frozenset[str]) -> bool:
        """A limit that somebody deleted, disabled or widened is granted to everybody: that is no lock."""
        asked = await asyncio.gather(*(self._server.locks_nothing(name) for name in names))
        useless = [name for name, nothing in zip(names, asked, strict=True) if nothing or name not in granted]
        if useless:
            self._created.difference_update(useless)
            self._log.error(
                "%s would lock nothing: make it an active limit of size 1 "
                "(`prefect gcl enable NAME`, `prefect gcl update NAME --limit 1`)",
                _listed(useless),
            )
        return not useless


class PrefectHold:
    """What is leased until released; renewed in the background. `lost`: it may be somebody else's by now."""

    def __init__(self, server: LockServer, lease: UUID, nodes: tuple[str, ...], log: Logger) -> None:
        self.lease = lease
        self.lost = False
        self._server, self._nodes, self._log = server, nodes, log
        self._loop = asyncio.get_running_loop()
        self._ends_at = self._loop.time() + LEASE_S
        self._releasing: asyncio.Task[None] | None = None
        self._renewing = asyncio.create_task(self._renew_until_lost(), name=f"lease on {_listed(nodes)}")

    async def still_ours(self) -> bool:
        """Whether the server, asked just now, says so. While it does not answer nobody can know: False."""
        return self._releasing is None and not self.lost and await self._renew()

    async def release(self) -> None:
        """Give the nodes back. Never raises: what was done under the lock is done, and the lease ends by itself."""
        if self._releasing is None:
            self._renewing.cancel()
            self._releasing = asyncio.create_task(self._give_back(), name=f"giving back {_listed(self._nodes)}")
        await asyncio.shield(self._releasing)

    async def _give_back(self) -> None:
        try:
            await self._server.give_back(self.lease)
        except Unavailable as error:
            message = "the lock on %s could not be given back (%s); it ends by itself within %g s"
            self._log.warning(message, _listed(self._nodes), error, LEASE_S)

    async def _renew(self) -> bool:
        """Ask for another full lease. False: not renewed, and where the server refused, lost for good."""
        asked_at = self._loop.time()
        try:
            renewed = await self._server.renew(self.lease)
        except Unavailable:
            return False
        if renewed:
            self._ends_at = asked_at + LEASE_S
        else:
            self._lose("the server knows nothing of it any more")
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
        if not self.lost and self._releasing is None:
            self._log.warning("the lock on %s is lost: %s", _listed(self._nodes), why)
        self.lost = True


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names)
