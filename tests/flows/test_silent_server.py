"""Runs whose Prefect server falls silent for a while, or that are cancelled with nobody there to tell them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from building import node, vm
from prefect.client.orchestration import get_client
from prefect.states import Cancelling
from prefect_side import Asked, silent
from virtual import Notes

from shunter.engine.control import Control
from shunter.engine.watch import Glance
from shunter.flows import obeying, server
from shunter.flows.embedded import EmbeddedServer
from shunter.flows.errors import RunCancelled, StoppedWaiting
from shunter.flows.evacuate import evacuate_nodes
from shunter.flows.listeners import listening
from shunter.flows.server import PrefectServer
from shunter.flows.watch import watch_cluster
from shunter.statemachines.lifecycle import Step
from shunter.topology.plan import Plan
from shunter.topology.watching.condition import Occurrence

SPEED = 10.0


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CALL_DEADLINE_S", 0.5)
    monkeypatch.setattr(server, "ASK_AGAIN_S", 0.1)
    monkeypatch.setattr(server, "WORTH_REPORTING_S", 0.5)
    monkeypatch.setattr(obeying, "LOOK_EVERY_S", 0.2)


@pytest.fixture
def cluster_file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Six VMs on N1; each takes about a second and a half at ten times the speed."""
    of = {
        "name": request.node.name,
        "nodes": [node(f"N{i}") for i in (1, 2, 3)],
        "vms": [vm(f"vm-{i}", on="N1", memory_mib=8192) for i in range(6)],
    }
    path = tmp_path / "rack.json"
    path.write_text(json.dumps(of), encoding="utf-8")
    return path


class Moving(Notes):
    """Knows when the first migration copies, and how many have."""

    def __init__(self) -> None:
        super().__init__()
        self.copying, self.begun = asyncio.Event(), 0

    def stepped(self, step: Step) -> None:
        super().stepped(step)
        if step.lifecycle == "migration" and step.target == "copying":
            self.begun += 1
            self.copying.set()

    def said(self) -> str:
        return " | ".join(f"{wait.subject} {wait.reason}" for waits in self.waits for wait in waits)


async def evacuated(file: Path, notes: Notes) -> Plan:
    with listening(notes):
        return await evacuate_nodes(cluster=str(file), nodes=["N1"], speed=SPEED)


def of_file(asked: Asked, file: Path) -> dict[str, Any]:
    runs = asked.find("flow_runs", sort="START_TIME_DESC")
    (run,) = [run for run in runs if run["parameters"].get("cluster") == str(file)]
    return run


async def cancelled_as_the_ui_does(asked: Asked, file: Path) -> None:
    async with get_client() as client:
        await client.set_flow_run_state(UUID(of_file(asked, file)["id"]), Cancelling())


def test_a_run_that_nobody_tells_that_it_is_cancelled_finds_out_and_its_state_is_true(
    cluster_file: Path, asked: Asked, prefect_server: EmbeddedServer, request: pytest.FixtureRequest
) -> None:
    async def story() -> None:
        notes = Moving()
        run = asyncio.create_task(evacuated(cluster_file, notes))
        await notes.copying.wait()
        with silent(prefect_server):
            await asyncio.sleep(1)
        await cancelled_as_the_ui_does(asked, cluster_file)
        begun = notes.begun
        with pytest.raises(RunCancelled) as caught:
            await asyncio.wait_for(run, 20)
        assert caught.value.plan.interrupted
        assert notes.begun <= begun + 1, "one at most began before it was heard of"
        assert not [step for step in notes.steps if step.target == "lost_sight"]

    asyncio.run(story())
    assert of_file(asked, cluster_file)["state"]["type"] == "CANCELLED"
    key = f"evacuation-report-{request.node.name.replace('_', '-')}"
    (report,) = asked.find("artifacts", artifacts={"key": {"any_": [key]}})
    assert report["description"].startswith("Interrupted: ")


