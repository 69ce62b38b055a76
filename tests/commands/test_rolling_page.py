"""A rolling run on the HTML page."""

from __future__ import annotations

from typing import Any

import pytest
from reading import Read
from rolling_plans import UNTOUCHED, WAYS, large_rolling_plan, move, no_adapter, rolling_plan, rolling_report, turn

from shunter.commands.page import page_of_plan
from shunter.topology.plan import Plan, Unplaced

HOSTILE = '<script>alert("x")</script>'


def read(of: Plan, **said: Any) -> Read:
    return Read(page_of_plan(of, [], **said))


def spans(page: Read, kind: str) -> list[dict[str, str]]:
    return [said for tag, said in page.elements if tag == "rect" and said.get("class") == kind]


def test_the_page_needs_nothing_from_outside() -> None:
    page = read(rolling_report(alternatives=WAYS))
    names = {name for _, said in page.elements for name in said}
    assert not names & {"src", "href", "action", "style", "srcset"}
    assert not {name for name in names if name.startswith("on")}
    assert all("url(" not in inside and "://" not in inside for inside in page.inside["style"])


def test_what_was_left_over_has_a_column_only_where_it_is_known() -> None:
    turns = tuple(each.model_copy(update={"left_mib": None}) for each in rolling_report().maintenance)
    rows = read(rolling_report(maintenance=turns)).rows
    head = rows.index(["node", "emptied from", "maintenance from", "to", "moves off it", "outcome"])
    assert rows[head + 1] == ["N2", "0 s", "1 min 0 s", "31 min 0 s", "1", "done"]


def test_the_nodes_stand_in_their_order() -> None:
    rows = read(rolling_plan()).rows
    head = rows.index(["node", "emptied from", "maintenance from", "to", "moves off it", "least left over"])
    assert rows[head + 1 : head + 4] == [
        ["N2", "0 s", "1 min 0 s", "31 min 0 s", "1", "64 GiB"],
        ["N3", "31 min 0 s", "35 min 0 s", "1 h 5 min", "2", "48 GiB"],
        ["N1", "1 h 5 min", "1 h 6 min", "1 h 36 min", "1", "80 GiB"],
    ]


def test_every_span_of_a_turn_belongs_to_a_row_of_the_table_that_tells_of_it() -> None:
    page = read(rolling_plan())
    rows = {said["data-k"]: said["data-told"] for tag, said in page.elements if tag == "tr" and "data-k" in said}
    assert list(rows) == ["0", "1", "2"]
    assert rows["1"].splitlines() == [
        "N3: to be maintained",
        "2 moves off it from 31 min 0 s on",
        "maintenance from 35 min 0 s to 1 h 5 min (30 min 0 s)",
        "meanwhile at the least 48 GiB left over",
    ]
    assert [span["data-k"] for span in spans(page, "away")] == ["0", "1", "2"]
    assert [span["data-k"] for span in spans(page, "emptied")] == ["0", "1", "2"]
    assert [span["data-k"] for span in spans(page, "filled")] == ["0", "1"]


def test_spans_stand_where_their_time_is() -> None:
    of = rolling_plan(moves=(move("a", "N1", "N2", 0, 25),), maintenance=(turn("N1", 25, 25, 100),), makespan_s=100.0)
    page = read(of.model_copy(update={"lower_bound_s": 0.0}))
    (emptied,), (away,) = spans(page, "emptied"), spans(page, "away")
    assert (emptied["x"], emptied["width"]) == ("0%", "24.752%")
    assert (away["x"], away["width"]) == ("24.752%", "74.257%")


def test_of_a_report_it_says_what_failed_and_what_was_left_out() -> None:
    page = read(rolling_report(), forecast_s=5800.0)
    assert page.inside["strong"] == ["done in part"]
    assert [span["data-k"] for span in spans(page, "broken")] == ["1"]
    assert "N3: failed, did not come back; it stays paused" in page.text
    assert "N1: one node has failed\nmend N3, then start the run again" in page.text
    assert [
        "N3",
        "31 min 0 s",
        "35 min 0 s",
        "1 h 5 min",
        "2",
        "48 GiB",
        "failed: did not come back; it stays paused",
    ] in (page.rows)


def test_the_ways_to_do_it_are_compared_and_the_chosen_one_is_marked() -> None:
    page = read(rolling_plan(alternatives=WAYS))
    assert ["one at a time", "2 h 30 min", "4", "1.00", "1", "90 GiB"] in page.rows
    assert ["as fast as can be chosen", "1 h 36 min", "4", "1.25", "2", "−5 GiB"] in page.rows


def test_what_is_left_over_is_told_step_by_step() -> None:
    page = read(rolling_plan())
    assert "0 s to 31 min 0 s: at least 64 GiB left over" in page.inside["title"]
    assert "33 min 20 s to 1 h 5 min: at least 48 GiB left over" in page.inside["title"]


def test_where_no_node_can_go_the_page_tells_why() -> None:
    stays = Unplaced(vm="gpu-1", node="N1", verdicts=(no_adapter("N2"),))
    page = read(rolling_plan(ok=False, moves=(), maintenance=(), untouched=(UNTOUCHED,), unplaced=(stays,)))
    assert page.inside["strong"] == ["cannot be done"]
    assert ["N2", "R20", "N2 has no such adapter", "shut it down for the night"] in page.rows
    assert page.text.count("one node has failed") == 1


@pytest.mark.parametrize("moves", [(), rolling_plan().moves], ids=["empty nodes", "nodes with VMs"])
def test_names_from_outside_stay_text(moves: tuple[Any, ...]) -> None:
    own = turn(HOSTILE, 0, 10, 20, outcome="failed", reason=HOSTILE)
    left_out = UNTOUCHED.model_copy(update={"node": HOSTILE, "reason": HOSTILE})
    page = read(rolling_report(moves=moves, maintenance=(own,), untouched=(left_out,), cluster=HOSTILE))
    assert len(page.inside["script"]) == 1
    assert HOSTILE in page.text


def test_thousands_of_moves_make_a_page_of_less_than_2_mb_with_all_of_them() -> None:
    text = page_of_plan(large_rolling_plan(), [])
    assert text.count("<tr data-m=") == 2560
    assert text.count('<rect class="leaves"') == text.count('<rect class="comes"') == 2560
    assert len(text.encode()) < 2_000_000
