"""The commands of rolling maintenance from outside: exit codes, JSON, logs, what is said and where."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shunter.commands.demo import MAINTAINED, MAINTENANCE_S, troubles
from shunter.topology.clusterfile import read_cluster
from shunter.topology.plan import Plan
from shunter.topology.recheck import check_log, check_plan, check_report
from shunter.topology.rolling import RollingPolicy, plan_rolling

NODE = {"memory_mib": 65536}


def nodes(*names: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"name": name, **NODE, **fields} for name in names]


@pytest.fixture
def three(write_cluster: Callable[[dict[str, Any]], str]) -> str:
    """Three nodes of 64 GiB with two VMs each."""
    vms = [{"name": f"web-{i}", "node": f"N{1 + i % 3}", "memory_mib": 4096} for i in range(6)]
    return write_cluster({"name": "three", "nodes": nodes("N1", "N2", "N3"), "vms": vms})


@pytest.fixture
def bound(write_cluster: Callable[[dict[str, Any]], str]) -> str:
    """The same, but one VM cannot leave N3."""
    vms = [{"name": f"web-{i}", "node": f"N{1 + i % 3}", "memory_mib": 4096} for i in range(6)]
    vms.append({"name": "gpu-1", "node": "N3", "memory_mib": 1024, "possible_owners": ["N3"]})
    return write_cluster({"name": "bound", "nodes": nodes("N1", "N2", "N3"), "vms": vms})


# ------------------------------------------------------------------ plan


def test_nodes_that_are_never_to_be_away_together_are_not(shunter: Any, write_cluster: Any) -> None:
    empty = write_cluster({"name": "six", "nodes": nodes("N1", "N2", "N3", "N4", "N5", "N6")})
    answer = shunter("plan", "maintain", "--cluster", empty, "--apart", "N1, N2;N3,N4", "--json")
    assert answer.code == 0, answer.err
    turns = {turn["node"]: (turn["start_s"], turn["end_s"]) for turn in json.loads(answer.out)["maintenance"]}
    for one, other in (("N1", "N2"), ("N3", "N4")):
        assert turns[one][1] <= turns[other][0] or turns[other][1] <= turns[one][0]
    assert turns["N5"][0] < turns["N6"][1]


def test_a_plan_says_which_node_when_which_vm_moves_and_what_other_ways_cost(shunter: Any, three: str) -> None:
    answer = shunter("plan", "maintain", "--cluster", three, "--maintenance-s", "600", "--json")
    assert (answer.code, answer.err) == (0, "")
    document = answer.document
    assert (document["kind"], document["ok"], document["executed"]) == ("rolling_maintenance", True, False)
    assert {turn["node"] for turn in document["maintenance"]} == {"N1", "N2", "N3"}
    assert all(turn["end_s"] - turn["start_s"] == pytest.approx(600) for turn in document["maintenance"])
    assert {move["vm"] for move in document["moves"]} >= {"web-0", "web-1"}
    assert [way["chosen"] for way in document["alternatives"]].count(True) == 1
    plan = Plan.model_validate_json(answer.out)
    assert check_plan(read_cluster(Path(three)), plan, ()) == ()


def test_a_node_that_cannot_be_emptied_is_said_beforehand_and_the_others_are_planned(shunter: Any, bound: str) -> None:
    answer = shunter("plan", "maintain", "--cluster", bound, "--json")
    assert answer.code == 1
    document = answer.document
    assert [left["node"] for left in document["untouched"]] == ["N3"]
    assert [stays["vm"] for stays in document["unplaced"]] == ["gpu-1"]
    assert {turn["node"] for turn in document["maintenance"]} == {"N1", "N2"}


def test_a_reserve_that_cannot_be_kept_is_refused_and_the_plan_is_shown_all_the_same(shunter: Any, three: str) -> None:
    answer = shunter("plan", "maintain", "--cluster", three, "--reserve-nodes", "2", "--json")
    assert answer.code == 3
    assert [finding["severity"] for finding in answer.document["findings"]] == ["error"]


def test_a_node_named_twice_has_one_turn(shunter: Any, three: str) -> None:
    document = shunter("plan", "maintain", "N1", "n1", "--cluster", three, "--json").document
    assert [turn["node"] for turn in document["maintenance"]] == ["N1"]


def test_the_nodes_that_are_to_be_first_are(shunter: Any, three: str) -> None:
    answer = shunter("plan", "maintain", "--cluster", three, "--first", "n3, N1", "--parallel", "1", "--json")
    by_start = sorted(answer.document["maintenance"], key=lambda turn: turn["start_s"])
    assert [turn["node"] for turn in by_start] == ["N3", "N1", "N2"]


def test_the_plan_on_the_screen_ends_with_a_sentence_and_goes_to_standard_output(shunter: Any, three: str) -> None:
    answer = shunter("plan", "maintain", "--cluster", three)
    assert (answer.code, answer.err) == (0, "")
    assert "Planned: 3 nodes in " in answer.out


MAINTAINS = [("plan",), ("simulate",), ("rehearse",), ()]
ODD_CLUSTERS: dict[str, tuple[dict[str, Any], tuple[str, ...], int, str]] = {
    "a cluster of one node": (
        {"nodes": nodes("N1"), "vms": [{"name": "web-1", "node": "N1", "memory_mib": 1024}]},
        (),
        1,
        "without N1 the cluster would have no majority of votes (I6)",
    ),
    "nodes that are all down": (
        {"nodes": nodes("N1", "N2", state="down"), "vms": []},
        (),
        3,
        "no majority, the cluster cannot hold itself up",
    ),
    "a node that is down": (
        {"nodes": [*nodes("N1", "N2"), *nodes("N3", state="down")], "vms": []},
        ("N3",),
        1,
        "N3 is down: nothing can be moved live from it",
    ),
    "no nodes": ({"nodes": [], "vms": []}, (), 2, "nodes: must be a list in brackets of 1 or more, not []"),
    "a window shorter than one maintenance": (
        {"nodes": nodes("N1", "N2", "N3"), "vms": []},
        ("N2", "--window-s", "899"),
        1,
        "N2 would not be back before the window of 899 s ends",
    ),
}


@pytest.mark.parametrize("command", MAINTAINS, ids=lambda command: " ".join((*command, "maintain")))
@pytest.mark.parametrize("odd", ODD_CLUSTERS)
def test_where_no_node_can_be_maintained_every_command_says_why_and_touches_nothing(
    shunter: Any, write_cluster: Any, command: tuple[str, ...], odd: str
) -> None:
    raw, arguments, code, said = ODD_CLUSTERS[odd]
    answer = shunter(*command, "maintain", *arguments, "--cluster", write_cluster({"name": "odd", **raw}), "--json")
    assert answer.code == code
    if code == 2:
        assert (answer.out, said in answer.err) == ("", True)
        return
    told = answer.document
    assert (told["kind"], told["executed"], told["maintenance"]) == ("rolling_maintenance", False, [])
    assert said in json.dumps([*told["findings"], *told["untouched"]])


# ------------------------------------------------------------------ simulate


def test_a_simulated_night_without_trouble_goes_as_planned(shunter: Any, three: str) -> None:
    planned = shunter("plan", "maintain", "--cluster", three, "--json").document
    answer = shunter("simulate", "maintain", "--cluster", three, "--json")
    assert (answer.code, answer.err) == (0, "")
    report = answer.document
    assert (report["executed"], report["ok"]) == (True, True)
    assert {turn["outcome"] for turn in report["maintenance"]} == {"done"}
    assert report["makespan_s"] == pytest.approx(planned["makespan_s"], rel=0.02)


def test_one_seed_gives_one_log_byte_for_byte_and_the_log_is_sound(shunter: Any, three: str, tmp_path: Path) -> None:
    logs = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    common = ("--cluster", three, "--seed", "4", "--faults", "many", "--noise", "0.3", "--json")
    one, two = (shunter("simulate", "maintain", *common, "--log", str(log)) for log in logs)
    assert (one.code, one.out) == (two.code, two.out)
    assert logs[0].read_bytes() == logs[1].read_bytes()
    lines = logs[0].read_text(encoding="utf-8").splitlines()
    report = Plan.model_validate_json(one.out)
    done = [turn.node for turn in report.maintenance if turn.outcome == "done"]
    failed = [turn.node for turn in report.maintenance if turn.outcome == "failed"]
    assert check_log(lines, rolled=done, kept_paused=failed) == ()


def test_another_seed_gives_another_night(shunter: Any, three: str, tmp_path: Path) -> None:
    logs = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for seed, log in enumerate(logs):
        shunter("simulate", "maintain", "--cluster", three, "--seed", str(seed), "--faults", "many", "--log", str(log))
    assert logs[0].read_bytes() != logs[1].read_bytes()


def test_a_node_that_does_not_come_back_is_named_and_the_run_ends_with_1(
    shunter: Any, three: str, tmp_path: Path
) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text('[{"when": {"node": "N2"}, "do": "reboot_fails"}]', encoding="utf-8")
    answer = shunter("simulate", "maintain", "--first", "N2", "--cluster", three, "--faults", str(faults), "--json")
    assert answer.code == 1
    report = answer.document
    assert [(turn["node"], turn["outcome"]) for turn in report["maintenance"]] == [("N2", "failed")]
    assert {left["node"] for left in report["untouched"]} == {"N1", "N3"}
    assert "Resume-ClusterNode N2" in json.dumps(report["findings"])


def test_the_demo_of_a_rolling_run_goes_wrong_as_it_says_and_copes(shunter: Any, tmp_path: Path) -> None:
    cluster = read_cluster(MAINTAINED)
    planned = plan_rolling(cluster, (), RollingPolicy(maintenance_s=MAINTENANCE_S))
    assert planned.ok
    assert 1800 < planned.makespan_s < 3600, "at 60 times the speed about a minute"
    faults, log = tmp_path / "faults.json", tmp_path / "night.jsonl"
    faults.write_text(json.dumps([fault.told() for fault in troubles(planned)]), encoding="utf-8")
    given = ("--cluster", str(MAINTAINED), "--maintenance-s", f"{MAINTENANCE_S:g}", "--faults", str(faults))
    answer = shunter("simulate", "maintain", *given, "--log", str(log), "--json")
    lines = log.read_text(encoding="utf-8").splitlines()
    happened = [line["do"] for line in map(json.loads, lines) if line["what"] == "fault_injected"]
    assert sorted(happened) == ["migration_fails", "reboot_slow"]
    assert answer.code == 0
    report = Plan.model_validate_json(answer.out)
    assert {turn.outcome for turn in report.maintenance} == {"done"}
    assert [move.outcome for move in report.moves].count("failed") == 1
    assert report.makespan_s > planned.makespan_s
    assert check_log(lines, rolled=[node.name for node in cluster.nodes]) == ()
    assert check_report(report, lines, ()) == ()


# ------------------------------------------------------------------ rehearse


REHEARSE = ("rehearse", "maintain", "--nights", "6", "--seed", "20", "--faults", "many", "--maintenance-s", "600")


@pytest.fixture(scope="module")
def rehearsed_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Braces in its name must not be taken for anything."""
    vms = [{"name": f"web-{i}", "node": f"N{1 + i % 3}", "memory_mib": 4096} for i in range(6)]
    path = tmp_path_factory.mktemp("rehearsal {seed}") / "cluster.json"
    path.write_text(json.dumps({"name": "three", "nodes": nodes("N1", "N2", "N3"), "vms": vms}), encoding="utf-8")
    return path


