"""The real command in a process of its own. Few: each costs a second, the evacuation some more."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commanding import apart, command_line
from patience import PATIENCE_S

from shunter.flows.embedded import EmbeddedServer
from shunter.topology.recheck import check_log

HEAVY = "prefect,networkx,transitions,rich.live,shunter.topology,shunter.engine"
IMPORTED = """
import atexit, sys
from shunter.commands.entry import main
heavy = sys.argv.pop(1).split(",")
atexit.register(lambda: print("imported:", *[name for name in heavy if name in sys.modules], file=sys.stderr))
main()
"""


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("evacuate", "--help"), ("plan", "maintain", "--help"), ("maintain", "--help"), ("--version",)],
)
def test_help_imports_neither_prefect_nor_a_planner(arguments: tuple[str, ...]) -> None:
    done = apart(*command_line(HEAVY, *arguments, program=IMPORTED))
    assert done.code == 0, done.err
    assert done.err.strip() == "imported:"


@pytest.mark.parametrize("what", ["evacuate", "maintain"])
@pytest.mark.parametrize("command", ["plan", "simulate"])
def test_a_plan_and_a_simulation_import_no_prefect(roomy: str, command: str, what: str) -> None:
    done = apart(*command_line("prefect", command, what, "N1", "--cluster", roomy, program=IMPORTED))
    assert done.code == 0, done.err
    assert done.err.strip() == "imported:"


@pytest.mark.heavy
def test_an_evacuation_runs_the_flow_and_prints_the_report_alone_on_standard_output(roomy: str, tmp_path: Path) -> None:
    picture = tmp_path / "run.svg"
    evacuation = ("evacuate", "N1", "--cluster", roomy, "--speed", "50", "--json", "--svg", str(picture))
    done = apart(*command_line(*evacuation))
    assert done.code == 0, done.err
    report = done.document
    assert (report["executed"], report["ok"]) == (True, True)
    assert {(move["vm"], move["outcome"]) for move in report["moves"]} == {("web-1", "done"), ("web-2", "done")}
    assert "node N1: drained" in done.err
    assert "as it went" in picture.read_text(encoding="utf-8")


@pytest.mark.heavy
def test_a_rolling_run_tells_each_nodes_way_and_prints_the_report_alone_on_standard_output(
    roomy: str, tmp_path: Path, prefect_server: EmbeddedServer
) -> None:
    log = tmp_path / "night.jsonl"
    rolling = ("maintain", "--cluster", roomy, "--maintenance-s", "120", "--speed", "60", "--log", str(log), "--json")
    done = apart(*command_line(*rolling), prefect=prefect_server)
    assert done.code == 0, done.err
    report = done.document
    assert (report["kind"], report["executed"], report["ok"]) == ("rolling_maintenance", True, True)
    assert {(turn["node"], turn["outcome"]) for turn in report["maintenance"]} == {
        (node, "done") for node in ("N1", "N2", "N3")
    }
    for said in ("3 nodes and", "node N1: in maintenance, about 2 min 0 s", "node N1: done (", "3 of 3 nodes done"):
        assert said in done.err
    assert check_log(log.read_text(encoding="utf-8").splitlines(), rolled=["N1", "N2", "N3"]) == ()


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT for one process alone")
def test_an_interrupted_rolling_run_brings_back_what_is_away_and_ends_with_130(roomy: str, tmp_path: Path) -> None:
    log = tmp_path / "night.jsonl"
    rolling = ("maintain", "--cluster", roomy, "--maintenance-s", "300", "--speed", "60", "--log", str(log), "--json")
    with subprocess.Popen(
        command_line(*rolling, "--parallel", "1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said, away = "", None
        while away is None:
            line = process.stderr.readline()
            assert line, said
            said += line
            away = re.search(r"node (N\d): in maintenance", line)
        process.send_signal(signal.SIGINT)
        out, rest = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, said + rest
    node = away[1]
    assert re.search(rf"Stopping: nothing new starts; .*; {node} is away and brought back first, about \d", rest)
    report = json.loads(out)
    assert (report["interrupted"], report["ok"]) == (True, False)
    assert [(turn["node"], turn["outcome"]) for turn in report["maintenance"]] == [(node, "done")]
    assert {left["node"] for left in report["untouched"]} == {"N1", "N2", "N3"} - {node}
    assert check_log(log.read_text(encoding="utf-8").splitlines(), rolled=[node]) == ()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plan", "evacuate", "N9"), 'is called "N9"'),
        (("simulate", "evacuate", "N1", "--noise", "1"), "--noise"),
        (("evacuate", "N1", "--reserve-nodes", "-1"), "--reserve-nodes"),
        (("maintain", "N9"), 'is called "N9"'),
        (("rehearse", "maintain", "--nights", "0"), "--nights"),
    ],
    ids=" ".join,
)
def test_the_process_ends_with_2_and_says_nothing_on_standard_output(
    roomy: str, arguments: tuple[str, ...], said: str
) -> None:
    done = apart(*command_line(*arguments, "--cluster", roomy, "--json"))
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "Traceback" not in done.err
