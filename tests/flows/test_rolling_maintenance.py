"""The rolling flow as its callers see it: what it returns or raises, what it leaves behind, whom it keeps away."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import own_maintenance
import pytest
from prefect.client.orchestration import get_client
from prefect.variables import Variable
from prefect_side import Asked, hosted, locks_of, rebooted, small
from virtual import Notes

from shunter.engine.control import Control
from shunter.flows.errors import RunRefused
from shunter.flows.evacuate import evacuate_nodes
from shunter.flows.listeners import listening
from shunter.flows.locks import PrefectHold
from shunter.flows.maintain import rolling_maintenance
from shunter.flows.migrate import live_migrate
from shunter.flows.repair import repair_placement
from shunter.flows.rolling_record import variable_name
from shunter.flows.whole_cluster import WholeCluster
from shunter.statemachines.lifecycle import Step
from shunter.topology.errors import RequestError
from shunter.topology.plan import Plan

QUICK: dict[str, Any] = {"maintenance_s": 60.0, "speed": 100.0}


def artifact(asked: Asked, what: str, name: str) -> dict[str, Any]:
    key = f"rolling-maintenance-{what}-{name.replace('_', '-')}"
    (found,) = asked.find("artifacts", artifacts={"key": {"any_": [key]}})
    return found


def run_of(asked: Asked, document: dict[str, Any]) -> dict[str, Any]:
    (run,) = asked.find("flow_runs", flow_runs={"id": {"any_": [document["flow_run_id"]]}})
    return run


def test_a_finished_run_leaves_its_plan_its_progress_and_its_report(
    cluster_file: Path, asked: Asked, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    report = asyncio.run(rolling_maintenance(cluster=str(cluster_file), **QUICK))
    assert report.ok
    assert {turn.node for turn in report.maintenance if turn.outcome == "done"} == {"N1", "N2", "N3", "N4"}

    document = artifact(asked, "report", name)
    assert document["description"].startswith("Done: 4 nodes")
    assert "](data:image/svg+xml;base64," in document["data"]
    assert artifact(asked, "plan", name)["description"].startswith("Planned: 4 nodes")
    progress = artifact(asked, "progress", name)
    assert progress["data"] == 100.0
    assert progress["description"].startswith("4 of 4 nodes done; ")

    run = run_of(asked, document)
    assert run["name"] == "maintain all nodes of rack"
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Completed")
    about = {"resource": {"id": [f"shunter.node.{name}.N1"]}, "occurred": {"since": "2020-01-01T00:00:00Z"}}
    events = asyncio.run(asked.until("events", 9, filter=about, limit=50))
    assert [event["event"].removeprefix("shunter.node.") for event in events][::-1] == [
        *("pausing", "paused", "draining", "drained", "in_maintenance", "rejoining", "paused", "resuming", "up")
    ]


def test_a_node_that_failed_is_named_in_the_state_the_progress_the_events_and_first_in_the_report(
    cluster_file: Path, asked: Asked, request: pytest.FixtureRequest
) -> None:
    report = asyncio.run(
        rolling_maintenance(cluster=str(cluster_file), parallel=1, own_action="own_maintenance:fails_on_n2", **QUICK)
    )
    assert [turn.node for turn in report.maintenance if turn.outcome == "failed"] == ["N2"]
    document = artifact(asked, "report", request.node.name)
    run = run_of(asked, document)
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Partly done, N2 failed")
    assert "N2 failed" in run["state"]["message"]
    assert artifact(asked, "progress", request.node.name)["description"].startswith("FAILED: N2; ")
    assert "the firmware of N2 was not accepted" in document["data"]
    failures = {"event": {"name": ["shunter.node.maintenance_failed"]}, "occurred": {"since": "2020-01-01T00:00:00Z"}}
    of_node = {"resource": {"id": [f"shunter.node.{request.node.name}.N2"]}}
    assert len(asyncio.run(asked.until("events", 1, filter={**failures, **of_node}, limit=50))) == 1


@pytest.mark.usefixtures("prefect_server")
def test_maintenance_of_ones_own_is_done_to_each_node(cluster_file: Path) -> None:
    own_maintenance.maintained.clear()
    report = asyncio.run(
        rolling_maintenance(cluster=str(cluster_file), nodes=["N3", "N4"], own_action="own_maintenance:well", **QUICK)
    )
    assert report.ok
    assert sorted(own_maintenance.maintained) == ["N3", "N4"]


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("no_such_module:work", "No module named"),
        ("own_maintenance:missing", "no attribute"),
        ("own_maintenance:not_awaited", "it must be written `async def"),
        ("own_maintenance:takes_nothing", "it must be written `async def"),
        ("own_maintenance:nothing_to_call", "it must be written `async def"),
        ("asyncio.subprocess:create_subprocess_shell", "Python's own library"),
    ],
)
def test_maintenance_that_cannot_be_is_refused_before_anything_is_touched(
    cluster_file: Path, path: str, why: str
) -> None:
    notes = Notes()

    async def run() -> None:
        with listening(notes):
            await rolling_maintenance(cluster=str(cluster_file), own_action=path, **QUICK)

    with pytest.raises(RequestError, match=why):
        asyncio.run(run())
    assert notes.plan is None


def test_while_a_rolling_run_has_the_cluster_every_other_run_is_refused_and_touches_nothing(
    cluster_file: Path, asked: Asked, request: pytest.FixtureRequest
) -> None:
    file, notes = str(cluster_file), Notes()
    others = {
        "maintain all nodes of rack": lambda: rolling_maintenance(cluster=file, **QUICK),
        "evacuate N1 of rack": lambda: evacuate_nodes(cluster=file, nodes=["N1"], speed=100.0),
        "repair rack": lambda: repair_placement(cluster=file, speed=100.0),
        "migrate db-1 to N4 in rack": lambda: live_migrate(cluster=file, vm="db-1", target="N4", speed=100.0),
    }

    async def story() -> None:
        async with locks_of(request.node.name) as holds, WholeCluster.held(holds, request.node.name):
            for name, run in others.items():
                with (
                    listening(notes),
                    pytest.raises(RunRefused, match=r"a rolling run is under way on .*: wait until it is over"),
                ):
                    await run()
                (found, *_) = asked.find("flow_runs", flow_runs={"name": {"any_": [name]}}, sort="START_TIME_DESC")
                assert (found["state_type"], found["state_name"]) == ("FAILED", "Refused")
                assert "Nothing was touched" in found["state"]["message"]
        assert notes.steps == []
        assert (await evacuate_nodes(cluster=file, nodes=["N1"], speed=100.0)).ok

    asyncio.run(story())


class Watching(Notes):
    """Asks, at each node's maintenance, whether another run could have that node, or the cluster."""

    def __init__(self, cluster: str) -> None:
        super().__init__()
        self._cluster = cluster
        self.asked: dict[str, asyncio.Task[tuple[bool, bool]]] = {}

    def stepped(self, step: Step) -> None:
        super().stepped(step)
        if step.target == "in_maintenance":
            node = step.subject.removeprefix("node ")
            self.asked[node] = asyncio.create_task(self._could_have(node))

    async def _could_have(self, node: str) -> tuple[bool, bool]:
        async with locks_of(self._cluster) as holds:
            asked = await holds.try_hold((node,)), await holds.try_hold_cluster()
            return isinstance(asked[0], PrefectHold), isinstance(asked[1], PrefectHold)


