"""The runs that left a folder on this machine: found again, and how each ended."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from shunter.flows import file_lock
from shunter.flows.run_folder import ELSEWHERE, PLAN, RECORD, REPORT, WORDS, Run
from shunter.flows.settings import state_folder
from shunter.topology.errors import RequestError
from shunter.topology.plan import Plan

LAST = "last"
MOST_NAMED = 10


@dataclass(frozen=True)
class KeptRun:
    """`run`: what its run.json says, None where that cannot be read. `name`: what it is called among the others."""

    name: str
    folder: Path
    run: Run | None

    @cached_property
    def report(self) -> Plan | None:
        return _plan_in(self.folder / REPORT)

    @cached_property
    def plan(self) -> Plan | None:
        return _plan_in(self.folder / PLAN)

    @property
    def words(self) -> Path:
        return self.folder / WORDS

    @cached_property
    def outcome(self) -> str:
        """In words. A run that wrote no end is running as long as its process holds its log."""
        if self.run is None:
            return "cannot be read" if self.folder.is_dir() else "gone"
        if self.run.ended is not None:
            return self.run.outcome
        if self.run.host != platform.node():
            return f"running on {self.run.host}, or died there"
        try:
            return "running" if file_lock.is_held(self.words) else "died"
        except OSError:
            return "died"

    @property
    def took_s(self) -> float | None:
        if self.run is None or self.run.ended is None:
            return None
        return (self.run.ended - self.run.started).total_seconds()


def kept_runs() -> list[KeptRun]:
    """The newest first. Raises RequestError."""
    runs = state_folder() / "runs"
    try:
        entries = sorted(runs.iterdir()) if runs.exists() else []
    except OSError as error:
        raise RequestError(f"{runs}: cannot be read ({error.strerror}); ask for it as the user who ran them") from error
    found = [run for entry in entries if (run := _of_entry(entry)) is not None]
    return sorted(found, key=_began, reverse=True)


def kept_run(asked: str) -> KeptRun:
    """`asked`: "last", the folder's name or a part of it that no other has, the id of the flow run, or a path.

    Raises RequestError, which names those that could be meant.
    """
    path = Path(asked)
    if (path / RECORD).is_file() and path.is_dir():
        return _of_folder(path.absolute().name, path)
    runs = kept_runs()
    if asked == LAST and runs:
        return runs[0]
    fitting = (
        [run for run in runs if asked in (run.name, run.run.flow_run_id if run.run is not None else None)]
        or [run for run in runs if run.name.startswith(asked)]
        or [run for run in runs if asked in run.name]
    )
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise RequestError(f"{asked!r} fits {len(fitting)} runs; say more of the one that you mean: {_named(fitting)}")
    there_are = f"the newest are {_named(runs)}" if runs else f"none is kept in {state_folder() / 'runs'}"
    raise RequestError(f"no run is called {asked!r}: {there_are}")


def _named(runs: list[KeptRun]) -> str:
    return ", ".join(run.name for run in runs[:MOST_NAMED]) + (" …" if len(runs) > MOST_NAMED else "")


def _of_entry(entry: Path) -> KeptRun | None:
    """Of a folder, or of the file that says where one is. None: something else lies there."""
    if entry.is_dir():
        return _of_folder(entry.name, entry)
    if entry.suffix != ELSEWHERE:
        return None
    try:
        folder = Path(entry.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return KeptRun(entry.stem, entry, None)
    found = _of_folder(entry.stem, folder)
    if found.run is not None and found.run.id != entry.stem:
        return KeptRun(entry.stem, folder, None)  # another run has the folder now
    return found


def _of_folder(name: str, folder: Path) -> KeptRun:
    try:
        run = Run.model_validate_json((folder / RECORD).read_bytes())
    except (OSError, ValidationError):
        run = None
    return KeptRun(name, folder, run)


def _began(run: KeptRun) -> tuple[float, str]:
    """Of a run that cannot be read its name alone tells, by the day and time in it, as good as it is."""
    if run.run is None:
        return 0.0, run.name
    return run.run.started.timestamp(), run.name


def _plan_in(path: Path) -> Plan | None:
    try:
        return Plan.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
