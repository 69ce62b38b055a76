"""The watch as a flow: events, log lines and the artifact on a real Prefect server; one watch a cluster; failovers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from building import node, vm
from patience import PATIENCE_S
from prefect_side import Asked, hosted

from shunter.clusters.simulated import Fault, read_faults
from shunter.engine.control import Control
from shunter.engine.watch import Glance
from shunter.flows.errors import RunRefused
from shunter.flows.listeners import listening
from shunter.flows.watch import watch_cluster
from shunter.flows.watch_document import state_document, state_headline
from shunter.topology.clusterfile import read_cluster
from shunter.topology.errors import RequestError
from shunter.topology.watching.condition import Occurrence, Standing


def faults(file: Path, *planned: dict[str, Any]) -> Sequence[Fault]:
    return read_faults(json.dumps(list(planned)), read_cluster(file))


def held(asked: Asked, limit: str) -> bool:
    return any(each["name"] == limit and each["active_slots"] for each in asked.find("v2/concurrency_limits"))


def dashed(name: str) -> str:
    return name.replace("_", "-")


async def of_watch(asked: Asked, name: str, enough: int) -> list[dict[str, Any]]:
    """The events of the watch of this cluster."""
    wanted = {"event": {"prefix": ["shunter.watch."]}, "resource": {"labels": {"shunter.cluster": [name]}}}
    return await asked.until("events", enough, filter=wanted)


def test_what_happens_is_an_event_and_a_log_line_each_and_one_artifact_shows_how_things_stand(
    cluster_file: Path, asked: Asked, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    lost = faults(
        cluster_file,
        {"at_s": 400, "do": "node_down", "node": "N2"},
        {"at_s": 700, "do": "backup_starts", "vm": "web-1"},
    )
    with listening(faults=lost):
        watched = asyncio.run(watch_cluster(str(cluster_file), for_s=1000, speed=200))
    told = [each.what for each in watched.occurrences]
    assert told == ["node_lost", "vm_failed", "vm_restarted", "backup_started"]

    events = asyncio.run(of_watch(asked, name, 4))
    assert sorted(each["event"] for each in events) == sorted(f"shunter.watch.{what}" for what in told)
    (event,) = [each for each in events if each["event"] == "shunter.watch.node_lost"]
    assert event["resource"]["prefect.resource.id"] == f"shunter.node.{name}.N2"
    assert event["resource"]["shunter.severity"] == "error"
    assert f"shunter.vm.{name}.app-1" in [each["prefect.resource.id"] for each in event["related"]]
    assert event["payload"]["message"].startswith("N2 is lost with 1 VM on it (app-1)")

    (document,) = asked.find("artifacts", artifacts={"key": {"any_": [f"watch-{dashed(name)}"]}})
    assert document["description"] == f"{name}: 3 of 4 nodes up, 4 VMs running; 1 warning."
    assert "| N2 | **down** | 0 |" in document["data"]
    assert "node lost | node N2 | N2 is lost with 1 VM on it" in document["data"]
    (run,) = asked.find("flow_runs", flow_runs={"id": {"any_": [document["flow_run_id"]]}})
    assert (run["name"], run["state_type"]) == ("watch rack", "COMPLETED")
    assert "4 occurrences" in run["state"]["message"]


@pytest.mark.heavy
def test_an_event_tells_of_many_vms_at_once_and_names_no_more_than_prefect_takes(
    tmp_path: Path, asked: Asked, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    path = tmp_path / "rack.json"
    vms = [vm(f"web-{i}", memory_mib=64, state="failed") for i in range(150)]
    path.write_text(json.dumps({"name": name, "nodes": [node("N1"), node("N2")], "vms": vms}), encoding="utf-8")
    watched = asyncio.run(watch_cluster(str(path), for_s=0))
    (failed,) = [each for each in watched.occurrences if each.what == "vm_failed"]
    assert len(failed.vms) == 150
    events = asyncio.run(of_watch(asked, name, len(watched.occurrences)))
    (event,) = [each for each in events if each["event"] == "shunter.watch.vm_failed"]
    assert len(event["payload"]["vms"]) == 150
    assert len(event["related"]) < 100


def test_one_watch_a_cluster_and_the_next_one_when_it_is_over(
    cluster_file: Path, asked: Asked, request: pytest.FixtureRequest
) -> None:
    stop = Control()

    async def both() -> None:
        with listening(stop=stop):
            first = asyncio.create_task(watch_cluster(str(cluster_file)))
        limit = f"shunter:{request.node.name}::watch"
        async with asyncio.timeout(PATIENCE_S):
            while not held(asked, limit):  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.1)
        with pytest.raises(RunRefused, match="is watched already"):
            await watch_cluster(str(cluster_file), for_s=0)
        stop.request()
        watched = await first
        assert watched.interrupted
        assert (await watch_cluster(str(cluster_file), for_s=0)).ok

    asyncio.run(both())


def test_by_policy_the_failover_flow_runs_on_the_cluster_that_is_watched(
    tmp_path: Path, asked: Asked, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    path = tmp_path / "rack.json"
    cluster = {"name": name, "nodes": [node(f"N{i}") for i in range(1, 5)], "vms": [vm("a", "N2"), vm("b", "N2")]}
    path.write_text(json.dumps(cluster), encoding="utf-8")
    with listening(faults=faults(path, {"at_s": 400, "do": "node_down", "node": "N2"})):
        watched = asyncio.run(watch_cluster(str(path), for_s=600, on_node_lost="failover", speed=200))
    (ended,) = [each for each in watched.occurrences if each.what == "failover_ended"]
    assert ended.severity == "info", ended.message
    (report,) = asked.find("artifacts", artifacts={"key": {"any_": [f"failover-report-{dashed(name)}"]}})
    (run,) = asked.find("flow_runs", flow_runs={"id": {"any_": [report["flow_run_id"]]}})
    assert run["name"] == "failover of N2 on rack"
    assert run["parent_task_run_id"], "it is a run within the watch"
    assert "| a | N2 |" in report["data"]


@pytest.mark.heavy
def test_a_registered_cluster_that_dies_is_told_as_out_of_reach_and_the_watch_goes_on(
    tmp_path: Path, asked: Asked, request: pytest.FixtureRequest
) -> None:
    name = dashed(request.node.name)[:60].strip("-")
    stop = Control()

    told: list[str] = []

    class Heard:
        def occurred(self, occurrence: Occurrence) -> None:
            told.append(occurrence.what)
            stop.request()

        def looked(self, glance: Glance) -> None:
            if glance.reachable and not told:
                host.close()

    with ExitStack() as host:
        host.enter_context(hosted(name, tmp_path, speed=100.0))
        with listening(stop=stop, watcher=Heard()):
            watched = asyncio.run(watch_cluster(name, look_every_s=1.0))
    assert told == ["cluster_unreachable"]
    assert (watched.ok, watched.interrupted) == (False, True)
    assert "cannot be looked at" in watched.standing[0].message
    events = asyncio.run(of_watch(asked, name, 1))
    assert [each["resource"]["prefect.resource.id"] for each in events] == [f"shunter.cluster.{name}"]


def test_a_cluster_that_is_not_there_is_a_wrong_request(tmp_path: Path, asked: Asked) -> None:
    with pytest.raises(RequestError):
        asyncio.run(watch_cluster(str(tmp_path / "absent.json"), for_s=0))


def test_the_document_of_a_cluster_out_of_reach_says_that_it_is_old_and_names_are_not_markup(
    cluster_file: Path,
) -> None:
    cluster = read_cluster(cluster_file)
    standing = Standing(
        severity="error",
        subject="vm <b>|x",
        state="failed",
        since_s=10,
        message="it | failed",
        remedy="start it",
        flapping=True,
    )
    glance = Glance(at_s=70.0, cluster=cluster, standing=(standing,), reachable=False)
    assert (
        state_headline(glance)
        == f"{cluster.name}, out of reach: as it was seen last: 4 of 4 nodes up, 4 VMs running; 1 error."
    )
    happened = Occurrence(
        at_s=30,
        what="vm_failed",
        severity="error",
        subject="vm <b>|x",
        message="m",
        remedy="r",
        before="normal",
        state="failed",
    )
    lost = happened.model_copy(update={"what": "n_plus_1_lost"})
    text = state_document(glance, [happened, lost], began_s=5.0)
    assert "|  | error | vm &lt;b&gt;\\|x | it \\| failed (changes again and again) | start it | 1 min 0 s |" in text
    assert "| 25 s | vm failed |" in text
    assert "| 25 s | N+1 lost |" in text
    assert "<b>" not in text
