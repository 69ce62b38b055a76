"""Letting a run end in order when its process is told to terminate.

Prefect cancels a flow run by SIGTERM, which breaks out of `asyncio.run`, which then cancels every task there is: the
flow's own, but also each migration, and with a simulated cluster even the world it runs in. Only the flow's own task
must hear of it. It asks the run to stop, waits for its end within Prefect's 30 s, and cancels what is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any, cast


class Sheltered(asyncio.Task[Any]):
    """A task that is cancelled by those who mean it, not by an event loop that is being shut down."""

    def cancel(self, msg: Any | None = None) -> bool:
        # asyncio.run cancels all tasks while the loop stands still; whoever means this task runs inside the loop
        return self.get_loop().is_running() and super().cancel(msg)


@contextmanager
def sheltered_tasks() -> Iterator[None]:
    """Every task that is created inside the block is sheltered. Whoever enters must see to it that they all end."""
    loop = asyncio.get_running_loop()
    if loop.get_task_factory() is not None:
        yield  # somebody else's loop, with rules of its own
        return
    loop.set_task_factory(_sheltered)
    try:
        yield
    finally:
        loop.set_task_factory(None)


def _sheltered(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any], **options: Any
) -> Sheltered:
    return Sheltered(cast("Coroutine[Any, Any, Any]", coroutine), loop=loop, **options)
