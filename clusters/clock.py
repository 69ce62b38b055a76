"""Time as a cluster has it: real, scaled, or virtual (a virtual event loop makes any clock virtual)."""

from __future__ import annotations

import asyncio

LEAST_WAIT_S = 1e-5


class Clock:
    """Seconds since the clock showed 0, `speed` times as fast as the running event loop's. It begins at `now_s`."""

    def __init__(self, speed: float = 1.0, *, now_s: float = 0.0) -> None:
        if not speed > 0:
            raise ValueError(f"speed {speed}: must be above 0")
        self.speed = speed
        self._loop_time_s = asyncio.get_running_loop().time
        self._start = self._loop_time_s() - now_s / speed

    def now_s(self) -> float:
        return (self._loop_time_s() - self._start) * self.speed

    def loop_s(self, duration_s: float) -> float:
        """What the event loop must wait for `duration_s` of the cluster's seconds to pass.

        Never less than a virtual event loop can advance by: it would stand still for ever.
        """
        return max(duration_s / self.speed, LEAST_WAIT_S)

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(self.loop_s(duration_s))
