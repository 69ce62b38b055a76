"""What stands on the screens, and that it fits."""

from __future__ import annotations

import math

import pytest
from reading import on, terminal
from rich.cells import cell_len

from shunter.commands.demo import CLUSTER, NODES, STUCK_NODE
from shunter.commands.screens.lines import Lines
from shunter.commands.screens.live import LiveScreen
from shunter.commands.screens.plan import PlanScreen
from shunter.commands.screens.reasons import grouped
from shunter.commands.screens.run_view import RunView
from shunter.commands.screens.timeline import timeline
from shunter.commands.screens.words import ASCII, UNICODE, listed, memory
from shunter.engine.audience import Progress, Waiting
from shunter.statemachines.lifecycle import Step
from shunter.topology.clusterfile import read_cluster
from shunter.topology.plan import Move, Plan, Unplaced, Verdict
from shunter.topology.planning import plan_evacuation


def move(vm: str, source: str, target: str, start_s: float, end_s: float) -> Move:
    return Move(vm=vm, source=source, target=target, start_s=start_s, end_s=end_s)


PLAN = Plan(
    cluster="c",
    ok=True,
    reserve_nodes=1,
    moves=(move("web-1", "N1", "N2", 0, 10), move("web-2", "N1", "N3", 10, 30)),
    makespan_s=30.0,
    lower_bound_s=30.0,
)


def no_room(vm: str, target: str, free_mib: int) -> Verdict:
    return Verdict(
        target=target,
        rule="I3",
        reason=f"{vm} needs 100 MiB, {free_mib} MiB are free on {target}",
        remedy=f"free {100 - free_mib} MiB more on {target}",
    )


# ------------------------------------------------------------------ reasons


def test_sixty_four_equal_verdicts_are_one_reason() -> None:
    verdicts = tuple(
        Verdict(target=f"N{i}", rule="I8", reason=f"N{i} is paused", remedy="resume it") for i in range(64)
    )
    [staying] = grouped([Unplaced(vm="db-1", node="X", verdicts=verdicts)])
    [reason] = staying.reasons
    assert len(reason.targets) == 64
    assert (reason.reason, reason.remedy) == ("the node is paused", "resume it")


def test_where_only_numbers_differ_the_node_that_is_easiest_to_mend_stands_for_all() -> None:
    verdicts = (no_room("db-1", "N2", 20), no_room("db-1", "N3", 90), no_room("db-1", "N4", 50))
    [staying] = grouped([Unplaced(vm="db-1", node="N1", verdicts=verdicts)])
    [reason] = staying.reasons
    assert reason.targets == ("N2", "N3", "N4")
    assert reason.remedy == "free 10 MiB more on N3"


def test_different_rules_stay_apart_and_so_do_vms_with_different_reasons() -> None:
    processor = Verdict(target="N3", rule="R13", reason="processor versions differ", remedy="turn it on")
    one = Unplaced(vm="a", node="N1", verdicts=(no_room("a", "N2", 20), processor))
    two = Unplaced(vm="b", node="N1", verdicts=(no_room("b", "N2", 20), no_room("b", "N3", 20)))
    first, second = grouped([one, two])
    assert [reason.rule for reason in first.reasons] == ["I3", "R13"]
    assert [reason.targets for reason in second.reasons] == [("N2", "N3")]


def test_a_node_name_is_not_taken_for_the_beginning_of_another() -> None:
    verdicts = tuple(
        Verdict(target=n, rule="R20", reason=f"{n} lacks it, N10 has it", remedy="add") for n in ("N1", "N2")
    )
    [staying] = grouped([Unplaced(vm="a", node="X", verdicts=verdicts)])
    assert staying.reasons[0].reason == "the node lacks it, N10 has it"


# ------------------------------------------------------------------ timeline


@pytest.mark.parametrize("width", [40, 80, 140])
@pytest.mark.parametrize("colour", [True, False])
def test_the_timeline_fits_the_terminal(width: int, colour: bool) -> None:
    plan = plan_evacuation(read_cluster(CLUSTER), NODES)
    lines = timeline(plan, width=width, signs=UNICODE, colour=colour)
    assert max(cell_len(line.plain) for line in lines) <= width


