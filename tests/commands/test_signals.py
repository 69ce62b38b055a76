"""Ctrl-C, SIGTERM and SIGHUP: all mean the same, whatever the command is doing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from commanding import begun, command_line

from shunter.commands.interrupts import SIGNALS, Interrupted, ask_again_if_lost, end_in_order, ignored, spare
from shunter.commands.run_thread import Requests, run_beside
from shunter.flows.embedded import EmbeddedServer
from shunter.topology.recheck import check_log

pty = pytest.importorskip("pty", reason="a terminal that goes away, and signals to one process, are not Windows's")

KINDS = list(SIGNALS)
"""Under nohup without SIGHUP, which is not heard then."""


@pytest.fixture
def slow(write_cluster: Callable[[dict[str, Any]], str]) -> str:
    """Three nodes; three VMs on N1, each of which takes some 14 s to move."""
    return write_cluster(
        {
            "name": "slow",
            "nodes": [{"name": f"N{i}", "memory_mib": 131072} for i in (1, 2, 3)],
            "vms": [{"name": f"web-{i}", "node": "N1", "memory_mib": 16384} for i in (1, 2, 3)],
        }
    )


class Night:
    """An evacuation of N1 of the slow cluster, kept in a folder of its own."""

    def __init__(self, cluster: str, folder: Path, speed: float) -> None:
        self.folder, self.witness = folder / "run", folder / "witness.jsonl"
        kept = ("--out", str(self.folder), "--log", str(self.witness), "--json")
        self.command = command_line("evacuate", "N1", "--cluster", cluster, "--speed", f"{speed:g}", *kept)

    @property
    def report(self) -> Any:
        return json.loads((self.folder / "report.json").read_text(encoding="utf-8"))

    @property
    def outcomes(self) -> dict[str, str]:
        return {move["vm"]: move["outcome"] for move in self.report["moves"]}

    def assert_clean(self) -> None:
        assert check_log(self.witness.read_text(encoding="utf-8").splitlines()) == ()
        run = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        assert (run["outcome"], run["ended"] is not None) == ("interrupted", True)


def locks_taken(server: EmbeddedServer) -> list[str]:
    found = httpx.post(f"{server.api_url}/v2/concurrency_limits/filter", json={}).raise_for_status().json()
    return [limit["name"] for limit in found if limit["active_slots"]]


@pytest.mark.parametrize(
    "number",
    [pytest.param(kind, marks=pytest.mark.heavy if kind != signal.SIGTERM else ()) for kind in KINDS],
    ids=lambda number: number.name,
)
def test_a_signal_starts_nothing_more_lets_moves_end_and_leaves_the_report(
    number: signal.Signals, slow: str, tmp_path: Path, prefect_server: EmbeddedServer
) -> None:
    night = Night(slow, tmp_path, speed=10)
    with begun(*night.command, prefect=prefect_server) as run:
        run.until_said("begins")
        run.process.send_signal(number)
        done = run.ended()
    assert done.code == 130, done.err
    assert done.document == night.report
    assert list(night.outcomes.values()) == ["done"]
    night.assert_clean()
    assert locks_taken(prefect_server) == []
    assert done.err.splitlines()[-1].endswith(str(night.folder))


@pytest.mark.heavy
def test_a_second_signal_calls_off_what_moves(slow: str, tmp_path: Path, prefect_server: EmbeddedServer) -> None:
    night = Night(slow, tmp_path, speed=1)
    with begun(*night.command, prefect=prefect_server) as run:
        run.until_said("begins")
        run.process.send_signal(signal.SIGINT)
        run.until_said("Stopping: nothing new starts")
        run.process.send_signal(signal.SIGTERM)
        done = run.ended()
    assert done.code == 130, done.err
    assert "Calling off" in done.err
    assert list(night.outcomes.values()) == ["cancelled"]
    night.assert_clean()
    assert locks_taken(prefect_server) == []


@pytest.mark.heavy
def test_a_terminal_that_goes_away_costs_neither_the_moves_nor_the_report(
    slow: str, tmp_path: Path, prefect_server: EmbeddedServer
) -> None:
    night = Night(slow, tmp_path, speed=10)
    process, terminal = pty.fork()
    if process == 0:
        os.execve(sys.executable, night.command, {**os.environ, **prefect_server.environment})  # noqa: S606
    seen = b""
    while b"being emptied" not in seen and b"moving" not in seen and b"copying" not in seen:
        seen += os.read(terminal, 4096)
    os.close(terminal)  # the kernel sends SIGHUP, and whatever is written from now on fails
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert set(night.outcomes.values()) <= {"done"}
    night.assert_clean()


@pytest.mark.heavy
def test_under_nohup_a_run_goes_on_when_the_terminal_goes(
    slow: str, tmp_path: Path, prefect_server: EmbeddedServer
) -> None:
    night = Night(slow, tmp_path, speed=50)
    with begun(*night.command, prefect=prefect_server, ignoring=[signal.SIGHUP]) as run:
        run.until_said("begins")
        run.process.send_signal(signal.SIGHUP)
        done = run.ended()
    assert done.code == 0, done.err
    assert list(night.outcomes.values()) == ["done"] * 3


def test_a_signal_while_prefect_starts_ends_in_order_and_leaves_no_server(slow: str, tmp_path: Path) -> None:
    night = Night(slow, tmp_path, speed=10)
    with begun(*night.command, TMPDIR=str(tmp_path)) as run:
        run.until_said("waiting for Prefect")
        (home,) = tmp_path.glob("shunter-prefect-*")
        run.process.send_signal(signal.SIGTERM)
        done = run.ended()
    assert (done.code, done.out) == (130, "")
    assert done.err.endswith("shunter: interrupted; nothing was touched\n")
    assert "Traceback" not in done.err
    assert not home.exists()
    assert not night.folder.exists()


@pytest.mark.heavy
def test_a_signal_ends_what_touches_nothing(slow: str, tmp_path: Path) -> None:
    rehearsal = command_line("rehearse", "maintain", "--cluster", slow, "--nights", "5000")
    with begun(*rehearsal) as run:
        run.until_said("night")
        run.process.send_signal(signal.SIGHUP)
        done = run.ended()
    assert done.code == 130
    assert "interrupted; nothing was touched" in done.err
    assert "Traceback" not in done.err


# ------------------------------------------------------------------ within this process


def send(*numbers: signal.Signals) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


@pytest.mark.parametrize(("first", "second"), product(KINDS, KINDS), ids=lambda number: number.name)
def test_any_kind_counts_as_the_second_of_any_other(first: signal.Signals, second: signal.Signals) -> None:
    heard: list[str] = []

    async def work(requests: Requests) -> str:
        once, twice = asyncio.Event(), asyncio.Event()

        def answer() -> None:
            heard.append(threading.current_thread().name)
            (twice if once.is_set() else once).set()

        with requests.answered_by(answer):
            send(first)
            await asyncio.wait_for(once.wait(), 10)
            send(second)
            await asyncio.wait_for(twice.wait(), 10)
        return "report"

    assert run_beside(work) == "report"
    assert heard == ["run_0", "run_0"]


def test_what_comes_before_anybody_answers_is_kept() -> None:
    async def work(requests: Requests) -> list[str]:
        send(signal.SIGTERM)
        await asyncio.sleep(0.05)
        heard: list[str] = []
        with requests.answered_by(lambda: heard.append("asked")):
            return heard

    assert run_beside(work) == ["asked"]


def test_what_goes_wrong_in_a_run_is_raised_where_it_was_started() -> None:
    async def work(_requests: Requests) -> None:
        raise TimeoutError("of the run's own")

    with pytest.raises(TimeoutError, match="of the run's own"):
        run_beside(work)


@pytest.mark.heavy
def test_what_is_raised_where_python_drops_it_is_raised_again() -> None:
    with ignored():
        end_in_order()
        ask_again_if_lost(cast("sys.UnraisableHookArgs", SimpleNamespace(exc_value=Interrupted())))
        with pytest.raises(Interrupted):
            time.sleep(10)


@pytest.mark.parametrize("number", KINDS, ids=lambda number: number.name)
def test_before_a_run_every_kind_ends_the_command(number: signal.Signals) -> None:
    with ignored():  # gives back what was in force before
        end_in_order()
        with pytest.raises(Interrupted) as ended:
            signal.raise_signal(number)
        with pytest.raises(Interrupted):
            spare("what was lost in a library is found before anything is touched")
    assert ended.value.code == 130
