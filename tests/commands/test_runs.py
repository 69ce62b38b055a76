"""`shunter runs` and `shunter report`: what runs have left."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from commanding import Answer, begun, command_line

from shunter.commands import demo, output, seeing_through
from shunter.commands.jobs import Job
from shunter.commands.run_thread import run_beside
from shunter.commands.screens.run_view import RunView
from shunter.commands.seeing_through import Seen
from shunter.flows.embedded import EmbeddedServer
from shunter.flows.errors import PrefectUnreachable
from shunter.flows.run_folder import Keep, RunFolder
from shunter.topology.plan import Move, Plan

MOVED = Move(vm="web-1", source="N1", target="N2", start_s=0.0, end_s=10.0, outcome="done", estimate_s=9.0)
REPORT = Plan(cluster="prod-1", ok=True, executed=True, reserve_nodes=1, moves=(MOVED,))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHUNTER_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def kept(
    cluster: str = "prod-1", nodes: Sequence[str] = ("N1",), *, report: Plan | None = REPORT, flow_run_id: str = "4711"
) -> Path:
    """A run that is over; `report` None: it has died before it had one."""
    keep = Keep()

    async def work() -> Plan:
        assert report is not None
        return report

    with RunFolder(keep, "evacuate", cluster, nodes, flow_run_id=flow_run_id) as folder:
        assert keep.folder is not None
        as_it_began = (keep.folder / "run.json").read_bytes()
        if report is not None:
            asyncio.run(folder.reported(work()))
    if report is None:
        (keep.folder / "run.json").write_bytes(as_it_began)
    return keep.folder


def test_where_nothing_was_kept_that_is_said(shunter: Callable[..., Answer], state: Path) -> None:
    done = shunter("runs")
    assert (done.code, done.out) == (0, f"No run is kept in {state / 'runs'}.\n")
    assert shunter("runs", "--json").document == {"kind": "runs", "runs": []}


def test_the_newest_run_comes_first(shunter: Callable[..., Answer]) -> None:
    kept("old")
    kept("new", ("N1", "N2"), report=REPORT.model_copy(update={"ok": False}))
    kept("dead", report=None)
    done = shunter("runs")
    assert done.code == 0
    rows = [" ".join(line.split()[2:-1]) for line in done.out.splitlines()[1:4]]
    assert rows[0] == "evacuate N1 dead died"
    assert rows[1].startswith("evacuate N1 and N2 new partly done")
    assert rows[2].startswith("evacuate N1 old done")
    listed = shunter("runs", "--json").document["runs"]
    assert [(run["cluster"], run["outcome"]) for run in listed] == [
        ("dead", "died"),
        ("new", "partly done"),
        ("old", "done"),
    ]
    assert all(Path(run["folder"]).is_dir() for run in listed)


def test_a_report_is_shown_again_as_it_was_by_any_name_of_its_run(
    shunter: Callable[..., Answer], tmp_path: Path
) -> None:
    kept("other", flow_run_id="0815")
    folder = kept()
    page = tmp_path / "page.html"
    for asked in (folder.name, folder.name[:-2], "prod-1", "4711", "last", str(folder)):
        done = shunter("report", asked, "--json")
        assert (done.code, Plan.model_validate_json(done.out)) == (0, REPORT), asked
    done = shunter("report", "last", "--html", str(page))
    assert "web-1" in done.out
    assert "web-1" in page.read_text(encoding="utf-8")


def test_a_name_that_fits_none_or_several_is_refused_with_those_that_there_are(shunter: Callable[..., Answer]) -> None:
    folders = [kept("prod-1"), kept("prod-2")]
    for asked, said in (("prod", "fits 2 runs"), ("test-3", "no run is called 'test-3'")):
        done = shunter("report", asked)
        assert (done.code, done.out) == (2, "")
        assert said in done.err
        assert all(folder.name in done.err for folder in folders)


def test_a_run_that_died_says_so_and_where_its_words_are(shunter: Callable[..., Answer]) -> None:
    folder = kept(report=None)
    done = shunter("report", "last")
    assert done.code == 4
    assert f"there is no report, died; what it had said until then: {folder / 'log.txt'}" in done.err


def test_a_run_that_goes_on_has_no_report_yet(shunter: Callable[..., Answer]) -> None:
    with RunFolder(Keep(), "evacuate", "prod-1", ["N1"]):
        done = shunter("report", "last", "--json")
    assert done.code == 1
    assert "there is no report, running; what it says" in done.err
    assert done.document["outcome"] == "running"


def test_what_lies_among_the_folders_and_is_no_run_costs_nothing(shunter: Callable[..., Answer], state: Path) -> None:
    folder = kept()
    (state / "runs" / "notes.txt").write_text("mine", encoding="utf-8")
    (state / "runs" / "broken").mkdir()
    (state / "runs" / "broken" / "run.json").write_text("{", encoding="utf-8")
    assert [run["id"] for run in shunter("runs", "--json").document["runs"]] == [folder.name, "broken"]
    assert shunter("runs").code == 0


def test_each_demo_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [str(demo._new_folder()) for _ in range(3)] == ["shunter-report", "shunter-report-2", "shunter-report-3"]


def test_what_the_cluster_came_to_counts_whatever_prefect_comes_to_afterwards(
    capsys: pytest.CaptureFixture[str],
) -> None:
    keep = Keep()

    async def flow() -> Plan:
        keep.report = REPORT
        raise ConnectionError("All connection attempts failed")

    job = Job("Emptying N1", "prod-1.json", lambda _: REPORT, flow, ("N1",))
    view, console = RunView(time.monotonic), output.messages()
    report = run_beside(lambda requests: Seen(job, view, console, requests, keep).report())
    assert report == REPORT
    said = "the work is over, and Prefect could not be told how it ended (All connection attempts failed)"
    assert said in " ".join(capsys.readouterr().err.split())


def test_that_a_silent_server_is_waited_for_is_said_once_the_work_is_over(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeing_through, "LATE_S", 0.0)
    keep = Keep(folder=Path("kept-here"))

    async def flow() -> Plan:
        keep.when_reported()
        await asyncio.sleep(0.05)
        return REPORT

    job = Job("Emptying N1", "prod-1.json", lambda _: REPORT, flow, ("N1",))
    view, console = RunView(time.monotonic), output.messages()
    assert run_beside(lambda requests: Seen(job, view, console, requests, keep).report()) == REPORT
    said = "the work is over; its report is in kept-here; the Prefect server does not answer"
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_server_that_falls_silent_while_prefect_begins_the_run_is_waited_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeing_through, "ASK_AGAIN_S", 0.0)
    answers = iter([httpx.ConnectError("All connection attempts failed")] * 2)

    async def flow() -> Plan:
        for silence in answers:
            raise silence
        return REPORT

    job = Job("Emptying N1", "prod-1.json", lambda _: REPORT, flow, ("N1",))
    view, console = RunView(time.monotonic), output.messages()
    assert run_beside(lambda requests: Seen(job, view, console, requests, Keep()).report()) == REPORT
    assert (
        capsys.readouterr().err.count("nothing has begun: the Prefect server does not answer, and is waited for") == 1
    )


def test_once_a_run_has_begun_it_is_begun_only_once() -> None:
    keep, calls = Keep(), list[int]()

    async def flow() -> Plan:
        calls.append(1)
        keep.begun = True
        raise httpx.ConnectError("All connection attempts failed")

    job = Job("Emptying N1", "prod-1.json", lambda _: REPORT, flow, ("N1",))
    view, console = RunView(time.monotonic), output.messages()
    with pytest.raises(PrefectUnreachable, match="the Prefect server does not answer"):
        run_beside(lambda requests: Seen(job, view, console, requests, keep).report())
    assert calls == [1]


def test_without_a_report_what_went_wrong_is_raised() -> None:
    async def flow() -> Plan:
        raise ConnectionError("All connection attempts failed")

    job = Job("Emptying N1", "prod-1.json", lambda _: REPORT, flow, ("N1",))
    view, console = RunView(time.monotonic), output.messages()
    with pytest.raises(ConnectionError):
        run_beside(lambda requests: Seen(job, view, console, requests, Keep()).report())


@pytest.mark.heavy
@pytest.mark.parametrize("whose", ["its own", "another"])
def test_a_server_that_is_gone_for_good_costs_neither_the_report_nor_the_exit_code(
    write_cluster: Callable[[dict[str, Any]], str], tmp_path: Path, whose: str
) -> None:
    nodes = [{"name": name, "memory_mib": 65536} for name in ("N1", "N2", "N3")]
    one = write_cluster({"name": "one", "nodes": nodes, "vms": [{"name": "a", "node": "N1", "memory_mib": 4096}]})
    run = command_line("evacuate", "N1", "--cluster", one, "--speed", "2", "--out", str(tmp_path / "run"), "--json")
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedServer.started(tmp_path)) if whose == "another" else None
        if server is not None:
            server.wait_until_ready()
        work = stack.enter_context(begun(*run, prefect=server))
        work.until_said("begins")
        os.kill(server.pid if server is not None else embedded_server_of(work.process.pid), signal.SIGKILL)
        if server is not None:  # one that may come back is waited for
            work.until_said("Ctrl-C ends the waiting")
            work.process.send_signal(signal.SIGINT)
        done = work.ended()
    assert done.code == 0, done.err
    assert done.document["ok"]
    assert "the work is over, and Prefect could not be told how it ended" in done.err
    assert done.err.splitlines()[-1] == f"Report, plan and log are kept in {tmp_path / 'run'}"


def embedded_server_of(pid: int) -> int:
    """The process id of the server that this process has started for itself."""
    servers = [each.pid for each in psutil.Process(pid).children() if "shunter.flows.embedded_server" in each.cmdline()]
    assert len(servers) == 1
    return servers[0]
