"""The check as a flow: what it returns or raises, and what it leaves on the Prefect server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from prefect_side import Asked, small

from shunter.flows.check import check_cluster
from shunter.flows.errors import UnfitCluster


def left_behind(asked: Asked, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The artifact and the flow run that left it."""
    (document,) = asked.find("artifacts", artifacts={"key": {"any_": [f"check-{name.replace('_', '-')}"]}})
    (run,) = asked.find("flow_runs", flow_runs={"id": {"any_": [document["flow_run_id"]]}})
    return document, run


def test_a_fit_cluster_is_said_to_be_fit_and_the_loss_of_each_node_is_in_the_artifact(
    cluster_file: Path, asked: Asked, request: pytest.FixtureRequest
) -> None:
    found = asyncio.run(check_cluster(str(cluster_file)))
    assert found.ok
    assert [loss.node for loss in found.survives_loss] == ["N1", "N2", "N3", "N4"]

    document, run = left_behind(asked, request.node.name)
    assert (run["name"], run["state_type"], run["state_name"]) == ("check rack", "COMPLETED", "Completed")
    assert "is fit for live migration" in run["state"]["message"]
    assert "| N1 | restart |" in document["data"]


def test_what_stands_against_every_run_is_raised_and_stands_in_the_artifact(
    tmp_path: Path, asked: Asked, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    cluster = small(name)
    cluster["volumes"] = [{"name": "CSV1", "owner": "N1", "state": "redirected_stuck"}]
    path = tmp_path / "rack.json"
    path.write_text(json.dumps(cluster), encoding="utf-8")

    with pytest.raises(UnfitCluster, match="R18 volume CSV1") as refused:
        asyncio.run(check_cluster(str(path)))
    assert [finding.rule for finding in refused.value.check.errors] == ["R18"]

    document, run = left_behind(asked, name)
    assert (run["state_type"], run["state_name"]) == ("FAILED", "Refused")
    assert "| R18 | error | volume CSV1 |" in document["data"]
