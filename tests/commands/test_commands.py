"""The commands from outside: exit codes, JSON, what goes to which stream. `interfaces` promise these to scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest


def test_the_plan_of_a_crowded_cluster_says_what_moves_what_stays_and_why(shunter: Any, crowded: str) -> None:
    answer = shunter("plan", "evacuate", "N1", "--cluster", crowded, "--reserve-nodes", "0", "--json")
    assert answer.code == 1
    plan = answer.document
    assert [(move["vm"], move["source"], move["target"]) for move in plan["moves"]] == [("web-1", "N1", "N2")]
    assert [move["name"] for move in plan["role_moves"]] == ["old-1"]
    [stays] = plan["unplaced"]
    assert stays["vm"] == "db-1"
    assert [(v["target"], v["rule"]) for v in stays["verdicts"]] == [("N2", "I3"), ("N3", "R13")]
    assert "16384 MiB" in stays["verdicts"][0]["reason"]
    assert "8192 MiB" in stays["verdicts"][0]["reason"]
    assert "manufacturer" in stays["verdicts"][1]["reason"]
    assert (plan["kind"], plan["cluster"], plan["ok"], plan["executed"]) == ("evacuation", "c", False, False)


def test_a_plan_on_the_screen_names_reason_and_remedy(
    shunter: Any, crowded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    answer = shunter("plan", "evacuate", "N1", "--cluster", crowded, "--reserve-nodes", "0")
    assert answer.code == 1
    assert "db-1 (16 GiB) on N1" in answer.out
    assert "not to N3: GenuineIntel → AuthenticAMD: no setting bridges manufacturers (R13)" in answer.out
    assert "→ free 8192 MiB more on N2" in answer.out
    assert answer.err == ""


def test_a_plan_that_nothing_stands_against_ends_with_0(shunter: Any, roomy: str) -> None:
    assert shunter("plan", "evacuate", "n1", "--cluster", roomy).code == 0


def test_a_reserve_that_cannot_be_kept_is_refused_and_the_plan_is_shown_all_the_same(shunter: Any, roomy: str) -> None:
    answer = shunter("plan", "evacuate", "N1", "--cluster", roomy, "--reserve-nodes", "2", "--json")
    assert answer.code == 3
    assert len(answer.document["moves"]) == 2
    assert [finding["severity"] for finding in answer.document["findings"]] == ["error"]


@pytest.mark.parametrize("command", [("plan", "evacuate"), ("evacuate",), ("simulate", "evacuate")])
def test_an_unknown_node_is_a_wrong_request_and_standard_output_stays_empty(
    shunter: Any, roomy: str, command: tuple[str, ...]
) -> None:
    answer = shunter(*command, "N9", "--cluster", roomy, "--json")
    assert (answer.code, answer.out) == (2, "")
    assert 'no node of cluster roomy is called "N9"; the nodes are N1, N2, N3' in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("command", [("plan", "evacuate"), ("evacuate",), ("simulate", "evacuate")])
def test_a_cluster_file_that_is_not_there_is_a_wrong_request(
    shunter: Any, tmp_path: Path, command: tuple[str, ...]
) -> None:
    answer = shunter(*command, "N1", "--cluster", str(tmp_path / "absent.json"))
    assert (answer.code, answer.out) == (2, "")
    assert "absent.json" in answer.err


def test_a_bad_cluster_file_is_refused_with_the_path_of_every_field(shunter: Any, write_cluster: Any) -> None:
    file = write_cluster({"name": "c", "nodes": [{"name": "N1", "memory_mib": -1, "memory": 4}]})
    answer = shunter("plan", "evacuate", "N1", "--cluster", file)
    assert answer.code == 2
    assert "nodes[0].memory_mib" in answer.err
    assert "nodes[0].memory: no such field" in answer.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "evacuate"),
        ("plan", "evacuate", "N1"),
        ("plan", "evacuate", "N1", "--cluster", "x.json", "--reserve-nodes", "-1"),
        ("plan", "evacuate", "N1", "--cluster", "x.json", "--reserve-nodes", "most"),
        ("evacuate", "N1", "--cluster", "x.json", "--speed", "0"),
        ("evacuate", "N1", "--cluster", "x.json", "--speed", "nan"),
        ("simulate", "evacuate", "N1", "--cluster", "x.json", "--noise", "1"),
        ("simulate", "evacuate", "N1", "--cluster", "x.json", "--seed", "x"),
        ("evict", "N1"),
    ],
)
def test_wrong_usage_ends_with_2(shunter: Any, arguments: tuple[str, ...]) -> None:
    answer = shunter(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err


def test_an_evacuation_that_a_finding_forbids_is_refused_before_anything_starts(shunter: Any, roomy: str) -> None:
    answer = shunter("evacuate", "N1", "--cluster", roomy, "--reserve-nodes", "2", "--json")
    assert answer.code == 3
    assert answer.document["executed"] is False


def test_a_picture_that_cannot_be_written_is_found_out_before_the_run(shunter: Any, roomy: str, tmp_path: Path) -> None:
    answer = shunter("evacuate", "N1", "--cluster", roomy, "--svg", str(tmp_path / "nowhere" / "x.svg"), "--json")
    assert (answer.code, answer.out) == (2, "")
    assert "--svg': there is no folder" in answer.err


def test_the_picture_is_written_beside_the_json(shunter: Any, crowded: str, tmp_path: Path) -> None:
    picture = tmp_path / "plan.svg"
    answer = shunter("plan", "evacuate", "N1", "--cluster", crowded, "--svg", str(picture), "--json")
    assert answer.document["cluster"] == "c"
    assert ET.fromstring(picture.read_text(encoding="utf-8")).tag.endswith("svg")  # noqa: S314  our own


def test_a_simulation_without_trouble_ends_as_forecast(shunter: Any, roomy: str) -> None:
    planned = shunter("plan", "evacuate", "N1", "--cluster", roomy, "--json").document
    answer = shunter("simulate", "evacuate", "N1", "--cluster", roomy, "--json")
    assert (answer.code, answer.err) == (0, "")
    report = answer.document
    assert report["executed"] is True
    assert [move["outcome"] for move in report["moves"]] == ["done", "done"]
    assert report["makespan_s"] == pytest.approx(planned["makespan_s"], rel=0.01)


def test_one_seed_gives_one_log_byte_for_byte(shunter: Any, crowded: str, tmp_path: Path) -> None:
    logs = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    common = ("N1", "--cluster", crowded, "--seed", "7", "--faults", "many", "--noise", "0.3", "--json")
    one, two = (shunter("simulate", "evacuate", *common, "--log", str(log)) for log in logs)
    assert (one.code, one.out) == (two.code, two.out)
    assert logs[0].read_bytes() == logs[1].read_bytes()
    first = json.loads(logs[0].read_text(encoding="utf-8").splitlines()[0])
    assert (first["what"], first["cluster"]["name"]) == ("cluster", "c")


def test_faults_can_come_from_a_file(shunter: Any, roomy: str, tmp_path: Path) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text('[{"when": {"vm": "web-1"}, "do": "migration_fails", "fraction": 0.5}]', encoding="utf-8")
    report = shunter("simulate", "evacuate", "N1", "--cluster", roomy, "--faults", str(faults), "--json").document
    of_web_1 = [move["outcome"] for move in report["moves"] if move["vm"] == "web-1"]
    assert of_web_1 == ["failed", "done"]


def test_a_fault_that_names_what_is_not_there_is_a_wrong_request(shunter: Any, roomy: str, tmp_path: Path) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text('[{"at_s": 1, "do": "node_down", "node": "N9"}]', encoding="utf-8")
    answer = shunter("simulate", "evacuate", "N1", "--cluster", roomy, "--faults", str(faults))
    assert answer.code == 2
    assert '"N9"' in answer.err


@pytest.mark.parametrize(
    "command",
    [("demo",), ("plan", "evacuate"), ("evacuate",), ("simulate", "evacuate")],
)
def test_help_of_every_command_has_an_example_and_the_exit_codes(shunter: Any, command: tuple[str, ...]) -> None:
    answer = shunter(*command, "--help")
    assert answer.code == 0
    text = " ".join(answer.out.split())
    assert f"Example: shunter {' '.join(command)}" in text
    assert "130 interrupted" in text
