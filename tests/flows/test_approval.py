"""A run that waits for approval: suspended by the server, resumed with an answer, run again from its top."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.flow_runs import aresume_flow_run
from prefect_side import Asked, deployed, taken_up
from virtual import Notes

from shunter.flows.maintain import rolling_maintenance


@pytest.mark.parametrize("approved", [pytest.param(True, marks=pytest.mark.heavy), False])
def test_nothing_is_touched_before_somebody_has_approved_the_plan(
    cluster_file: Path, asked: Asked, approved: bool
) -> None:
    parameters = {"cluster": str(cluster_file), "maintenance_s": 60, "speed": 100, "wait_for_approval_s": 600}

    async def story() -> None:
        async with get_client() as client:
            notes = Notes()
            number = await deployed(client, rolling_maintenance, parameters)
            suspended = await taken_up(client, rolling_maintenance, number, notes)
            assert suspended.state is not None
            assert suspended.state.name == "Suspended"
            assert notes.plan is None
            plans = asked.find("artifacts", artifacts={"flow_run_id": {"any_": [str(number)]}})
            assert [plan["description"][:16] for plan in plans] == ["Planned: 4 nodes"]

            await aresume_flow_run(number, run_input={"approved": approved, "remark": "go, after the backup"})
            ended = await taken_up(client, rolling_maintenance, number, notes)
            assert ended.state is not None
            assert (ended.state.name, bool(notes.steps)) == (("Completed", True) if approved else ("Refused", False)), (
                ended.state.message
            )
            if not approved:
                assert ended.state.message == ("the plan was not approved: go, after the backup. Nothing was touched")

    asyncio.run(story())


@pytest.mark.parametrize(
    "troubled",
    [
        {"vms": [{"name": "db", "node": "N1", "memory_mib": 4096, "backup": True}]},
        {"volumes": [{"name": "CSV1", "state": "redirected_stuck"}]},
    ],
    ids=["waits for a backup", "restores direct I/O first"],
)
def test_a_run_that_begins_with_something_else_waits_for_approval_too(tmp_path: Path, troubled: dict[str, Any]) -> None:
    path = tmp_path / "troubled.json"
    nodes = [{"name": name, "memory_mib": 65536} for name in ("N1", "N2", "N3")]
    path.write_text(json.dumps({"name": "troubled", "nodes": nodes, **troubled}), encoding="utf-8")
    parameters = {"cluster": str(path), "nodes": ["N1"], "speed": 100, "wait_for_approval_s": 600}

    async def story() -> None:
        async with get_client() as client:
            notes = Notes()
            number = await deployed(client, rolling_maintenance, parameters)
            suspended = await taken_up(client, rolling_maintenance, number, notes)
            assert suspended.state is not None
            assert (suspended.state.name, notes.plan, notes.steps) == ("Suspended", None, [])

    asyncio.run(story())
