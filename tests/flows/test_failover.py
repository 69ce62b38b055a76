"""The flow for nodes that are lost, as its callers see it, and what it leaves on the server."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from building import node, vm
from prefect.variables import Variable
from prefect_side import Asked, hosted, locks_of
from virtual import Notes

from shunter.engine.control import Control
from shunter.flows.emptied_record import variable_name
from shunter.flows.errors import RefusedByFindings
from shunter.flows.failover import failover
from shunter.flows.listeners import listening
from shunter.flows.resume import resume_node
from shunter.flows.spoken import duration
from shunter.flows.whole_cluster import WholeCluster
from shunter.topology.errors import RequestError
from shunter.topology.plan import Plan
from shunter.topology.recheck import check_log

FAILED = {"state": "failed"}
FAST = 1000.0


def after_a_loss(name: str) -> dict[str, Any]:
    """N2 is lost, and the cluster has given its VMs up; big-1 has no room anywhere, lab-1 is not to start."""
    return {
        "name": name,
        "nodes": [node("N1"), node("N2", state="down"), node("N3", 16384)],
        "vms": [
            vm("app-1", on="N1", memory_mib=16384),
            vm("erp-1", on="N2", priority=3000, **FAILED),
            vm("web-1", on="N2", **FAILED),
            vm("big-1", on="N2", memory_mib=60000, **FAILED),
            vm("lab-1", on="N2", priority=0, **FAILED),
        ],
        "volumes": [{"name": "CSV1", "owner": "N2"}],
    }


def written(cluster: dict[str, Any], folder: Path) -> str:
    path = folder / "rack.json"
    path.write_text(json.dumps(cluster), encoding="utf-8")
    return str(path)


def dashed(name: str) -> str:
    return name.replace("_", "-")


def test_a_failover_leaves_its_report_and_ends_partly_done_where_something_does_not_run(
    tmp_path: Path, asked: Asked, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    report = asyncio.run(failover(cluster=written(after_a_loss(name), tmp_path), nodes=["N2"], speed=FAST))
    assert {(move.vm, move.outcome) for move in report.moves} == {("erp-1", "done"), ("web-1", "done")}
    assert [move.volume for move in report.volume_moves] == ["CSV1"]
    (document,) = asked.find("artifacts", artifacts={"key": {"any_": [f"failover-report-{dashed(name)}"]}})
    within = duration(max(move.end_s for move in report.moves))  # at this speed a busy machine makes it minutes more
    assert document["description"] == (
        f"Without N2: 2 VMs run again within {within}; big-1 does not; lab-1 of priority 0 is not started."
    )
    assert "What does not restart" in document["data"]
    (run,) = asked.find("flow_runs", flow_runs={"id": {"any_": [document["flow_run_id"]]}})
    assert (run["name"], run["state_name"], run["state_type"]) == ("failover of N2 on rack", "Partly done", "COMPLETED")
    assert run["state"]["message"] == document["description"]


def test_a_failover_that_brings_everything_to_run_is_completed(
    tmp_path: Path, asked: Asked, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    cluster = after_a_loss(name)
    cluster["vms"] = [each for each in cluster["vms"] if each["name"] != "big-1"]
    assert asyncio.run(failover(cluster=written(cluster, tmp_path), nodes=["N2"], speed=FAST)).ok
    (document,) = asked.find("artifacts", artifacts={"key": {"any_": [f"failover-report-{dashed(name)}"]}})
    (run,) = asked.find("flow_runs", flow_runs={"id": {"any_": [document["flow_run_id"]]}})
    assert run["state_name"] == "Completed"


def test_the_progress_counts_the_vms_that_run_again(
    tmp_path: Path, asked: Asked, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    asyncio.run(failover(cluster=written(after_a_loss(name), tmp_path), nodes=["N2"], speed=FAST))
    (progress,) = asked.find("artifacts", artifacts={"key": {"any_": [f"failover-progress-{dashed(name)}"]}})
    assert progress["data"] == 66.7
    assert progress["description"] == "2 of 3 VMs run again"


def test_each_vm_that_starts_is_an_event_with_its_node_and_a_log_line(
    tmp_path: Path, asked: Asked, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    asyncio.run(failover(cluster=written(after_a_loss(name), tmp_path), nodes=["N2"], speed=FAST))
    of_erp = {"resource": {"id": [f"shunter.vm.{name}.erp-1"]}}
    events = asyncio.run(asked.until("events", 3, filter=of_erp))[::-1]
    assert [event["event"] for event in events] == ["shunter.vm.failed", "shunter.vm.starting", "shunter.vm.running"]
    related = {each["prefect.resource.id"]: each["prefect.resource.role"] for each in events[-1]["related"]}
    assert related[f"shunter.node.{name}.N1"] == "node"
    (document,) = asked.find("artifacts", artifacts={"key": {"any_": [f"failover-report-{dashed(name)}"]}})
    of_run = {"flow_run_id": {"any_": [document["flow_run_id"]]}}
    lines = asyncio.run(asked.until("logs", 15, logs=of_run, limit=200))
    levels = {line["message"]: line["level"] for line in lines if "erp-1" in line["message"]}
    (failed,) = [message for message in levels if "failed" in message.split("→")[-1]]
    assert levels[failed] == logging.WARNING


@pytest.mark.usefixtures("prefect_server")
def test_i2_a_node_that_is_up_is_refused_and_nothing_is_touched(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    notes = Notes()
    file = written(after_a_loss(request.node.name), tmp_path)
    with listening(notes), pytest.raises(RefusedByFindings, match="N1 is up: its VMs run there") as refused:
        asyncio.run(failover(cluster=file, nodes=["N1"], speed=FAST))
    assert not refused.value.plan.executed
    assert notes.steps == []


@pytest.mark.usefixtures("prefect_server")
def test_an_unknown_node_is_a_wrong_request(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with pytest.raises(RequestError, match='is called "N9"'):
        asyncio.run(failover(cluster=written(after_a_loss(request.node.name), tmp_path), nodes=["N9"], speed=FAST))


@pytest.mark.usefixtures("prefect_server")
def test_a_failover_does_not_wait_for_a_rolling_run_that_has_the_cluster(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    file = written(after_a_loss(name), tmp_path)

    async def story() -> Plan:
        async with locks_of(name) as holds, WholeCluster.held(holds, name):
            return await failover(cluster=file, nodes=["N2"], speed=FAST)

    report = asyncio.run(story())
    assert {move.vm for move in report.moves} == {"erp-1", "web-1"}


@pytest.mark.usefixtures("prefect_server")
def test_a_failover_that_is_stopped_reports_what_it_left(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    stop = Control()
    file = written(after_a_loss(request.node.name), tmp_path)

    async def story() -> Plan:
        asyncio.get_running_loop().call_later(1.0, stop.request)
        with listening(stop=stop):
            return await failover(cluster=file, nodes=["N2"], speed=1.0)

    report = asyncio.run(story())
    assert report.interrupted
    assert {stays.vm for stays in report.unplaced} == {"erp-1", "web-1", "big-1", "lab-1"}


@pytest.mark.usefixtures("prefect_server")
def test_what_ran_on_a_lost_node_goes_back_to_it_once_it_has_returned(tmp_path: Path) -> None:
    name = "lost-and-back"
    cluster = after_a_loss(name)
    cluster["vms"] = [each for each in cluster["vms"] if each["name"] in ("app-1", "erp-1", "web-1")]

    async def story() -> tuple[Plan, Any]:
        report = await failover(cluster=name, nodes=["N2"])
        return report, await Variable.aget(variable_name(name, "N2"))

    with hosted(name, tmp_path, cluster=cluster, speed=FAST) as witness:
        report, known = asyncio.run(story())
        lines = witness.read_text(encoding="utf-8").splitlines()
        with pytest.raises(RefusedByFindings, match="N2"):
            asyncio.run(resume_node(cluster=name, node="N2", failback="as-before"))
    assert report.ok
    assert known["homes"] == {"N2": ["erp-1", "web-1"]}
    assert check_log(lines) == ()
