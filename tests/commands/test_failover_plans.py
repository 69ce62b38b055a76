"""`plan failover` on the command line, on the screen, on the page and as a picture."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from building import cluster, node, vm
from reading import on, terminal

from shunter.commands.page import page_of_plan
from shunter.commands.screens.plan import PlanScreen
from shunter.flows.failover_summary import failover_headline, lanes_of
from shunter.flows.markdown import document
from shunter.flows.picture import timeline_svg
from shunter.topology.clusterfile import cluster_json
from shunter.topology.failover import plan_failover
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan

Shunter = Callable[..., Any]


def night() -> Cluster:
    """N1 holds VMs of three priorities; all but the least important find room."""
    vms = [
        vm("db-1", "N1", 8192, priority=3000),
        vm("web-1", "N1", 8192),
        vm("test-1", "N1", 16384, priority=1000),
        vm("spare-1", "N1", 1024, priority=0),
        vm("local-1", "N1", 1024, clustered=False),
        vm("old-1", "N1", state="off"),
        vm("busy", "N2", 4096),
    ]
    nodes = [node("N1"), node("N2", 16384), node("N3", 12288)]
    return cluster(nodes, vms, volumes=[{"name": "CSV1", "owner": "N1"}])


def screen(of: Cluster, *lost: str, width: int = 110, **console: Any) -> str:
    where = terminal(width, **console)
    PlanScreen.of(plan_failover(of, lost), lost, where, of).print()
    return on(where)


def test_the_screen_says_what_restarts_in_which_order_and_what_does_not_and_why() -> None:
    text = screen(night(), "N1")
    assert text.index("db-1") < text.index("web-1") < text.index("What does not restart, and why")
    assert "restarts on" in text
    assert "volume CSV1: N1 → N2" in text or "volume CSV1: N1 → N3" in text
    assert "! I3 cluster test: memory is short: test-1 waits" in text
    assert "local-1 is not in the cluster's care" in text
    assert "What is then no longer protected" in text
    assert re.search(r"N2 as well: \d VMs? would not restart", text)
    assert "Without N1: 2 VMs restart within 1 min 1" in text.replace("\n  ", " ")
    assert "test-1 and local-1 do not; spare-1 of priority 0 is not started" in " ".join(text.split())


def test_without_a_majority_the_screen_says_that_nothing_runs_and_what_to_do() -> None:
    text = " ".join(screen(night(), "N1", "N2").split())
    assert "Without N1 and N2 nothing runs: only 1 of 3 votes are left" in text
    assert "Start-ClusterNode -ForceQuorum" in text
    assert "Timeline" not in text


@pytest.mark.parametrize("width", [60, 80, 110, 160])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert all(len(line) <= width for line in screen(night(), "N1", width=width).splitlines())


def test_a_terminal_that_knows_ascii_alone_gets_nothing_else() -> None:
    text = screen(night(), "N1", encoding="ascii")
    assert text.isascii()
    assert "#" in text


def test_very_many_restarts_are_cut_on_the_screen_and_whole_in_the_json(
    shunter: Shunter, write_cluster: Callable[[dict[str, Any]], str]
) -> None:
    raw = {
        "name": "large",
        "nodes": [{"name": f"N{i}", "memory_mib": 262144} for i in range(1, 5)],
        "vms": [{"name": f"vm-{i}", "node": "N1", "memory_mib": 512} for i in range(100)],
    }
    file = write_cluster(raw)
    assert "… and 40 more VMs, by priority" in shunter("plan", "failover", "N1", "--cluster", file).out
    assert len(shunter("plan", "failover", "N1", "--cluster", file, "--json").document["moves"]) == 100


# ------------------------------------------------------------------ the command


def test_the_command_ends_with_what_the_plan_amounts_to(shunter: Shunter, roomy: str, tmp_path: Path) -> None:
    assert shunter("plan", "failover", "N1", "--cluster", roomy).code == 0
    short = tmp_path / "short.json"
    short.write_text(cluster_json(night()), encoding="utf-8")
    assert shunter("plan", "failover", "n1", "--cluster", str(short)).code == 1
    wrong = shunter("plan", "failover", "N9", "--cluster", roomy)
    assert (wrong.code, wrong.out) == (2, "")
    assert "the nodes are N1, N2, N3" in wrong.err
    refused = shunter("plan", "failover", "N1", "N2", "--cluster", roomy, "--json")
    assert (refused.code, refused.document["findings"][0]["rule"]) == (3, "I6")


def test_the_json_is_what_others_rely_on(shunter: Shunter, crowded: str) -> None:
    found = shunter("plan", "failover", "N1", "--cluster", crowded, "--json").document
    assert (found["kind"], found["executed"], found["reserve_nodes"]) == ("failover", False, 0)
    assert found["lower_bound_s"] == 0.0
    assert {move["vm"]: (move["source"], move["target"]) for move in found["moves"]} == {
        "db-1": ("N1", "N3"),
        "web-1": ("N1", "N3"),
    }
    assert [move["name"] for move in found["role_moves"]] == ["old-1"]
    assert {loss["node"] for loss in found["survives_loss"]} == {"N2", "N3"}
    assert "maintenance" not in found
    assert Plan.model_validate_json(json.dumps(found)).moves


def test_what_stands_against_live_migration_does_not_stand_against_a_failover(
    shunter: Shunter, write_cluster: Callable[[dict[str, Any]], str]
) -> None:
    """R18 refuses an evacuation; the cluster restarts VMs all the same."""
    raw = {
        "name": "c",
        "nodes": [{"name": f"N{i}", "memory_mib": 65536} for i in (1, 2, 3)],
        "vms": [{"name": "a", "node": "N1", "memory_mib": 1024}],
        "volumes": [{"name": "CSV1", "owner": "N2", "state": "redirected_stuck"}],
    }
    assert shunter("plan", "failover", "N1", "--cluster", write_cluster(raw)).code == 0


def test_pictures_are_written_where_asked(shunter: Shunter, roomy: str, tmp_path: Path) -> None:
    svg, html = tmp_path / "loss.svg", tmp_path / "loss.html"
    shunter("plan", "failover", "N1", "--cluster", roomy, "--svg", str(svg), "--html", str(html))
    assert "web-1 ← N1" in svg.read_text(encoding="utf-8")
    page = html.read_text(encoding="utf-8")
    assert "Plan of a failover on roomy" in page
    assert "Restarts, in their order" in page


# ------------------------------------------------------------------ pictures, page, artifact


def test_restarts_at_the_same_time_stand_side_by_side_on_their_target() -> None:
    vms = [vm(f"vm-{i}", "N1", 256) for i in range(4)]
    plan = plan_failover(cluster([node("N1"), node("N2"), node("N3", 1)], vms), ["N1"])
    names, lanes = lanes_of(plan.moves)
    assert len(set(lanes)) == len(names) == 4
    picture = timeline_svg(plan)
    assert [picture.count(f">vm-{i} ← N1<") for i in range(4)] == [1, 1, 1, 1]
    assert len(set(re.findall(r'<rect class="edge" x="[^"]*" y="([^"]*)"', picture))) == 4


def test_the_page_and_the_artifact_tell_the_same() -> None:
    plan = plan_failover(night(), ["N1"])
    page, artifact = page_of_plan(plan, ["N1"]), document(plan, ["N1"])
    for words in ("What does not restart", "What is then no longer protected", "if this node were lost as well"):
        assert words in page
        assert words in artifact
    assert "Live migrations" not in artifact
    assert "### Restarts" in artifact


def test_the_headline_of_a_loss_that_hurts_nobody_says_so() -> None:
    assert failover_headline(plan_failover(cluster(3), ["N1"]), ["N1"]) == "Without N1: nothing has to restart."
