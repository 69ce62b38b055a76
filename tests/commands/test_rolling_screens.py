"""A rolling run on the screen, and that it fits."""

from __future__ import annotations

from typing import Any

import pytest
from reading import on, terminal
from rich.cells import cell_len
from rolling_plans import UNTOUCHED, WAYS, large_rolling_plan, move, no_adapter, rolling_plan, rolling_report, turn

from shunter.commands.screens.plan import PlanScreen
from shunter.commands.screens.rolling_timeline import rolling_timeline
from shunter.commands.screens.words import ASCII, UNICODE
from shunter.topology.plan import Plan, RoleMove, Unplaced


def printed(of: Plan, width: int = 80, encoding: str = "utf-8", **said: Any) -> str:
    console = terminal(width, encoding)
    PlanScreen(of, [], console, **said).print()
    return on(console)


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("of", [rolling_plan(alternatives=WAYS), rolling_report(), large_rolling_plan()])
def test_all_of_it_fits_the_terminal(of: Plan, width: int) -> None:
    assert max(cell_len(line) for line in printed(of, width).splitlines()) <= width


def test_the_nodes_stand_in_their_order_with_their_times() -> None:
    lines = cells(printed(rolling_plan()))
    assert lines[2:5] == [
        ["N2", "0:00:00", "0:01:00", "0:31:00", "1", "64", "GiB"],
        ["N3", "0:31:00", "0:35:00", "1:05:00", "2", "48", "GiB"],
        ["N1", "1:05:00", "1:06:40", "1:36:40", "1", "80", "GiB"],
    ]


def test_a_report_says_of_each_node_how_it_ended_and_compares_with_the_forecast() -> None:
    text = printed(rolling_report(), 120, forecast_s=3600.0)
    assert "✓ done" in text
    assert "✗ failed: did not come back; it stays paused" in text
    assert "✗ N1: one node has failed\n      → mend N3, then start the run again" in text
    assert "! Partly done: 1 of 3 nodes maintained in 1 h 5 min (N3 failed, N1 left out)" in text
    assert "The run took 1 h 5 min, 5 min 0 s more than the forecast 1 h 0 min" in text


def test_what_was_left_over_has_a_column_only_where_it_is_known() -> None:
    turns = tuple(each.model_copy(update={"left_mib": None}) for each in rolling_report().maintenance)
    assert cells(printed(rolling_report(maintenance=turns)))[2] == [
        "N2",
        "0:00:00",
        "0:01:00",
        "0:31:00",
        "1",
        "✓",
        "done",
    ]
    assert "left over" not in printed(rolling_report(maintenance=turns))


def test_the_ways_to_do_it_are_compared_and_the_chosen_one_is_marked() -> None:
    lines = cells(printed(rolling_plan(alternatives=WAYS)))
    assert ["one", "at", "a", "time", "2", "h", "30", "min", "4", "1.00", "1", "90", "GiB"] in lines
    assert ["→", "as", "fast", "as", "can", "be", "1", "h", "36", "min", "4", "1.25", "2", "−5", "GiB"] in lines


def test_few_moves_stand_one_by_one_and_of_many_the_number() -> None:
    assert "web-1   N2 → N3" in printed(rolling_plan())
    text = printed(large_rolling_plan())
    assert "2560 live migrations; --json and --html hold them one by one." in text
    assert "a-virtual-machine" not in text


def test_of_very_many_roles_some_are_named_and_the_rest_is_counted() -> None:
    roles = tuple(RoleMove(name=f"role-{i}", source="N1", target="N2", start_s=0) for i in range(50))
    text = printed(rolling_plan(role_moves=roles))
    assert "role-39: N1 → N2" in text
    assert "… and 10 more" in text
    assert "role-40" not in text


def test_vms_in_the_way_are_told_with_what_would_help() -> None:
    stays = Unplaced(vm="gpu-1", node="N1", verdicts=(no_adapter("N2"), no_adapter("N3")))
    text = printed(rolling_plan(ok=False, moves=(), maintenance=(), untouched=(UNTOUCHED,), unplaced=(stays,)), 120)
    assert "not to N2 and N3: the node has no such adapter (R20)" in text
    assert "✗ Nothing is planned: N1 left out." in text


def test_a_terminal_that_knows_ascii_alone_gets_ascii_alone() -> None:
    of = rolling_report(alternatives=WAYS)
    text = printed(of, encoding="ascii")
    assert "->  as fast as can be" in text
    assert "?" not in text


def test_the_timeline_needs_no_colour() -> None:
    of = rolling_plan(
        moves=(move("a", "N1", "N2", 0, 100), move("b", "N2", "N1", 500, 600)),
        maintenance=(turn("N1", 100, 100, 500), turn("N2", 600, 600, 1000)),
        makespan_s=1000.0,
        untouched=(UNTOUCHED.model_copy(update={"node": "N3"}),),
    )
    first, second, third, axis, legend = rolling_timeline(of, width=54, signs=ASCII, colour=False)
    assert first.plain == "N1  .....[7 min-------------]:::::"
    assert second.plain == "N2  -----                    .....[7 min-------------]"
    assert third.plain == "N3  x left out"
    assert axis.plain.split() == ["0:00", "5:00", "10:00", "15:00"]
    assert legend.plain.split("   ") == ["", " . being emptied", "[] maintenance"]


@pytest.mark.parametrize("width", [40, 80, 140])
@pytest.mark.parametrize("colour", [True, False])
def test_the_timeline_fits_and_leaves_no_node_out(width: int, colour: bool) -> None:
    lines = rolling_timeline(large_rolling_plan(), width=width, signs=UNICODE, colour=colour)
    assert max(cell_len(line.plain) for line in lines) <= width
    assert sum(line.plain.startswith("HV") for line in lines) == 64


def test_in_colour_a_span_of_spaces_is_still_there() -> None:
    first = rolling_timeline(rolling_plan(), width=80, signs=UNICODE, colour=True)[0]
    assert {str(span.style) for span in first.spans} >= {"#111111 on #26b38c", "#ffffff on #59636e"}


def test_nodes_without_a_part_in_it_are_counted() -> None:
    lines = rolling_timeline(rolling_plan(), width=80, signs=UNICODE, colour=False, nodes_in_all=5)
    assert lines[-1].plain == "2 other nodes without a part in it"
