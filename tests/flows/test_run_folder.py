"""What a run leaves on the machine that it runs on."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import stat
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from prefect_side import small

from shunter.engine.audience import Waiting
from shunter.flows.embedded import EmbeddedServer
from shunter.flows.errors import RunRefused
from shunter.flows.kept_runs import kept_runs
from shunter.flows.run_folder import FLOW_RUNS, Keep, RunFolder
from shunter.topology.errors import RequestError
from shunter.topology.plan import Plan

REPORT = Plan(cluster="prod-1", ok=True, executed=True, reserve_nodes=1)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHUNTER_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def of(keep: Keep) -> RunFolder:
    return RunFolder(keep, "evacuate", "prod-1", ["N1"], flow_run_id="4711", flow_run="evacuate N1 of prod-1")


def written(folder: Path | None) -> Any:
    assert folder is not None
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


async def reported(folder: RunFolder, report: Plan = REPORT) -> Plan:
    work: asyncio.Future[Plan] = asyncio.get_running_loop().create_future()
    work.set_result(report)
    return await folder.reported(work)


def test_plan_words_and_report_are_there_as_soon_as_they_are_known(state: Path) -> None:
    keep = Keep()
    words = logging.LoggerAdapter(logging.getLogger(FLOW_RUNS), {"flow_run_id": "4711"})
    with of(keep) as folder:
        assert keep.folder is not None
        assert written(keep.folder)["outcome"] == "running"
        folder.planned(REPORT.model_copy(update={"executed": False}), 0.0)
        assert json.loads((keep.folder / "plan.json").read_text(encoding="utf-8"))["executed"] is False
        words.warning("node N2: down\nand out")
        logging.getLogger(FLOW_RUNS).warning("of another run", extra={"flow_run_id": "0815"})
        folder.waiting((Waiting("web-1: N1 → N3", "waits for N3", 10.0),))
        said = (keep.folder / "log.txt").read_text(encoding="utf-8").splitlines()
        asyncio.run(reported(folder))
        assert keep.report == REPORT
        assert Plan.model_validate_json((keep.folder / "report.json").read_bytes()) == REPORT
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d{6}-evacuate-prod-1-[0-9a-f]{4}", keep.folder.name)
    assert [line[30:] for line in said] == [
        "WARNING node N2: down",
        "WARNING and out",
        "INFO    waiting: web-1: N1 → N3 waits for N3",
    ]
    assert all(datetime.fromisoformat(line[:29]).tzinfo is not None for line in said)
    run = written(keep.folder)
    assert (run["outcome"], run["cluster"], run["nodes"], run["flow_run_id"]) == ("done", "prod-1", ["N1"], "4711")
    assert datetime.fromisoformat(run["started"]) <= datetime.fromisoformat(run["ended"])
    assert stat.S_IMODE(keep.folder.stat().st_mode) == 0o700
    assert {path.name for path in keep.folder.iterdir()} == {"run.json", "plan.json", "log.txt", "report.json"}


@pytest.mark.parametrize("cluster", ["../../etc", "/", "a/b", "..", "c:\\x", "名前", "x" * 300, ".hidden", "a\x00b\n"])
def test_no_name_of_a_cluster_leads_out_of_the_folder(cluster: str, state: Path) -> None:
    keep = Keep()
    with RunFolder(keep, "repair", cluster, []):
        pass
    assert keep.folder is not None
    assert keep.folder.resolve().parent == (state / "runs").resolve()
    assert len(keep.folder.name) < 100
    assert written(keep.folder)["cluster"] == cluster


def test_two_at_once_never_share_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["aaaa", "aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr("secrets.token_hex", lambda _bytes: next(drawn))
    first, second = Keep(), Keep()
    with of(first), of(second):
        assert first.folder is not None
        assert second.folder is not None
        assert (first.folder.name[-4:], second.folder.name[-4:]) == ("aaaa", "bbbb")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RunRefused("a rolling run is under way"), "refused"),
        (RequestError("no such node"), "failed"),
        (ZeroDivisionError("a bug"), "failed"),
        (asyncio.CancelledError(), "cancelled"),
    ],
)
def test_a_run_without_a_report_says_how_it_ended(error: BaseException, outcome: str) -> None:
    keep = Keep()
    with pytest.raises(type(error)), of(keep):
        raise error
    assert written(keep.folder)["outcome"] == outcome
    assert str(error) in (written(keep.folder)["message"] or "")


def test_a_folder_named_for_it_is_claimed_once_and_listed_with_the_others(tmp_path: Path) -> None:
    keep, out = Keep(), tmp_path / "new" / "folder"
    with keep.claimed(out), of(keep):
        with pytest.raises(RequestError, match="holds a run already"), Keep().claimed(out):
            pass
        assert keep.folder == out
    assert [run.folder for run in kept_runs()] == [out]


def test_a_folder_in_which_no_run_began_is_given_back(tmp_path: Path) -> None:
    with pytest.raises(RequestError), Keep().claimed(tmp_path / "new"):
        raise RequestError("nothing came of it")
    assert not (tmp_path / "new").exists()


def test_a_run_is_running_while_its_process_holds_its_log_and_has_died_when_nobody_does(state: Path) -> None:
    keep = Keep()
    with of(keep):
        (kept,) = kept_runs()
        assert kept.outcome == "running"
        as_it_was = (kept.folder / "run.json").read_bytes()
    (kept.folder / "run.json").write_bytes(as_it_was)
    assert [run.outcome for run in kept_runs()] == ["died"]


def test_a_state_folder_that_is_none_costs_only_the_folder(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    state.write_text("a file", encoding="utf-8")
    keep = Keep()
    with of(keep) as folder:
        asyncio.run(reported(folder))
    assert (keep.folder, keep.report) == (None, REPORT)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        f"{state / 'runs'} cannot be written (Not a directory)"
    ]


def test_a_flow_called_from_python_leaves_its_folder_too(tmp_path: Path, prefect_server: EmbeddedServer) -> None:
    from shunter.flows.evacuate import evacuate_nodes  # noqa: PLC0415  Prefect takes a second

    cluster = tmp_path / "rack.json"
    cluster.write_text(json.dumps(small("called")), encoding="utf-8")
    report = asyncio.run(evacuate_nodes(str(cluster), ["N1"], speed=1000))
    (kept,) = kept_runs()
    assert kept.run is not None
    assert (kept.run.command, kept.run.cluster, kept.outcome) == ("evacuate", "called", "done")
    assert kept.report == report
    assert kept.plan is not None
    assert "node N1: draining → drained" in kept.words.read_text(encoding="utf-8")
