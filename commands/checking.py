"""`shunter check`: is this cluster fit for live migration. Touches nothing, needs no Prefect."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from rich.status import Status

from shunter.commands import output
from shunter.commands.cluster_choice import cluster_with_what_is_taken_over
from shunter.commands.screens.check import CheckScreen
from shunter.topology import preflight

SILENT_S = 2.0


def check(cluster: str, *, as_json: bool, html: Path | None = None) -> preflight.Check:
    """Show what was found. Raises RequestError."""
    seen, taken_over = cluster_with_what_is_taken_over(cluster)
    with closing(Patience()) as patience:
        found = preflight.check(seen, patience.decided, taken_over=taken_over)
    if html is not None:
        from shunter.commands.page import page_of_check  # noqa: PLC0415  only pages need Jinja2

        output.write(html, page_of_check(found, when=output.now()))
    if as_json:
        sys.stdout.buffer.write(found.to_json().encode() + b"\n")
        sys.stdout.flush()
    else:
        CheckScreen(found, output.results()).print()
    return found


@dataclass(slots=True)
class Patience:
    """Says how far the check is, once it takes long."""

    _begun_s: float = field(default_factory=time.monotonic)
    _status: Status | None = None

    def decided(self, done: int, in_all: int) -> None:
        if self._status is None and time.monotonic() - self._begun_s > SILENT_S:
            console = output.messages()
            if console.is_terminal:
                self._status = console.status("checking")
                self._status.start()
        if self._status is not None:
            self._status.update(f"checking: the loss of {done} of {in_all} nodes is decided")

    def close(self) -> None:
        if self._status is not None:
            self._status.stop()
