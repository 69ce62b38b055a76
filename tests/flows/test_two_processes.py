"""Two processes evacuate overlapping nodes of one cluster through one Prefect server (I1, R15)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from building import node, vm
from patience import PATIENCE_S

from shunter.flows.clusters import SimulatedClusterHost
from shunter.flows.embedded import EmbeddedServer
from shunter.topology.plan import Plan

pytestmark = pytest.mark.heavy
EVACUATE = """
import asyncio, sys
from shunter.flows.evacuate import evacuate_nodes

print("ready", flush=True)
sys.stdin.readline()
print(asyncio.run(evacuate_nodes(cluster="two-processes", nodes=sys.argv[1:])).to_json(indent=None))
"""


@contextmanager
def process(*command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has said its first word; it does not outlive the block."""
    started = subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def first_line(of: subprocess.Popen[str]) -> str:
    assert of.stdout is not None
    return of.stdout.readline().strip()


def crowded() -> dict[str, Any]:
    """Three full nodes beside three to which everything must go."""
    vms = [vm(f"{on.lower()}-{i}", on=on, memory_mib=2048 + 512 * i) for on in ("N1", "N2", "N3") for i in range(6)]
    vms.append(vm("off-1", on="N2", state="off"))
    return {"name": "shared", "nodes": [node(f"N{i}", memory_mib=131072) for i in range(1, 7)], "vms": vms}


def violations(log: list[dict[str, Any]]) -> list[str]:
    """What is wrong in a witness log: a node in two migrations at once, or a VM that is not where it should be."""
    where = {vm["name"]: vm["node"] for vm in log[0]["cluster"]["vms"]}
    in_use: dict[str, str] = {}
    wrong = []
    for line in log[1:]:
        if line["what"] == "migration_started":
            nodes = (line["source"], line["target"])
            wrong += [f"{n} moves {in_use[n]} and {line['vm']}" for n in nodes if n in in_use]
            wrong += [f"{line['vm']} leaves {line['source']}"] if where[line["vm"]] != line["source"] else []
            in_use |= dict.fromkeys(nodes, line["vm"])
        elif line["what"] == "migration_ended":
            del in_use[line["source"]], in_use[line["target"]]
            where[line["vm"]] = line["node"]
        elif line["what"] == "role_moved":
            where[line["name"]] = line["target"]
        elif line["what"] == "migration_refused" and "takes part in" in line["reason"]:
            # a target that the other run pauses just now may be refused; a busy node the locks must have kept us from
            wrong.append(f"the cluster had to refuse: {line}")
    wrong += [f"{name} is still on {on}" for name, on in where.items() if on in ("N1", "N2", "N3")]
    return wrong + [f"{n} is still moving {name}" for n, name in in_use.items()]


def test_i1_two_processes_never_use_a_node_at_the_same_time_and_both_end_well(
    prefect_server: EmbeddedServer, tmp_path: Path
) -> None:
    file, witness = tmp_path / "shared.json", tmp_path / "witness.jsonl"
    file.write_text(json.dumps(crowded()), encoding="utf-8")
    simulated = ["--cluster", str(file), "--log", str(witness), "--speed", "20"]
    here = {"PREFECT_API_URL": prefect_server.api_url, "PREFECT_HOME": str(tmp_path / "prefect")}
    with process("-m", "shunter.clusters.simulated.host", *simulated) as host:
        address = first_line(host).removeprefix("listening on ")
        SimulatedClusterHost(address=address).save("two-processes")
        with process("-c", EVACUATE, "N1", "N2", **here) as one, process("-c", EVACUATE, "N2", "N3", **here) as other:
            assert first_line(one) == first_line(other) == "ready"
            for run in (one, other):
                assert run.stdin is not None
                run.stdin.write("go\n")
                run.stdin.flush()
            said = [run.communicate(timeout=PATIENCE_S)[0].strip().splitlines()[-1] for run in (one, other)]
    reports = [Plan.model_validate_json(text) for text in said]
    log = [json.loads(line) for line in witness.read_text(encoding="utf-8").splitlines()]

    assert violations(log) == []
    assert [report.ok for report in reports] == [True, True]
    done = [{move.vm for move in report.moves if move.outcome == "done"} for report in reports]
    assert {f"n1-{i}" for i in range(6)} <= done[0]
    assert {f"n3-{i}" for i in range(6)} <= done[1]
    paused = [i for i, line in enumerate(log) if line["what"] == "node_paused"]
    ended = [i for i, line in enumerate(log) if line["what"] == "migration_ended"]
    assert max(paused) < ended[-6], "one run was nearly over before the other began, so nothing was tried"


def test_the_check_of_the_log_sees_a_node_in_two_migrations() -> None:
    first = {"what": "migration_started", "vm": "n1-0", "source": "N1", "target": "N4"}
    log = [{"cluster": crowded()}, first, {**first, "vm": "n1-1", "target": "N5"}]
    assert "N1 moves n1-0 and n1-1" in violations(log)