@pytest.mark.heavy
@pytest.mark.usefixtures("prefect_server")
def test_a_node_is_locked_while_it_is_maintained_and_the_cluster_all_along(
    cluster_file: Path, request: pytest.FixtureRequest
) -> None:
    async def story() -> None:
        watching = Watching(request.node.name)
        with listening(watching):
            await rolling_maintenance(cluster=str(cluster_file), maintenance_s=300.0, speed=100.0)
        found = {node: await task for node, task in watching.asked.items()}
        assert found == dict.fromkeys(("N1", "N2", "N3", "N4"), (False, False))
        async with locks_of(request.node.name) as holds:
            assert isinstance(await holds.try_hold(("N1", "N2", "N3", "N4")), PrefectHold)
            assert isinstance(await holds.try_hold_cluster(), PrefectHold)

    asyncio.run(story())


class StopsAfter(Notes):
    """Stops the run once so many nodes are back."""

    def __init__(self, nodes: int) -> None:
        super().__init__()
        self.control = Control()
        self._left = nodes

    def stepped(self, step: Step) -> None:
        super().stepped(step)
        self._left -= step.source == "rejoining"
        if self._left <= 0:
            self.control.request()


@pytest.mark.usefixtures("prefect_server")
def test_started_again_a_run_goes_on_where_the_last_one_ended_and_then_forgets_it(tmp_path: Path) -> None:
    name = "goes-on"

    async def story() -> tuple[Plan, Any, Plan, Any]:
        notes = StopsAfter(1)
        with listening(notes, stop=notes.control):
            first = await rolling_maintenance(cluster=name, parallel=1, maintenance_s=60.0)
        known = await Variable.aget(variable_name(name))
        second = await rolling_maintenance(cluster=name, parallel=1, maintenance_s=60.0)
        return first, known, second, await Variable.aget(variable_name(name))

    with hosted(name, tmp_path) as witness:
        first, known, second, after = asyncio.run(story())
        in_order = rebooted(witness)
    done = [turn.node for turn in first.maintenance if turn.outcome == "done"]
    assert first.interrupted
    assert 1 <= len(done) < 4
    assert sorted(known["done"]) == sorted(done)
    assert known["paused"] == {}
    assert known["cluster"] == name
    assert second.ok
    assert sorted(in_order) == ["N1", "N2", "N3", "N4"], "each node was restarted once in both runs"
    assert after is None


