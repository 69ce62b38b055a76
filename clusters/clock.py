"""Time as a cluster has it: real, scaled, or virtual (a virtual event loop makes any clock virtual)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LEAST_WAIT_S = 1e-5


class Clock:
    """Seconds since the clock showed 0, `speed` times as fast as the running event loop's. It begins at `now_s`.

    It never jumps with the time of day.
    """

    def __init__(self, speed: float = 1.0, *, now_s: float = 0.0) -> None:
        if not speed > 0:
            raise ValueError(f"speed {speed}: must be above 0")
        self.speed = speed
        self._loop_time_s = asyncio.get_running_loop().time
        self._start = self._loop_time_s() - now_s / speed
        self._missed_s = 0.0
        self._limits: set[asyncio.Timeout] = set()

    def now_s(self) -> float:
        return (self._loop_time_s() - self._start) * self.speed

    def awake_s(self) -> float:
        """As `now_s`, without what this process has missed: for patience, which must not run out meanwhile."""
        return self.now_s() - self._missed_s * self.speed

    def loop_s(self, duration_s: float) -> float:
        """What the event loop must wait for `duration_s` of the cluster's seconds to pass.

        Never less than a virtual event loop can advance by: it would stand still for ever.
        """
        return max(duration_s / self.speed, LEAST_WAIT_S)

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(self.loop_s(duration_s))

    @asynccontextmanager
    async def timeout(self, duration_s: float) -> AsyncIterator[asyncio.Timeout]:
        """As `asyncio.timeout`, in the cluster's seconds, of which those do not count that this process has missed: an
        answer that came meanwhile is heard first.
        """
        async with asyncio.timeout(self.loop_s(duration_s)) as limit:
            self._limits.add(limit)
            try:
                yield limit
            finally:
                self._limits.discard(limit)

    def missed(self, loop_s: float) -> None:
        """This process did nothing while so much of the event loop's time went by: it was stopped, or starved."""
        for limit in self._limits:
            due_s = limit.when()
            if due_s is not None and not limit.expired():
                limit.reschedule(due_s + loop_s)
        self._missed_s += loop_s
