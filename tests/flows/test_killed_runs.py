"""Runs whose process is killed in the middle: nothing is lost by it, and the next run goes on from there (I2, I5)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from building import node, vm
from commanding import SHUNTER
from patience import PATIENCE_S
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect_side import hosted

from shunter.flows.embedded import EmbeddedServer
from shunter.flows.failover import failover
from shunter.flows.maintain import rolling_maintenance
from shunter.topology.recheck import check_log

pytestmark = pytest.mark.heavy

FLOW = "import asyncio; from shunter.flows.{module} import {flow}; asyncio.run({flow}(**{given!r}))"


@pytest.fixture(scope="module")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One of their own: what killed runs leave behind keeps a server with SQLite busy for a while."""
    with EmbeddedServer.started(tmp_path_factory.mktemp("prefect")) as server:
        server.wait_until_ready()
        with temporary_settings({PREFECT_HOME: server.home, PREFECT_API_URL: server.api_url}):
            yield server


@contextmanager
def running(
    server: EmbeddedServer, home: Path, module: str, flow: str, **given: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """The flow in a process of its own, which does not outlive the block."""
    here = {"PREFECT_API_URL": server.api_url, "PREFECT_HOME": str(home)}
    code = FLOW.format(module=module, flow=flow, given=given)
    started = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **here})
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def happened(witness: Path, what: str, **fields: Any) -> list[dict[str, Any]]:
    whole = [line for line in witness.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    return [line for line in map(json.loads, whole) if line["what"] == what and fields.items() <= line.items()]


def wait_until(witness: Path, what: str, times: int = 1) -> None:
    """The log tells of it. It is read again and again, because nobody says when it grows."""
    until_s = time.monotonic() + PATIENCE_S
    while len(happened(witness, what)) < times:
        assert time.monotonic() < until_s, f"no {what} within {PATIENCE_S} s"
        time.sleep(0.02)


@pytest.mark.parametrize("after", ["vm_started", "migration_started"])
def test_i2_a_failover_that_was_killed_is_ended_by_the_next_one_and_no_vm_is_started_twice(
    prefect_server: EmbeddedServer, tmp_path: Path, after: str
) -> None:
    name = f"killed-failover-{after.replace('_', '-')}"
    lost = [vm(f"lost-{i}", on="N1", state="failed") for i in range(2)]
    lost.append(vm("large", on="N1", memory_mib=40960, state="failed", priority=1000))
    stay = [vm(f"stay-{i}-{n}", on=f"N{n}", memory_mib=mib) for n in (2, 3) for i, mib in enumerate((8192, 24576))]
    of = {"name": name, "nodes": [node("N1", state="down"), node("N2"), node("N3")], "vms": [*lost, *stay]}
    with hosted(name, tmp_path, cluster=of, speed=20) as witness:
        with running(prefect_server, tmp_path / "home", "failover", "failover", cluster=name, nodes=["N1"]) as run:
            wait_until(witness, after)
            run.kill()
        report = asyncio.run(failover(cluster=name, nodes=["N1"]))
        log = witness.read_text(encoding="utf-8").splitlines()
    assert report.ok
    started = [line["vm"] for line in happened(witness, "vm_started")]
    assert sorted(started) == ["large", "lost-0", "lost-1"]
    assert check_log(log) == ()


def test_i5_a_rolling_run_that_was_killed_while_a_node_was_away_goes_on_when_it_is_started_again(
    prefect_server: EmbeddedServer, tmp_path: Path
) -> None:
    name = "killed-rolling-run"
    of = {
        "name": name,
        "nodes": [node(f"N{i}") for i in range(1, 4)],
        "vms": [vm(f"vm-{i}", on=f"N{i % 3 + 1}") for i in range(6)],
    }
    given = {"cluster": name, "maintenance_s": 120.0}
    with hosted(name, tmp_path, cluster=of, speed=20, reboot_s=120) as witness:
        with running(prefect_server, tmp_path / "home", "maintain", "rolling_maintenance", **given) as run:
            wait_until(witness, "node_down", times=2)
            run.kill()
        away = happened(witness, "node_down")[-1]["node"]
        report = asyncio.run(rolling_maintenance(**given))
        log = witness.read_text(encoding="utf-8").splitlines()
    assert report.ok
    done = {finding.subject for finding in report.findings if "it counts as done" in finding.message}
    assert f"node {away}" in done
    assert {turn.outcome for turn in report.maintenance} == {"done"}
    assert len(happened(witness, "node_rebooted")) == 3
    assert happened(witness, "vm_crashed") == []
    assert check_log(log) == ()
    resumed = [line["node"] for line in happened(witness, "node_resumed")]
    assert set(resumed) == {"N1", "N2", "N3"}
    started = [line["vm"] for line in happened(witness, "migration_started")]
    assert max(map(started.count, started)) <= 2
    assert sorted(move.vm for move in report.moves) == sorted(started), "one night, one report"
    assert sorted(turn.node for turn in report.maintenance) == sorted(set(resumed)), "also the one that was away"
    assert "this run goes on with maintain all nodes of killed-rolling-run" in report.findings[0].message


def test_i8_what_a_killed_evacuation_left_is_listed_and_given_back_on_a_yes(
    prefect_server: EmbeddedServer, tmp_path: Path
) -> None:
    name = "killed-evacuation"
    of = {
        "name": name,
        "nodes": [node(f"N{i}") for i in range(1, 4)],
        "vms": [vm(f"vm-{i}", on="N1", memory_mib=16384) for i in range(3)],
    }
    environment = {**os.environ, "PREFECT_API_URL": prefect_server.api_url, "PREFECT_HOME": str(tmp_path / "home")}

    def recover(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", SHUNTER, "recover", "--cluster", name, *options]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S)

    with hosted(name, tmp_path, cluster=of, speed=20) as witness:
        given = {"cluster": name, "nodes": ["N1"]}
        with running(prefect_server, tmp_path / "home", "evacuate", "evacuate_nodes", **given) as run:
            wait_until(witness, "migration_ended")
            run.kill()
        listed = recover("--json")
        untouched = happened(witness, "node_resumed")
        given_back = recover("--yes")
        again = recover()
    assert listed.returncode == 1, listed.stderr
    left = json.loads(listed.stdout)
    assert [each["name"] for each in left["runs"]] == [f"evacuate N1 of {name}"]
    assert "N1" in left["runs"][0]["held"]
    assert [(each["node"], each["run"]) for each in left["nodes"]] == [("N1", f"evacuate N1 of {name}")]
    assert untouched == [], "nobody had said yes"
    assert given_back.returncode == 0, given_back.stderr
    assert [line["node"] for line in happened(witness, "node_resumed")] == ["N1"]
    assert again.returncode == 0
    assert again.stdout == f"{name}: no dead run has left anything behind.\n"
