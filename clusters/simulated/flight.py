"""One live migration on its way through a simulated cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from math import ceil
from typing import Literal

from shunter.clusters.clock import Clock
from shunter.clusters.port import MigrationSeen, Phase
from shunter.clusters.simulated.copying import Course
from shunter.topology.model import Actor

Outcome = Literal["done", "failed", "cancelled", "source_lost", "target_lost"]

MOST_GLIMPSES = 20


class Flight:
    """`fails_at`: the fraction of the copying at which it fails, if it does. `sight_is_lost`: followers lose it."""

    def __init__(
        self,
        vm: str,
        source: str,
        target: str,
        by: Actor,
        started_s: float,
        clock: Clock,
        course: Course,
        fails_at: float | None,
    ) -> None:
        self.vm, self.source, self.target, self.by, self.started_s = vm, source, target, by, started_s
        self.sight_is_lost = False
        self.switched = False
        self.landed = asyncio.Event()
        self._clock, self._course, self._fails_at = clock, course, fails_at
        self._zero_s = clock.now_s()
        self._phase = Phase.PREPARING
        self._seen: list[MigrationSeen] = []
        self._news = asyncio.Event()
        self._fate: Outcome | None = None
        self._ended = asyncio.Event()

    @property
    def can_be_cancelled(self) -> bool:
        return self._phase in (Phase.PREPARING, Phase.UNLOADING_OFFLOAD, Phase.COPYING)

    def end(self, fate: Outcome) -> None:
        """Something from outside ends the migration."""
        self._fate = self._fate or fate
        self._ended.set()

    async def fly(self, switch: Callable[[], None]) -> Outcome:
        """Go through all phases; `switch` is called at the instant at which the target takes over."""
        course = self._course
        at_s = 0.0
        self._show(Phase.PREPARING, 0.0)
        at_s += course.preparing_s
        if not await self._until(at_s):
            return self._outcome()
        if course.unloading_s:
            self._show(Phase.UNLOADING_OFFLOAD, 0.0)
            at_s += course.unloading_s
            if not await self._until(at_s):
                return self._outcome()
        glimpses = min(MOST_GLIMPSES, max(1, ceil(course.copying_s)))
        for i in range(glimpses):
            self._show(Phase.COPYING, 100.0 * i / glimpses)
            share = (i + 1) / glimpses
            fails = self._fails_at is not None and share >= self._fails_at
            share = self._fails_at if fails and self._fails_at is not None else share
            if not await self._until(at_s + course.copying_s * share):
                return self._outcome()
            if fails:
                return "failed"
        at_s += course.copying_s
        self._show(Phase.SWITCHING, 100.0)
        at_s += course.switching_s
        if not await self._until(at_s):
            return self._outcome()
        self.switched = True
        switch()
        self._show(Phase.SETTLING, 100.0)
        at_s += course.settling_s
        await self._until(at_s)
        return self._outcome()

    def _outcome(self) -> Outcome:
        if self.switched and self._fate != "target_lost":
            return "done"
        return self._fate or "done"

    async def _until(self, at_s: float) -> bool:
        """Wait until so many seconds after the start; False when something ended the migration before."""
        left_s = self._zero_s + at_s - self._clock.now_s()
        if left_s > 0 and not self._ended.is_set():
            try:
                async with asyncio.timeout(self._clock.loop_s(left_s)):
                    await self._ended.wait()
            except TimeoutError:
                return True
        return not self._ended.is_set()

    def _show(self, phase: Phase, percent: float) -> None:
        self._phase = phase
        self._seen.append(MigrationSeen(self._clock.now_s(), phase, percent))
        self._notify()

    def land(self) -> None:
        """Everything about it is written down: tell the followers."""
        self.landed.set()
        self._notify()

    def _notify(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def follow(self) -> AsyncIterator[MigrationSeen]:
        told = 0
        while True:
            while told < len(self._seen):
                yield self._seen[told]
                told += 1
            if self.landed.is_set():
                return
            await self._news.wait()
