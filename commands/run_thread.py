"""A run in a thread of its own, asked to end by the signals that come meanwhile.

In the main thread Prefect would take SIGTERM for itself, and break the flow off.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Any, TypeVar

from shunter.commands.interrupts import on_interrupt

T = TypeVar("T")
A_MOMENT_S = 0.5


class Requests:
    """The requests to end that come during a run. Those that come before somebody answers them are kept."""

    def __init__(self) -> None:
        self._came: queue.SimpleQueue[None] = queue.SimpleQueue()  # a signal may interrupt it anywhere
        self._answer: Callable[[], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def come(self) -> None:
        """In the main thread, within a signal handler."""
        self._came.put(None)
        if (loop := self._loop) is not None:
            with suppress(RuntimeError):  # the loop has been closed meanwhile: the run is over
                loop.call_soon_threadsafe(self._hear)

    @contextmanager
    def answered_by(self, answer: Callable[[], None]) -> Iterator[None]:
        """Inside, each request calls `answer` in the event loop that runs here."""
        self._answer, self._loop = answer, asyncio.get_running_loop()
        try:
            self._hear()
            yield
        finally:
            self._answer = self._loop = None

    def _hear(self) -> None:
        while self._answer is not None:
            try:
                self._came.get_nowait()
            except queue.Empty:
                return
            self._answer()


def run_beside(work: Callable[[Requests], Coroutine[Any, Any, T]]) -> T:
    """Run it in an event loop in a thread of its own, and give it the requests to end that come meanwhile."""
    requests = Requests()

    def spend() -> T:
        with asyncio.Runner() as runner:
            return runner.run(work(requests))

    with on_interrupt(requests.come), ThreadPoolExecutor(1, thread_name_prefix="run") as pool:
        running = pool.submit(copy_context().run, spend)
        while not running.done():
            wait({running}, A_MOMENT_S)  # on Windows a wait without an end lets no signal in
        return running.result()
