"""Time as a cluster has it: real, scaled, or virtual (a virtual event loop makes any clock virtual)."""

from __future__ import annotations

import asyncio


class Clock:
    """Seconds since the clock was made, `speed` times as fast as the running event loop's."""

    def __init__(self, speed: float = 1.0) -> None:
        if not speed > 0:
            raise ValueError(f"speed {speed}: must be above 0")
        self.speed = speed
        self._start = asyncio.get_running_loop().time()

    def now_s(self) -> float:
        return (asyncio.get_running_loop().time() - self._start) * self.speed

    def loop_s(self, duration_s: float) -> float:
        """What the event loop must wait for `duration_s` of the cluster's seconds to pass."""
        return duration_s / self.speed

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(self.loop_s(duration_s))
