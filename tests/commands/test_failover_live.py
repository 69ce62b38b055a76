"""A failover while it goes on: what the live display and the plain lines say, and what Ctrl-C comes to."""

from __future__ import annotations

import json
from math import inf
from pathlib import Path
from typing import Any

import pytest
from building import cluster, node, vm
from hypothesis import given
from hypothesis import strategies as st
from reading import on, terminal
from rich.cells import cell_len
from rich.console import Console
from virtual import failed_over

from shunter.commands.screens.lines import Lines
from shunter.commands.screens.live import LiveScreen
from shunter.commands.screens.run_view import RunView
from shunter.commands.seeing_through import asked_to_stop
from shunter.engine.audience import Waiting
from shunter.flows.restarts_seen import Fate
from shunter.statemachines.lifecycle import Step
from shunter.topology.clusterfile import read_cluster
from shunter.topology.failover import plan_failover
from shunter.topology.model import Cluster

ZERO_S = 1000.0
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BY_CLUSTER = "waits to be restarted by the cluster"


class Run:
    """A failover of N1 that is told to a view second by second; its clock shows 1000 at the start."""

    def __init__(self, of: Cluster, *lost: str, console: Console | None = None) -> None:
        self.now_s = 0.0
        self.view = RunView(lambda: self.now_s)
        self.hears: Any = self.view if console is None else Lines(self.view, console)
        self.hears.planned(plan_failover(of, lost or ("N1",)), ZERO_S)

    def vm(self, name: str, at_s: float, step: str, reason: str) -> None:
        self.now_s = at_s
        source, target = step.split()
        self.hears.stepped(Step("vm", f"vm {name}", "", source, target, ZERO_S + at_s, reason))

    def migration(self, subject: str, at_s: float, step: str) -> None:
        self.now_s = at_s
        source, target = step.split()
        self.hears.stepped(Step("migration", subject, "", source, target, ZERO_S + at_s, ""))

    def node(self, name: str, at_s: float, step: str) -> None:
        self.now_s = at_s
        source, target = step.split()
        self.hears.stepped(Step("node", f"node {name}", "", source, target, ZERO_S + at_s, ""))

    def waits(self, reason: str, until_s: float, *names: str) -> None:
        self.hears.waiting(tuple(Waiting(name, reason, ZERO_S + until_s) for name in names))


def lost() -> Cluster:
    """N1 is down with three VMs, of which one has priority 0; N2 and N3 have room."""
    vms = [vm("web-1", state="failed"), vm("db-1", state="failed"), vm("lab-1", state="failed", priority=0)]
    return cluster([node("N1", state="down"), node("N2"), node("N3")], vms)


def begun(console: Console | None = None) -> Run:
    """All of it has failed and waits for the cluster."""
    run = Run(lost(), console=console)
    for name in ("web-1", "db-1", "lab-1"):
        run.vm(name, 0, "running failed", "on N1")
    run.waits(BY_CLUSTER, 180, "web-1", "db-1")
    return run


def screen(run: Run, console: Console, notice: str = "") -> str:
    live = LiveScreen(run.view, "Failing over N1", console)
    live.note(notice)
    console.print(live.frame())
    return on(console)


# ------------------------------------------------------------------ the live display


def test_the_display_counts_what_runs_again_and_what_is_down_and_leaves_priority_0_out() -> None:
    run = begun()
    run.vm("web-1", 30, "failed running", "on N2")
    text = screen(run, terminal(100))
    assert "Failing over N1   0:30" in text
    assert "1 of 2 VMs run again, 1 down" in text
    assert "lab-1 of priority 0 is not started" in text
    assert "✓ web-1 runs on N2, restarted by the cluster" in text


def test_the_display_says_who_waits_for_what_and_how_long_at_most() -> None:
    run = begun()
    run.now_s = 60
    assert "web-1 and db-1: each waits to be restarted by the cluster, 2:00 more at most" in screen(run, terminal(100))
    run.vm("web-1", 61, "failed running", "on N2")
    assert "  db-1 waits to be restarted by the cluster, 1:59 more at most" in screen(run, terminal(100))


def test_of_many_that_wait_for_the_same_the_display_says_what_for_before_it_names_some() -> None:
    of = cluster(3, [vm(f"machine-{i:02d}", memory_mib=512) for i in range(20)])
    run = Run(of)
    for i in range(20):
        run.vm(f"machine-{i:02d}", 1, "running failed", "on N1")
    run.waits(BY_CLUSTER, 180, *(f"machine-{i:02d}" for i in range(20)))
    run.now_s = 60
    told = "  20 VMs: each waits to be restarted by the cluster, 2:00 more at most (machine-00, machine-01"
    assert told in screen(run, terminal(100))


