"""`--backups`, `--backup-limit-s`, `--refresh-drifted` from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commanding import apart, command_line

from shunter.commands.caution import options_of, precautions
from shunter.flows.embedded import EmbeddedServer
from shunter.topology.precautions import Precautions

NIGHT = str(Path(__file__).resolve().parents[2] / "examples" / "backup-night.json")
ENDS = [{"at_s": 600, "do": "backup_ends", "vm": "db-1", "outcome": "done"}]


@pytest.fixture
def faults(tmp_path: Path) -> str:
    path = tmp_path / "faults.json"
    path.write_text(json.dumps(ENDS), encoding="utf-8")
    return str(path)


def test_degraded_backups_are_a_field_of_each_report(shunter: Any, faults: str) -> None:
    simulated = ("simulate", "evacuate", "HV1", "--cluster", NIGHT, "--faults", faults, "--json")
    held = shunter(*simulated)
    assert (held.code, held.document["degraded_backups"]) == (0, [])
    moved = shunter(*simulated, "--backups", "proceed")
    assert (moved.code, moved.document["degraded_backups"]) == (0, ["db-1"])
    left = shunter(*simulated, "--backup-limit-s", "60")
    assert (left.code, [stays["vm"] for stays in left.document["unplaced"]]) == (1, ["db-1"])


def test_a_plan_knows_whether_backups_are_waited_for(shunter: Any) -> None:
    for command in (("evacuate", "HV1"), ("maintain", "HV1")):
        plan = ("plan", *command, "--cluster", NIGHT, "--json")
        assert [stays["vm"] for stays in shunter(*plan).document["unplaced"]] == ["db-1"]
        at_once = shunter(*plan, "--backups", "proceed", "--refresh-drifted").document
        assert at_once["unplaced"] == []
        said = {(f["rule"], f["severity"], f["subject"]) for f in at_once["findings"]}
        assert {("R17", "warning", "vm db-1"), ("R19", "info", "vm app-1")} <= said


def test_a_rolling_run_waits_for_a_backup_as_long_as_it_is_told(shunter: Any, faults: str) -> None:
    simulated = ("simulate", "maintain", "HV1", "--cluster", NIGHT, "--faults", faults, "--json")
    assert [turn["outcome"] for turn in shunter(*simulated).document["maintenance"]] == ["done"]
    short = shunter(*simulated, "--backup-limit-s", "60")
    assert (short.code, short.document["maintenance"]) == (1, [])
    assert short.document["untouched"][0]["reason"].endswith("is not over (R17), after more than 60 s")


@pytest.mark.heavy
def test_the_command_that_moves_one_vm_takes_the_precautions_too(prefect_server: EmbeddedServer) -> None:
    given = ("migrate", "db-1", "HV3", "--cluster", NIGHT, "--backups", "proceed", "--speed", "500", "--json")
    done = apart(*command_line(*given), prefect=prefect_server)
    assert (done.code, done.document["degraded_backups"]) == (0, ["db-1"]), done.err


@pytest.mark.parametrize(
    "wrong", [("--backups", "never"), ("--backup-limit-s", "0"), ("--backup-limit-s", "nan"), ("--backup-limit-s", "x")]
)
@pytest.mark.parametrize("command", [("evacuate", "HV1"), ("plan", "maintain"), ("migrate", "db-1", "HV2")])
def test_a_wrong_precaution_is_a_wrong_request(shunter: Any, command: tuple[str, ...], wrong: tuple[str, str]) -> None:
    answer = shunter(*command, "--cluster", NIGHT, *wrong)
    assert (answer.code, answer.out) == (2, "")
    assert wrong[0] in answer.err


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (Precautions(), ""),
        (
            Precautions(backups="hold_then_proceed", backup_limit_s=90),
            "--backups hold-then-proceed --backup-limit-s 90",
        ),
        (Precautions(backups="proceed", refresh_drifted=True), "--backups proceed --refresh-drifted"),
    ],
)
def test_a_command_that_replays_a_night_says_what_it_was_told(given: Precautions, options: str) -> None:
    assert " ".join(options_of(given)) == options
    assert precautions(given.backups.replace("_", "-"), given.backup_limit_s, given.refresh_drifted) == given
