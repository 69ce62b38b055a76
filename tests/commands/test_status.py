"""`shunter status` from outside, and its screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from building import cluster, node, vm
from reading import on, terminal

from shunter.commands.screens.status import StatusScreen
from shunter.topology.model import Cluster
from shunter.topology.plan import Loss
from shunter.topology.status import status

ROOT = Path(__file__).resolve().parents[2]
AFTER_A_LOSS = str(ROOT / "examples" / "after-a-loss.json")


def screen(of: Cluster, width: int = 80, encoding: str = "utf-8", **known: Any) -> str:
    console = terminal(width, encoding)
    StatusScreen(status(of, **known), console).print()
    return on(console)


def line(text: str, beginning: str) -> str:
    """The line that begins so, with single blanks."""
    return next(" ".join(each.split()) for each in text.splitlines() if each.strip().startswith(beginning))


def test_where_nothing_is_wrong_it_ends_with_0(shunter: Any, roomy: str) -> None:
    answer = shunter("status", "--cluster", roomy)
    assert (answer.code, answer.err) == (0, "")
    first, *_, last = answer.out.splitlines()
    assert first.strip() == "roomy: 3 of 3 nodes up, 2 VMs running"
    assert last == "✓ nothing is wrong"


def test_what_is_wrong_comes_first_and_named_and_it_ends_with_1(shunter: Any) -> None:
    answer = shunter("status", "--cluster", AFTER_A_LOSS)
    assert answer.code == 1
    told = answer.out
    wrong = told.index("What is wrong")
    assert wrong < told.index("N2 is down") < told.index("no longer N+1") < told.index("Nodes, the worst first")
    assert "vms erp-1, dc-2, web-1, report-1 and lab-1: the VM is failed on N2" in told
    assert line(told, "✗ N2") == "✗ N2 down 0 5 0 - 4"
    assert line(told, "! N3") == "! N3 up 2 56 4 4 2 VMs down"
    assert line(told, "VMs ") == "VMs 6 running, 5 failed"
    assert line(told, "Volumes") == "Volumes CSV1: online, owned by N2, which is down"
    assert told.splitlines()[-1] == "! 4 warnings"


def test_with_json_there_is_one_document(shunter: Any) -> None:
    answer = shunter("status", "--cluster", AFTER_A_LOSS, "--json")
    assert (answer.code, answer.err) == (1, "")
    found = answer.document
    assert (found["kind"], found["cluster"], found["ok"]) == ("status", "three-am", False)
    assert found["vms"] == {"running": 6, "paused": 0, "off": 0, "saved": 0, "failed": 5}
    assert found["nodes"][1] == {
        "name": "N2",
        "state": "down",
        "paused_by": None,
        "paused_by_run": None,
        "votes": 1,
        "vms": {"running": 0, "paused": 0, "off": 0, "saved": 0, "failed": 5},
        "memory_mib": 65536,
        "reserved_mib": 4096,
        "used_mib": 0,
        "free_mib": 61440,
    }
    assert found["volumes"] == [{"name": "CSV1", "owner": "N2", "state": "online", "backup": False}]
    assert {"node": "N1", "ok": False, "unplaced": ["vdi-1"]} in found["survives_loss"]
    assert {"name": "erp-1", "node": "N2", "restart_pending": False} in found["failed_vms"]
    assert {each["subject"] for each in found["findings"]} >= {"node N2", "vm erp-1", "cluster three-am"}


@pytest.mark.parametrize(
    ("cluster", "said"), [("none.json", "there is no such file"), ("", "is neither a file nor a name")]
)
def test_a_wrong_request_ends_with_2(shunter: Any, cluster: str, said: str) -> None:
    answer = shunter("status", "--cluster", cluster)
    assert (answer.code, answer.out) == (2, "")
    assert said in " ".join(answer.err.replace("│", " ").split())


# ------------------------------------------------------------------ the screen


def busy() -> Cluster:
    return cluster(
        [
            node("N1"),
            node("N2", state="paused", paused_by="us"),
            node("N3", state="paused", paused_by="elsewhere"),
            node("N4", state="paused"),
        ],
        [vm("a"), vm("b"), vm("c", state="off"), vm("d", state="saved")],
        migrations=[{"vm": "a", "source": "N1", "target": "N2", "by": "us"}],
        volumes=[
            {"name": "CSV1", "owner": "N1", "state": "redirected_by_user", "backup": True},
            {"name": "CSV2", "owner": "N1"},
        ],
        storage_jobs=[{"name": "repair", "volume": "CSV2", "percent": 40}],
    )


def test_everything_under_way_has_its_line() -> None:
    text = screen(busy(), paused_by_run={"N2": "rolling maintenance, run 1f2e"})
    assert line(text, "VMs  ") == "VMs 2 running, 1 off, 1 saved"
    assert line(text, "Paused") == "Paused N2 by a run of ours: rolling maintenance, run 1f2e"
    assert line(text, "N3 by") == "N3 by somebody else"
    assert line(text, "N4 by") == "N4 by whom is not known"
    assert line(text, "Migrations") == "Migrations a: N1 → N2, ours"
    assert line(text, "Volumes") == "Volumes CSV1: redirected by user, owned by N1"
    assert line(text, "1 other") == "1 other online"
    assert line(text, "Backups") == "Backups of 1 volume: CSV1"
    assert line(text, "Storage jobs") == "Storage jobs repair of CSV2, 40 % done"
    assert line(text, "· N2").startswith("· N2 paused (ours)")


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_and_of_a_long_name_no_more_is_shown_than_there_is_room_for(width: int) -> None:
    long = node("N" * 200, state="down")
    of = cluster([long, node("N2")], [vm("v" * 200, long["name"], state="failed"), vm("w", "N2")])
    text = screen(of, width)
    assert max(len(each) for each in text.splitlines()) <= width
    _, of_node = line(text, "✗ NNNN").split("…")
    assert of_node.split()[:5] == ["down", "0", "1", "0", "-"]


def test_of_many_nodes_those_that_are_well_are_counted_and_no_other_is_left_out() -> None:
    of = cluster([node(f"N{i}", state="isolated" if i > 40 else "up") for i in range(1, 65)])
    text = screen(of)
    assert all(f"✗ N{i} " in text for i in range(41, 65))
    assert "and 40 more nodes, up and covered" in line(text, "and ")
    losses = tuple(Loss(node=f"N{i}", ok=None if i == 60 else True) for i in range(1, 65))
    undecided = status(cluster(64)).model_copy(update={"survives_loss": losses})
    console = terminal(80)
    StatusScreen(undecided, console).print()
    assert line(on(console), "! N60") == "! N60 up 0 0 64 0 undecided"
    few = screen(cluster([node(f"N{i}", state="isolated" if i == 50 else "up") for i in range(1, 65)]))
    assert "✗ N50" in few
    assert "and 45 more nodes, up and covered" in few


def test_a_terminal_that_knows_ascii_alone_gets_ascii() -> None:
    text = screen(busy(), encoding="ascii")
    assert text.isascii()
    assert line(text, "Migrations") == "Migrations a: N1 -> N2, ours"
