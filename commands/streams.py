"""Standard output and error of this process, which may break at any time; that ends nothing."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO


class Unfailing(io.RawIOBase):
    """A stream that may break at any time (a full disk, a closed pipe, a terminal that is gone).

    What it cannot take is dropped. `failure`: why, once it broke; `told`: whether somebody has dealt with that;
    `when_broken`: called then.
    """

    def __init__(self, raw: io.RawIOBase | None) -> None:
        self._raw = raw
        self.failure = None if raw is not None else OSError(errno.EBADF, "it is closed")
        self.told = False
        self.when_broken: Callable[[], None] = lambda: None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno() if self._raw is not None else super().fileno()

    def isatty(self) -> bool:
        return self._raw is not None and self._raw.isatty()

    def write(self, data: Any, /) -> int:
        if self._raw is not None and self.failure is None:
            try:
                while (taken := self._raw.write(data)) is None:
                    select.select([], [self._raw], [])  # it was set not to block, and is full
            except OSError as error:
                self.failure = error
                self.when_broken()
            else:
                return taken
        return memoryview(data).nbytes


def secure() -> None:
    """See to it that standard output and error are there, take any character, and never fail: for the whole process."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: the next file that is opened would be taken for it
            os.open(os.devnull, os.O_RDWR)
    sys.stdout, sys.stderr = _secured(sys.stdout), _secured(sys.stderr)


def _secured(stream: TextIO | None) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):  # it was closed when this process started
        return io.TextIOWrapper(io.BufferedWriter(Unfailing(None)), encoding="utf-8", errors="replace")
    raw = getattr(stream.buffer, "raw", stream.buffer)
    return io.TextIOWrapper(
        io.BufferedWriter(Unfailing(raw)),
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def say(line: str) -> None:
    """On standard error, where nothing else is imported yet."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def unwritten() -> str | None:
    """Why standard output did not take all of the answer; None if it did, or if this was asked before."""
    sys.stdout.flush()
    raw = _standard_output()
    if raw is None or raw.failure is None or raw.told:
        return None
    raw.told = True
    return f"standard output cannot be written ({raw.failure.strerror})"


@contextmanager
def when_broken(act: Callable[[], None]) -> Iterator[None]:
    """Inside, `act` is called once standard output cannot be written any more."""
    raw = _standard_output()
    if raw is None:
        yield
        return
    raw.when_broken = act
    try:
        yield
    finally:
        raw.when_broken = lambda: None


def _standard_output() -> Unfailing | None:
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw if isinstance(raw, Unfailing) else None
