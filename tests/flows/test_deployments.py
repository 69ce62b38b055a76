"""deployments/prefect.yaml: what it names exists, and what it gives fits."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.schedules import RRuleSchedule
from prefect.flows import load_flow_from_entrypoint
from prefect.server.schemas.schedules import RRuleSchedule as ServerRRuleSchedule

from shunter.flows.deploying import find_cluster_file
from shunter.flows.embedded import EmbeddedServer
from shunter.topology.errors import RequestError

ROOT = Path(__file__).resolve().parents[2]
FILE: dict[str, Any] = yaml.safe_load((ROOT / "deployments/prefect.yaml").read_text(encoding="utf-8"))

FILLED_IN = {"what": "hold", "node": "N1", "nodes": ["N2"]}
"""What no deployment can know, and its form asks for."""


def deployment(name: str) -> dict[str, Any]:
    (found,) = (each for each in FILE["deployments"] if each["name"] == name)
    return found


@pytest.mark.parametrize("deployment", FILE["deployments"], ids=lambda deployment: deployment["name"])
def test_each_deployment_runs_an_installed_flow_with_parameters_that_fit(deployment: dict[str, Any]) -> None:
    flow = load_flow_from_entrypoint(deployment["entrypoint"])
    given = {
        name: "c.json" if value == "{{ cluster_file }}" else value for name, value in deployment["parameters"].items()
    }
    left_to_the_form = {name: FILLED_IN[name] for name in flow.parameters.required if name not in given}
    assert flow.validate_parameters(given | left_to_the_form).items() >= given.items()
    assert deployment["work_pool"]["name"]


def test_nothing_of_the_deploying_machine_is_fetched_by_a_worker() -> None:
    assert FILE["pull"] == []


def test_the_cluster_file_is_found_in_a_checkout_and_named_absolutely(monkeypatch: pytest.MonkeyPatch) -> None:
    (step,) = FILE["build"]
    ((function, arguments),) = step.items()
    assert function == "shunter.flows.deploying.find_cluster_file"
    monkeypatch.chdir(ROOT)
    assert find_cluster_file(**arguments) == {"cluster_file": str(ROOT / "examples/four-nodes.json")}


def test_elsewhere_deploying_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match="deploy from the root of the checkout"):
        find_cluster_file("examples/four-nodes.json")


def test_rolling_maintenance_is_scheduled_for_the_last_saturday_of_the_month_and_switched_off() -> None:
    (schedule,) = deployment("rolling-maintenance")["schedules"]
    assert schedule["active"] is False
    rule = RRuleSchedule(rrule=schedule["rrule"], timezone=schedule["timezone"])
    berlin = ZoneInfo("Europe/Berlin")
    new_year = datetime(2027, 1, 1, tzinfo=berlin)
    dates = asyncio.run(ServerRRuleSchedule(**rule.model_dump()).get_dates(12, new_year))
    local = [date.astimezone(berlin) for date in dates]
    assert [f"{date:%m-%d}" for date in local] == [
        *("01-30", "02-27", "03-27", "04-24", "05-29", "06-26"),
        *("07-31", "08-28", "09-25", "10-30", "11-27", "12-25"),
    ]
    assert {f"{date:%a %H:%M}" for date in local} == {"Sat 22:00"}, "in summer as in winter"


def test_a_schedule_that_is_switched_on_makes_runs(prefect_server: EmbeddedServer) -> None:
    night = deployment("rolling-maintenance")
    (schedule,) = night["schedules"]
    rule = {"rrule": schedule["rrule"], "timezone": schedule["timezone"]}

    async def scheduled() -> list[str]:
        async with get_client() as client:
            flow = await client.create_flow(load_flow_from_entrypoint(night["entrypoint"]))
            made = await client.create_deployment(
                flow, "scheduled", schedules=[DeploymentScheduleCreate(schedule=RRuleSchedule(**rule), active=True)]
            )
            async with httpx.AsyncClient(base_url=prefect_server.api_url) as plain:
                (await plain.post(f"deployments/{made}/schedule", json={})).raise_for_status()
            of_it = DeploymentFilter(id=DeploymentFilterId(any_=[made]))
            return [run.state_name or "" for run in await client.read_flow_runs(deployment_filter=of_it)]

    states = asyncio.run(scheduled())
    assert states, "no run was made"
    assert set(states) == {"Scheduled"}


def test_a_scheduled_night_has_a_window_and_parameters_that_fit() -> None:
    night = deployment("rolling-maintenance")
    flow = load_flow_from_entrypoint(night["entrypoint"])
    given = flow.validate_parameters({**night["parameters"], "cluster": "c.json"})
    assert (given["window_s"], given["start_within_s"]) == (18000, 3600)


def test_no_schedule_has_parameters_of_its_own_which_switching_it_on_would_take_away() -> None:
    schedules = [schedule for each in FILE["deployments"] for schedule in each.get("schedules", [])]
    assert len(schedules) == 2
    assert [schedule["slug"] for schedule in schedules if "parameters" in schedule] == []


def test_every_deployment_of_a_flow_that_acts_may_be_told_how_late_it_may_start() -> None:
    touch_nothing = {"check-cluster", "watch-cluster"}
    flows = {each["name"]: load_flow_from_entrypoint(each["entrypoint"]) for each in FILE["deployments"]}
    assert {name for name, flow in flows.items() if "start_within_s" not in flow.parameters.properties} == touch_nothing


def test_what_is_left_to_the_form_is_not_decided_by_the_deployment() -> None:
    assert "wait_for_approval_s" not in deployment("rolling-maintenance")["parameters"]
    assert deployment("steer-rolling-maintenance")["parameters"].keys() == {"cluster"}


def test_a_watch_is_switched_off_and_there_is_never_a_second_one_beside_it() -> None:
    watch = deployment("watch-cluster")
    assert [schedule["active"] for schedule in watch["schedules"]] == [False]
    assert watch["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
    assert "on_node_lost" not in watch["parameters"], "it touches nothing unless somebody wants that"


def test_which_nodes_are_lost_is_left_to_the_form() -> None:
    assert deployment("failover")["parameters"].keys() == {"cluster"}
    assert "schedules" not in deployment("failover"), "a loss keeps no hours; the watch starts it by policy"
