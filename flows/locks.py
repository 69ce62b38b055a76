"""Holding nodes across runs and processes (I1, R15): one global concurrency limit of size 1 a node, taken by a lease.

Prefect's own `concurrency(...)` is not used: it enters with whatever names exist, also with none locked, and it says
nothing of a lease that ran out. The raw calls tell which names were granted, and renewing answers "still ours?".

A lease is no fence. A server that is away for longer than the rest of the lease may give the nodes to another run when
it returns; hence the deadline of our own here, and the engine's fresh look at migrations under way before each start.
What a run holds it also claims (`claims`): who holds a node can be named, and what a dead run held is taken over. An
operator frees a node at once with `prefect gcl update NAME --active-slots 0`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID

from shunter.engine.holds import Denial, Denied
from shunter.flows.claims import Claims
from shunter.flows.lock_server import LEASE_S, LockServer
from shunter.flows.server import Logger, PrefectServer, Unavailable
from shunter.flows.spoken import duration, together
from shunter.topology.plan import Finding

RENEW_EVERY_S = LEASE_S / 5
RENEW_AGAIN_S = 2.0
GIVE_BACK_AT_ONCE_S = 1.0
"""Whoever gives a node back waits so long for the server; after that it is tried on in the background."""
CLOSING_S = 300.0
HURRIED_S = 3.0
WORTH_REPORTING_S = 10.0


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

    A server that does not answer is no reason to fail a run: what cannot be locked is asked for again later.
    """

    def __init__(self, server: PrefectServer, cluster: str, log: Logger, claims: Claims) -> None:
        self.server, self.claims = server, claims
        self._cluster, self._log = cluster, log
        self._locks = LockServer(server)
        self._created: set[str] = set()
        self._held: dict[UUID, PrefectHold] = {}
        self._waits: dict[tuple[str, str], _Wait] = {}
        self._claiming: asyncio.Task[None] | None = None
        self._closing_s = CLOSING_S

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, server: PrefectServer, cluster: str, log: Logger, flow_run_id: UUID | None = None, name: str = "unnamed"
    ) -> AsyncIterator[PrefectHolds]:
        """`flow_run_id`, `name`: whom others are told of, as the one who holds a node."""
        holds = cls(server, cluster, log, Claims.of(server, cluster, flow_run_id, name))
        try:
            yield holds
        finally:
            await holds._close()

    def hurry(self) -> None:
        """The run is to end soon: what the server does not take back at once ends by itself."""
        self._closing_s = HURRIED_S

    # -------------------------------------------------------------- taking

    async def prepare(self, nodes: Sequence[str]) -> None:
        """Create the limits of these nodes, so that the first migrations need not wait for that. Raises Unavailable."""
        await self._create([limit_name(self._cluster, node) for node in nodes])

    async def try_hold(self, nodes: tuple[str, ...]) -> PrefectHold | Denied:
        """Take all of these nodes at once, without waiting."""
        try:
            hold = await self._take({limit_name(self._cluster, node): node for node in nodes})
        except Unavailable as error:
            return Denied.alike(nodes, f"cannot be locked: {error}")
        self._note_waits(nodes, hold.why if isinstance(hold, Denied) else {})
        return hold

    async def try_hold_cluster(self) -> PrefectHold | Denied:
        """Take what only one run of a cluster may have. Raises Unavailable."""
        return await self._take({cluster_limit_name(self._cluster): "the whole cluster"})

    async def who_holds_cluster(self) -> str:
        """Which run has what `try_hold_cluster` takes: "is held by the run X"; empty where none has. Raises
        Unavailable.
        """
        limit = {cluster_limit_name(self._cluster): "the whole cluster"}
        if await self._take_over(limit) or not await self._locks.is_taken(next(iter(limit))):
            return ""
        return str((await self._who_holds(limit)).get("the whole cluster", ""))

    async def try_hold_watch(self) -> PrefectHold | Denied:
        """Take what only one watch of a cluster may have. Raises Unavailable."""
        return await self._take({watch_limit_name(self._cluster): "the watch"})

    async def _take(self, limits: Mapping[str, str]) -> PrefectHold | Denied:
        """`limits`: what each locks. Raises Unavailable."""
        subjects = tuple(limits.values())
        await self._until_given_back(subjects)
        await self._create(limits)
        granted = await self._locks.take(list(limits), self.claims.own.flow_run)
        if granted is None and await self._take_over(limits):
            granted = await self._locks.take(list(limits), self.claims.own.flow_run)
        if granted is None:
            why = await self._who_holds(limits)
            return Denied(why) if why else Denied.alike(subjects, "was held a moment ago")
        hold = PrefectHold(self, granted.lease, subjects)
        self._held[granted.lease] = hold
        try:
            # claimed before it is made long: what nobody claims ends soon
            await self._claim()
            if await self._locks_them(limits, granted.existing):
                await hold.renew()
                return hold
        except Unavailable:
            hold.release_soon()
            raise
        await hold.release()
        return Denied.alike(subjects, "cannot be locked: its lock would lock nothing, as the log says")

    async def _until_given_back(self, subjects: Sequence[str]) -> None:
        """What this run itself is still giving back is no reason to wait for its lease. Raises Unavailable."""
        wanted = set(subjects)
        going = {hold.giving_back for hold in self._held.values() if wanted & set(hold.subjects)} - {None}
        if going:
            await asyncio.wait([task for task in going if task is not None], timeout=GIVE_BACK_AT_ONCE_S)
        if self.server.silence is not None:
            await self.server.probe()  # what is asked of a silent server may be granted to nobody

    async def _create(self, names: Sequence[str] | Mapping[str, str]) -> None:
        for name in names:
            if name not in self._created:
                await self._locks.create(name)
                self._created.add(name)

    async def _locks_them(self, limits: Mapping[str, str], existing: frozenset[str]) -> bool:
        """A limit that somebody deleted, disabled or widened is granted to everybody: that is no lock."""
        asked = await asyncio.gather(*(self._locks.locks_nothing(name) for name in limits))
        useless = [name for name, nothing in zip(limits, asked, strict=True) if nothing or name not in existing]
        if useless:
            self._created.difference_update(useless)
            self._log.error(
                "%s would lock nothing: make it an active limit of size 1 "
                "(`prefect gcl enable NAME`, `prefect gcl update NAME --limit 1`)",
                together(useless),
            )
        return not useless

    # -------------------------------------------------------------- who holds what

    async def _take_over(self, limits: Mapping[str, str]) -> bool:
        """Whether a dead run held some of them, and holds them no more."""
        buried = await self.claims.buried(tuple(limits.values()))
        for claim, why in buried:
            self._log.warning("%s is dead, %s: what it held is taken over", claim, why)
        return bool(buried)

    async def _who_holds(self, limits: Mapping[str, str]) -> dict[str, Denial]:
        """Of those that are held, why they cannot be had."""
        why: dict[str, Denial] = {}
        own = {subject for hold in self._held.values() for subject in hold.subjects}
        others = (await self.claims.others()).values()
        for name, subject in limits.items():
            if not await self._locks.is_taken(name):
                continue
            claims = [claim for claim in others if claim.of((subject,))]
            if subject in own:
                why[subject] = Denial("is held by this run itself")
            elif claims:
                claim = max(claims, key=lambda claim: claim.renewed)
                why[subject] = Denial(f"is held by {claim}", f"until {claim.ends:%H:%M:%S}, unless it renews its lease")
            else:
                remedy = f"at once with `prefect gcl update '{name}' --active-slots 0`"
                why[subject] = Denial(
                    "is held by an unknown run", f"its lease ends within {duration(LEASE_S)}, or {remedy}"
                )
        return why

    def _note_waits(self, nodes: Sequence[str], why: Mapping[str, Denial]) -> None:
        now_at = asyncio.get_running_loop().time()
        for (node, reason), wait in self._waits.items():
            if node in nodes and wait.ended_at is None and (node not in why or why[node].reason != reason):
                wait.ended_at = now_at
        for node, denial in why.items():
            wait = self._waits.setdefault((node, denial.reason), _Wait(now_at))
            if wait.ended_at is not None:
                wait.before_s, wait.began_at, wait.ended_at = wait.lasted_s(now_at), now_at, None

    def findings(self) -> tuple[Finding, ...]:
        """For the report: what the server kept this run waiting for, and how long."""
        now_at = asyncio.get_running_loop().time()
        return (
            *self.server.findings(self._cluster),
            *(
                Finding(
                    rule="R15",
                    severity="info" if wait.ended_at is not None else "warning",
                    subject=f"node {node}",
                    message=f"{node} {reason}: this run waited {duration(wait.lasted_s(now_at))} for it",
                    remedy="nothing" if wait.ended_at is not None else "once it is free, run it again",
                )
                for (node, reason), wait in self._waits.items()
                if wait.lasted_s(now_at) >= WORTH_REPORTING_S
            ),
        )

    # -------------------------------------------------------------- keeping and giving back

    async def _claim(self) -> None:
        await self.claims.write({lease: hold.subjects for lease, hold in self._held.items() if not hold.lost})

    def claim_soon(self) -> None:
        """What is held has changed, which is written down without anybody waiting for it."""
        if self._claiming is None or self._claiming.done():
            self._claiming = asyncio.create_task(self._claim_later(), name="claims")

    async def _claim_later(self) -> None:
        await asyncio.sleep(0)  # what is given back together is written once
        try:
            await self._claim()
        except Unavailable:
            return  # written again with the next change, or renewal

    def forget(self, lease: UUID) -> None:
        self._held.pop(lease, None)
        self.claim_soon()

    async def _close(self) -> None:
        going = {hold.release_soon() for hold in tuple(self._held.values())}
        try:
            if going:
                await asyncio.wait(going, timeout=self._closing_s)
            if self._claiming is not None:
                await asyncio.wait({self._claiming}, timeout=self._closing_s)
            await self.claims.remove()
        except Unavailable as error:
            self._log.warning("that this run is over could not be written down: %s", error)
        finally:
            left: set[asyncio.Task[Any]] = {task for task in going if not task.done()}
            if self._claiming is not None:
                left.add(self._claiming)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            for hold in self._held.values():
                self._log.warning("the lock on %s could not be given back; it ends by itself", together(hold.subjects))


