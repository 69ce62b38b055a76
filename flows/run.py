"""What every flow that does something has in common: cluster, locks, listeners, cancellation, report, final state."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from prefect import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from shunter.clusters.port import ClusterPort
from shunter.engine.audience import Audience
from shunter.engine.control import Control
from shunter.engine.holds import Holds
from shunter.engine.migrate import Errand, StartMigration
from shunter.engine.stop import Running
from shunter.flows.audience import RunAudience
from shunter.flows.clusters import open_cluster
from shunter.flows.errors import OutcomeInDoubt, RefusedByFindings, RunRefused
from shunter.flows.handed import handed
from shunter.flows.listeners import current_listener
from shunter.flows.live_migration import as_task_run
from shunter.flows.locks import Logger, PrefectHolds
from shunter.flows.markdown import headline
from shunter.flows.punctual import Counted, Punctual, now, refuse_late
from shunter.flows.shelter import sheltered_tasks
from shunter.flows.spoken import count, together
from shunter.flows.standstill import Standstill
from shunter.flows.whole_cluster import WholeCluster, refuse_beside_rolling
from shunter.statemachines.migration import Migration
from shunter.topology.plan import Plan

# Prefect kills a cancelled flow run after 30 s; what is left of them is for the report.
WIND_DOWN_S = 20.0
ABANDON_S = 3.0
MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Means:
    """What a procedure of the engine is given. `whole`: the hold on the cluster as a whole, of a rolling run.
    `counted`: from when the run counts; `counts_from_s`: the same by the cluster's clock, None where that is now.
    """

    cluster: ClusterPort
    holds: Holds
    audience: Audience
    start: StartMigration
    stop: Control
    log: Logger
    whole: WholeCluster | None = None
    counted: Counted = field(default_factory=Counted)
    counts_from_s: float | None = None


Procedure = Callable[[Means], Awaitable[Plan]]


async def carry_out(
    procedure: Procedure,
    cluster: str,
    *,
    nodes: Sequence[str],
    speed: float | None,
    on_cancel: Running,
    punctual: Punctual,
    rolling: bool = False,
    urgent: bool = False,
    reboot_s: float | None = None,
) -> Plan:
    """Run the procedure and leave its report. `nodes`: what it is about, for headlines. `punctual`: how late it may be.
    `rolling`: it must have the cluster to itself, and others are refused meanwhile, unless they are `urgent`.
    `reboot_s`: what a reboot takes on a cluster that is simulated here.

    Returns, as the flow's final state, the report. A refusal or an unknown outcome is a failed state, which a caller
    gets as RefusedByFindings, RunRefused or OutcomeInDoubt. Raises RequestError, Unreachable and PrefectUnreachable:
    nothing was touched then.
    """
    try:
        known = refuse_late(punctual, cluster)
        plan = await _carried_out(procedure, cluster, nodes, speed, on_cancel, known, rolling, urgent, reboot_s)
    except RunRefused as error:
        return refused(error)
    return final_state(plan, nodes)


async def _carried_out(  # noqa: PLR0917 - as `carry_out` is given them
    procedure: Procedure,
    cluster: str,
    nodes: Sequence[str],
    speed: float | None,
    on_cancel: Running,
    counted: Counted,
    rolling: bool,
    urgent: bool,
    reboot_s: float | None,
) -> Plan:
    log = get_run_logger()
    listener = current_listener()
    async with AsyncExitStack() as stack:
        stack.enter_context(sheltered_tasks())
        known = handed()
        port = (
            known.port
            if known is not None
            else await stack.enter_async_context(
                open_cluster(cluster, speed=speed, witness=listener.witness, faults=listener.faults, reboot_s=reboot_s)
            )
        )
        seen = await port.look()
        holds = await stack.enter_async_context(PrefectHolds.opened(seen.name, log, _flow_run_id()))
        whole = await stack.enter_async_context(WholeCluster.held(holds, seen.name)) if rolling else None
        if whole is None and not urgent:
            await refuse_beside_rolling(holds, seen.name)
        await holds.prepare([node.name for node in seen.nodes])
        audience = await stack.enter_async_context(RunAudience(seen.name, nodes, port.clock, log, listener.audience))
        standstill = stack.enter_context(
            Standstill.noticed(
                port.clock if known is None else None, lambda finding: audience.warned(finding, port.clock.now_s())
            )
        )
        watched = Watched()
        from_s = None if counted.since is None else port.clock.now_s() - counted.passed_s(now())
        means = Means(port, holds, audience, watched.start, listener.stop or Control(), log, whole, counted, from_s)
        work = asyncio.ensure_future(procedure(means))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            left = await _wind_down(work, means.stop, watched, on_cancel, log)
            if left or work.cancelled():
                await audience.leave_note(_note(left, audience.unfinished()))
            else:
                await audience.report(standstill.told_in(work.result()))
            raise
        plan = standstill.told_in(work.result())
        await audience.report(plan)
    return plan


def refused(error: RunRefused) -> Plan:
    """The state of a flow run that had to give way, or whose plan was not approved."""
    state: Any = Failed(name="Refused", message=str(error), data=error)
    return cast("Plan", state)


def final_state(plan: Plan, nodes: Sequence[str]) -> Plan:
    """The state that the flow run ends in. Prefect hands a caller what is in it, hence the type."""
    message = headline(plan, nodes)
    state: Any
    if not plan.executed and plan.errors:
        state = Failed(name="Refused", message=message, data=RefusedByFindings(plan))
    elif plan.in_doubt:
        error = OutcomeInDoubt(plan)
        state = Failed(name="Outcome unknown", message=str(error), data=error)
    elif plan.ok:
        state = Completed(message=message, data=plan)
    else:
        state = Completed(name=_not_all(plan), message=message, data=plan)
    return cast("Plan", state)


def _not_all(plan: Plan) -> str:
    """Read in lists of runs: a node whose maintenance failed is named there."""
    if not plan.executed:
        return "Nothing done"
    ended = "Interrupted" if plan.interrupted else "Partly done"
    failed = [turn.node for turn in plan.maintenance if turn.outcome == "failed"]
    if not failed:
        return ended
    return f"{ended}, {together(failed) if len(failed) <= MOST_NAMED else count(len(failed), 'node')} failed"


def _flow_run_id() -> UUID | None:
    known = flow_run.get_id()
    return UUID(known) if known else None


@dataclass(slots=True)
class Watched:
    """Starts migrations as task runs, and knows those that are under way."""

    under_way: dict[asyncio.Future[Migration], str] = field(default_factory=dict)

    async def start(self, errand: Errand) -> Migration:
        task = asyncio.ensure_future(as_task_run(errand))
        self.under_way[task] = errand.label
        task.add_done_callback(self.under_way.pop)
        return await task


async def _wind_down(
    work: asyncio.Future[Plan], stop: Control, watched: Watched, running: Running, log: Logger
) -> tuple[str, ...]:
    """The flow run was cancelled: let the procedure end well, but before Prefect kills this process.

    Migrations that take longer are left to the cluster, which brings them to their end without us: their labels.
    """
    log.warning("cancelled: nothing new is started; migrations under way are asked to %s", running)
    stop.request(running=running)
    try:
        await asyncio.wait({work}, timeout=WIND_DOWN_S)
    finally:  # also when cancelled once more: then at once
        left = tuple(watched.under_way.values())
        unfinished: set[asyncio.Future[Any]] = {work, *watched.under_way}
        for task in unfinished:
            task.cancel()
        if not work.done():
            await asyncio.wait(unfinished, timeout=ABANDON_S)
    for label in left:
        log.warning("%s: still under way; the cluster completes it without us. Look where the VM runs", label)
    return left


def _note(left: Sequence[str], nodes: Sequence[str]) -> str:
    parts = []
    if left:
        parts.append(
            "The run was cancelled, and its time was up before these migrations were over. The cluster completes them "
            f"without us; look where the VMs run: {'; '.join(left)}"
        )
    if nodes:
        parts.append(
            f"The run was cancelled in the middle of nodes' turns: {'; '.join(nodes)}. They are not brought back; "
            "look at them, and start the run again: it goes on from there"
        )
    return ". ".join(parts) or "The run was cancelled before anything was moved."
