"""What `shunter runs` and `shunter report` show."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from shunter.commands import output
from shunter.commands.screens.words import listed, signs_of
from shunter.flows.kept_runs import KeptRun, kept_run, kept_runs
from shunter.flows.settings import state_folder
from shunter.flows.spoken import duration

WIDEST = 10_000
"""A row is never broken: what reads it may be a program, and a name of a run is there to be copied."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What was asked for. `there`: whether there was something to show; `died`: it is of a run that did not end."""

    there: bool = True
    died: bool = False


def runs(*, as_json: bool) -> Shown:
    """Raises RequestError."""
    kept = kept_runs()
    if as_json:
        _write({"kind": "runs", "runs": [_told(run) for run in kept]})
        return Shown()
    console = output.results()
    signs = signs_of(console)
    where = state_folder() / "runs"
    if not kept:
        console.print(signs.text(f"No run is kept in {where}."), soft_wrap=True)
        return Shown()
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in ("begun", "what", "cluster", "outcome", "took", "run"):
        table.add_column(column, no_wrap=True)
    for run in kept:
        table.add_row(*(signs.text(cell) for cell in _row(run, where)))
    console.width = console.measure(table, options=console.options.update(width=WIDEST)).maximum
    console.print(table, crop=False)
    console.print()
    console.print(signs.text(f"The folders are in {where}."), soft_wrap=True)
    return Shown()


def _row(kept: KeptRun, where: Path) -> tuple[str, str, str, str, str, str]:
    name = kept.name if kept.folder.parent == where else f"{kept.name} ({kept.folder})"
    if kept.run is None:
        return "", "", "", kept.outcome, "", name
    began = kept.run.started.astimezone()
    what = f"{kept.run.command} {listed(kept.run.nodes)}".strip()
    took = duration(kept.took_s) if kept.took_s is not None else ""
    return f"{began:%Y-%m-%d %H:%M}", what, kept.run.cluster, kept.outcome, took, name


def _told(kept: KeptRun) -> dict[str, Any]:
    run = kept.run.model_dump(mode="json") if kept.run is not None else {}
    return run | {"id": kept.name, "outcome": kept.outcome, "took_s": kept.took_s, "folder": str(kept.folder)}


def report(asked: str, *, as_json: bool, html: Path | None) -> Shown:
    """Raises RequestError."""
    kept = kept_run(asked)
    nodes = kept.run.nodes if kept.run is not None else ()
    forecast_s = kept.plan.makespan_s if kept.plan is not None else None
    if kept.report is None:
        return _without_report(kept, as_json=as_json)
    output.show(
        kept.report,
        nodes,
        None,
        as_json=as_json,
        pictures=output.Pictures(html=html),
        forecast_s=forecast_s,
    )
    if kept.outcome == "died":
        output.say(f"The process died after this; what it had said until then: {kept.words}")
    return Shown()


def _without_report(kept: KeptRun, *, as_json: bool) -> Shown:
    died = kept.outcome == "died"
    why = f" ({kept.run.message})" if kept.run is not None and kept.run.message else ""
    until = "; what it had said until then" if died else "; what it says" if kept.outcome == "running" else ""
    output.complain(f"{kept.name}: there is no report, {kept.outcome}{why}{until}: {kept.words}")
    if as_json:
        _write({"kind": "run", **_told(kept)})
    return Shown(there=False, died=died)


def _write(document: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n")
    sys.stdout.flush()
