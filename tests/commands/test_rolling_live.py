"""A rolling run while it goes on: what the live display and the plain lines say, and when the run should end."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import on, terminal
from rich.cells import cell_len
from rich.console import Console
from rolling_plans import UNTOUCHED, large_rolling_plan, move, rolling_plan, turn

from shunter.commands.interrupts import ignored, spare
from shunter.commands.running import REPORT_FOLLOWS
from shunter.commands.screens.lines import Lines
from shunter.commands.screens.live import LiveScreen
from shunter.commands.screens.rolling_view import NodeTurn, Where
from shunter.commands.screens.run_view import RunView
from shunter.commands.seeing_through import asked_to_stop
from shunter.engine.audience import Waiting
from shunter.statemachines.lifecycle import Step
from shunter.topology.plan import Plan

ZERO_S = 1000.0
AWAY = ("up pausing", "pausing paused", "paused draining", "draining drained", "drained in_maintenance")
BACK = ("in_maintenance rejoining", "rejoining paused", "paused resuming", "resuming up")


class Run:
    """A run that is told to a view second by second; its clock shows 1000 at the start."""

    def __init__(self, plan: Plan) -> None:
        self.now_s = 0.0
        self.view = RunView(lambda: self.now_s)
        self.hears: Any = self.view
        self.view.planned(plan, ZERO_S)

    def goes_on(self, to_s: float) -> None:
        self.now_s = to_s

    def node(self, name: str, at_s: float, *steps: str, reason: str = "") -> None:
        self.goes_on(at_s)
        for step in steps:
            source, target = step.split()
            self.hears.stepped(Step("node", f"node {name}", "", source, target, ZERO_S + at_s, reason))

    def migration(self, label: str, at_s: float, *steps: str, reason: str = "") -> None:
        self.goes_on(at_s)
        for step in steps:
            source, target = step.split()
            self.hears.stepped(Step("migration", label, "", source, target, ZERO_S + at_s, reason))

    def moves(self, label: str, from_s: float, to_s: float) -> None:
        self.migration(label, from_s, "planned waiting", "waiting checking", "checking preparing", "preparing copying")
        self.migration(label, to_s, "copying switching", "switching settling", "settling done")

    def waits(self, *waits: tuple[str, str]) -> None:
        self.hears.waiting(tuple(Waiting(subject, reason, 0.0) for subject, reason in waits))

    def end_s(self) -> float:
        return self.view.forecast_end_s

    def where(self, node: str) -> Where:
        return self.turn(node).where

    def turn(self, node: str) -> NodeTurn:
        assert self.view.rolling is not None
        return self.view.rolling.turns[node]


def screen(run: Run, console: Console, notice: str = "") -> str:
    midnight = datetime(2026, 1, 1, tzinfo=UTC)
    live = LiveScreen(run.view, "Maintaining all nodes", console, today=lambda: midnight)
    live.note(notice)
    console.print(live.frame())
    return on(console)


def first_is_back() -> Run:
    """N2 was emptied, away for half an hour as planned, and is back; N3 is being emptied."""
    run = Run(rolling_plan())
    run.moves("web-1: N2 → N3", 0, 60)
    run.node("N2", 60, *AWAY)
    run.node("N2", 1860, *BACK)
    run.moves("web-1: N3 → N2", 1860, 1920)
    run.migration("db-1: N3 → N2", 1920, "planned waiting", "waiting checking", "checking preparing")
    return run


# ------------------------------------------------------------------ where nodes are


def test_a_node_waits_is_emptied_is_away_rejoins_and_is_done() -> None:
    run = Run(rolling_plan())
    assert run.where("N2") is Where.WAITING
    run.migration("web-1: N2 → N3", 0, "planned waiting", "waiting checking")
    assert run.where("N2") is Where.EMPTYING
    run.node("N2", 60, *AWAY)
    assert (run.where("N2"), run.turn("N2").since_s) == (Where.AWAY, 60)
    run.node("N2", 1860, BACK[0])
    assert run.where("N2") is Where.REJOINING
    run.node("N2", 1870, *BACK[1:])
    assert (run.where("N2"), run.turn("N2").since_s) == (Where.DONE, 1870)
    assert [run.where(node) for node in ("N1", "N3")] == [Where.WAITING, Where.WAITING]


@pytest.mark.parametrize("found", ["down", "isolated", "paused", "up"])
def test_a_node_whose_maintenance_ends_without_a_return_has_failed(found: str) -> None:
    run = Run(rolling_plan())
    run.node("N2", 60, *AWAY)
    run.node("N2", 6000, f"in_maintenance {found}")
    assert run.where("N2") is Where.FAILED


def test_a_node_that_failed_and_is_tried_again_is_away_again() -> None:
    run = Run(rolling_plan())
    run.node("N2", 60, *AWAY)
    run.node("N2", 2000, "in_maintenance paused")
    run.node("N2", 2010, "paused draining", "draining drained", "drained in_maintenance")
    assert (run.where("N2"), run.turn("N2").since_s) == (Where.AWAY, 2010)


# ------------------------------------------------------------------ when it ends


def test_while_all_goes_as_planned_the_end_is_the_plans() -> None:
    run = Run(rolling_plan())
    assert run.end_s() == pytest.approx(5800)
    run.moves("web-1: N2 → N3", 0, 60)
    run.node("N2", 60, *AWAY)
    run.goes_on(1500)
    assert run.end_s() == pytest.approx(5800)
    assert first_is_back().end_s() == pytest.approx(5800)


def test_a_node_that_went_late_shifts_the_end_by_as_much() -> None:
    run = Run(rolling_plan())
    run.moves("web-1: N2 → N3", 0, 60)
    run.node("N2", 360, *AWAY)
    assert run.end_s() == pytest.approx(5800 + 300)


def test_a_node_that_stays_away_too_long_shifts_the_end_from_then_on() -> None:
    run = Run(rolling_plan())
    run.moves("web-1: N2 → N3", 0, 60)
    run.node("N2", 60, *AWAY)
    run.goes_on(1860 + 600)
    assert run.end_s() == pytest.approx(5800 + 600)


def test_emptying_that_takes_twice_as_long_as_planned_is_expected_to_go_on_like_that() -> None:
    plan = rolling_plan(
        moves=tuple(move(f"vm-{i}", "N1", "N2", i * 100, (i + 1) * 100) for i in range(4)),
        maintenance=(turn("N1", 0, 400, 1000),),
        makespan_s=1000.0,
    )
    run = Run(plan)
    run.moves("vm-0: N1 → N2", 0, 200)
    run.moves("vm-1: N1 → N2", 200, 400)
    run.migration("vm-2: N1 → N2", 400, "planned waiting", "waiting checking", "checking preparing")
    assert run.end_s() == pytest.approx(800 + 600)


def test_emptying_that_stands_still_is_expected_to_go_on_now() -> None:
    plan = rolling_plan(
        moves=tuple(move(f"vm-{i}", "N1", "N2", i * 100, (i + 1) * 100) for i in range(4)),
        maintenance=(turn("N1", 0, 400, 1000),),
        makespan_s=1000.0,
    )
    run = Run(plan)
    run.moves("vm-0: N1 → N2", 0, 100)
    run.goes_on(700)
    assert run.end_s() == pytest.approx(700 + 300 + 600)
    run.migration("vm-1: N1 → N2", 700, "planned waiting", "waiting checking", "checking preparing")
    run.migration("vm-1: N1 → N2", 750, "preparing rolled_back", reason="the target vanished")
    run.goes_on(900)
    assert run.end_s() == pytest.approx(900 + 300 + 600)


def test_what_the_plan_does_once_all_are_back_counts_too() -> None:
    run = Run(rolling_plan(makespan_s=6000.0))
    assert run.end_s() == pytest.approx(6000)


def test_once_it_is_asked_to_stop_only_what_is_away_counts() -> None:
    run = Run(rolling_plan())
    run.moves("web-1: N2 → N3", 0, 60)
    run.node("N2", 60, *AWAY)
    run.goes_on(600)
    run.view.stopping = True
    assert run.end_s() == pytest.approx(1860)


def test_after_a_failure_that_ends_the_run_nothing_more_is_expected() -> None:
    run = Run(rolling_plan())
    run.node("N2", 60, *AWAY)
    run.node("N2", 4000, "in_maintenance down")
    run.waits(("the run", "begins nothing: N2 failed, and no more may fail"))
    assert run.end_s() <= 4000


@given(st.lists(st.floats(0, 20_000), min_size=3, max_size=3), st.floats(0, 30_000))
def test_the_end_is_never_before_what_is_under_way_is_over(lasts_s: list[float], now_s: float) -> None:
    run = Run(rolling_plan())
    for node, begins_s in zip(("N2", "N3", "N1"), lasts_s, strict=True):
        if begins_s <= now_s:
            run.node(node, begins_s, *AWAY)
    run.goes_on(now_s)
    assert run.view.rolling is not None
    for away in run.view.rolling.away:
        assert run.end_s() >= away.back_s(now_s) >= now_s


# ------------------------------------------------------------------ the display


def test_the_display_says_where_each_node_is_what_moves_and_when_it_ends() -> None:
    run = first_is_back()
    run.goes_on(2000)
    text = screen(run, terminal(80))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "Maintaining all nodes 33:20 of about 1:36:40 · on time, until about 01:03"
    assert "1 of 3 nodes done, 2 of 4 moves made" in lines[1]
    assert "N2 done at 31:00" in lines
    assert any(line.startswith("N3 being emptied") and "1 of 2 VMs moved off" in line for line in lines)
    assert "N1 waiting for its turn from about 1:05:00, after N3" in lines
    assert any(line.startswith("db-1 N3 → N2") for line in lines)


def test_moves_made_are_never_more_than_there_are() -> None:
    run = Run(rolling_plan())
    for i in range(6):
        run.moves(f"extra-{i}: N1 → N2", i, i + 1)
    assert "6 of 6 moves made" in screen(run, terminal(80))


def test_states_stand_in_words_and_a_late_node_is_told_against_the_plan() -> None:
    run = Run(rolling_plan())
    run.node("N2", 60, *AWAY)
    run.waits(("node N2", "is in maintenance"))
    run.goes_on(2460)
    text = " ".join(screen(run, terminal(100)).split())
    assert "since 1:00, 40:00 instead of 30:00" in text
    assert "_" not in text
    assert "10 min 0 s behind" in text
    assert "node N2 is in maintenance" not in text, "that is said in its row"


def test_what_a_node_waits_for_stands_in_its_row_and_why_nothing_begins_below() -> None:
    run = Run(rolling_plan())
    run.node("N2", 60, *AWAY)
    run.node("N2", 1860, BACK[0])
    run.waits(
        ("node N2", "is not proven back: CSV1 is not online"), ("the run", "begins nothing: the operator holds it")
    )
    text = " ".join(screen(run, terminal(120)).split())
    assert "since 31:00: is not proven back: CSV1 is not online" in text
    assert "Nothing new begins: the operator holds it" in text


def test_a_node_that_failed_and_one_that_left_the_cluster_are_troubles() -> None:
    run = Run(rolling_plan(untouched=(UNTOUCHED.model_copy(update={"node": "N7"}),)))
    run.node("N2", 60, *AWAY)
    run.node("N2", 6000, "in_maintenance down")
    run.node("N9", 6000, "up isolated")
    text = screen(run, terminal(100))
    assert "1 failed" in text
    assert "at 1:40:00: it is down" in text
    assert "✗ N9 is isolated: the other nodes do not hear it" in text
    assert "left out: N7" in text


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 20), (40, 16), (200, 60)])
def test_a_run_of_sixty_four_nodes_fits_every_terminal(width: int, height: int) -> None:
    run = Run(large_rolling_plan())
    assert run.view.rolling is not None
    names = list(run.view.rolling.turns)
    for i, node in enumerate(names[:20]):
        run.node(node, 60 + i, *AWAY)
    for i, node in enumerate(names[:8]):
        run.node(node, 700 + i, *BACK)
    for i in range(12):
        label = f"vm-{i}: {names[30 + 2 * i]} → {names[31 + 2 * i]}"
        run.migration(label, 800, "planned waiting", "waiting checking", "checking preparing", "preparing copying")
    console = Console(file=terminal().file, width=width, height=height, no_color=True)
    lines = screen(run, console, notice="Stopping: nothing new starts; " + "a long remark " * 5).splitlines()
    assert max(cell_len(line) for line in lines) <= width
    assert len(lines) <= height - 1
    text = "\n".join(lines)
    assert "Stopping" in text
    assert "waiting for their turn" in text or height > 40


def test_a_terminal_that_knows_ascii_alone_gets_ascii_alone() -> None:
    text = screen(first_is_back(), terminal(80, encoding="ascii"))
    assert "db-1  N3 -> N2" in text
    assert "?" not in text


# ------------------------------------------------------------------ Ctrl-C


def test_ctrl_c_says_that_nodes_that_are_away_are_brought_back_first() -> None:
    run = Run(rolling_plan())
    run.moves("web-1: N2 → N3", 0, 60)
    run.node("N2", 60, *AWAY)
    run.migration("db-1: N3 → N1", 600, "planned waiting", "waiting checking", "checking preparing")
    assert asked_to_stop(run.view, again=False) == (
        "Stopping: nothing new starts; db-1 may finish; Ctrl-C again calls that off; "
        "N2 is away and brought back first, about 21 min 0 s."
    )
    assert asked_to_stop(run.view, again=True) == (
        "Calling off: db-1 stays where it is, unless it is switching over already; "
        "N2 is away and brought back first, about 21 min 0 s."
    )


def test_ctrl_c_with_nothing_under_way_says_so() -> None:
    run = Run(rolling_plan())
    assert asked_to_stop(run.view, again=False) == "Stopping: nothing new starts; no migration is under way."


def test_ctrl_c_after_the_run_does_not_lose_the_report(capfd: pytest.CaptureFixture[str]) -> None:
    with ignored():  # gives back what was in force before
        spare(REPORT_FOLLOWS)
        signal.raise_signal(signal.SIGINT)
    assert "the run is over; its report follows" in capfd.readouterr().err


# ------------------------------------------------------------------ plain lines


def test_plain_lines_tell_each_nodes_way_and_the_end() -> None:
    run = Run(rolling_plan())
    console = terminal(200)
    run.hears = Lines(run.view, console)
    run.hears.planned(rolling_plan(untouched=(UNTOUCHED.model_copy(update={"node": "N7"}),)), ZERO_S)
    run.moves("web-1: N2 → N3", 0, 60)
    run.node("N2", 60, *AWAY)
    run.goes_on(2160)
    run.waits(("node N2", "is in maintenance"))
    run.waits(("node N2", "is in maintenance"))
    run.node("N2", 2460, *BACK)
    run.node("N9", 2460, "up isolated")
    run.waits(("the run", "begins nothing: the operator holds the run"))
    assert on(console).splitlines() == [
        "[ 0:00] 3 nodes and 4 live migrations planned, forecast 1 h 36 min, N7 left out",
        "[ 0:00] node N2: being emptied",
        "[ 0:00] web-1: N2 → N3 begins, about 1 min 0 s",
        "[ 1:00] ✓ web-1: N2 → N3 done in 1 min 0 s (1 of 4 moves made)",
        "[ 1:00] node N2: in maintenance, about 30 min 0 s",
        "[36:00] node N2: in maintenance for longer than the planned 30 min 0 s; waiting for it (end about 1:41:40)",
        "[41:00] node N2: rejoining",
        "[41:00] ✓ node N2: done (1 of 3 nodes done, end about 1:46:40)",
        "[41:00] node N9: isolated",
        "[41:00] nothing new begins: the operator holds the run",
    ]


def test_a_plain_line_names_a_node_that_failed_and_why() -> None:
    run = Run(rolling_plan())
    console = terminal(200)
    run.hears = Lines(run.view, console)
    run.hears.planned(rolling_plan(), ZERO_S)
    run.node("N2", 60, *AWAY)
    run.node("N2", 6000, "in_maintenance isolated")
    assert on(console).splitlines()[-1] == "[1:40:00] ✗ node N2: failed: the other nodes do not hear it"
