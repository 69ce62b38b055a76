"""`failover` and `simulate failover` from outside: exit codes, JSON, words, files, the witness log."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commanding import apart, command_line
from reading import Read

from shunter.flows.embedded import EmbeddedServer
from shunter.topology.recheck import check_log

EXAMPLE = str(Path(__file__).resolve().parents[2] / "examples/after-a-loss.json")
Write = Callable[[dict[str, Any]], str]


def three(*vms: dict[str, Any], n2: str = "up") -> dict[str, Any]:
    nodes = [{"name": name, "memory_mib": 65536} for name in ("N1", "N2", "N3")]
    nodes[1]["state"] = n2
    return {"name": "three", "nodes": nodes, "vms": [{"memory_mib": 8192, **vm} for vm in vms]}


@pytest.fixture
def sound(write_cluster: Write) -> str:
    return write_cluster(three({"name": "web-1", "node": "N2"}, {"name": "app-1", "node": "N1"}))


# ------------------------------------------------------------------ simulate failover


def test_a_simulated_loss_says_who_restarted_what_and_ends_with_0(shunter: Any, sound: str, tmp_path: Path) -> None:
    log = tmp_path / "loss.jsonl"
    answer = shunter("simulate", "failover", "n2", "--cluster", sound, "--log", str(log))
    assert answer.code == 0, answer.err
    assert "✓ restarted by the cluster" in answer.out
    assert "✓ Without N2: 1 VM runs again within 30 s." in answer.out
    lines = log.read_text(encoding="utf-8").splitlines()
    assert check_log(lines) == ()
    assert [line["by"] for line in map(json.loads, lines) if line["what"] == "vm_started"] == ["cluster"]


def test_the_json_is_a_report_of_restarts(shunter: Any, sound: str) -> None:
    answer = shunter("simulate", "failover", "N2", "--cluster", sound, "--json")
    report = answer.document
    assert (report["kind"], report["executed"], report["ok"], report["lower_bound_s"]) == ("failover", True, True, 0.0)
    (move,) = report["moves"]
    assert (move["vm"], move["source"], move["outcome"]) == ("web-1", "N2", "done")
    assert move["start_s"] == move["end_s"] == report["makespan_s"]
    assert move["estimate_s"] > 0
    assert report["unplaced"] == report["degraded_backups"] == []


def test_one_seed_one_outcome(shunter: Any, sound: str, tmp_path: Path) -> None:
    logs = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for log in logs:
        options = ("--seed", "5", "--faults", "many", "--log", str(log))
        assert shunter("simulate", "failover", "N2", "--cluster", sound, *options).code in (0, 1)
    assert logs[0].read_bytes() == logs[1].read_bytes()


def test_what_does_not_come_up_ends_with_1_and_names_every_node_that_was_tried(
    shunter: Any, sound: str, tmp_path: Path
) -> None:
    faults = tmp_path / "faults.json"
    fails = [{"at_s": 0, "do": "role_fails", "vm": "web-1", "node": node} for node in ("N1", "N3")]
    faults.write_text(json.dumps(fails), encoding="utf-8")
    answer = shunter("simulate", "failover", "N2", "--cluster", sound, "--faults", str(faults), "--json")
    assert answer.code == 1
    (stays,) = answer.document["unplaced"]
    assert stays["vm"] == "web-1"
    assert stays["node"] == "N2"
    assert {verdict["target"]: verdict["rule"] for verdict in stays["verdicts"]} == {"N1": "I2", "N3": "I2"}
    assert {move["outcome"] for move in answer.document["moves"]} == {"failed"}


def test_i6_a_loss_that_takes_the_quorum_is_refused_and_told(shunter: Any, write_cluster: Write) -> None:
    of = {**three({"name": "web-1", "node": "N1"}), "witness": False}
    answer = shunter("simulate", "failover", "N1", "N2", "--cluster", write_cluster(of))
    assert answer.code == 3
    assert "the cluster has stopped on every node: without N1 and N2 no majority" in " ".join(answer.out.split())
    assert "Start-ClusterNode -ForceQuorum" in " ".join(answer.out.split())


@pytest.mark.parametrize("command", [("failover",), ("simulate", "failover")])
@pytest.mark.parametrize("node", ["N9", "N2 "])
def test_an_unknown_node_ends_with_2(shunter: Any, sound: str, command: tuple[str, ...], node: str) -> None:
    answer = shunter(*command, node, "--cluster", sound)
    assert (answer.code, answer.out) == (2, "")
    assert "the nodes are N1, N2, N3" in answer.err


@pytest.mark.parametrize("command", [("failover",), ("simulate", "failover")])
def test_without_a_node_there_is_nothing_to_do(shunter: Any, sound: str, command: tuple[str, ...]) -> None:
    answer = shunter(*command, "--cluster", sound)
    assert (answer.code, answer.out) == (2, "")


def test_page_and_picture_of_a_simulated_loss_are_written(shunter: Any, sound: str, tmp_path: Path) -> None:
    page, picture = tmp_path / "loss.html", tmp_path / "loss.svg"
    options = ("--html", str(page), "--svg", str(picture))
    assert shunter("simulate", "failover", "N2", "--cluster", sound, *options).code == 0
    read = Read(page.read_text(encoding="utf-8"))
    assert "Without N2: 1 VM runs again" in read.text
    assert "restarted by the cluster" in read.text
    assert "web-1" in picture.read_text(encoding="utf-8")


# ------------------------------------------------------------------ failover


def test_i2_a_node_that_is_up_is_refused_with_3_at_once(shunter: Any, sound: str) -> None:
    answer = shunter("failover", "N2", "--cluster", sound)
    assert answer.code == 3
    said = " ".join(answer.out.split())
    assert "N2 is up: its VMs run there, and none is started elsewhere" in said
    assert "shunter evacuate N2" in said


def test_a_file_that_cannot_be_written_is_found_out_before_anything_starts(
    shunter: Any, write_cluster: Write, tmp_path: Path
) -> None:
    of = write_cluster(three({"name": "web-1", "node": "N2", "state": "failed"}, n2="down"))
    answer = shunter("failover", "N2", "--cluster", of, "--html", str(tmp_path / "no" / "page.html"))
    assert (answer.code, answer.out) == (2, "")
    assert "there is no folder" in answer.err


@pytest.mark.heavy
def test_a_failover_runs_the_flow_and_prints_the_report_alone_on_standard_output(
    tmp_path: Path, prefect_server: EmbeddedServer
) -> None:
    log, page, picture = tmp_path / "run.jsonl", tmp_path / "run.html", tmp_path / "run.svg"
    files = ("--log", str(log), "--html", str(page), "--svg", str(picture))
    done = apart(
        *command_line("failover", "N2", "--cluster", EXAMPLE, "--speed", "300", "--json", *files),
        prefect=prefect_server,
    )
    assert done.code == 1, done.err
    report = done.document
    assert (report["kind"], report["executed"], report["ok"]) == ("failover", True, False)
    assert {move["vm"]: move["outcome"] for move in report["moves"]} == dict.fromkeys(
        ("dc-2", "erp-1", "web-1"), "done"
    )
    assert [stays["vm"] for stays in report["unplaced"]] == ["report-1", "lab-1"]
    assert "vm erp-1: starting on N1" in done.err
    assert "(3 of 4 VMs run again)" in done.err
    assert re.search(
        r"each is not being restarted by the cluster; this run starts it if that stays so, until 0:\d\d at the latest",
        done.err,
    )
    assert check_log(log.read_text(encoding="utf-8").splitlines()) == ()
    assert "started by this run" in Read(page.read_text(encoding="utf-8")).text
    assert "erp-1" in picture.read_text(encoding="utf-8")
