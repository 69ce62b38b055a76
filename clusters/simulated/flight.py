"""One live migration on its way through a simulated cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Literal

from shunter.clusters.clock import Clock
from shunter.clusters.port import MigrationSeen, Phase
from shunter.clusters.simulated.copying import Course
from shunter.clusters.simulated.news import News
from shunter.topology.model import Actor, MigrationUnderWay

Outcome = Literal["done", "failed", "cancelled", "source_lost", "target_lost"]

MOST_GLIMPSES = 50
"""So often is a migration seen copying, where somebody watches, and not more than once a second."""


@dataclass(slots=True, eq=False, kw_only=True)
class Flight:
    """`started_s` is what the log says. `fails_at`: the fraction of the copying at which it fails, if it does.
    `most_glimpses`: so often is it seen copying at most.

    `under_way`: as a snapshot shows it. `sight_is_lost`: whoever follows it loses it. `switched`: the VM runs on the
    target.
    """

    vm: str
    source: str
    target: str
    by: Actor
    started_s: float
    clock: Clock
    course: Course
    fails_at: float | None = None
    most_glimpses: int = MOST_GLIMPSES
    sight_is_lost: bool = False
    switched: bool = False
    under_way: MigrationUnderWay = field(init=False)
    _phase: Phase = field(default=Phase.PREPARING, init=False)
    _seen: list[MigrationSeen] = field(default_factory=list, init=False)
    _is_over: bool = field(default=False, init=False)
    _news: News = field(default_factory=News, init=False)
    _end: News = field(default_factory=News, init=False)
    _at_s: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.under_way = MigrationUnderWay(vm=self.vm, source=self.source, target=self.target, by=self.by)

    @property
    def can_be_cancelled(self) -> bool:
        return self._phase in (Phase.PREPARING, Phase.UNLOADING_OFFLOAD, Phase.COPYING)

    def end(self) -> None:
        """It is over, and everything about it is written down."""
        self._is_over = True
        self._end.tell()
        self._news.tell()

    async def fly(self, switch: Callable[[], None]) -> Outcome | None:
        """Go through all phases; `switch` is called at the instant at which the target takes over.

        None when something from outside has ended it meanwhile.
        """
        self._at_s = self.clock.now_s()
        self._show(Phase.PREPARING, 0.0)
        if not await self._spend(self.course.preparing_s):
            return None
        if self.course.unloading_s:
            self._show(Phase.UNLOADING_OFFLOAD, 0.0)
            if not await self._spend(self.course.unloading_s):
                return None
        outcome = await self._copy()
        if outcome != "done":
            return outcome
        self._show(Phase.SWITCHING, 100.0)
        if not await self._spend(self.course.switching_s):
            return None
        self.switched = True
        switch()
        self._show(Phase.SETTLING, 100.0)
        return "done" if await self._spend(self.course.settling_s) else None

    async def _copy(self) -> Literal["done", "failed"] | None:
        copying_s = self.course.copying_s
        fails_after_s = copying_s * self.fails_at if self.fails_at is not None else None
        glimpses = min(self.most_glimpses, max(1, ceil(copying_s)))
        each_s = copying_s / glimpses
        for i in range(glimpses):
            self._show(Phase.COPYING, 100.0 * i / glimpses)
            if fails_after_s is not None and fails_after_s <= each_s * (i + 1):
                return "failed" if await self._spend(fails_after_s - each_s * i) else None
            if not await self._spend(each_s):
                return None
        return "done"

    async def _spend(self, duration_s: float) -> bool:
        """Let that much time pass, counted from the end of what was before; False when the migration is over."""
        self._at_s += duration_s
        left_s = self._at_s - self.clock.now_s()
        if left_s > 0 and not self._is_over:
            await self._end.wait(self.clock.loop_s(left_s))
        return not self._is_over  # at the very instant at which the time has passed something may have ended it

    def _show(self, phase: Phase, percent: float) -> None:
        self._phase = phase
        self._seen.append(MigrationSeen(self.clock.now_s(), phase, percent))
        self._news.tell()

    async def follow(self) -> AsyncIterator[MigrationSeen]:
        """Everything there was and will be to see of it, until it is over."""
        told = 0
        while True:
            while told < len(self._seen):
                yield self._seen[told]
                told += 1
            if self._is_over:
                return
            await self._news.wait()
