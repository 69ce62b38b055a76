"""From when a run counts, and how late it may be: as a decision, and on a real server."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.flow_runs import aresume_flow_run
from prefect.states import AwaitingRetry, Crashed, Running
from prefect_side import Asked, deployed, hosted, taken_up
from virtual import Notes

from shunter.flows import punctual
from shunter.flows.embedded import EmbeddedServer
from shunter.flows.evacuate import evacuate_nodes
from shunter.flows.failover import failover
from shunter.flows.maintain import rolling_maintenance
from shunter.flows.migrate import live_migrate
from shunter.flows.punctual import Counted, Punctual, counted_from
from shunter.flows.repair import repair_placement
from shunter.flows.resume import resume_node
from shunter.flows.steer import steer_rolling_maintenance

DUE = datetime(2027, 1, 30, 22, 0, tzinfo=UTC)
HOUR_S = 3600.0
NIGHT: dict[str, Any] = {"maintenance_s": 60.0, "speed": 100.0}

# ------------------------------------------------------------------ the decision

seconds = st.floats(min_value=1, max_value=10 * 86_400)


def after(seconds: float) -> datetime:
    return DUE + timedelta(seconds=seconds)


@given(start_within_s=seconds, window_s=st.none() | seconds, node_s=seconds, passed_s=seconds, more_s=seconds)
def test_a_run_that_is_too_late_is_never_in_time_again(
    start_within_s: float, window_s: float | None, node_s: float, passed_s: float, more_s: float
) -> None:
    asked, counted = Punctual(start_within_s, window_s, node_s), Counted(DUE, by_schedule=True)
    assert not asked.too_late(counted, after(passed_s)) or asked.too_late(counted, after(passed_s + more_s))


@given(start_within_s=seconds, window_s=st.none() | seconds, node_s=seconds, passed_s=seconds)
def test_a_run_begins_exactly_until_its_last_start(
    start_within_s: float, window_s: float | None, node_s: float, passed_s: float
) -> None:
    asked, counted = Punctual(start_within_s, window_s, node_s), Counted(DUE, by_schedule=True)
    last = asked.last_start(counted, DUE)
    assert last is not None
    margin = timedelta(milliseconds=1)  # what a date can hold
    if abs(after(passed_s) - last) > margin:
        assert bool(asked.too_late(counted, after(passed_s))) == (after(passed_s) > last)


@given(start_within_s=seconds, node_s=seconds, passed_s=seconds)
def test_a_run_by_hand_without_a_window_is_never_too_late(
    start_within_s: float, node_s: float, passed_s: float
) -> None:
    asked = Punctual(start_within_s, None, node_s)
    for counted in (Counted(), Counted(DUE, again=True)):
        assert asked.too_late(counted, after(passed_s)) == ""


def test_a_clock_that_was_set_back_makes_no_run_early_or_late() -> None:
    asked, counted = Punctual(HOUR_S, 5 * HOUR_S, 900.0), Counted(DUE, by_schedule=True)
    assert counted.passed_s(after(-7200)) == 0.0
    assert asked.too_late(counted, after(-7200)) == ""


def test_the_refusal_says_when_it_was_due_how_late_it_is_and_what_to_do() -> None:
    counted = Counted(DUE, by_schedule=True)
    assert Punctual(HOUR_S).too_late(counted, after(60 * HOUR_S)) == (
        "this run was due at 2027-01-30 22:00:00 UTC and is taken up 60 h 0 min later; 1 h 0 min are allowed "
        "(start_within_s). Start it by hand if it is still wanted, or allow more"
    )
    assert Punctual(9 * HOUR_S, 5 * HOUR_S, 900.0).too_late(counted, after(5 * HOUR_S - 600)) == (
        "this run was due at 2027-01-30 22:00:00 UTC, and 10 min 0 s are left of its window of 5 h 0 min: no node "
        "would be back in time (maintenance_s: 15 min 0 s). Start it by hand when there is time"
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"auto_scheduled": True, "created": after(-86_400)}, Counted(DUE, by_schedule=True)),
        ({"auto_scheduled": True, "created": DUE}, Counted(DUE, by_schedule=True)),
        ({"created": after(-600)}, Counted(DUE, by_schedule=True)),
        ({"created": after(600)}, Counted(DUE, by_schedule=True)),
        ({"created": after(5)}, Counted()),
        ({"created": after(-5), "state": Running(timestamp=after(7000))}, Counted(after(100), again=True)),
    ],
    ids=["a schedule's", "a schedule's, late", "for later", "for earlier", "for now", "for now, tried again"],
)
def test_a_run_counts_from_when_it_was_due_and_one_for_now_from_its_first_start(
    fields: dict[str, Any], expected: Counted
) -> None:
    running = Running(timestamp=after(100))
    known = {"start_time": after(100), "expected_start_time": DUE, "state": running, **fields}
    assert counted_from(FlowRun(flow_id=UUID(int=1), **known)) == expected


# ------------------------------------------------------------------ on a real server


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """From now on it is so much later for the worker."""
    monkeypatch.setattr(punctual, "now", lambda: datetime.now(UTC) + timedelta(seconds=seconds))


def ended(run: FlowRun) -> tuple[str, str]:
    assert run.state is not None
    return run.state.name or "", run.state.message or ""


async def lost_and_tried_again(client: PrefectClient, number: UUID) -> None:
    """As an automation does with a run whose process is gone."""
    await client.set_flow_run_state(number, Crashed(message="no heartbeat"), force=True)
    await client.set_flow_run_state(number, AwaitingRetry(), force=True)


def told_late(asked: Asked, number: UUID) -> list[dict[str, Any]]:
    since = {"since": "2020-01-01T00:00:00Z"}
    about = {
        "event": {"name": ["shunter.run.refused_late"]},
        "related": {"id": [f"prefect.flow-run.{number}"]},
        "occurred": since,
    }
    return asyncio.run(asked.until("events", 1, filter=about, limit=10))


@pytest.mark.heavy
def test_a_schedule_that_is_taken_up_60_hours_late_touches_no_node(
    tmp_path: Path, asked: Asked, prefect_server: EmbeddedServer
) -> None:
    name = "60-hours-late"
    every_day = IntervalSchedule(interval=timedelta(days=1), anchor_date=ago(60 * HOUR_S))
    given = {"cluster": name, "maintenance_s": 60.0, "window_s": 18000.0}

    async def story() -> FlowRun:
        async with get_client() as client:
            flow = await client.create_flow(rolling_maintenance)
            made = await client.create_deployment(
                flow, name, parameters=given, schedules=[DeploymentScheduleCreate(schedule=every_day)]
            )
            first = {"start_time": ago(60.5 * HOUR_S).isoformat(), "min_runs": 1, "max_runs": 1}
            async with httpx.AsyncClient(base_url=prefect_server.api_url) as plain:
                (await plain.post(f"deployments/{made}/schedule", json=first)).raise_for_status()
            of_it = DeploymentFilter(id=DeploymentFilterId(any_=[made]))
            runs = await client.read_flow_runs(deployment_filter=of_it)
            late = min(runs, key=lambda run: run.expected_start_time or DUE)
            assert late.auto_scheduled
            return await taken_up(client, rolling_maintenance, late.id, Notes())

    with hosted(name, tmp_path) as witness:
        run = asyncio.run(story())
        lines = [json.loads(line)["what"] for line in witness.read_text(encoding="utf-8").splitlines()]
    state, message = ended(run)
    assert state == "Refused"
    assert "and is taken up 60 h 0 min later; 1 h 0 min are allowed (start_within_s)" in message
    assert message.endswith("Nothing was touched")
    assert lines == ["cluster"]
    (event,) = told_late(asked, run.id)
    assert event["resource"]["shunter.cluster"] == name
    assert 60 * HOUR_S <= event["payload"]["late_s"] < 60.1 * HOUR_S


OTHERS: tuple[tuple[Any, dict[str, Any]], ...] = (
    (evacuate_nodes, {"nodes": ["N1"]}),
    (failover, {"nodes": ["N1"]}),
    (live_migrate, {"vm": "web-1", "target": "N2"}),
    (repair_placement, {}),
    (resume_node, {"node": "N1"}),
    (steer_rolling_maintenance, {"what": "stop"}),
)


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(("flow", "given"), OTHERS, ids=[flow.name for flow, _ in OTHERS])
def test_every_flow_that_acts_refuses_to_do_so_late(cluster_file: Path, flow: Any, given: dict[str, Any]) -> None:
    async def story() -> tuple[str, str, list[Any]]:
        async with get_client() as client:
            notes = Notes()
            late = {**given, "cluster": str(cluster_file), "start_within_s": 1800}
            run = await taken_up(client, flow, await deployed(client, flow, late, due=ago(1900)), notes)
            return (*ended(run), notes.steps)

    state, message, steps = asyncio.run(story())
    assert (state, steps) == ("Refused", [])
    assert "30 min 0 s are allowed (start_within_s)" in message


@pytest.mark.usefixtures("prefect_server")
def test_ten_minutes_late_it_goes_on_with_what_is_left_of_its_window(cluster_file: Path) -> None:
    async def story() -> tuple[str, Notes]:
        async with get_client() as client:
            notes = Notes()
            given = {**NIGHT, "cluster": str(cluster_file), "nodes": ["N3"], "window_s": 18000.0}
            number = await deployed(client, rolling_maintenance, given, due=ago(600))
            return ended(await taken_up(client, rolling_maintenance, number, notes))[0], notes

    state, notes = asyncio.run(story())
    assert state == "Completed"
    assert notes.plan is not None
    (left,) = (found for found in notes.plan.findings if "window" in found.subject)
    left_s, _, rest = left.message.partition(" ")
    assert rest == "of 18000 s, because the run is taken up after it was due"
    assert 17_200 < int(left_s) <= 17_400


@pytest.mark.usefixtures("prefect_server")
def test_what_may_begin_late_is_refused_all_the_same_once_no_node_would_be_back_in_its_window(
    cluster_file: Path,
) -> None:
    async def story(limit: str) -> tuple[str, str]:
        async with get_client() as client:
            given = {"cluster": str(cluster_file), "maintenance_s": 900.0, "speed": 100.0, "start_within_s": 86_400.0}
            number = await deployed(client, rolling_maintenance, {**given, limit: 18000.0}, due=ago(17_500))
            return ended(await taken_up(client, rolling_maintenance, number, Notes()))

    for limit in ("window_s", "stop_after_s"):
        state, message = asyncio.run(story(limit))
        assert state == "Refused"
        assert "are left of its window of 5 h 0 min: no node would be back in time" in message


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("due", [True, False], ids=["scheduled", "by hand"])
def test_an_answer_that_comes_when_the_window_is_over_begins_nothing(
    cluster_file: Path, monkeypatch: pytest.MonkeyPatch, due: bool
) -> None:
    async def story() -> tuple[tuple[str, str], tuple[str, str], Notes]:
        async with get_client() as client:
            notes = Notes()
            given = {**NIGHT, "cluster": str(cluster_file), "window_s": 2 * HOUR_S, "wait_for_approval_s": 600}
            number = await deployed(client, rolling_maintenance, given, due=ago(120) if due else None)
            asks = ended(await taken_up(client, rolling_maintenance, number, notes))
            await aresume_flow_run(number, run_input={"approved": True, "remark": ""})
            later(monkeypatch, 3 * HOUR_S)
            return asks, ended(await taken_up(client, rolling_maintenance, number, notes)), notes

    asks, (state, message), notes = asyncio.run(story())
    assert asks[0] == "Suspended"
    assert (state, notes.steps) == ("Refused", [])
    assert ("start_within_s" if due else "started first at") in message
    assert message.endswith("Nothing was touched this time; a run by hand goes on from there")


@pytest.mark.heavy
@pytest.mark.usefixtures("prefect_server")
def test_a_run_by_hand_that_is_tried_again_counts_from_its_first_start(
    cluster_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(**more: float) -> tuple[str, str, list[Any]]:
        async with get_client() as client:
            given = {**NIGHT, "cluster": str(cluster_file), "nodes": ["N4"], **more}
            number = await deployed(client, rolling_maintenance, given)
            with monkeypatch.context() as patched:
                later(patched, -30 * 86_400.0)
                assert ended(await taken_up(client, rolling_maintenance, number, Notes()))[0] == "Completed"
            await lost_and_tried_again(client, number)
            later(monkeypatch, 60 * HOUR_S)
            again = Notes()
            return (*ended(await taken_up(client, rolling_maintenance, number, again)), again.steps)

    state, message, steps = asyncio.run(story(window_s=18000.0))
    assert (state, steps) == ("Refused", [])
    assert "this run started first at" in message
    state, _, steps = asyncio.run(story())
    assert state == "Completed", "without a window it is never too late"
    assert steps


@pytest.mark.usefixtures("prefect_server")
def test_a_scheduled_run_that_is_tried_again_counts_from_when_it_was_due_first(
    cluster_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> tuple[str, str, list[Any]]:
        async with get_client() as client:
            given = {**NIGHT, "cluster": str(cluster_file), "nodes": ["N4"]}
            number = await deployed(client, rolling_maintenance, given, due=ago(120))
            assert ended(await taken_up(client, rolling_maintenance, number, Notes()))[0] == "Completed"
            await lost_and_tried_again(client, number)
            later(monkeypatch, 2 * HOUR_S)
            again = Notes()
            return (*ended(await taken_up(client, rolling_maintenance, number, again)), again.steps)

    state, message, steps = asyncio.run(story())
    assert (state, steps) == ("Refused", [])
    assert "is taken up 2 h 2 min later" in message
