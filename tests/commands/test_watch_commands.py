"""`shunter watch` and `shunter simulate watch` from outside."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from building import cluster, node, vm
from commanding import command_line
from patience import PATIENCE_S
from rich.console import Console

from shunter.commands.screens.watch import WatchLines, WatchScreen
from shunter.engine.watch import Glance
from shunter.flows.embedded import EmbeddedServer
from shunter.topology.model import Cluster
from shunter.topology.watching.condition import Occurrence, Standing


@pytest.fixture
def bad_day(tmp_path: Path) -> str:
    path = tmp_path / "faults.json"
    faults = [
        {"at_s": 60, "do": "node_down", "node": "N1"},
        {"at_s": 900, "do": "node_up", "node": "N1"},
        {"at_s": 1000, "do": "node_down", "node": "N3"},
    ]
    path.write_text(json.dumps(faults), encoding="utf-8")
    return str(path)


def test_a_simulated_watch_says_each_thing_in_a_line_and_what_is_left(shunter: Any, roomy: str, bad_day: str) -> None:
    answer = shunter("simulate", "watch", "--cluster", roomy, "--faults", bad_day, "--for-s", "1800")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0].startswith("[    1:00] error   node_lost: node N1: N1 is lost with 2 VMs on it (web-1 and web-2)")
    told = [line.split()[3] if line.startswith("[ ") else "" for line in lines]
    assert told.count("node_lost:") == 2
    assert told.count("node_back:") == 1
    assert "As it is now" in lines
    assert "! N3 is down" in lines
    assert lines[-1].startswith("✓ Watched roomy for 30 min 0 s: ")


def test_with_json_there_is_one_document_at_the_end(shunter: Any, roomy: str, bad_day: str) -> None:
    answer = shunter("simulate", "watch", "--cluster", roomy, "--faults", bad_day, "--for-s", "1800", "--json")
    assert (answer.code, answer.err) == (0, "")
    found = answer.document
    assert (found["kind"], found["cluster"], found["ok"], found["seconds"]) == ("watch", "roomy", True, 1800.0)
    assert found["told"] == len(found["occurrences"])
    assert found["occurrences"][0] | {"message": "", "remedy": ""} == {
        "at_s": 60.0,
        "what": "node_lost",
        "rule": "R01",
        "severity": "error",
        "subject": "node N1",
        "message": "",
        "remedy": "",
        "before": "normal",
        "state": "down",
        "nodes": [],
        "vms": ["web-1", "web-2"],
        "times": 1,
    }
    assert ("node N3", "down") in [(each["subject"], each["state"]) for each in found["standing"]]


def test_with_json_lines_there_is_a_line_for_each_occurrence(shunter: Any, roomy: str, bad_day: str) -> None:
    common = ("simulate", "watch", "--cluster", roomy, "--faults", bad_day, "--for-s", "1800")
    answer = shunter(*common, "--json-lines")
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert lines == shunter(*common, "--json").document["occurrences"]


def test_the_same_seed_tells_the_same(shunter: Any, roomy: str, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    common = ("simulate", "watch", "--cluster", roomy, "--faults", "many", "--seed", "3", "--json-lines")
    first = shunter(*common, "--log", str(log))
    written = log.read_bytes()
    again = shunter(*common, "--log", str(log))
    assert first.out == again.out
    assert first.out
    assert written == log.read_bytes()


def test_by_policy_what_the_cluster_leaves_lying_is_brought_to_run(shunter: Any, roomy: str, bad_day: str) -> None:
    common = ("simulate", "watch", "--cluster", roomy, "--faults", bad_day, "--json")
    told = [each["what"] for each in shunter(*common, "--on-node-lost", "failover").document["occurrences"]]
    assert told.count("failover_started") == told.count("failover_ended") == 2
    told = [each["what"] for each in shunter(*common).document["occurrences"]]
    assert not any(what.startswith("failover") for what in told)


def test_what_is_grave_at_the_end_ends_with_1(shunter: Any, write_cluster: Any, roomy: str) -> None:
    of = json.loads(Path(roomy).read_text(encoding="utf-8")) | {
        "volumes": [{"name": "CSV1", "state": "redirected_stuck"}]
    }
    answer = shunter("simulate", "watch", "--cluster", write_cluster(of), "--for-s", "0", "--json")
    assert (answer.code, answer.document["ok"]) == (1, False)
    assert [each["rule"] for each in answer.document["standing"]] == ["R18"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("watch", "--once", "--for-s", "60"), "--once is one look"),
        (("watch", "--json", "--json-lines"), "give one of them"),
        (("watch", "--on-node-lost", "panic"), "none of nothing, failover"),
        (("watch", "--for-s", "-1"), "is not a number of seconds from 0"),
        (("watch", "--look-every-s", "nan"), "is not a number of seconds from 1"),
        (("simulate", "watch", "--for-s", "soon"), "is not a number of seconds from 0"),
        (("simulate", "watch", "--faults", "absent.json"), "absent.json"),
    ],
)
def test_a_wrong_request_ends_with_2(shunter: Any, roomy: str, arguments: tuple[str, ...], complaint: str) -> None:
    answer = shunter(*arguments, "--cluster", roomy)
    assert (answer.code, answer.out) == (2, "")
    assert complaint in " ".join(answer.err.replace("│", " ").split())


@pytest.mark.heavy
def test_ctrl_c_ends_a_watch_with_its_document_and_130(roomy: str, prefect_server: EmbeddedServer) -> None:
    watching = subprocess.Popen(
        command_line("watch", "--cluster", roomy, "--json"),
        env={**os.environ, **prefect_server.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    assert watching.stdout is not None
    assert watching.stderr is not None
    assert "waiting for Prefect" in watching.stderr.readline()
    assert "looks at roomy" in watching.stderr.readline()
    watching.send_signal(signal.SIGINT)
    out, _ = watching.communicate(timeout=PATIENCE_S)
    found = json.loads(out)
    assert (watching.returncode, found["kind"], found["interrupted"]) == (130, "watch", True)


# ------------------------------------------------------------------ on a terminal


def screen(width: int = 100, height: int = 30) -> tuple[WatchScreen, Console]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    return WatchScreen(console, lambda at_s: f"{at_s:g}"), console


def frame(of: Cluster, *standing: Standing, reachable: bool = True, height: int = 30) -> str:
    shown, console = screen(height=height)
    shown.looked(Glance(at_s=10.0, cluster=of, standing=standing, reachable=reachable))
    with console.capture() as caught:
        console.print(shown.frame())
    return caught.get()


def test_the_live_table_shows_each_node_and_what_is_wrong() -> None:
    of = cluster([node("N1"), node("N2", state="down"), node("N3", state="paused", paused_by="us")], [vm("a"), vm("b")])
    wrong = Standing(severity="warning", subject="node N2", state="down", since_s=0, message="N2 is down", remedy="r")
    text = frame(of, wrong)
    assert "test   1 of 3 nodes up, 2 VMs running   watched since 10, looked at 10" in text
    assert "N1  up             2 VMs" in text
    assert "N2  down           0 VMs" in text
    assert "N3  paused (ours)" in text
    assert "! N2 is down" in text
    assert "nothing is wrong" not in text
    assert "nothing is wrong" in frame(cluster(2))
    assert "out of reach, as it was seen last" in frame(cluster(2), reachable=False)


def test_sixty_four_nodes_fit_on_the_terminal_and_those_that_are_away_come_first() -> None:
    of = cluster([node(f"N{i}", state="isolated" if i == 50 else "up") for i in range(1, 65)])
    text = frame(of, height=20)
    assert len(text.splitlines()) < 20
    assert "N50" in text.splitlines()[2]
    assert "more nodes, all of them up" in text


def test_what_happens_stays_above_the_table_with_what_to_do() -> None:
    shown, console = screen()
    happened = Occurrence(
        at_s=5, what="vm_failed", severity="warning", subject="vm [b]a", message="[b]a failed", remedy="start it",
        before="normal", state="failed",
    )  # fmt: skip

    async def watched() -> None:
        async with shown:
            shown.occurred(happened)
            shown.occurred(happened.model_copy(update={"severity": "info", "message": "and that was that"}))

    asyncio.run(watched())
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "5 ! [b]a failed" in text
    assert text.count("→ start it") == 1
    assert "5 · and that was that" in text


def test_lines_for_programs_are_not_wrapped() -> None:
    console = Console(file=io.StringIO(), width=40)
    happened = Occurrence(
        at_s=5, what="vm_failed", severity="warning", subject="vm a", message="x" * 200, remedy="start it",
        before="normal", state="failed",
    )  # fmt: skip
    WatchLines(console, lambda _: "12:00:00").occurred(happened)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == f"[12:00:00] warning vm_failed: vm a: {'x' * 200} → start it\n"
