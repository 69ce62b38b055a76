"""What a request to end does: Ctrl-C, SIGTERM (systemd, CI, Kubernetes), SIGHUP (the terminal is gone).

All mean the same. While nothing has been touched, the command ends in order. A run is asked (`run_thread`), and nothing
is cut off.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

Handler = Callable[[int, FrameType | None], Any] | int | None

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
SIGNALS = tuple(
    number
    for name in _NAMES
    if (number := getattr(signal, name, None)) is not None
    and not (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN)
)
"""What there is of them on this system. Under nohup SIGHUP stays ignored."""
STANDARD_ERROR = 2
INTERRUPTED = 130
SOON_S = 0.05


class Interrupted(SystemExit):
    """Somebody asked the command to end before it had touched anything. Passes through what catches Ctrl-C."""

    def __init__(self) -> None:
        super().__init__(INTERRUPTED)


class _Asked:
    """Whether a request to end came. What raises in a library's code may be lost there, or become another error."""

    to_end = False


def end_in_order() -> None:
    """From now on a request to end raises Interrupted in the main thread."""
    _Asked.to_end = False

    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        _Asked.to_end = True
        raise Interrupted

    _take(end)


def asked_to_end() -> bool:
    """Whether the command was asked to end before it had touched anything."""
    return _Asked.to_end


def ask_again_if_lost(lost: sys.UnraisableHookArgs) -> None:
    """A hook for what was raised where Python can only drop it: within a destructor, or a callback of its own."""
    if isinstance(lost.exc_value, Interrupted):
        threading.Timer(SOON_S, _thread.interrupt_main).start()
    else:
        sys.__unraisablehook__(lost)


def spare(told: str) -> None:
    """From now on, to the end of the process, a request to end is told this, and ends nothing.

    Raises Interrupted where one has come before.
    """

    def tell(_number: int, _frame: FrameType | None) -> None:
        with suppress(OSError):  # past all buffers: one of them may be what the signal has interrupted
            os.write(STANDARD_ERROR, f"shunter: {told}\n".encode())

    _take(tell)
    if _Asked.to_end:
        raise Interrupted


def ignore() -> None:
    """From now on requests to end are not heard: the end has come."""
    _take(signal.SIG_IGN)


@contextmanager
def ignored() -> Iterator[None]:
    """Processes that are begun in here leave requests to end, which reach all of a terminal, to this one."""
    before = _take(signal.SIG_IGN)
    try:
        yield
    finally:
        _give_back(before)


@contextmanager
def on_interrupt(ask: Callable[[], None]) -> Iterator[None]:
    """Inside, a request to end calls `ask` at once, in the main thread."""
    before = _take(lambda _number, _frame: ask())
    try:
        yield
    finally:
        _give_back(before)


def _take(handler: Handler) -> dict[int, Handler]:
    """What was in force before, for `_give_back`."""
    return {number: signal.signal(number, handler) for number in SIGNALS}


def _give_back(handlers: dict[int, Handler]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
