"""Stopping a run: nothing new starts, what runs finishes or is called off, no VM is left in doubt (I2, I8)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from building import cluster, vm
from virtual import Notes, in_virtual_time

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import SimulatedCluster
from shunter.engine.evacuate import evacuate
from shunter.engine.holds import OwnHolds
from shunter.engine.stop import Stop
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan


def stopped_at(
    at_s: float, how: Callable[[Stop, asyncio.Task[Plan]], object], **options: Any
) -> tuple[Any, Cluster, list[Any]]:
    """Evacuate N1 of four nodes, do `how` after `at_s`; the outcome, the cluster afterwards and the log."""
    of = cluster(4, [vm(f"vm-{i}", memory_mib=8192) for i in range(6)])

    async def night() -> tuple[Any, Cluster, list[Any]]:
        world = SimulatedCluster(of, clock=Clock())
        stop = Stop()
        run = asyncio.create_task(evacuate(world, ["N1"], holds=OwnHolds(), audience=Notes(), stop=stop, **options))
        await asyncio.sleep(at_s)
        how(stop, run)
        outcome: Any
        try:
            outcome = await run
        except asyncio.CancelledError as error:
            outcome = error
        return outcome, await world.look(), [json.loads(line) for line in world.witness.lines]

    return in_virtual_time(night)


def started(log: list[Any]) -> list[float]:
    return [line["t_s"] for line in log if line["what"] == "migration_started"]


def test_a_stopped_run_lets_its_migrations_finish_and_starts_none() -> None:
    report, after, log = stopped_at(5, lambda stop, _: stop.request())
    assert max(started(log)) <= 5
    assert [move.outcome for move in report.moves] == ["done"]
    assert report.interrupted
    assert not report.ok
    assert after.migrations == ()
    assert {unplaced.vm for unplaced in report.unplaced} == {vm.name for vm in after.vms_by_node["N1"]}


def test_a_run_stopped_with_cancel_calls_its_migrations_off_and_the_vm_stays_where_it_was() -> None:
    report, after, _ = stopped_at(5, lambda stop, _: stop.request(running="cancel"))
    assert [move.outcome for move in report.moves] == ["cancelled"]
    assert len(after.vms_by_node["N1"]) == 6
    assert after.migrations == ()


def test_a_migration_that_is_already_switching_over_finishes_although_the_run_is_cancelled() -> None:
    # 1.5 s to prepare, 8.4 s to copy: at 10.2 s the first VM is between its nodes
    report, after, _ = stopped_at(10.2, lambda stop, _: stop.request(running="cancel"))
    assert [move.outcome for move in report.moves] == ["done"]
    assert len(after.vms_by_node["N1"]) == 5


def test_cancelling_the_task_ends_what_runs_and_then_raises() -> None:
    outcome, after, log = stopped_at(5, lambda _, run: run.cancel())
    assert isinstance(outcome, asyncio.CancelledError)
    assert len(started(log)) == 1
    assert after.migrations == ()
    assert len(after.vms_by_node["N1"]) == 5


def test_i8_a_stopped_run_leaves_its_pause_unless_it_was_asked_to_undo_it() -> None:
    _, kept, _ = stopped_at(5, lambda stop, _: stop.request())
    _, undone, _ = stopped_at(5, lambda stop, _: stop.request(), undo_pause=True)
    assert (kept.node_by_name["N1"].state, undone.node_by_name["N1"].state) == ("paused", "up")


@pytest.mark.parametrize("at_s", [0.5 * i for i in range(1, 40)])
def test_whenever_it_is_stopped_every_vm_runs_on_exactly_one_node_and_none_is_moving(at_s: float) -> None:
    _, after, log = stopped_at(at_s, lambda stop, _: stop.request(running="cancel"))
    assert after.migrations == ()
    assert all(vm.state == "running" for vm in after.vms)
    assert not any(line["what"] in ("vm_crashed", "vm_stopped") for line in log)
