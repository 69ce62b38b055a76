"""Failovers beside another run, as a watch would start them: each node that goes down is taken care of at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from nights import Listener

from shunter.clusters.simulated import SimulatedCluster
from shunter.engine.failover import fail_over
from shunter.engine.holds import Holds, OwnHolds
from shunter.topology.plan import Plan
from shunter.topology.recheck import Violation

LOOK_AGAIN_S = 60.0


@dataclass(frozen=True)
class Told:
    """What a run told, and the log up to its end. `lost`: of a failover, its nodes."""

    report: Plan
    listener: Listener
    log: list[str]
    ended_s: float
    lost: tuple[str, ...] = ()


@asynccontextmanager
async def failing_over(world: SimulatedCluster, holds: Holds, *, when: bool = True) -> AsyncIterator[list[Told]]:
    """Those that are over; the one under way at the end is let finish. `holds`: those of the other run."""
    told: list[Told] = []
    if not when:
        yield told
        return
    over = asyncio.Event()
    task = asyncio.create_task(_watch(world, holds, over, told))
    try:
        yield told
    finally:
        over.set()
        await task


async def fail_over_and_tell(world: SimulatedCluster, lost: Sequence[str], holds: Holds | None = None) -> Told:
    listener = Listener()
    report = await fail_over(world, lost, holds=holds or OwnHolds(), audience=listener)
    return Told(report, listener, list(world.witness.lines), world.clock.now_s(), tuple(lost))


async def _watch(world: SimulatedCluster, holds: Holds, over: asyncio.Event, told: list[Told]) -> None:
    known = {node.name for node in world.now().nodes if node.state == "down"}
    while not over.is_set():
        down = {node.name for node in world.now().nodes if node.state == "down"}
        if fresh := sorted(down - known):
            told.append(await fail_over_and_tell(world, fresh, holds))
        known = down
        await world.wait_for_change(await world.look(), LOOK_AGAIN_S)


def unless_others_did(found: Iterable[Violation], others: Iterable[Plan]) -> list[Violation]:
    """Without what a report does not know because another run beside it did it."""
    others = list(others)
    names = {move.volume for report in others for move in report.volume_moves}
    names |= {move.name for report in others for move in report.role_moves}
    migrated = {move.vm for report in others if report.kind != "failover" for move in report.moves}
    migrated |= {move.vm for report in others for move in report.made_room}
    return [
        violation
        for violation in found
        if violation.subject not in names
        and not (violation.subject in migrated and "the report lacks" in violation.message)
    ]
