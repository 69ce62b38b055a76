"""An operator holds, skips, stops, cancels a rolling run at any moment: what was asked happens, nothing breaks."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from building import cluster, vm
from virtual import Notes, in_virtual_time

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import SimulatedCluster
from shunter.engine.control import Control
from shunter.engine.holds import OwnHolds
from shunter.engine.maintain import maintain
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.recheck import check_log, check_report
from shunter.topology.rolling import RollingPolicy, forecast
from shunter.topology.rolling.strategy import Strategy

NODES = ("N1", "N2", "N3", "N4")
OF = cluster(4, [vm(f"vm-{i}", NODES[i % 4], memory_mib=3000 + 1500 * (i % 5)) for i in range(16)])
MAINTENANCE_S = 300.0
LASTS_S = 1260.0
MOMENTS = [round(random.Random("moments").uniform(0, LASTS_S), 3) for _ in range(60)]

Ask = Callable[[Control, asyncio.Task[Plan]], object]
Log = list[dict[str, Any]]


@dataclass
class Run:
    """`again`: the report of a second run that went on where this one was left, if there was one."""

    report: Plan | None
    cancelled: bool
    log: Log
    after: Cluster
    again: Plan | None = None

    def times(self, what: str, **fields: Any) -> list[float]:
        return [line["t_s"] for line in self.log if line["what"] == what and fields.items() <= line.items()]


def asked_at(at_s: float, ask: Ask, *, goes_on: bool = False, then: tuple[float, Ask] | None = None) -> Run:
    """Maintain all nodes; ask something of the run at that moment, and `then` something else so much later."""

    async def night() -> Run:
        world = SimulatedCluster(OF, clock=Clock(), reboot_s=MAINTENANCE_S, noise=0.3, seed=5)
        control = Control()
        policy = RollingPolicy(maintenance_s=MAINTENANCE_S)
        given: dict[str, Any] = {"holds": OwnHolds(), "audience": Notes(), "control": control, "planned": planned()}
        run = asyncio.create_task(maintain(world, (), policy, **given))
        loop = asyncio.get_running_loop()
        loop.call_later(max(at_s, 1e-3), ask, control, run)
        if then is not None:
            loop.call_later(at_s + then[0], then[1], control, run)
        await asyncio.wait({run})
        report = None if run.cancelled() else run.result()
        log = [json.loads(line) for line in world.witness.lines]
        after, again = await world.look(), None
        if goes_on:
            again = await maintain(world, (), policy, holds=OwnHolds(), audience=Notes(), done_since_s=0.0)
            log, after = [json.loads(line) for line in world.witness.lines], await world.look()
        await world.close()
        return Run(report, run.cancelled(), log, after, again)

    return in_virtual_time(night)


def stop(control: Control, _: asyncio.Task[Plan]) -> None:
    control.request()


def stop_now(control: Control, _: asyncio.Task[Plan]) -> None:
    control.request(running="cancel")


def cancel(_: Control, run: asyncio.Task[Plan]) -> None:
    run.cancel()


def hold(control: Control, _: asyncio.Task[Plan]) -> None:
    control.hold()


def go_on(control: Control, _: asyncio.Task[Plan]) -> None:
    control.go_on()


def skip(node: str) -> Ask:
    return lambda control, _: control.skip(node)


def is_sound(run: Run) -> None:
    """Everything runs and nothing moves; no node is left paused; nothing is known to the log that must not be."""
    assert run.after.migrations == ()
    assert {each.state for each in run.after.vms} == {"running"}
    assert [each.state for each in run.after.nodes] == ["up"] * 4
    done = [] if run.report is None else [t.node for t in run.report.maintenance if t.outcome == "done"]
    assert check_log(run.log, rolled=done) == ()
    if run.report is not None:
        assert check_report(run.report, run.log, (), 0.0) == ()


@cache
def planned() -> tuple[Plan, Strategy]:
    return forecast(OF, (), RollingPolicy(maintenance_s=MAINTENANCE_S))


@cache
def undisturbed() -> Run:
    return asked_at(1e5, go_on)


def test_the_moments_are_moments_of_the_run() -> None:
    run = undisturbed()
    assert run.report is not None
    assert 0.9 * LASTS_S < run.report.makespan_s < 1.1 * LASTS_S


@pytest.mark.parametrize("at_s", MOMENTS)
@pytest.mark.parametrize("ask", [stop, stop_now], ids=["finish", "cancel"])
def test_after_a_stop_nothing_begins_and_what_is_away_is_brought_back(at_s: float, ask: Ask) -> None:
    run = asked_at(at_s, ask)
    is_sound(run)
    assert run.report is not None
    assert [s for s in (*run.times("migration_started"), *run.times("node_rebooted")) if s > at_s] == []
    if at_s < run.report.makespan_s:
        assert run.report.interrupted
        rebooted = {line["node"] for line in run.log if line["what"] == "node_rebooted"}
        assert {turn.node for turn in run.report.maintenance} == rebooted
        assert {stays.node for stays in run.report.untouched} == set(NODES) - rebooted


@pytest.mark.parametrize("at_s", MOMENTS)
def test_cancelling_the_task_ends_the_run_as_a_stop_does(at_s: float) -> None:
    run = asked_at(at_s, cancel)
    assert run.cancelled == (run.report is None)
    is_sound(run)
    assert [s for s in (*run.times("migration_started"), *run.times("node_rebooted")) if s > at_s] == []


@pytest.mark.parametrize("at_s", MOMENTS)
def test_ctrl_c_twice_first_lets_migrations_finish_and_then_calls_them_off(at_s: float) -> None:
    run = asked_at(at_s, stop, then=(2.0, stop_now))
    is_sound(run)
    assert run.report is not None
    assert max(run.times("migration_ended"), default=0.0) <= max(at_s + 10, 0)


@pytest.mark.parametrize("at_s", MOMENTS)
def test_while_it_is_held_nothing_begins_and_then_everything_is_done(at_s: float) -> None:
    run = asked_at(at_s, hold, then=(900.0, go_on))
    is_sound(run)
    assert run.report is not None
    begun = (*run.times("migration_started"), *run.times("node_rebooted"))
    assert [s for s in begun if at_s < s < at_s + 900] == []
    assert {turn.node: turn.outcome for turn in run.report.maintenance} == dict.fromkeys(NODES, "done")


@pytest.mark.parametrize("at_s", MOMENTS)
def test_a_node_that_is_skipped_has_no_turn_unless_it_has_begun(at_s: float) -> None:
    node = NODES[int(at_s) % 4]
    run = asked_at(at_s, skip(node))
    is_sound(run)
    assert run.report is not None
    rebooted = run.times("node_rebooted", node=node)
    assert all(s <= at_s for s in rebooted)
    untouched = {stays.node: stays.reason for stays in run.report.untouched}
    assert untouched == ({} if rebooted else {node: f"{node} was skipped on request"})
    assert {turn.node for turn in run.report.maintenance} == set(NODES) - untouched.keys()


@pytest.mark.parametrize("at_s", MOMENTS)
@pytest.mark.parametrize("ask", [stop, cancel], ids=["stop", "cancel"])
def test_started_again_it_goes_on_and_no_node_goes_and_no_vm_moves_twice_for_it(at_s: float, ask: Ask) -> None:
    run = asked_at(at_s, ask, goes_on=True)
    assert run.again is not None
    assert [each.state for each in run.after.nodes] == ["up"] * 4
    assert check_log(run.log, rolled=NODES) == ()
    assert Counter(line["node"] for line in run.log if line["what"] == "node_rebooted") == Counter(NODES)
    moved = Counter(line["vm"] for line in run.log if line["what"] == "migration_started")
    expected = Counter(line["vm"] for line in undisturbed().log if line["what"] == "migration_started")
    assert moved.total() <= expected.total() + 4