def test_the_display_says_what_starts_where_since_when_and_what_is_usual() -> None:
    run = begun()
    run.vm("db-1", 180, "failed starting", "on N3")
    run.now_s = 192
    text = screen(run, terminal(100))
    assert "0 of 2 VMs run again, 1 starting, 1 down" in text
    (row,) = [line for line in text.splitlines() if "starting on N3" in line]
    assert row.split(maxsplit=1)[0] == "db-1"
    assert "for 0:12, about 46 s usually" in row
    run.vm("db-1", 200, "starting running", "on N3")
    assert "✓ db-1 runs on N3, started by this run" in screen(run, terminal(100))


def test_the_display_names_what_did_not_come_up_and_where_until_it_runs() -> None:
    run = begun()
    for at_s, target in ((180, "N2"), (190, "N3")):
        run.vm("db-1", at_s, "failed starting", f"on {target}")
        run.vm("db-1", at_s + 5, "starting failed", f"on {target}: it stops at once")
    text = screen(run, terminal(100))
    assert "✗ db-1 did not come up on N2 and N3: it stops at once" in text
    run.vm("db-1", 250, "failed running", "on N2")
    text = screen(run, terminal(100))
    assert "did not come up" not in text
    assert "✓ db-1 runs on N2, restarted by the cluster" in text


def test_after_a_lost_answer_the_display_says_that_it_is_looked_for() -> None:
    run = begun()
    run.vm("db-1", 180, "failed starting", "on N3")
    run.vm("db-1", 190, "starting lost_sight", "no answer from N3")
    assert "asked to start on N3; lost sight, looking" in screen(run, terminal(100))
    run.vm("db-1", 195, "lost_sight running", "on N3")
    assert "✓ db-1 runs on N3, started by this run" in screen(run, terminal(100))


def test_vms_of_an_isolated_node_are_out_of_sight_and_run_where_they_were_if_it_is_back() -> None:
    run = Run(cluster([node("N1", state="isolated"), node("N2"), node("N3")], [vm("web-1")]))
    run.waits("is isolated; nothing of it is started before the cluster declares it down", 600, "N1")
    text = screen(run, terminal(100))
    assert "0 of 1 VM runs again, 1 out of sight" in text
    assert "N1 is isolated; nothing of it is started before the cluster declares it down, 10:00 more at most" in text
    run.node("N1", 60, "isolated up")
    text = screen(run, terminal(100))
    assert "1 of 1 VM runs again" in text
    assert "✓ web-1 runs on N1, where it was" in text


def test_what_fails_elsewhere_meanwhile_is_to_run_again_as_well() -> None:
    run = begun()
    run.vm("app-1", 20, "running failed", "on N3")
    assert "0 of 3 VMs run again, 3 down" in screen(run, terminal(100))


def test_a_vm_that_somebody_has_stopped_is_not_called_down() -> None:
    run = begun()
    run.vm("web-1", 20, "failed off", "on N1")
    assert "0 of 2 VMs run again, 1 down, 1 stopped by somebody" in screen(run, terminal(100))


def test_further_nodes_that_leave_are_shown() -> None:
    run = begun()
    run.node("N3", 20, "up down")
    assert "N3 down" in screen(run, terminal(100))


@given(
    st.integers(40, 160),
    st.integers(12, 60),
    st.lists(st.sampled_from(["down", "starting", "runs", "failed", "out"]), min_size=1, max_size=40),
)
def test_whatever_happens_the_display_stays_within_the_terminal(width: int, height: int, fates: list[str]) -> None:
    of = cluster(3, [vm(f"machine-{i}", memory_mib=1024) for i in range(len(fates))])
    run = Run(of)
    for i, fate in enumerate(fates):
        name = f"machine-{i}"
        if fate == "out":
            continue
        run.vm(name, 1, "running failed", "on N1")
        if fate in ("starting", "failed"):
            run.vm(name, 2, "failed starting", "on N2")
        if fate == "failed":
            run.vm(name, 3, "starting failed", "on N2: it does not come up there, whatever is tried")
        if fate == "runs":
            run.vm(name, 4, "failed running", "on N3")
    run.waits(BY_CLUSTER, 180, *(f"machine-{i}" for i in range(len(fates))))
    console = terminal(width)
    console.height = height
    lines = screen(run, console, "Stopping: nothing new starts.").splitlines()
    assert len(lines) < height
    assert all(cell_len(line) <= width for line in lines)
    assert f"{fates.count('runs')} of {len(fates)} VM" in "\n".join(lines)