@pytest.mark.heavy
@pytest.mark.usefixtures("prefect_server")
def test_a_record_of_another_life_of_the_cluster_is_not_believed(tmp_path: Path) -> None:
    name = "another-life"
    long_ago = {"cluster": name, "began_s": -1.0, "told_s": 9e9, "done": {"N1": 5.0}}

    async def story() -> Plan:
        await Variable.aset(variable_name(name), long_ago, overwrite=True)
        return await rolling_maintenance(cluster=name, maintenance_s=60.0)

    with hosted(name, tmp_path) as witness:
        assert asyncio.run(story()).ok
        assert sorted(rebooted(witness)) == ["N1", "N2", "N3", "N4"]


@pytest.mark.usefixtures("prefect_server")
def test_what_a_dead_run_left_paused_takes_vms_again_and_what_others_paused_does_not(tmp_path: Path) -> None:
    name = "left-paused"
    cluster = small(name)
    cluster["nodes"][1] |= {"state": "paused"}
    cluster["nodes"][2] |= {"state": "paused", "paused_by": "elsewhere"}
    known = {"cluster": name, "began_s": 0.0, "told_s": 0.0, "paused": {"N2": 0.0, "N3": 0.0}}

    async def story() -> dict[str, str]:
        await Variable.aset(variable_name(name), known, overwrite=True)
        notes = Notes()
        with listening(notes):
            await rolling_maintenance(cluster=name, nodes=["N1"], maintenance_s=60.0)
        async with get_client():
            return {node: (notes.of(f"node {node}") or ["as before"])[-1] for node in ("N1", "N2", "N3")}

    with hosted(name, tmp_path, cluster=cluster) as witness:
        after = asyncio.run(story())
        lines = [json.loads(line) for line in witness.read_text(encoding="utf-8").splitlines()]
    resumed = [line["node"] for line in lines if line["what"] == "node_resumed"]
    assert resumed == ["N2", "N1"]
    assert after["N1"] == "up"
