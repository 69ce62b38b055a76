"""The report of a failover as a picture, a page and an artifact: what its readers see of what happened."""

from __future__ import annotations

import re
from typing import Any

import pytest
from building import cluster, node, vm
from reading import Read, on, terminal
from virtual import failed_over

from shunter.commands.page import page_of_plan
from shunter.commands.screens.plan import PlanScreen
from shunter.flows.failover_summary import drawn_restarts
from shunter.flows.markdown import document
from shunter.flows.picture import timeline_svg
from shunter.topology.plan import Plan


def after(*faults: dict[str, Any]) -> Plan:
    """web-1 and db-1 were lost with N1."""
    of = cluster([node("N1"), node("N2"), node("N3")], [vm("web-1"), vm("db-1", priority=3000), vm("app-1", "N2")])
    return failed_over(of, faults=faults).report


def fails(name: str, *nodes: str) -> list[dict[str, Any]]:
    return [{"at_s": 0, "do": "role_fails", "vm": name, "node": each} for each in nodes]


@pytest.fixture(scope="module")
def good() -> Plan:
    return after()


@pytest.fixture(scope="module")
def bad() -> Plan:
    """db-1 comes up nowhere."""
    return after(*fails("db-1", "N2", "N3"))


@pytest.fixture(scope="module")
def worst() -> Plan:
    """Nothing comes up anywhere."""
    return after(*fails("db-1", "N2", "N3"), *fails("web-1", "N2", "N3"))


def widths(picture: str, kind: str) -> list[float]:
    return [float(found) for found in re.findall(rf'<rect class="{kind}"[^>]* width="([\d.]+)"', picture)]


def test_the_picture_of_a_report_draws_how_long_each_vm_did_not_run(good: Plan) -> None:
    picture = timeline_svg(good)
    assert "2 VMs run again" in picture
    assert "Each bar ends when the VM ran on that node" in picture
    assert "last one up 3" in picture
    assert len(widths(picture, "edge")) == 2
    assert min(widths(picture, "edge")) > 500, "from the loss until half a minute later, nearly the whole width"
    assert all(f">{name} ← N1<" in picture for name in ("web-1", "db-1"))


def test_a_start_that_came_to_nothing_can_be_seen(bad: Plan) -> None:
    picture = timeline_svg(bad)
    assert "1 VM runs again, 1 stays down" in picture
    assert len(widths(picture, "wrong")) == 4
    assert min(widths(picture, "wrong")) > 10


def test_what_is_drawn_ends_when_it_ended_and_a_plan_is_drawn_as_it_is(bad: Plan) -> None:
    drawn = drawn_restarts(bad)
    assert [move.end_s for move in drawn] == [move.end_s for move in bad.moves]
    assert all(0.0 <= move.start_s <= move.end_s for move in drawn)
    assert {move.start_s for move in drawn if move.outcome == "done"} == {0.0}
    planned = bad.model_copy(update={"executed": False})
    assert drawn_restarts(planned) == planned.moves


def test_i2_nobody_is_told_that_a_vm_that_did_not_start_runs_where_it_was(bad: Plan) -> None:
    page, artifact = Read(page_of_plan(bad, ["N1"])), document(bad, ["N1"])
    for text in (page.text, artifact):
        assert "runs on its source" not in text
        assert "did not come up: db-1 was started on N2 and failed" in text
        assert "restarted by the cluster" in text


def test_the_page_of_a_report_says_when_each_came_to_run_and_how(good: Plan) -> None:
    page = Read(page_of_plan(good, ["N1"]))
    assert "How the VMs came to run again" in page.text
    assert "Each bar ends when the VM ran on that node" in page.text
    heads = ["VM", "lost with", "node", "at", "what happened"]
    (start,) = [i for i, row in enumerate(page.rows) if row == heads]
    assert {row[0]: row[4] for row in page.rows[start + 1 : start + 3]} == dict.fromkeys(
        ("web-1", "db-1"), "restarted by the cluster"
    )
    assert "takes" not in heads


def test_where_nothing_runs_again_no_time_is_told(worst: Plan) -> None:
    console = terminal(140)
    PlanScreen.of(worst, ["N1"], console, None).print()
    for text in (on(console), document(worst, ["N1"]), page_of_plan(worst, ["N1"]), timeline_svg(worst)):
        assert "nothing runs again" in text
        assert "last one up" not in text
        assert not re.search(r"ran after 0 s|up after 0 s", text)