def test_a_terminal_that_knows_ascii_alone_gets_nothing_else() -> None:
    run = begun()
    run.vm("db-1", 180, "failed starting", "on N3")
    run.vm("db-1", 185, "starting failed", "on N3: it stops")
    run.vm("web-1", 186, "failed running", "on N2")
    text = screen(run, terminal(80, "ascii"))
    assert text.isascii()
    assert "x db-1 did not come up on N3: it stops" in text


# ------------------------------------------------------------------ plain lines


def test_plain_lines_tell_what_starts_what_runs_and_what_did_not_come_up() -> None:
    console = terminal(200)
    run = begun(console)
    run.vm("web-1", 30, "failed running", "on N2")
    run.waits(BY_CLUSTER, 210, "db-1")
    run.vm("db-1", 210, "failed starting", "on N3")
    run.vm("db-1", 212, "starting lost_sight", "no answer")
    run.vm("db-1", 215, "lost_sight failed", "on N3: it stops at once")
    run.waits("has no place as things are", inf, "db-1")
    run.waits("waits for its turn to be started", inf, "db-1")
    run.vm("web-1", 300, "running failed", "on N2")
    assert [line.strip() for line in on(console).splitlines()] == [
        "[ 0:00] Without N1: 2 VMs restart within 46 s; lab-1 of priority 0 is not started.",
        "[ 0:00] web-1 and db-1: each waits to be restarted by the cluster, until 3:00 at the latest",
        "[ 0:30] ✓ web-1 runs on N2, restarted by the cluster (1 of 2 VMs run again)",
        "[ 3:30] vm db-1: starting on N3",
        "[ 3:32] vm db-1: lost sight (no answer); looking whether it runs",
        "[ 3:35] ✗ db-1 did not come up on N3: it stops at once",
        "[ 3:35] db-1 has no place as things are",
        "[ 5:00] ✗ vm web-1: failed on N2",
    ]


def test_plain_lines_say_of_what_fails_elsewhere_where_and_of_what_is_stopped_that_it_is() -> None:
    console = terminal(200)
    run = begun(console)
    run.vm("app-1", 20, "running failed", "on N3")
    run.vm("web-1", 25, "failed saved", "on N1")
    said = on(console)
    assert "[ 0:20] ✗ vm app-1: failed on N3" in said
    assert "[ 0:25] vm web-1: saved on N1; somebody has stopped it" in said


def in_lines(example: str, lost: str) -> tuple[str, RunView]:
    """What the lines say of a failover of this node in an example of the documentation, by the real engine."""
    of = read_cluster(json.loads((EXAMPLES / example).read_text(encoding="utf-8")))
    night = failed_over(of, [lost], how=None)
    console = terminal(200)
    view = RunView(lambda: 0.0)
    lines = Lines(view, console)
    assert night.notes.plan is not None
    lines.planned(night.notes.plan, night.notes.began_s)
    for step in night.notes.steps:
        lines.stepped(step)
    return on(console), view


def test_a_whole_run_can_be_read_in_its_lines() -> None:
    said, view = in_lines("after-a-loss.json", "N2")
    assert "✓ erp-1 runs on N1, started by this run" in said
    assert "(3 of 4 VMs run again)" in said
    assert view.failover is not None
    assert [restart.vm for restart in view.failover.at(Fate.DOWN)] == ["report-1"]


def test_who_moves_on_live_to_make_room_is_seen_until_it_is_over() -> None:
    run = begun()
    for state in ("planned waiting", "waiting checking", "checking preparing", "preparing copying"):
        run.migration("app-2: N3 → N2", 40, state)
    assert "app-2: N3 → N2 moves on live, to make room" in screen(run, terminal(80))
    assert asked_to_stop(run.view, again=False).endswith(
        "no VM is being started; app-2 may finish; Ctrl-C again calls that off."
    )
    run.migration("app-2: N3 → N2", 50, "settling done")
    assert "app-2" not in screen(run, terminal(80))


def test_the_lines_of_a_failover_tell_who_makes_room() -> None:
    said, _ = in_lines("room-in-pieces.json", "N1")
    assert "web-2: N3 → N2 begins, to make room" in said
    assert "✓ web-2: N3 → N2 done in 15 s\n" in said
    assert "✓ db-1 runs on N3, started by this run (1 of 1 VM runs again)" in said


# ------------------------------------------------------------------ Ctrl-C


@pytest.mark.parametrize(
    ("steps", "said"),
    [((), "no VM is being started"), (("failed starting",), "the start of db-1 is waited for")],
)
def test_ctrl_c_says_what_is_still_waited_for(steps: tuple[str, ...], said: str) -> None:
    run = begun()
    for step in steps:
        run.vm("db-1", 180, step, "on N3")
    assert asked_to_stop(run.view, again=False) == f"Stopping: nothing new starts; {said}."
