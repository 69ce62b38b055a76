"""The judge of disturbed runs finds nothing in an undisturbed one, and names each promise that is broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from disturbed.cases import DISTURBANCES, ROUND, UNDISTURBED, WAYS, Case, Procedure, drawn, kind_of
from disturbed.judge import judge, new_things
from disturbed.outcome import longest_idle, spans
from disturbed.play import Cause, Played, leaves_folders
from virtual import Night, evacuated, failed_over, maintained

from shunter.topology.clusterfile import read_cluster

SEED, SPEED = 7, 20.0
Events = list[dict[str, Any]]


def night_of(case: Case) -> Night:
    cluster = read_cluster(case.cluster)
    if case.procedure == "evacuation":
        return evacuated(cluster, case.nodes)
    if case.procedure == "failover":
        return failed_over(cluster, case.nodes, how=None)
    return maintained(cluster, maintenance_s=case.maintenance_s)


def played(procedure: Procedure, disturbance: str = UNDISTURBED) -> Played:
    """A run that nothing disturbed, as it would be left behind."""
    case = drawn(SEED, procedure, SPEED, disturbance)
    night = night_of(case)
    told = night.report.to_json()
    return Played(
        case=case,
        cause=Cause(0.0, 0.0),
        code=0 if night.report.ok else 1,
        begun_s=0.0,
        last_begun_s=0.0,
        ended_s=night.log[-1]["t_s"] + 20.0,
        took_s=night.log[-1]["t_s"] / SPEED,
        lines=[json.dumps(event) for event in night.log],
        events=night.log[1:],
        seen=night.after.model_dump(mode="json"),
        migrated=[],
        booted_s={},
        report=json.loads(told),
        folder=Path("runs/one") if leaves_folders() else None,
        printed=told,
        complaints="the run's folder: runs/one",
        states=[("Completed" if night.report.ok else "Partly done", "COMPLETED")],
        locks=[],
    )


def with_events(of: Played, change: Callable[[Events], Events]) -> Played:
    first, events = of.lines[0], change([dict(event) for event in of.events])
    return replace(of, events=events, lines=[first, *(json.dumps(event) for event in events)])


def later(of: Played, by_s: float) -> Played:
    """All of it happens so much of real time later."""
    moved = with_events(of, lambda events: [{**event, "t_s": event["t_s"] + by_s * SPEED} for event in events])
    return replace(moved, ended_s=moved.events[-1]["t_s"])


def named(of: Played) -> set[str]:
    return {fault.what for fault in judge(of)}


@pytest.mark.parametrize("procedure", ["evacuation", "rolling", "failover"])
def test_an_undisturbed_run_is_judged_clean(procedure: Procedure) -> None:
    assert judge(played(procedure)) == ()


def test_a_node_that_is_not_paused_in_the_end_is_named() -> None:
    run = played("evacuation")
    left = run.case.nodes[0]
    for node in run.seen["nodes"]:
        node["state"] = "up" if node["name"] == left else node["state"]
    assert any(left in fault.message for fault in judge(run) if fault.what == "end state")


def test_a_vm_that_migrates_twice_is_named_unless_the_kill_found_it_on_its_way() -> None:
    run = played("evacuation")
    ended = next(event for event in run.events if event["what"] == "migration_ended")
    there, back = dict(ended), {**ended, "source": ended["target"], "target": ended["source"], "node": ended["source"]}
    again = [{**event, "what": "migration_started", "by": "us"} for event in (back, there)]
    at = run.events.index(ended) + 1
    twice = with_events(run, lambda events: [*events[:at], again[0], back, again[1], there, *events[at:]])
    assert f"{ended['vm']} migrated 3 times, undisturbed 1" in [fault.message for fault in judge(twice)]
    once = with_events(run, lambda events: [*events[:at], again[0], {**back, "outcome": "cancelled"}, *events[at:]])
    assert "moves" in named(once)
    killed = replace(once, cause=Cause(0.0, 0.0, in_flight=frozenset([ended["vm"]])))
    assert "moves" not in named(killed)


def test_half_a_minute_may_pass_and_not_more() -> None:
    run = played("rolling")
    assert "waits" not in named(later(run, 25.0))
    assert "waits" in named(later(run, 40.0))


def test_what_happens_before_the_cause_is_over_is_not_waited_for() -> None:
    assert longest_idle([(0.0, 10.0), (90.0, 95.0)], 80.0, 100.0) == (10.0, 80.0)
    assert longest_idle([(0.0, 85.0), (91.0, 95.0)], 80.0, 100.0) == (6.0, 85.0)
    assert longest_idle([], 80.0, 100.0) == (20.0, 80.0)


def test_a_migration_and_a_reboot_are_under_way_until_they_end() -> None:
    events = [
        {"what": "migration_started", "vm": "a", "t_s": 1.0},
        {"what": "node_rebooted", "node": "N1", "t_s": 2.0},
        {"what": "node_down", "node": "N1", "t_s": 2.0},
        {"what": "migration_ended", "vm": "a", "t_s": 3.0},
        {"what": "node_up", "node": "N1", "t_s": 9.0},
    ]
    assert spans(events) == [(1.0, 3.0), (2.0, 9.0)]


def test_a_run_that_starts_migrations_after_it_was_told_to_end_disobeys() -> None:
    run = replace(played("evacuation", "SIGTERM"), cause=Cause(1.0, 1.0, signals_s=[1.0]), code=130)
    assert any("new things began" in fault.message for fault in judge(run))


def test_a_node_that_comes_back_paused_is_nothing_new() -> None:
    events = [
        {"what": "node_rebooted", "node": "N1", "t_s": 1.0, "by": "us"},
        {"what": "node_up", "node": "N1", "t_s": 7.0, "by": "us"},
        {"what": "node_paused", "node": "N1", "t_s": 7.0, "by": "us"},
        {"what": "node_resumed", "node": "N1", "t_s": 7.1, "by": "us"},
        {"what": "node_paused", "node": "N1", "t_s": 8.0, "by": "us"},
    ]
    assert [event["t_s"] for event in new_things(events)] == [1.0, 8.0]


def test_a_run_that_ends_well_after_a_signal_was_too_fast_for_it() -> None:
    run = played("evacuation", "SIGTERM")
    late_s = run.events[-1]["t_s"] + 1.0
    assert judge(replace(run, cause=Cause(late_s, late_s, signals_s=[late_s]))) == ()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"code": 4}, "exit code"),
        ({"code": None}, "waits"),
        ({"complaints": "Traceback (most recent call last):\nValueError: no"}, "traceback"),
        ({"complaints": "N1 is held by another run"}, "false cause"),
        ({"report": None}, "report"),
        ({"printed": ""}, "report"),
        ({"states": [("Running", "RUNNING")]}, "state"),
        ({"states": [("Running", "RUNNING"), ("Completed", "COMPLETED")]}, "state"),
        ({"states": []}, "state"),
        ({"locks": ["N1"]}, "locks"),
    ],
)
def test_each_thing_that_a_run_says_or_leaves_wrongly_is_named(change: dict[str, Any], what: str) -> None:
    assert what in named(replace(played("rolling"), **change))


def test_a_report_that_lacks_a_move_or_a_turn_or_invents_one_is_found() -> None:
    run = played("rolling")
    assert run.report is not None
    lacks = {**run.report, "moves": run.report["moves"][1:]}
    invents = {**run.report, "moves": [*run.report["moves"], {**run.report["moves"][0], "vm": "nobody"}]}
    half = {**run.report, "maintenance": run.report["maintenance"][1:]}
    for report, message in ((lacks, "lacks 1 of"), (invents, "never was"), (half, "calls done")):
        told = [fault.message for fault in judge(replace(run, report=report, printed=json.dumps(report)))]
        assert any(message in each for each in told)


def test_seeds_in_a_row_hold_each_disturbance_of_each_procedure_at_each_speed_and_undisturbed_ones() -> None:
    kinds = [kind_of(seed) for seed in range(ROUND + len(WAYS))]
    assert len(set(kinds)) == len(kinds)
    assert set(kinds) == {(*way, disturbance) for way in WAYS for disturbance in (*DISTURBANCES, UNDISTURBED)}
    assert ROUND == 120
    assert kind_of(ROUND + len(WAYS)) == kinds[0]
