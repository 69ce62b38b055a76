"""Standard output is for results, standard error for progress and messages."""

# ruff: noqa: PLC0415  (what only some results need is imported for them alone)
from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console

from shunter.commands.screens.words import signs_of
from shunter.topology.errors import RequestError
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan

UNKNOWN_WIDTH = 120


def results() -> Console:
    return _console(sys.stdout, stderr=False)


def messages() -> Console:
    return _console(sys.stderr, stderr=True)


def _console(stream: TextIO, *, stderr: bool) -> Console:
    known = stream.isatty() or "COLUMNS" in os.environ
    return Console(stderr=stderr, highlight=False, width=None if known else UNKNOWN_WIDTH)


def complain(message: str) -> None:
    """One message on standard error, as long as it is."""
    console = messages()
    signs = signs_of(console)
    lines = (signs.plain(line) for line in message.splitlines())
    console.print(signs.text("shunter: ", "bold red") + "\n  ".join(lines), soft_wrap=True)


def show(
    plan: Plan,
    nodes: Sequence[str],
    cluster: Cluster | None,
    *,
    as_json: bool,
    svg: Path | None,
    forecast_s: float | None = None,
) -> None:
    """The result of a command: one JSON document or screens on standard output, and the picture."""
    from shunter.commands.screens.plan import PlanScreen

    if svg is not None:
        draw(plan, svg)
    if as_json:
        sys.stdout.buffer.write(plan.to_json().encode() + b"\n")
        sys.stdout.flush()
    else:
        PlanScreen.of(plan, nodes, results(), cluster, forecast_s).print()


def draw(plan: Plan, svg: Path) -> None:
    """Write the timeline as SVG. Raises RequestError."""
    from shunter.flows.picture import timeline_svg

    write(svg, timeline_svg(plan))


def write(path: Path, text: str) -> None:
    """Raises RequestError."""
    try:
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise unwritable(path, error) from error


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """A text file to write, the same bytes on every system. Raises RequestError."""
    try:
        file = path.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise unwritable(path, error) from error
    with file:
        yield file


def unwritable(path: Path, error: OSError) -> RequestError:
    return RequestError(f"{path}: cannot be written ({error.strerror}); name a file in a folder that you may write to")
