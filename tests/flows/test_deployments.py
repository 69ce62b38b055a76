"""deployments/prefect.yaml: what it names exists, and what it gives fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint

from shunter.flows.deploying import find_cluster_file
from shunter.topology.errors import RequestError

ROOT = Path(__file__).resolve().parents[2]
FILE: dict[str, Any] = yaml.safe_load((ROOT / "deployments/prefect.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("deployment", FILE["deployments"], ids=lambda deployment: deployment["name"])
def test_each_deployment_runs_an_installed_flow_with_parameters_that_fit(deployment: dict[str, Any]) -> None:
    flow = load_flow_from_entrypoint(deployment["entrypoint"])
    given = {
        name: "c.json" if value == "{{ cluster_file }}" else value for name, value in deployment["parameters"].items()
    }
    assert flow.validate_parameters(given).items() >= given.items()
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
