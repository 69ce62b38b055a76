"""The folder that a run leaves: what was planned, what happened and when, the report. Knows nothing of Prefect.

run.json      who ran what, when, and how it ended
plan.json     as soon as there is a plan
log.txt       what the run said, with the time of day on every line; locked for as long as the run is alive
report.json   as soon as the engine has done its work
report.html   where a page was asked for
unsaved.json  records of the run that the Prefect server did not take
"""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from pydantic import AwareDatetime

from shunter.engine.audience import Nobody, Waiting
from shunter.flows import file_lock
from shunter.flows.errors import RunRefused
from shunter.flows.settings import state_folder
from shunter.topology.errors import RequestError, ShunterError
from shunter.topology.model import Value
from shunter.topology.plan import Plan

LOG = logging.getLogger(__name__)

RECORD, PLAN, REPORT, PAGE, WORDS = "run.json", "plan.json", "report.json", "report.html", "log.txt"
UNSAVED = "unsaved.json"
ELSEWHERE = ".path"
"""A file of this kind in the folder of runs holds the path of one that was wanted elsewhere."""
LONGEST_CLUSTER = 40
TRIES = 100
FLOW_RUNS = "prefect.flow_runs"
"""The logger to which all flow runs of this process write."""


class Run(Value):
    """What run.json says. `id` is the name of the folder, and of the run among those that were kept."""

    id: str
    command: str
    cluster: str
    nodes: tuple[str, ...] = ()
    flow_run_id: str | None = None
    flow_run: str | None = None
    host: str
    pid: int
    started: AwareDatetime
    ended: AwareDatetime | None = None
    outcome: str = "running"
    message: str | None = None


@dataclass(slots=True)
class Keep:
    """What whoever starts a run here wants, and what he gets.

    `out`: the folder to use, claimed beforehand. `begun`: the run knows its cluster, and may touch it. `folder`: where
    the run is kept, None until it has begun, or where nothing can be written. `report`: as the engine made it, whatever
    Prefect or a disk came to afterwards; `when_reported` is called then. `when_given_up` is called, with the reason,
    once a run is over of which its Prefect server cannot be told; nothing of ours is left to do then.
    """

    out: Path | None = None
    begun: bool = False
    folder: Path | None = None
    report: Plan | None = None
    when_reported: Callable[[], object] = lambda: None
    when_given_up: Callable[[str], object] = lambda _: None

    @contextmanager
    def claimed(self, out: Path) -> Iterator[None]:
        """Take this folder, before anything is touched; give it back if no run begins. Raises RequestError."""
        before = out.is_dir()
        try:
            out.mkdir(mode=0o700, parents=True, exist_ok=True)
            (out / RECORD).open("x").close()
        except FileExistsError as error:
            what = "holds a run already" if out.is_dir() else "is no folder"
            raise RequestError(f"{out}: {what}; name a folder that is empty, or one that is not there yet") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise RequestError(f"{out}: cannot be written ({reason}); name a folder that you may write to") from error
        self.out = out.absolute()
        try:
            yield
        finally:
            if self.folder is None:
                with suppress(OSError):
                    (out / RECORD).unlink()
                    if not before:
                        out.rmdir()