def test_bars_stand_where_their_seconds_are_and_need_no_colour() -> None:
    first, second, third, axis = timeline(PLAN, width=64, signs=ASCII, colour=False)
    assert first.plain == "N1  [web-1-------------][web-2---------------------------------]"
    assert second.plain.rstrip() == "N2  [web-1-------------]"
    assert third.plain.index("[web-2") == first.plain.index("[web-2")
    assert axis.plain.split() == ["0", "s", "5", "s", "10", "s", "15", "s", "20", "s", "25", "s"]


def test_a_bar_too_short_for_its_name_carries_its_number() -> None:
    plan = PLAN.model_copy(update={"moves": (move("a-long-name", "N1", "N2", 0, 3), move("b", "N1", "N3", 3, 30))})
    assert timeline(plan, width=64, signs=UNICODE, colour=False)[0].plain.startswith("N1  ├1──")


# ------------------------------------------------------------------ plan and report


def test_a_terminal_that_knows_ascii_alone_gets_ascii_alone() -> None:
    console = terminal(encoding="ascii")
    plan = plan_evacuation(read_cluster(CLUSTER), [STUCK_NODE])
    PlanScreen.of(plan, [STUCK_NODE], console, read_cluster(CLUSTER)).print()
    text = on(console)
    assert "HV06 -> HV05" in text
    assert "(R11)" in text


def test_names_are_never_taken_for_markup_or_escape_sequences() -> None:
    console = terminal()
    hostile = PLAN.model_copy(update={"moves": (move("[bold]x[/bold]\x1b[2J\x9b1m", "N1", "N2", 0, 10),)})
    PlanScreen(hostile, ["N1"], console).print()
    text = on(console)
    assert "[bold]x[/bold]" in text
    assert "\x1b" not in text
    assert "\x9b" not in text


def test_a_report_says_what_failed_and_how_the_forecast_did() -> None:
    console = terminal(120)
    ended = (
        PLAN.moves[0].model_copy(update={"outcome": "done", "estimate_s": 10.0}),
        PLAN.moves[1].model_copy(update={"outcome": "failed", "reason": "the target ran out of memory"}),
    )
    stays = Unplaced(vm="web-2", node="N1", verdicts=(no_room("web-2", "N3", 0),))
    report = PLAN.model_copy(
        update={"executed": True, "ok": False, "moves": ended, "unplaced": (stays,), "makespan_s": 36.0}
    )
    PlanScreen(report, ["N1"], console, forecast_s=30.0).print()
    text = on(console)
    assert "✗ failed: the target ran out of memory" in text
    assert "6.0 s more than the forecast 30 s" in text
    assert "web-2 stays" in text


def test_lists_and_sizes_read_as_people_say_them() -> None:
    assert listed(["N1"]) == "N1"
    assert listed(["N1", "N2", "N3"]) == "N1, N2 and N3"
    assert listed([f"N{i}" for i in range(10)], most=4) == "N0, N1, N2 and 7 more"
    assert [memory(mib) for mib in (512, 1024, 5632)] == ["512 MiB", "1 GiB", "5.5 GiB"]


# ------------------------------------------------------------------ a run


