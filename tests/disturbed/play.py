"""Plays a case: a hosted cluster, a real server, a run by the command line, and what disturbs it."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import httpx
from commanding import apart, command_line

from disturbed.cases import Case
from disturbed.outcome import Event
from disturbed.stage import LOOK_EVERY_S, Host, Run, Server, TinyDisk, hosted, running

PATIENCE_S = 100.0
"""So much longer than undisturbed a run may take, besides the disturbance, before it is given up."""
MOST_RUNS, MOST_LIMITS = 50, 200


class Reachable(Protocol):
    @property
    def api_url(self) -> str: ...


@dataclass
class Cause:
    """When the disturbance began and was over; seconds are the cluster's. `in_flight`: VMs in a migration of ours when
    the run was killed. `signals_s`: when the run was told to end. `missed`: the run was over before.
    """

    from_s: float
    over_s: float
    in_flight: frozenset[str] = frozenset()
    signals_s: list[float] = field(default_factory=list)
    lasted_s: float = 0.0
    missed: bool = False


@dataclass
class Played:
    """What is left of a case. `code` None: the run did not end. `report`: of the run's `folder`, or as it was printed
    where there is none; `printed`: standard output; `states`: (name, type) of each flow run, the first first.
    """

    case: Case
    cause: Cause
    code: int | None
    begun_s: float
    last_begun_s: float
    ended_s: float
    took_s: float
    lines: list[str]
    events: Sequence[Event]
    seen: dict[str, Any]
    migrated: list[dict[str, Any]]
    booted_s: dict[str, float | None]
    report: dict[str, Any] | None
    folder: Path | None
    printed: str
    complaints: str
    states: list[tuple[str, str]]
    locks: list[str]


def play(case: Case, folder: Path, server: Reachable) -> Played:
    """`server`: one of this case alone (Server) where that is killed or stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        disk = stack.enter_context(TinyDisk.mounted(folder / "disk")) if "disk of" in case.disturbance else None
        witness = (disk.at if disk and "witness" in case.disturbance else folder) / "witness.jsonl"
        reboot_s = case.maintenance_s or 60.0
        host = stack.enter_context(hosted(case.cluster, folder, witness, speed=case.speed, reboot_s=reboot_s))
        register(case.name, host.address, server.api_url)
        stage = Stage(case, folder, server=server, host=host, disk=disk, stack=stack)
        begun_s = host.now_s()
        stage.start_run()
        cause = stage.disturb()
        expected_s = case.twin.takes_s / case.speed + PATIENCE_S
        code = stage.run.wait(time.monotonic() + expected_s)
        ended_s = host.now_s()
        stage.run.kill()
        return stage.left_behind(cause, code, begun_s, ended_s)


def register(name: str, address: str, api_url: str) -> None:
    """As a user does it, from Python."""
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415 - costs seconds, for drawing too

    from shunter.flows.clusters import SimulatedClusterHost  # noqa: PLC0415

    with temporary_settings({PREFECT_API_URL: api_url}):
        SimulatedClusterHost(address=address).save(name)


@cache
def leaves_folders() -> bool:
    """Whether a run leaves a folder."""
    return "--out" in apart(*command_line("evacuate", "--help")).out


