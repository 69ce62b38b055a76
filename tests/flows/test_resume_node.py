"""The flow that brings a node back, as its callers see it, and what the evacuation before it leaves on the server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from building import node, vm
from prefect.variables import Variable
from prefect_side import Asked, hosted, locks_of, small
from virtual import Notes

from shunter.flows.emptied_record import variable_name
from shunter.flows.errors import RefusedByFindings, RunRefused
from shunter.flows.evacuate import evacuate_nodes
from shunter.flows.failover import failover
from shunter.flows.listeners import listening
from shunter.flows.resume import resume_node
from shunter.flows.whole_cluster import WholeCluster
from shunter.topology.errors import RequestError
from shunter.topology.plan import Plan
from shunter.topology.recheck import check_log


def away(name: str) -> dict[str, Any]:
    """The small cluster with N1 emptied and paused by us; web-1 was on N1."""
    cluster = small(name)
    cluster["nodes"][0] |= {"state": "paused", "paused_by": "us"}
    cluster["vms"] = [vm("web-1", on="N2", preferred_owners=["N1"]), vm("app-1", on="N3")]
    cluster["volumes"] = []
    return cluster


def written(cluster: dict[str, Any], folder: Path) -> str:
    path = folder / "rack.json"
    path.write_text(json.dumps(cluster), encoding="utf-8")
    return str(path)


def test_a_finished_return_leaves_its_report_on_the_server(
    tmp_path: Path, asked: Asked, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    file = written(away(name), tmp_path)
    report = asyncio.run(resume_node(cluster=file, node="n1", failback="preferred", speed=100.0))
    assert report.ok
    assert [(move.vm, move.target, move.outcome) for move in report.moves] == [("web-1", "N1", "done")]
    (document,) = asked.find("artifacts", artifacts={"key": {"any_": [f"resume-report-{name.replace('_', '-')}"]}})
    assert document["description"].startswith("N1 takes VMs again: 1 VM moved live in ")
    (run,) = asked.find("flow_runs", flow_runs={"id": {"any_": [document["flow_run_id"]]}})
    assert (run["name"], run["state_name"]) == ("resume n1 of rack", "Completed")
    assert run["state"]["message"] == document["description"]


@pytest.mark.usefixtures("prefect_server")
def test_homes_can_be_given_where_there_is_no_record(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    file = written(away(request.node.name), tmp_path)
    homes = {"WEB-1": "n1", "APP-1": "N3", "gone": "N1"}
    report = asyncio.run(resume_node(cluster=file, node="N1", failback="as-before", homes=homes, speed=100.0))
    assert report.ok
    assert [(move.vm, move.target) for move in report.moves] == [("web-1", "N1")]
    with pytest.raises(RefusedByFindings, match="no record tells"):
        asyncio.run(resume_node(cluster=file, node="N1", failback="as-before", speed=100.0))
    with pytest.raises(RequestError, match='is called "N9"'):
        asyncio.run(resume_node(cluster=file, node="N1", failback="as-before", homes={"web-1": "N9"}, speed=100.0))


@pytest.mark.usefixtures("prefect_server")
def test_while_a_rolling_run_has_the_cluster_no_node_is_resumed(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    name, notes = request.node.name, Notes()
    file = written(away(name), tmp_path)

    async def story() -> None:
        async with locks_of(name) as holds, WholeCluster.held(holds, name):
            with listening(notes), pytest.raises(RunRefused, match=r"a rolling run is under way on .*: wait until"):
                await resume_node(cluster=file, node="N1", speed=100.0)

    asyncio.run(story())
    assert notes.steps == []


@pytest.mark.usefixtures("prefect_server")
def test_what_an_evacuation_moved_goes_back_by_its_record_which_is_forgotten_then(tmp_path: Path) -> None:
    name = "there-and-back"

    async def story() -> tuple[Plan, Any, Plan, Any]:
        emptied = await evacuate_nodes(cluster=name, nodes=["n1"])
        known = await Variable.aget(variable_name(name, "N1"))
        report = await resume_node(cluster=name, node="N1", failback="as-before")
        return emptied, known, report, await Variable.aget(variable_name(name, "N1"))

    # a lock is given back in real time: so fast a clock would let the second run's patience end before
    with hosted(name, tmp_path, speed=20.0) as witness:
        emptied, known, report, after = asyncio.run(story())
        lines = witness.read_text(encoding="utf-8").splitlines()
    assert emptied.ok
    assert known["homes"] == {"N1": ["web-1", "web-2", "db-1", "old-1"]}
    assert (known["cluster"], known["node"], known["paused"]) == (name, "N1", True)
    assert known["flow_run"]
    assert report.ok
    assert {(move.vm, move.target) for move in report.moves} == {("web-1", "N1"), ("web-2", "N1"), ("db-1", "N1")}
    assert any(known["flow_run"] in finding.message for finding in report.findings)
    assert after is None
    assert check_log(lines) == ()


@pytest.mark.usefixtures("prefect_server")
def test_i8_a_record_tells_that_we_paused_a_node_and_no_longer_once_it_was_given_back(tmp_path: Path) -> None:
    name = "who-paused-it"
    cluster = away(name)
    cluster["nodes"][0]["paused_by"] = None
    known = {"cluster": name, "node": "N1", "told_s": 0.0, "paused": True, "homes": {"N1": ["web-1"]}}

    async def story() -> tuple[Plan, Any]:
        with pytest.raises(RefusedByFindings, match="by whom is not known"):
            await resume_node(cluster=name, node="N1")
        await Variable.aset(variable_name(name, "N1"), known, overwrite=True)
        return await resume_node(cluster=name, node="N1"), await Variable.aget(variable_name(name, "N1"))

    with hosted(name, tmp_path, cluster=cluster):
        report, after = asyncio.run(story())
    assert report.ok
    assert (after["paused"], after["over"], after["homes"]) == (False, True, {"N1": ["web-1"]})


@pytest.mark.usefixtures("prefect_server")
def test_a_second_run_that_goes_on_emptying_a_node_keeps_what_the_first_one_knew(tmp_path: Path) -> None:
    name = "emptied-twice"
    cluster = away(name)
    cluster["vms"].append(vm("late", on="N1"))
    known = {"cluster": name, "node": "N1", "told_s": 0.0, "paused": True, "homes": {"N1": ["web-1"]}}

    async def story() -> Any:
        await Variable.aset(variable_name(name, "N1"), known, overwrite=True)
        assert (await evacuate_nodes(cluster=name, nodes=["N1"])).ok
        return await Variable.aget(variable_name(name, "N1"))

    with hosted(name, tmp_path, cluster=cluster):
        after = asyncio.run(story())
    assert {vm: home for home, vms in after["homes"].items() for vm in vms} == {"late": "N1", "web-1": "N1"}
    assert after["paused"] is True


@pytest.mark.usefixtures("prefect_server")
def test_where_the_vms_of_a_lost_node_were_is_kept_and_we_did_not_pause_it(tmp_path: Path) -> None:
    name = "lost-and-found"
    cluster = away(name)
    cluster["nodes"][0] = node("N1", state="down")
    cluster["vms"] = [vm("web-1", on="N1", state="failed"), vm("app-1", on="N3")]

    async def story() -> tuple[Plan, Any]:
        report = await failover(cluster=name, nodes=["N1"])
        return report, await Variable.aget(variable_name(name, "N1"))

    with hosted(name, tmp_path, cluster=cluster):
        report, known = asyncio.run(story())
    assert report.ok
    assert (known["homes"], known["paused"]) == ({"N1": ["web-1"]}, False)


@pytest.mark.usefixtures("prefect_server")
def test_a_run_that_is_refused_leaves_no_record_and_takes_none_away(tmp_path: Path) -> None:
    name = "refused"
    cluster = small(name)
    cluster["nodes"] = [node(f"N{i}", state="up") for i in range(1, 5)]
    known = {"cluster": name, "node": "N2", "told_s": 0.0, "homes": {"N2": ["web-1"]}}

    async def story() -> tuple[Any, Any]:
        await Variable.aset(variable_name(name, "N2"), known, overwrite=True)
        for each in ("N1", "N2"):
            with pytest.raises(RefusedByFindings):
                await evacuate_nodes(cluster=name, nodes=[each], reserve_nodes=3)
        return [await Variable.aget(variable_name(name, each)) for each in ("N1", "N2")]

    with hosted(name, tmp_path, cluster=cluster):
        none, kept = asyncio.run(story())
    assert none is None
    assert kept["homes"] == {"N2": ["web-1"]}
