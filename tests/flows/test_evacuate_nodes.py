"""The flow as its callers see it: what it returns or raises, and what it leaves on the Prefect server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from prefect_side import Asked, small
from virtual import Notes

from shunter.engine.audience import Progress
from shunter.engine.stop import Stop
from shunter.flows.errors import RefusedByFindings
from shunter.flows.evacuate import evacuate_nodes
from shunter.flows.listeners import listening
from shunter.flows.migrate import live_migrate
from shunter.topology.errors import RequestError
from shunter.topology.plan import Plan

SPEED = 100.0


def key(what: str, name: str) -> str:
    return f"evacuation-{what}-{name.replace('_', '-')}"


def artifact(asked: Asked, what: str, name: str) -> dict[str, Any]:
    (found,) = asked.find("artifacts", artifacts={"key": {"any_": [key(what, name)]}})
    return found


def test_a_finished_run_returns_its_report_and_leaves_it_on_the_server(
    cluster_file: Path, asked: Asked, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    notes = Notes()

    async def run() -> Plan:
        with listening(notes):
            return await evacuate_nodes(cluster=str(cluster_file), nodes=["N1"], speed=SPEED)

    report = asyncio.run(run())
    assert report.ok
    assert report.executed
    assert {move.vm for move in report.moves if move.outcome == "done"} == {"web-1", "web-2", "db-1"}
    assert notes.of("node N1")[-1] == "drained"

    document = artifact(asked, "report", name)
    assert document["description"].startswith("N1 is empty: 3 VMs moved live in ")
    assert "](data:image/svg+xml;base64," in document["data"]
    assert artifact(asked, "plan", name)["description"].startswith("Planned: 3 VMs to move in ")
    assert artifact(asked, "progress", name)["data"] == 100.0

    run_id = document["flow_run_id"]
    (flow_run,) = asked.find("flow_runs", flow_runs={"id": {"any_": [run_id]}})
    assert flow_run["name"] == "evacuate N1 of rack"
    assert flow_run["state"]["message"] == document["description"]


def test_each_migration_is_a_task_run_and_each_step_an_event_and_a_log_line(
    cluster_file: Path, asked: Asked, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    report = asyncio.run(evacuate_nodes(cluster=str(cluster_file), nodes=["N1"], speed=SPEED))
    move = next(move for move in report.moves if move.vm == "web-1")
    label = f"web-1: N1 → {move.target}"
    run_id = artifact(asked, "report", name)["flow_run_id"]
    of_run = {"flow_runs": {"id": {"any_": [run_id]}}}
    since = {"since": "2020-01-01T00:00:00Z"}
    about = {"resource": {"id": [f"shunter.vm.{name}.web-1"]}, "occurred": since}

    async def arrived() -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
        return (
            await asked.until("task_runs", 3, **of_run),
            await asked.until("events", 9, filter=about, limit=50),
            await asked.until("logs", 30, logs={"flow_run_id": {"any_": [run_id]}}, limit=200),
        )

    task_runs, events, lines = asyncio.run(arrived())
    assert {run["name"]: run["state_name"] for run in task_runs}[label] == "Done"
    assert len(task_runs) == 3
    steps = [event["event"].removeprefix("shunter.") for event in events][::-1]
    assert [step for step in steps if step.startswith("migration.")] == [
        f"migration.{state}"
        for state in ("waiting", "checking", "preparing", "copying", "switching", "settling", "done")
    ]
    related = {r["prefect.resource.id"]: r["prefect.resource.role"] for r in events[0]["related"]}
    assert related[f"prefect.flow-run.{run_id}"] == "flow-run"
    copying = next(event for event in events if event["event"] == "shunter.migration.copying")
    assert [r["prefect.resource.id"] for r in copying["related"][:2]] == [
        f"shunter.node.{name}.N1",
        f"shunter.node.{name}.{move.target}",
    ]
    assert f"{label}: preparing → copying" in [line["message"] for line in lines]


def test_what_stays_is_in_the_report_and_in_the_name_of_the_final_state(
    tmp_path: Path, asked: Asked, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    cluster = small(name)
    cluster["vms"].append({"name": "pinned", "node": "N1", "memory_mib": 1024, "possible_owners": ["N1"]})
    path = tmp_path / "rack.json"
    path.write_text(json.dumps(cluster), encoding="utf-8")

    report = asyncio.run(evacuate_nodes(cluster=str(path), nodes=["N1"], speed=SPEED))
    assert not report.ok
    assert [unplaced.vm for unplaced in report.unplaced] == ["pinned"]

    document = artifact(asked, "report", name)
    (flow_run,) = asked.find("flow_runs", flow_runs={"id": {"any_": [document["flow_run_id"]]}})
    assert (flow_run["state_type"], flow_run["state_name"]) == ("COMPLETED", "Partly done")
    assert "pinned stays" in flow_run["state"]["message"]
    assert "### What stays" in document["data"]


def test_a_refused_run_raises_with_its_plan_and_touches_nothing(
    cluster_file: Path, asked: Asked, request: pytest.FixtureRequest
) -> None:
    notes = Notes()

    async def run() -> None:
        with listening(notes):
            await evacuate_nodes(cluster=str(cluster_file), nodes=["N1", "N2", "N3"], reserve_nodes=1, speed=SPEED)

    with pytest.raises(RefusedByFindings, match="nothing was touched") as refused:
        asyncio.run(run())
    assert refused.value.plan.errors
    assert notes.steps == []
    document = artifact(asked, "report", request.node.name)
    (flow_run,) = asked.find("flow_runs", flow_runs={"id": {"any_": [document["flow_run_id"]]}})
    assert (flow_run["state_type"], flow_run["state_name"]) == ("FAILED", "Refused")


@pytest.mark.usefixtures("prefect_server")
def test_an_unknown_node_is_a_wrong_request(cluster_file: Path) -> None:
    with pytest.raises(RequestError, match='is called "N9"; the nodes are N1, N2, N3, N4'):
        asyncio.run(evacuate_nodes(cluster=str(cluster_file), nodes=["N9"], speed=SPEED))


class Copying(Notes):
    """Says when the first memory is copied."""

    def __init__(self) -> None:
        super().__init__()
        self.began = asyncio.Event()

    def progressed(self, progress: Progress) -> None:
        super().progressed(progress)
        self.began.set()


@pytest.mark.parametrize(("running", "moved"), [("finish", 1), ("cancel", 0)])
def test_a_cancelled_run_ends_its_migrations_and_leaves_a_report(
    cluster_file: Path, asked: Asked, request: pytest.FixtureRequest, running: Any, moved: int
) -> None:
    async def run() -> Copying:
        notes = Copying()
        with listening(notes):
            flow = asyncio.create_task(
                evacuate_nodes(
                    cluster=str(cluster_file),
                    nodes=["N1"],
                    speed=20.0,
                    running_migrations_on_cancel=running,
                    undo_pause=True,
                )
            )
            await notes.began.wait()
            flow.cancel()
            with pytest.raises(asyncio.CancelledError):
                await flow
        return notes

    notes = asyncio.run(run())
    assert [step.target for step in notes.steps if step.lifecycle == "migration"].count("done") == moved
    assert notes.of("node N1")[-1] == "up"
    document = artifact(asked, "report", request.node.name.replace("[", "-").removesuffix("]"))
    assert document["description"].startswith(f"Interrupted: {moved} VM")


def test_a_process_told_to_terminate_lets_the_run_end_in_order(
    cluster_file: Path, asked: Asked, request: pytest.FixtureRequest
) -> None:
    notes = Copying()

    def terminate() -> None:
        raise SystemExit(143)  # as from the handler of a signal: out of the event loop, whatever runs

    async def run() -> None:
        with listening(notes):
            flow = asyncio.create_task(
                evacuate_nodes(cluster=str(cluster_file), nodes=["N1"], speed=20.0, undo_pause=True)
            )
            await notes.began.wait()
            asyncio.get_running_loop().call_soon(terminate)
            await flow

    with pytest.raises(SystemExit):
        asyncio.run(run())
    assert [step.target for step in notes.steps if step.lifecycle == "migration"].count("done") == 1
    assert notes.of("node N1")[-1] == "up"
    assert artifact(asked, "report", request.node.name)["description"].startswith("Interrupted: 1 VM moved live")


def test_who_listens_may_stop_the_run_and_gets_the_report(cluster_file: Path, asked: Asked) -> None:
    async def run() -> Plan:
        notes, stop = Copying(), Stop()
        with listening(notes, stop=stop):
            flow = asyncio.create_task(evacuate_nodes(cluster=str(cluster_file), nodes=["N1"], speed=20.0))
            await notes.began.wait()
            stop.request(running="cancel")
            return await flow

    report = asyncio.run(run())
    assert report.interrupted
    assert [move.outcome for move in report.moves] == ["cancelled"]


@pytest.mark.usefixtures("prefect_server")
def test_one_vm_goes_to_the_node_that_was_asked_for(cluster_file: Path) -> None:
    report = asyncio.run(live_migrate(cluster=str(cluster_file), vm="db-1", target="N4", speed=SPEED))
    assert report.ok
    assert [(move.vm, move.target, move.outcome) for move in report.moves] == [("db-1", "N4", "done")]
