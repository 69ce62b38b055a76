"""The witness log: what really happened in a simulated cluster, one JSON object a line, in the order of time."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TextIO

from shunter.clusters.clock import Clock
from shunter.topology.model import Cluster

ENCODER = json.JSONEncoder(ensure_ascii=False)
Doer = Literal["us", "elsewhere", "cluster", "fault"]


LOG = logging.getLogger(__name__)


class Witness:
    """Writes the log, in memory and, if given, to a text file as it grows. Same events, same bytes.

    Where the file cannot be written any more, that is said, once, and the world goes on.
    """

    def __init__(self, cluster: Cluster, clock: Clock, file: TextIO | None = None) -> None:
        self.lines: list[str] = []
        self._clock, self._file = clock, file
        self._write({"t_s": 0, "what": "cluster", "cluster": cluster.model_dump(mode="json")})

    def saw(self, what: str, **fields: Any) -> float:
        """Note an event now; returns its time in s."""
        at_s = round(self._clock.now_s(), 6)
        self._write({"t_s": at_s, "what": what, **fields})
        return at_s

    def _write(self, event: dict[str, Any]) -> None:
        line = ENCODER.encode(event)
        self.lines.append(line)
        if self._file is not None:
            try:
                self._file.write(line + "\n")
                self._file.flush()
            except (OSError, ValueError) as error:  # ValueError: closed, or a name that is no text
                self._file = None
                LOG.warning(
                    "the witness log cannot be written any more (%s): it ends at %g s, the cluster goes on",
                    getattr(error, "strerror", None) or error,
                    event["t_s"],
                )


@contextmanager
def log_file(path: Path) -> Iterator[TextIO]:
    """A file for a witness log, the same bytes on every system. Raises OSError where it cannot be begun."""
    file = path.open("w", encoding="utf-8", newline="\n")
    try:
        yield file
    finally:
        with suppress(OSError):  # each line was flushed, and what could not be written said then
            file.close()