class Hands:
    """A clock that stands still unless told."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def __call__(self) -> float:
        return self.at_s


def step(label: str, source: str, target: str, at_s: float, reason: str = "") -> Step:
    return Step("migration", label, "", source, target, at_s, reason)


def begun() -> tuple[RunView, Hands]:
    """Second 4 of a run whose clock showed 100 at its start: web-1 is copying, web-2 waits."""
    hands = Hands()
    view = RunView(hands)
    view.planned(PLAN, 100.0)
    for label in ("web-1: N1 → N2", "web-2: N1 → N3"):
        view.stepped(step(label, "planned", "waiting", 100.0))
    view.stepped(step("web-1: N1 → N2", "waiting", "checking", 100.0))
    view.stepped(step("web-1: N1 → N2", "checking", "copying", 101.0))
    view.waiting((Waiting("web-2: N1 → N3", "waits for N1", 1000.0),))
    hands.at_s = 3.0
    return view, hands


def test_while_nothing_goes_wrong_the_forecast_is_the_plans() -> None:
    view, _ = begun()
    assert view.elapsed_s == pytest.approx(4.0)
    assert view.forecast_end_s == pytest.approx(30.0)


def test_a_slow_copy_puts_the_forecast_behind() -> None:
    view, hands = begun()
    view.progressed(Progress("web-1", "N1", "N2", 101.0, 0.0, 10.0))
    view.progressed(Progress("web-1", "N1", "N2", 111.0, 50.0, 10.0))
    hands.at_s += 0.0
    # copying 20 s in all, until second 121, and 1 s to settle; then 20 s for web-2
    assert view.forecast_end_s == pytest.approx(42.0)


def test_between_two_messages_the_clock_goes_on_at_the_clusters_speed() -> None:
    hands = Hands()
    view = RunView(hands, speed=10.0)
    view.planned(PLAN, 100.0)
    hands.at_s = 2.0
    assert view.elapsed_s == pytest.approx(20.0)


def test_what_is_dropped_before_it_began_is_no_trouble() -> None:
    view, _ = begun()
    view.stepped(step("web-2: N1 → N3", "waiting", "cancelled", 104.0))
    view.stepped(step("web-1: N1 → N2", "copying", "rolled_back", 104.0, "the target vanished"))
    assert [(end.vm, end.reason) for end in view.ended] == [("web-1", "the target vanished")]
    assert [end.vm for end in view.troubles] == ["web-1"]
    assert view.in_all == 2


def test_the_live_display_shows_what_moves_what_waits_and_when_it_ends() -> None:
    view, _ = begun()
    view.progressed(Progress("web-1", "N1", "N2", 104.0, 40.0, 10.0))
    console = terminal(80)
    console.print(LiveScreen(view, "Emptying N1", console).frame())
    text = on(console)
    assert "Emptying N1   0:04 of " in text
    assert "0 of 2 moved" in text
    assert "web-1  N1 → N2" in text
    assert "40 %  copying" in text
    assert "web-2: N1 → N3 waits for N1" in text
    assert max(cell_len(line) for line in text.splitlines()) <= 80


def test_plain_lines_tell_begin_end_and_trouble() -> None:
    hands = Hands()
    console = terminal(60)
    lines = Lines(RunView(hands), console)
    lines.planned(PLAN, 0.0)
    for label, source, target, at_s in (
        ("web-1: N1 → N2", "planned", "waiting", 0.0),
        ("web-1: N1 → N2", "waiting", "checking", 0.0),
        ("web-1: N1 → N2", "checking", "preparing", 0.0),
        ("web-1: N1 → N2", "settling", "done", 9.0),
    ):
        lines.stepped(step(label, source, target, at_s))
    assert on(console).splitlines() == [
        "[ 0:00] 2 live migrations planned, forecast 30 s",
        "[ 0:00] web-1: N1 → N2 begins, about 10 s",
        "[ 0:09] ✓ web-1: N1 → N2 done in 9.0 s (1 of 2 moved)",
    ]


def test_plain_lines_tell_once_what_keeps_the_run_from_beginning_anything() -> None:
    console = terminal(80)
    lines = Lines(RunView(Hands()), console)
    silent = Waiting("the run", "begins nothing: the Prefect server does not answer since 12:00:00", math.inf)
    for waits in ((silent,), (silent, Waiting("web-2: N1 → N3", "waits for N1", 0.0)), (), (silent,)):
        lines.waiting(waits)
    said = "[ 0:00] nothing new begins: the Prefect server does not answer since 12:00:00"
    assert on(console).splitlines() == [said, said]


# ------------------------------------------------------------------ the demo's cluster


def test_the_demo_ends_well_and_runs_migrations_side_by_side() -> None:
    plan = plan_evacuation(read_cluster(CLUSTER), NODES)
    assert plan.ok
    assert len(plan.moves) == 13
    assert plan.makespan_s < 90
    assert sum(m.start_s == 0.0 for m in plan.moves) == 2
    assert {m.name for m in plan.role_moves} >= {"old-erp", "Cluster Group"}
    assert [m.volume for m in plan.volume_moves] == ["CSV1"]


def test_r11_the_demo_points_at_a_node_that_cannot_be_emptied() -> None:
    plan = plan_evacuation(read_cluster(CLUSTER), [STUCK_NODE])
    assert [stays.vm for stays in plan.unplaced] == ["cluster-a", "cluster-b"]
    assert {verdict.rule for stays in plan.unplaced for verdict in stays.verdicts} == {"R11"}