@dataclass(slots=True)
class _Wait:
    """For a node that somebody else held. Times are the event loop's."""

    began_at: float
    ended_at: float | None = None
    before_s: float = 0.0

    def lasted_s(self, now_at: float) -> float:
        return self.before_s + (self.ended_at if self.ended_at is not None else now_at) - self.began_at


class PrefectHold:
    """What is leased until released; renewed in the background. `lost`: it may be somebody else's by now.
    `giving_back`: the server has not said yet that it has it.
    """

    def __init__(self, holds: PrefectHolds, lease: UUID, subjects: tuple[str, ...]) -> None:
        self.lease, self.subjects = lease, subjects
        self.lost = False
        self.giving_back: asyncio.Task[None] | None = None
        self._holds, self._log = holds, holds._log
        self._locks = holds._locks
        self._loop = asyncio.get_running_loop()
        self._ends_at = self._loop.time() + LEASE_S
        self._renewing = asyncio.create_task(self._renew_until_lost(), name=f"lease on {together(subjects)}")

    async def why_not_ours(self) -> str:
        """Empty where the server, asked just now, says that it is."""
        if self.giving_back is None and not self.lost:
            try:
                await self.renew()
            except Unavailable as error:
                return f"its lock cannot be confirmed: {error}"
        return "" if self.giving_back is None and not self.lost else "the lock on its nodes was lost"

    async def release(self) -> None:
        """Give the nodes back. Never raises: what was done under the lock is done. Where the server does not answer
        it is tried on.
        """
        await asyncio.wait({self.release_soon()}, timeout=GIVE_BACK_AT_ONCE_S)

    def release_soon(self) -> asyncio.Task[None]:
        """As `release`, without waiting."""
        if self.giving_back is None:
            self._renewing.cancel()
            self.giving_back = asyncio.create_task(self._give_back(), name=f"giving back {together(self.subjects)}")
        return self.giving_back

    async def _give_back(self) -> None:
        while self._loop.time() < self._ends_at:
            try:
                await self._locks.give_back(self.lease)
                break
            except Unavailable:
                await self._holds.server.pause()
        self._holds.forget(self.lease)

    async def renew(self) -> None:
        """Ask for another full lease; where the server refuses, it is lost for good. Raises Unavailable."""
        asked_at = self._loop.time()
        if await self._locks.renew(self.lease):
            self._ends_at = asked_at + LEASE_S
        else:
            self._lose("the server knows nothing of it any more")

    async def _renew_until_lost(self) -> None:
        while not self.lost:
            await asyncio.sleep(RENEW_EVERY_S)
            while not self.lost:
                try:
                    await self.renew()
                except Unavailable:
                    if self._loop.time() >= self._ends_at:
                        self._lose(f"it could not be renewed for {LEASE_S:g} s")
                    await asyncio.sleep(RENEW_AGAIN_S)
                else:
                    self._holds.claim_soon()
                    break

    def _lose(self, why: str) -> None:
        if not self.lost and self.giving_back is None:
            self._log.warning("the lock on %s is lost: %s", together(self.subjects), why)
        self.lost = True
