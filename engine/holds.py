"""Holding the two nodes of a migration, so that no other run uses them meanwhile (I1, R15)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from shunter.clusters.clock import Clock
from shunter.engine.audience import Audience, Waiting


class Hold(Protocol):
    """Nodes that are ours until released. A hold is not a fence: ask `why_not_ours` before each step that matters."""

    async def why_not_ours(self) -> str:
        """Empty while they are ours."""
        ...

    async def release(self) -> None: ...


class Denial(NamedTuple):
    """Why a node cannot be had now, such as "is held by the run X"; and what is known of how long."""

    reason: str
    until: str = ""

    def __str__(self) -> str:
        return f"{self.reason} ({self.until})" if self.until else self.reason


@dataclass(frozen=True, slots=True)
class Denied:
    """Nodes that are not ours now, and why not, by node; they are asked for again soon."""

    why: Mapping[str, Denial]

    @classmethod
    def alike(cls, nodes: Iterable[str], reason: str) -> Denied:
        """All of them for one reason."""
        return cls(dict.fromkeys(nodes, Denial(reason)))

    def __str__(self) -> str:
        return "; ".join(f"{node} {denial}" for node, denial in self.why.items())


HELD_ELSEWHERE = "is held by another run"
HOLD_AGAIN_S = 3.0
PATIENCE_S = 1800.0
"""How long a run waits for what others hold, and how often it asks. Locks know no other time than that of the machine:
both are the event loop's seconds, whatever the cluster's clock.
"""


async def hold_patiently(
    holds: Holds, node: str, audience: Audience, clock: Clock, *, give_up: Callable[[], bool]
) -> Hold | Denied:
    """One node alone. Denied after patience is at its end, or when `give_up` says so."""
    loop = asyncio.get_running_loop()
    until_at = loop.time() + PATIENCE_S
    while isinstance(hold := await holds.try_hold((node,)), Denied):
        left_s = until_at - loop.time()
        if left_s <= 0 or give_up():
            return hold
        until_s = clock.now_s() + left_s * clock.speed
        audience.waiting(tuple(Waiting(f"node {each}", str(why), until_s) for each, why in hold.why.items()))
        await asyncio.sleep(HOLD_AGAIN_S)
    audience.waiting(())
    return hold


class Holds(Protocol):
    async def try_hold(self, nodes: tuple[str, ...]) -> Hold | Denied:
        """Take all of these nodes at once, without waiting."""
        ...


class OwnHold:
    def __init__(self, held: set[str], nodes: tuple[str, ...]) -> None:
        self._held, self._nodes = held, nodes

    async def why_not_ours(self) -> str:
        return "" if self._held.issuperset(self._nodes) else "the lock on its nodes was lost"

    async def release(self) -> None:
        self._held.difference_update(self._nodes)


class OwnHolds:
    """Holds within one process: for virtual time, and for callers without a Prefect server."""

    def __init__(self) -> None:
        self._held: set[str] = set()

    async def try_hold(self, nodes: tuple[str, ...]) -> Hold | Denied:
        if taken := [node for node in nodes if node in self._held]:
            return Denied.alike(taken, HELD_ELSEWHERE)
        self._held.update(nodes)
        return OwnHold(self._held, nodes)
