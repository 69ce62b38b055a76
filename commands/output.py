"""Standard output is for results, standard error for progress and messages."""

# ruff: noqa: PLC0415  (what only some results need is imported for them alone)
from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from rich.console import Console

from shunter.clusters.simulated.witness import log_file
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


def can_redraw(console: Console) -> bool:
    return console.is_terminal and not console.is_dumb_terminal


def complain(message: str) -> None:
    """One message on standard error, as long as it is."""
    console = messages()
    signs = signs_of(console)
    lines = (signs.plain(line) for line in message.splitlines())
    console.print(signs.text("shunter: ", "bold red") + "\n  ".join(lines), soft_wrap=True)


def say(message: str) -> None:
    """One line on standard error, as long as it is."""
    console = messages()
    console.print(signs_of(console).text(message), soft_wrap=True)


@contextmanager
def warnings_shown() -> Iterator[None]:
    """What the rooms below warn of inside is said on standard error."""
    logger, handler = logging.getLogger("shunter"), _Complaining(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Complaining(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        complain(record.getMessage())


@dataclass(frozen=True, slots=True)
class Pictures:
    """Files to look at: the timeline as SVG, everything as an HTML page, and the same page `also` elsewhere."""

    svg: Path | None = None
    html: Path | None = None
    also: Path | None = None

    def draw(self, plan: Plan, nodes: Sequence[str], forecast_s: float | None = None) -> None:
        """Raises RequestError."""
        wrong = list(self.drawn_if_possible(plan, nodes, forecast_s))
        if wrong:
            raise RequestError("\n".join(wrong))

    def drawn_if_possible(self, plan: Plan, nodes: Sequence[str], forecast_s: float | None = None) -> Iterator[str]:
        """Draws each that can be written; yields what cannot, and why."""
        drawn: dict[Path, str] = {}
        if self.svg is not None:
            from shunter.flows.picture import timeline_svg

            drawn[self.svg] = timeline_svg(plan)
        pages = [path for path in (self.html, self.also) if path is not None]
        if pages:
            from shunter.commands.page import page_of_plan

            drawn |= dict.fromkeys(pages, page_of_plan(plan, nodes, when=now(), forecast_s=forecast_s))
        for path, text in drawn.items():
            try:
                write(path, text)
            except RequestError as error:
                yield str(error)


NO_PICTURES = Pictures()


def show(
    plan: Plan,
    nodes: Sequence[str],
    cluster: Cluster | None,
    *,
    as_json: bool,
    pictures: Pictures = NO_PICTURES,
    forecast_s: float | None = None,
) -> None:
    """The result of a command: one JSON document or screens on standard output, then the pictures.

    Raises RequestError, where a picture cannot be written.
    """
    from shunter.commands.screens.plan import PlanScreen

    if as_json:
        sys.stdout.buffer.write(plan.to_json().encode() + b"\n")
        sys.stdout.flush()
    else:
        PlanScreen.of(plan, nodes, results(), cluster, forecast_s).print()
    pictures.draw(plan, nodes, forecast_s)


def now() -> str:
    """For a reader: date, time and how far from UTC that is."""
    return datetime.now(UTC).astimezone().isoformat(" ", "minutes")


def write(path: Path, text: str) -> None:
    """Raises RequestError."""
    try:
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise unwritable(path, error) from error


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """A witness log to write. Raises RequestError."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(log_file(path))
        except OSError as error:
            raise unwritable(path, error) from error
        yield file


def unwritable(path: Path, error: OSError) -> RequestError:
    return RequestError(f"{path}: cannot be written ({error.strerror}); name a file in a folder that you may write to")
