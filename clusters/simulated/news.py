"""Waking those that wait. Nothing in a simulated night happens more often, so it costs no task and no exception."""

from __future__ import annotations

import asyncio


class News:
    """Unlike an `asyncio.Event` it is heard by those that wait already, and by nobody who comes later."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], None] = {}

    def tell(self) -> None:
        """Wake all that wait, in the order in which they came."""
        waiting, self._waiting = self._waiting, {}
        for one in waiting:
            _wake(one)

    async def wait(self, within_s: float | None = None) -> None:
        """Until there is news, or until so many of the event loop's seconds have passed."""
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        self._waiting[woken] = None
        timer = loop.call_later(within_s, _wake, woken) if within_s is not None else None
        try:
            await woken
        finally:
            self._waiting.pop(woken, None)
            if timer is not None:
                timer.cancel()


def _wake(one: asyncio.Future[None]) -> None:
    if not one.done():
        one.set_result(None)