@pytest.mark.heavy
def test_what_waits_for_a_silent_server_says_so_goes_on_when_it_answers_and_reports_how_long(
    cluster_file: Path, prefect_server: EmbeddedServer
) -> None:
    async def story() -> tuple[Plan, Moving]:
        notes = Moving()
        run = asyncio.create_task(evacuated(cluster_file, notes))
        await notes.copying.wait()
        with silent(prefect_server):
            await asyncio.sleep(3)
        return await asyncio.wait_for(run, 30), notes

    report, notes = asyncio.run(story())
    assert report.ok
    assert {move.outcome for move in report.moves} == {"done"}
    assert len(report.moves) == 6
    assert "the run begins nothing: the Prefect server does not answer since" in notes.said()
    assert "held by" not in notes.said()
    (told,) = [finding for finding in report.findings if "the Prefect server did not answer for" in finding.message]
    assert told.severity == "warning"


@pytest.mark.heavy
def test_a_run_that_starts_while_the_server_is_silent_waits_for_it(
    cluster_file: Path, prefect_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server falls silent once Prefect has begun the run, and before the run has asked it anything itself."""
    notes = Moving()
    probe = PrefectServer.probe
    silences: list[asyncio.Task[None]] = []

    async def for_a_while() -> None:
        with silent(prefect_server):
            await asyncio.sleep(2)

    async def probe_in_silence(self: PrefectServer) -> None:
        if not silences:
            silences.append(asyncio.create_task(for_a_while()))
            await asyncio.sleep(0)
        await probe(self)

    monkeypatch.setattr(PrefectServer, "probe", probe_in_silence)
    report = asyncio.run(evacuated(cluster_file, notes))
    assert report.ok
    assert "the run begins nothing: the Prefect server does not answer since" in notes.said()


def test_a_run_that_is_stopped_while_it_waits_for_the_server_touches_nothing(
    cluster_file: Path, prefect_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> Moving:
        notes, stop = Moving(), Control()
        silence = silent(prefect_server)

        async def probe_in_silence(self: PrefectServer) -> None:
            if not self.silences:
                silence.__enter__()
                asyncio.get_running_loop().call_later(0.7, stop.request)
                asyncio.get_running_loop().call_later(1.5, silence.__exit__, None, None, None)
            await self.ask(lambda client: client.request("GET", "/health"))

        monkeypatch.setattr(PrefectServer, "probe", probe_in_silence)
        with (
            listening(notes, stop=stop),
            pytest.raises(StoppedWaiting, match="the Prefect server does not answer since"),
        ):
            await evacuate_nodes(cluster=str(cluster_file), nodes=["N1"], speed=SPEED)
        return notes

    assert asyncio.run(story()).steps == []


class Seeing:
    """Of a watch: what it told, and whether it has begun."""

    def __init__(self) -> None:
        self.told: list[Occurrence] = []
        self.begun = asyncio.Event()

    def occurred(self, occurrence: Occurrence) -> None:
        self.told.append(occurrence)

    def looked(self, _: Glance) -> None:
        self.begun.set()


def test_a_watch_tells_once_that_its_server_is_silent_and_that_it_answers_again(
    cluster_file: Path, prefect_server: EmbeddedServer
) -> None:
    async def story() -> list[Occurrence]:
        watcher, stop = Seeing(), Control()
        with listening(watcher=watcher, stop=stop):
            watching = asyncio.create_task(watch_cluster(str(cluster_file), speed=SPEED))
        await watcher.begun.wait()
        with silent(prefect_server):
            await asyncio.sleep(2)
        await asyncio.sleep(1)
        stop.request()
        await asyncio.wait_for(watching, 30)
        return [each for each in watcher.told if each.what == "server_silent"]

    began, ended = asyncio.run(story())
    assert began.severity == "warning"
    assert began.message.startswith("the Prefect server does not answer since ")
    assert (ended.severity, ended.message) == ("info", "the server answers again")
