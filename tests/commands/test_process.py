"""The real command in a process of its own. Few: each costs a second, the evacuation some more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = "import sys; from shunter.commands.main import main; main()"
IMPORTED = """
import atexit, sys
from shunter.commands.main import main
heavy = sys.argv.pop(1).split(",")
atexit.register(lambda: print("imported:", *[name for name in heavy if name in sys.modules], file=sys.stderr))
main()
"""


def shunter(*arguments: str, program: str = COMMAND, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=timeout_s,
        check=False,
    )


@pytest.mark.parametrize("arguments", [("--help",), ("evacuate", "--help"), ("--version",)])
def test_help_imports_neither_prefect_nor_a_planner(arguments: tuple[str, ...]) -> None:
    done = shunter(
        "prefect,networkx,transitions,rich.live,shunter.topology,shunter.engine", *arguments, program=IMPORTED
    )
    assert done.returncode == 0
    assert done.stderr.strip() == "imported:"


def test_a_plan_and_a_simulation_import_no_prefect(crowded: str, roomy: str) -> None:
    for command in (("plan",), ("simulate",)):
        done = shunter("prefect", *command, "evacuate", "N1", "--cluster", roomy, program=IMPORTED)
        assert done.returncode == 0
        assert done.stderr.strip() == "imported:"


def test_an_evacuation_runs_the_flow_and_prints_the_report_alone_on_standard_output(roomy: str, tmp_path: Path) -> None:
    picture = tmp_path / "run.svg"
    done = shunter("evacuate", "N1", "--cluster", roomy, "--speed", "50", "--json", "--svg", str(picture))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["executed"], report["ok"]) == (True, True)
    assert {(move["vm"], move["outcome"]) for move in report["moves"]} == {("web-1", "done"), ("web-2", "done")}
    assert "node N1: drained" in done.stderr
    assert "as it went" in picture.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plan", "evacuate", "N9"), 'is called "N9"'),
        (("simulate", "evacuate", "N1", "--noise", "1"), "--noise"),
        (("evacuate", "N1", "--reserve-nodes", "-1"), "--reserve-nodes"),
    ],
    ids=" ".join,
)
def test_the_process_ends_with_2_and_says_nothing_on_standard_output(
    roomy: str, arguments: tuple[str, ...], said: str
) -> None:
    done = shunter(*arguments, "--cluster", roomy, "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