class Stage:
    """What takes part in a case while it is played."""

    def __init__(
        self, case: Case, folder: Path, *, server: Reachable, host: Host, disk: TinyDisk | None, stack: ExitStack
    ) -> None:
        self.case, self.folder, self.server, self.host, self.disk = case, folder, server, host, disk
        self._stack = stack
        self._runs: list[Run] = []
        self._began_s: list[float] = []
        self._state = disk.at / "state" if disk is not None and "run's folder" in case.disturbance else folder / "state"
        self._names_folder = leaves_folders() and case.seed % 2 == 1 and "run" not in case.disturbance
        self._kept_in = folder / "out" if self._names_folder else self._state

    @property
    def run(self) -> Run:
        return self._runs[-1]

    def start_run(self) -> None:
        out: int | None = None
        err: int | None = None
        arguments = [*self.case.command, "--json"]
        if self._names_folder:
            arguments += ["--out", str(self._kept_in)]
        if self.disk is not None and "--html" in self.case.disturbance:
            arguments += ["--html", str(self.disk.at / "report.html")]
        if "output on a full disk" in self.case.disturbance:
            out = self._stack.enter_context(_opened(Path("/dev/full")))
        if self.case.disturbance in ("standard output closed", "standard error closed"):
            self._pipe = os.pipe()
            out, err = (self._pipe[1], None) if "output" in self.case.disturbance else (None, self._pipe[1])
        number = len(self._runs) + 1
        self._began_s.append(self.host.now_s())
        given = running(arguments, self.folder, number, self.server.api_url, self._state, out=out, err=err)
        self._runs.append(self._stack.enter_context(given))

    # ------------------------------------------------------------------ disturbing

    def disturb(self) -> Cause:
        """Wait for the moment, do it, and return when it is over."""
        kind = self.case.disturbance
        if "closed" in kind:
            return self._close_pipe()
        if kind == "undisturbed" or "output" in kind:
            return Cause(self._began_s[0], self._began_s[0])
        if not self._moment_comes():
            return Cause(self.host.now_s(), self.host.now_s(), missed=True)
        begun_s, from_s = time.monotonic(), self.host.now_s()
        if self.disk is not None:
            self.disk.fill()
            cause = Cause(from_s, from_s)
        elif kind.startswith("SIG"):
            cause = self._signal()
        elif kind.startswith("run killed"):
            cause = self._kill_run()
        else:
            cause = self._disturb_server(from_s)
        cause.lasted_s = time.monotonic() - begun_s
        return cause

    def _moment_comes(self) -> bool:
        """False where the run is over before."""
        case = self.case
        if case.moment is not None:
            happened = 1 + int(case.moment * (case.twin.events - 1))
            if not self._until(lambda: len(self.host.lines()) > happened):
                return False
        until_s = time.monotonic() + case.delay_s
        return self._until(lambda: time.monotonic() >= until_s)

    def _until(self, is_so: Callable[[], bool], within_s: float = 300.0) -> bool:
        """Whether it became so while the run was under way."""
        until_s = time.monotonic() + within_s
        while not is_so():
            if self.run.is_over or time.monotonic() > until_s:
                return False
            time.sleep(LOOK_EVERY_S)
        return True

    def _signal(self) -> Cause:
        first, second = {
            "SIGTERM": (signal.SIGTERM, None),
            "SIGHUP": (signal.SIGHUP, None),
            "SIGINT": (signal.SIGINT, None),
            "SIGTERM twice": (signal.SIGTERM, signal.SIGTERM),
            "SIGHUP twice": (signal.SIGHUP, signal.SIGHUP),
            "SIGINT, then SIGTERM": (signal.SIGINT, signal.SIGTERM),
        }[self.case.disturbance]
        told_s = [self.host.now_s()]
        self.run.signal(first)
        if second is not None:
            again_s = time.monotonic() + self.case.again_s
            if self._until(lambda: time.monotonic() >= again_s):
                told_s.append(self.host.now_s())
                self.run.signal(second)
        return Cause(told_s[0], told_s[-1], signals_s=told_s)

    def _kill_run(self) -> Cause:
        self.run.kill()
        killed_s = self.host.now_s()
        flying: set[str] = set()
        for event in self.host.events():
            if event["what"] == "migration_started" and event["by"] == "us":
                flying.add(event["vm"])
            elif event["what"] == "migration_ended":
                flying.discard(event["vm"])
        self.start_run()
        return Cause(killed_s, killed_s, frozenset(flying))

    def _disturb_server(self, from_s: float) -> Cause:
        server = self.server
        assert isinstance(server, Server), "to be disturbed, a server must be the case's own"
        (away_s,) = re.findall(r"[0-9]+", self.case.disturbance)
        until_s = time.monotonic() + float(away_s)
        if "killed" in self.case.disturbance:
            server.kill()
            self._until(lambda: time.monotonic() >= until_s)
            server.start()
        else:
            server.stand_still()
            self._until(lambda: time.monotonic() >= until_s)
            server.go_on()
        return Cause(from_s, self.host.now_s())

    def _close_pipe(self) -> Cause:
        """Read from the pipe until the moment, then read no more."""
        reader, writer = self._pipe
        os.close(writer)
        kept = self.run.out if "output" in self.case.disturbance else self.run.err
        closed = threading.Event()
        draining = threading.Thread(target=_drain, args=(reader, kept, closed), daemon=True)
        draining.start()
        came = self._moment_comes()
        closed.set()
        draining.join()
        at_s = self.host.now_s()
        return Cause(at_s, at_s, missed=not came)

    # ------------------------------------------------------------------ afterwards

    def left_behind(self, cause: Cause, code: int | None, begun_s: float, ended_s: float) -> Played:
        asked = httpx.Client(base_url=self.server.api_url, timeout=60.0)
        printed = self.run.out.read_text(encoding="utf-8", errors="replace")
        report = self._report_in_folder()
        return Played(
            case=self.case,
            cause=cause,
            code=code,
            begun_s=begun_s,
            last_begun_s=self._began_s[-1],
            ended_s=ended_s,
            took_s=(ended_s - begun_s) / self.case.speed,
            lines=self.host.lines(),
            events=self.host.events(),
            seen=self.host.ask("look"),
            migrated=self.host.ask("migration_log"),
            booted_s={
                node["name"]: self.host.ask("booted_s", node=node["name"]) for node in self.case.cluster["nodes"]
            },
            report=_object(report.read_text(encoding="utf-8")) if report else _object(printed),
            folder=report.parent if report else None,
            printed=printed,
            complaints=self.run.err.read_text(encoding="utf-8", errors="replace"),
            states=_states(asked, self.case.name),
            locks=_locks(asked, self.case.name),
        )

    def _report_in_folder(self) -> Path | None:
        """That of the last run, in the folder that it left."""
        begun_s = time.time() - time.monotonic() + self.run.begun_s
        files = [path for path in self._kept_in.rglob("report.json") if path.stat().st_mtime >= begun_s]
        return max(files, key=lambda path: path.stat().st_mtime, default=None)


@contextmanager
def _opened(file: Path) -> Iterator[int]:
    descriptor = os.open(file, os.O_WRONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _drain(reader: int, kept: Path, closed: threading.Event) -> None:
    """Keep what comes through the pipe until it is to be closed."""
    try:
        with kept.open("ab") as file:
            while not closed.is_set():
                if select.select([reader], [], [], LOOK_EVERY_S)[0]:
                    file.write(os.read(reader, 65536))
    finally:
        os.close(reader)


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _states(asked: httpx.Client, cluster: str) -> list[tuple[str, str]]:
    runs = asked.post("flow_runs/filter", json={"limit": MOST_RUNS, "sort": "START_TIME_ASC"}).raise_for_status().json()
    return [(run["state_name"], run["state_type"]) for run in runs if run["name"].endswith(f" {cluster}")]


def _locks(asked: httpx.Client, cluster: str) -> list[str]:
    """Those that are taken still."""
    limits = asked.post("v2/concurrency_limits/filter", json={"limit": MOST_LIMITS}).raise_for_status().json()
    prefix = f"shunter:{cluster}:"
    return [
        each["name"].removeprefix(prefix) for each in limits if each["name"].startswith(prefix) and each["active_slots"]
    ]