class RunFolder(Nobody):
    """Use as a context manager around a run, of which it is an audience too. What cannot be written is said, once, and
    the run goes on.
    """

    def __init__(
        self,
        keep: Keep,
        command: str,
        cluster: str,
        nodes: Sequence[str],
        *,
        flow_run_id: str | None = None,
        flow_run: str | None = None,
    ) -> None:
        now = datetime.now().astimezone()
        self._keep = keep
        self.run = Run(
            id=_name(now, command, cluster),
            command=command,
            cluster=cluster,
            nodes=tuple(nodes),
            flow_run_id=flow_run_id,
            flow_run=flow_run,
            host=platform.node(),
            pid=os.getpid(),
            started=now,
        )
        self._path: Path | None = None
        self._words: _Words | None = None
        self._waiting = ""
        self._given_up = ""

    def __enter__(self) -> Self:
        self._keep.begun = True
        runs = state_folder() / "runs"
        try:
            runs.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._keep.out is None:
                self._path = self._made_in(runs)
            else:
                (runs / f"{self.run.id}{ELSEWHERE}").write_text(str(self._keep.out), encoding="utf-8")
        except OSError as error:
            self._say(runs, error)
        self._path = self._keep.out or self._path
        if self._path is not None:
            self._open_words(self._path / WORDS)
            self._write(RECORD, self.run.model_dump_json(indent=2))
            self._keep.folder = self._path
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outcome, message = _ended(self._keep.report, error)
        ended = self.run.model_copy(
            update={"ended": datetime.now().astimezone(), "outcome": outcome, "message": message}
        )
        self._write(RECORD, ended.model_dump_json(indent=2))
        if self._words is not None:
            for name in (FLOW_RUNS, "shunter"):
                logging.getLogger(name).removeHandler(self._words)
            self._words.close()
        if self._given_up:
            self._keep.when_given_up(self._given_up)

    async def reported(self, work: Awaitable[Plan]) -> Plan:
        """Await the run, and keep its report before anybody else sees it."""
        report = await work
        self.report(report)
        self._keep.when_reported()
        return report

    def report(self, report: Plan) -> None:
        """Keep it; in place of what was kept before."""
        self._keep.report = report
        self._write(REPORT, report.to_json())

    def give_up(self, why: str) -> None:
        """What became of the run is here only: its server is not waited for any longer."""
        self._given_up = why

    def keep(self, records: Mapping[str, object]) -> str | None:
        """What the Prefect server should know and does not; where it can be read."""
        self._write(UNSAVED, json.dumps(dict(records), indent=2, ensure_ascii=False))
        return f"{self._path / UNSAVED}" if self._path is not None else None

    # -------------------------------------------------------------- what the engine tells, and its flow run does not

    def planned(self, plan: Plan, at_s: float) -> None:  # noqa: ARG002  an audience's
        self._write(PLAN, plan.to_json())

    def waiting(self, waiting: tuple[Waiting, ...]) -> None:
        told = "; ".join(f"{each.subject} {each.reason}" for each in waiting)
        if told != self._waiting and self._words is not None:
            self._words.put(f"waiting: {told}" if told else "nothing waits any more")
        self._waiting = told

    # -------------------------------------------------------------- files

    def _made_in(self, runs: Path) -> Path:
        """A folder that nobody else has. Raises OSError."""
        for _ in range(TRIES):
            path = runs / self.run.id
            try:
                path.mkdir(mode=0o700)
            except FileExistsError:
                self.run = self.run.model_copy(
                    update={"id": _name(self.run.started, self.run.command, self.run.cluster)}
                )
            else:
                return path
        raise FileExistsError(f"{TRIES} names were taken")

    def _open_words(self, path: Path) -> None:
        try:
            file = path.open("a", encoding="utf-8", errors="backslashreplace", newline="\n")
        except OSError as error:
            self._say(path, error)
            return
        file_lock.hold(file)
        self._words = _Words(file, path, self.run.flow_run_id)
        for name in (FLOW_RUNS, "shunter"):
            logging.getLogger(name).addHandler(self._words)

    def _write(self, name: str, text: str) -> None:
        """All of the file or, for whoever reads it meanwhile, nothing of it."""
        if self._path is None:
            return
        part = self._path / f".{name}.part"
        try:
            part.write_text(text + "\n", encoding="utf-8", newline="\n")
            part.replace(self._path / name)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            self._say(self._path / name, error)

    def _say(self, path: Path, error: OSError) -> None:
        kept = "it is kept in part" if self._path is not None else "no folder keeps it"
        kept = f"it is kept in {self._keep.out}, and not listed" if self._keep.out and not self._path else kept
        LOG.warning(
            "%s cannot be written (%s): the run goes on, and %s. Make room there, or name another folder "
            "(SHUNTER_STATE_DIR)",
            path,
            error.strerror or error,
            kept,
        )


class _Words(logging.Handler):
    """Writes what one flow run says to its log.txt."""

    def __init__(self, file: TextIO, path: Path, flow_run_id: str | None) -> None:
        super().__init__()
        self._file, self._path, self._flow_run_id = file, path, flow_run_id
        self._broken = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Everything but what other runs of this process say."""
        return getattr(record, "flow_run_id", None) in (None, self._flow_run_id)

    def emit(self, record: logging.LogRecord) -> None:
        self.put(record.getMessage(), record.levelname)
        if record.exc_info:
            self.put(logging.Formatter().formatException(record.exc_info), record.levelname)

    def put(self, text: str, level: str = "INFO") -> None:
        if self._broken:
            return
        now = datetime.now().astimezone().isoformat(" ", "milliseconds")
        try:
            self._file.writelines(f"{now} {level:7} {line}\n" for line in text.splitlines())
            self._file.flush()
        except OSError as error:
            self._broken = True
            LOG.warning("%s cannot be written any more (%s); the run goes on", self._path, error.strerror)

    def close(self) -> None:
        with suppress(OSError):  # that it cannot be written was said
            self._file.close()
        super().close()


def _name(at: datetime, command: str, cluster: str) -> str:
    """To be read and sorted; what a cluster is called cannot lead out of the folder."""
    spelled = re.sub(r"[^A-Za-z0-9._-]+", "-", cluster)[:LONGEST_CLUSTER].strip("-.") or "cluster"
    return f"{at:%Y-%m-%dT%H%M%S}-{command}-{spelled}-{secrets.token_hex(2)}"


def _ended(report: Plan | None, error: BaseException | None) -> tuple[str, str | None]:
    """How the run ended, in words, and what else there is to say."""
    if report is not None:
        return outcome_of(report), None if error is None or not str(error) else str(error)
    if isinstance(error, RunRefused):
        return "refused", str(error)
    if isinstance(error, ShunterError):
        return "failed", str(error)
    return ("failed", repr(error)) if isinstance(error, Exception) else ("cancelled", None)


def outcome_of(report: Plan) -> str:
    if not report.executed:
        return "refused" if report.errors else "nothing done"
    if report.in_doubt:
        return "outcome unknown"
    if report.interrupted:
        return "interrupted"
    return "done" if report.ok else "partly done"
