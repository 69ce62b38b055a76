"""`plan resume`, `resume`, `simulate resume` from outside: exit codes, JSON, words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commanding import apart, command_line

from shunter.flows.embedded import EmbeddedServer
from shunter.topology.recheck import check_log


@pytest.fixture
def emptied(write_cluster: Callable[[dict[str, Any]], str]) -> str:
    """N1 was emptied and paused by us; of the VMs that prefer it, one may go back and one may not."""
    return write_cluster(
        {
            "name": "emptied",
            "nodes": [
                {"name": "N1", "memory_mib": 65536, "state": "paused", "paused_by": "us"},
                {"name": "N2", "memory_mib": 65536},
                {"name": "N3", "memory_mib": 65536, "state": "paused", "paused_by": "elsewhere"},
                {"name": "N4", "memory_mib": 65536, "state": "quarantined"},
                {"name": "N5", "memory_mib": 65536},
            ],
            "vms": [
                {"name": "web-1", "node": "N2", "memory_mib": 1024, "preferred_owners": ["N1"]},
                {"name": "app-1", "node": "N5", "memory_mib": 1024},
            ],
        }
    )


def test_a_plan_says_who_goes_back_and_nothing_is_touched(
    shunter: Any, emptied: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    answer = shunter("plan", "resume", "n1", "--cluster", emptied, "--failback", "preferred")
    assert answer.code == 0
    assert "web-1   N2 → N1" in answer.out
    assert "Planned: N1 takes VMs again; 1 VM to take back in " in answer.out
    assert answer.err == ""


def test_the_json_names_node_findings_and_moves(shunter: Any, emptied: str) -> None:
    answer = shunter("plan", "resume", "N1", "--cluster", emptied, "--failback", "preferred", "--json")
    plan = answer.document
    assert (plan["kind"], plan["node"], plan["ok"], plan["executed"], plan["resumes"]) == (
        *("resume", "N1", True, False),
        True,
    )
    assert [(move["vm"], move["source"], move["target"]) for move in plan["moves"]] == [("web-1", "N2", "N1")]
    assert plan["findings"] == []
    assert "maintenance" not in plan


@pytest.mark.parametrize("command", [("plan", "resume"), ("resume",), ("simulate", "resume")])
@pytest.mark.parametrize(
    ("node", "code", "said"),
    [
        ("N9", 2, 'no node of cluster emptied is called "N9"'),
        ("N3", 3, "N3 was paused by somebody else"),
        ("N4", 3, "Start-ClusterNode N4 -ClearQuarantine"),
    ],
)
def test_what_may_not_be_resumed_is_refused_before_anything_starts(  # noqa: PLR0917
    shunter: Any, emptied: str, command: tuple[str, ...], node: str, code: int, said: str
) -> None:
    answer = shunter(*command, node, "--cluster", emptied)
    assert answer.code == code
    assert said in " ".join((answer.out + answer.err).split())  # however wide the terminal is


def test_a_node_that_takes_vms_already_needs_nothing_and_ends_with_0(shunter: Any, emptied: str) -> None:
    answer = shunter("resume", "N2", "--cluster", emptied)
    assert answer.code == 0
    assert "N2 takes VMs already: there is nothing to do." in answer.out


def test_whoever_paused_it_a_node_is_resumed_if_that_is_asked_for(shunter: Any, emptied: str) -> None:
    answer = shunter("simulate", "resume", "N3", "--cluster", emptied, "--whoever-paused", "--json")
    assert answer.code == 0
    assert answer.document["executed"] is True


def test_a_simulated_return_with_faults_writes_a_sound_log(shunter: Any, emptied: str, tmp_path: Path) -> None:
    log, faults = tmp_path / "night.jsonl", tmp_path / "faults.json"
    faults.write_text(json.dumps([{"when": {"vm": "web-1"}, "do": "migration_fails"}]), encoding="utf-8")
    common = ("N1", "--cluster", emptied, "--failback", "preferred", "--faults", str(faults), "--log", str(log))
    answer = shunter("simulate", "resume", *common, "--json")
    assert answer.code == 0
    assert [move["outcome"] for move in answer.document["moves"]] == ["failed", "done"]
    assert check_log(log.read_text(encoding="utf-8").splitlines()) == ()


def test_what_stays_away_ends_with_1_and_the_reason(shunter: Any, emptied: str, tmp_path: Path) -> None:
    faults = tmp_path / "faults.json"
    fails = {"when": {"vm": "web-1"}, "do": "migration_fails", "lasting": True}
    faults.write_text(json.dumps([fails]), encoding="utf-8")
    answer = shunter(
        "simulate", "resume", "N1", "--cluster", emptied, "--failback", "preferred", "--faults", str(faults)
    )
    assert answer.code == 1
    assert "Partly done: N1 takes VMs again, 0 VMs moved live; web-1 stays." in answer.out


def test_the_report_of_an_evacuation_tells_where_the_vms_were(shunter: Any, emptied: str, tmp_path: Path) -> None:
    assert shunter("plan", "resume", "N1", "--cluster", emptied, "--failback", "as-before").code == 3
    report = tmp_path / "report.json"
    moves = [{"vm": "WEB-1", "source": "N1", "target": "N2", "start_s": 0.0}]
    report.write_text(json.dumps({"executed": True, "moves": moves}), encoding="utf-8")
    answer = shunter(
        "plan", "resume", "N1", "--cluster", emptied, "--failback", "as-before", "--before", str(report), "--json"
    )
    assert answer.code == 0
    assert [(move["vm"], move["target"]) for move in answer.document["moves"]] == [("web-1", "N1")]
    assert [finding["rule"] for finding in answer.document["findings"]] == ["R16"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"executed": true, "moves": 3}', '{"executed": true, "moves": [1]}'])
def test_a_file_that_is_no_report_is_a_wrong_request(shunter: Any, emptied: str, tmp_path: Path, text: str) -> None:
    file = tmp_path / "report.json"
    file.write_text(text, encoding="utf-8")
    answer = shunter("resume", "N1", "--cluster", emptied, "--failback", "as-before", "--before", str(file))
    assert (answer.code, answer.out) == (2, "")
    assert "--before" in answer.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("resume",),
        ("resume", "N1", "N2", "--cluster", "x.json"),
        ("resume", "N1", "--cluster", "x.json", "--failback", "spread"),
        ("plan", "resume", "N1"),
    ],
)
def test_wrong_usage_ends_with_2(shunter: Any, arguments: tuple[str, ...]) -> None:
    answer = shunter(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err


@pytest.mark.heavy
def test_a_return_runs_the_flow_and_prints_the_report_alone_on_standard_output(
    emptied: str, tmp_path: Path, prefect_server: EmbeddedServer
) -> None:
    log = tmp_path / "run.jsonl"
    options = ("--cluster", emptied, "--failback", "preferred", "--speed", "50", "--log", str(log), "--json")
    done = apart(*command_line("resume", "N1", *options), prefect=prefect_server)
    assert done.code == 0, done.err
    report = done.document
    assert (report["kind"], report["executed"], report["ok"]) == ("resume", True, True)
    assert "node N1: up" in done.err
    assert check_log(log.read_text(encoding="utf-8").splitlines()) == ()
