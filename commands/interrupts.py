"""What Ctrl-C does while a command is at work: it asks, and cuts nothing off."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_interrupt(ask: Callable[[], None]) -> Iterator[None]:
    """Inside, Ctrl-C calls `ask`: in the event loop where one runs, else at once."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = None

    def caught(_number: int, _frame: FrameType | None) -> None:
        if loop is None:
            ask()
        else:
            loop.call_soon_threadsafe(ask)

    before = signal.signal(signal.SIGINT, caught)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