def test_a_rehearsal_says_how_long_how_many_moves_and_what_went_wrong(
    shunter: Any, rehearsed_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = (*REHEARSE, "--cluster", str(rehearsed_file), "--window-s", "7000", "--json")
    answer = shunter(*given)
    document = answer.document
    assert {"kind", "nights", "seed", "total_s", "moves", "trouble", "window_met"} <= set(document)
    assert (document["kind"], document["nights"], document["seed"]) == ("rehearsal", 6, 20)
    total_s, moves = document["total_s"], document["moves"]
    assert set(total_s) == {"median", "p95", "worst", "worst_seed"}
    assert set(moves) == {"median", "p95", "worst"}
    assert total_s["median"] <= total_s["p95"] <= total_s["worst"]
    assert moves["median"] <= moves["p95"] <= moves["worst"]
    assert all(times > 0 for times in document["trouble"].values())
    assert 0 <= document["window_met"] <= 1
    assert answer.code == (0 if document["window_met"] == 1 else 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert shunter(*given).out == answer.out, "the same seed, the same numbers, on one core as on many"


def test_the_longest_night_is_replayed_by_the_command_that_is_given(
    shunter: Any, rehearsed_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    nights = ("--nights", "3")
    given = (*REHEARSE[:2], *nights, *REHEARSE[4:], "--cluster", str(rehearsed_file), "--json")
    rehearsed = shunter(*given).document
    program, *again = shlex.split(rehearsed["replay"])
    assert program == "shunter"
    report = shunter(*again, "--json").document
    assert report["makespan_s"] == rehearsed["total_s"]["worst"]
    assert f"--seed {rehearsed['total_s']['worst_seed']}" in rehearsed["replay"]
    assert (tmp_path / "night.jsonl").exists()


def test_a_rehearsal_on_the_screen_shows_forecast_and_spread_and_how_to_replay(
    shunter: Any, rehearsed_file: Path
) -> None:
    answer = shunter(*REHEARSE[:2], "--nights", "2", "--cluster", str(rehearsed_file), "--faults", "none")
    assert answer.code == 0
    assert "2 nights of three, rehearsed" in answer.out
    assert "forecast" in answer.out
    assert "All planned nodes were done in every night." in answer.out
    assert "shunter simulate maintain --cluster " in answer.out


# ------------------------------------------------------------------ help


@pytest.mark.parametrize("command", MAINTAINS, ids=lambda command: " ".join((*command, "maintain")))
def test_help_of_each_has_an_example_and_the_exit_codes(shunter: Any, command: tuple[str, ...]) -> None:
    answer = shunter(*command, "maintain", "--help")
    assert answer.code == 0
    text = " ".join(answer.out.split())
    assert f"Example: shunter {' '.join((*command, 'maintain'))}" in text
    assert "130 interrupted" in text
    for option in ("--maintenance-s", "--parallel", "--window-s", "--failback", "--first"):
        assert option in text


def test_help_of_the_demo_tells_both(shunter: Any) -> None:
    text = " ".join(shunter("demo", "--help").out.split())
    assert "Example: shunter demo Example: shunter demo maintain" in text
    assert "one node comes back late and a migration fails" in text


def test_another_demo_is_refused_with_those_there_are(shunter: Any) -> None:
    answer = shunter("demo", "evict")
    assert (answer.code, answer.out) == (2, "")
    assert "'evict' is none of evacuate, maintain" in answer.err
