"""Being asked to stop: nothing new is started; what runs is let finish, or called off."""

from __future__ import annotations

import asyncio
from typing import Literal

Running = Literal["finish", "cancel"]


class Stop:
    """Asked from a signal handler or on cancellation, in the thread of the event loop. Asking twice only sharpens."""

    def __init__(self) -> None:
        self.asked = False
        self.running: Running = "finish"
        self._changed = asyncio.Event()

    def request(self, *, running: Running = "finish") -> None:
        if self.asked and self.running in ("cancel", running):
            return
        self.asked, self.running = True, running
        self.wake()

    def wake(self) -> None:
        """Something was asked: whoever waits for that goes on."""
        self._changed.set()

    async def wait(self) -> None:
        """Until something is asked that was not asked before the last call returned."""
        await self._changed.wait()
        self._changed.clear()
