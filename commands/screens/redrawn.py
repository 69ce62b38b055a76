"""A display on the terminal that is drawn again and again, below what is printed meanwhile."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live


class Redrawn(ABC):
    """Use as an async context manager; what it drew is gone afterwards."""

    def __init__(self, console: Console, *, frames_per_s: float) -> None:
        self.console = console
        self._each_s = 1 / frames_per_s
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._drawing: asyncio.Task[None]

    @abstractmethod
    def frame(self) -> RenderableType:
        """The display as of now."""

    async def __aenter__(self) -> Self:
        self._live.start()
        self._drawing = asyncio.create_task(self._draw(), name="live display")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drawing.cancel()
        await asyncio.wait({self._drawing})
        self._live.stop()
        if not self._drawing.cancelled():
            self._drawing.result()

    async def _draw(self) -> None:
        while True:
            self._live.update(self.frame(), refresh=True)
            await asyncio.sleep(self._each_s)
