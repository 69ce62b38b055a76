"""What every flow that does something has in common: cluster, locks, listeners, cancellation, report, final state."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast
from uuid import UUID

from prefect import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from shunter.clusters.port import ClusterPort
from shunter.engine.audience import Audience
from shunter.engine.control import Control
from shunter.engine.holds import Holds
from shunter.engine.migrate import Errand, StartMigration
from shunter.engine.stop import Running
from shunter.flows.audience import RunAudience, ServerVoice
from shunter.flows.clusters import open_cluster
from shunter.flows.errors import (
    OutcomeInDoubt,
    PrefectUnreachable,
    RefusedByFindings,
    RunAbandoned,
    RunCancelled,
    RunRefused,
)
from shunter.flows.handed import handed
from shunter.flows.listeners import Together, current_listener
from shunter.flows.live_migration import as_task_run
from shunter.flows.locks import PrefectHolds
from shunter.flows.markdown import headline
from shunter.flows.obeying import own_cancellation
from shunter.flows.punctual import Counted, Punctual, now, refuse_late
from shunter.flows.records import Records
from shunter.flows.run_folder import Keep, RunFolder
from shunter.flows.server import CALL_DEADLINE_S, Logger, PrefectServer
from shunter.flows.shelter import sheltered_tasks
from shunter.flows.spoken import count, together
from shunter.flows.standstill import Standstill
from shunter.flows.temporary_server import end_it_with_us
from shunter.flows.whole_cluster import WholeCluster, refuse_beside_rolling
from shunter.statemachines.migration import Migration
from shunter.topology.plan import Plan

# Prefect kills a cancelled flow run after 30 s; what is left of them is for the report.
WIND_DOWN_S = 20.0
ABANDON_S = 3.0
# Where nobody kills it, the server writes after 300 s that it is cancelled.
OBEYED_WITHIN_S = 240.0
MOST_NAMED = 3
COMMANDS = {
    "evacuate-nodes": "evacuate",
    "live-migrate": "migrate",
    "repair-placement": "repair",
    "resume-node": "resume",
    "rolling-maintenance": "maintain",
}
"""What people type for the flow of that name."""


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
    records: Records
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
    except _CancelledFromOutside as error:
        return _cancelled(error.plan, nodes, str(error))
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
    stop = listener.stop or Control()
    voice = ServerVoice(listener.audience)
    end_it_with_us()
    async with AsyncExitStack() as stack:
        stack.enter_context(sheltered_tasks())
        server = await stack.enter_async_context(PrefectServer.connected(log, voice.say))
        await server.insist(server.probe, stop)
        known = handed()
        port = (
            known.port
            if known is not None
            else await stack.enter_async_context(
                open_cluster(cluster, speed=speed, witness=listener.witness, faults=listener.faults, reboot_s=reboot_s)
            )
        )
        seen = await port.look()
        run_id, run_name = _flow_run_id(), flow_run.get_name() or "unnamed"
        folder = stack.enter_context(_folder(listener.keep, seen.name, nodes))
        if listener.keep.folder is not None:
            log.info("this run is kept on %s in %s", folder.run.host, listener.keep.folder)
        holds = await stack.enter_async_context(PrefectHolds.opened(server, seen.name, log, run_id, run_name))
        whole = await stack.enter_async_context(WholeCluster.held(holds, seen.name, stop)) if rolling else None
        if whole is None and not urgent:
            await refuse_beside_rolling(holds, seen.name, stop)
        await server.insist(partial(holds.prepare, [node.name for node in seen.nodes]), stop)
        told = Together(*filter(None, (folder, listener.audience)))
        audience = await stack.enter_async_context(RunAudience(seen.name, nodes, port.clock, log, told))
        voice.audience = audience
        records = await stack.enter_async_context(Records.opened(server, log, stop))
        standstill = stack.enter_context(
            Standstill.noticed(
                port.clock if known is None else None, lambda finding: audience.warned(finding, port.clock.now_s())
            )
        )
        watched = Watched()
        from_s = None if counted.since is None else port.clock.now_s() - counted.passed_s(now())
        means = Means(port, holds, audience, watched.start, stop, log, records, whole, counted, from_s)
        work = asyncio.ensure_future(folder.reported(_with_what_kept_it(procedure(means), holds, standstill)))
        cancelled = await stack.enter_async_context(own_cancellation(server, run_id, log))
        end = _End(work, watched, on_cancel, means, audience, folder, holds, nodes)
        return await end.awaited(cancelled)


@dataclass(frozen=True, slots=True)
class _End:
    """How a run comes to its end, also where it is cancelled; what is told of it, to whom, and in which order."""

    work: asyncio.Future[Plan]
    watched: Watched
    on_cancel: Running
    means: Means
    audience: RunAudience
    folder: RunFolder
    holds: PrefectHolds
    nodes: Sequence[str]

    async def awaited(self, cancelled: asyncio.Task[None]) -> Plan:
        """The report. `cancelled`: done once the state of the flow run says that it is to be cancelled."""
        try:
            ends: set[asyncio.Future[Any]] = {self.work, cancelled}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            left = () if self.work.done() else await self._wind_down(OBEYED_WITHIN_S)
        except asyncio.CancelledError:
            self.holds.hurry()
            left = await self._wind_down(WIND_DOWN_S)
            if left or self.work.cancelled():
                await self.audience.leave_note(_note(left, self.audience.unfinished()))
            else:
                await self.audience.report(self._with_unsaved())
            raise
        if left or self.work.cancelled():
            note = _note(left, self.audience.unfinished())
            await self.audience.leave_note(note)
            raise _CancelledFromOutside(None, note)
        self.work.result()  # raises what the procedure raised
        untold = await self._until_it_can_be_told()
        report = self._with_unsaved()
        if untold:
            await self._give_up(untold)
        else:
            await self.audience.report(report)
        if cancelled.done():
            raise _CancelledFromOutside(report, headline(report, self.nodes))
        return report

    async def _wind_down(self, within_s: float) -> tuple[str, ...]:
        """The flow run was cancelled: let the procedure end well, but before Prefect kills this process, or says that
        it is cancelled.

        Migrations that take longer are left to the cluster, which brings them to their end without us: their labels.
        """
        log = self.means.log
        log.warning("cancelled: nothing new is started; migrations under way are asked to %s", self.on_cancel)
        self.means.stop.request(running=self.on_cancel)
        try:
            await asyncio.wait({self.work}, timeout=within_s)
        finally:  # also when cancelled once more: then at once
            left = tuple(self.watched.under_way.values())
            unfinished: set[asyncio.Future[Any]] = {self.work, *self.watched.under_way}
            for task in unfinished:
                task.cancel()
            if not self.work.done():
                await asyncio.wait(unfinished, timeout=ABANDON_S)
        for label in left:
            log.warning("%s: still under way; the cluster completes it without us. Look where the VM runs", label)
        return left

    async def _until_it_can_be_told(self) -> str:
        """The report, the records and the final state are the server's to keep: one that is silent is waited for,
        unless the run is to stop. Why it cannot be told; empty where it can.
        """
        records, log = self.means.records, self.means.log
        if records.server.silence is not None:
            log.warning("the run is over, and waits to tell it: %s", records.server.silence)
        try:
            await records.server.insist(records.server.probe, self.means.stop)
        except PrefectUnreachable as error:
            return str(records.server.silence or error)
        await records.settle(CALL_DEADLINE_S)
        return ""

    async def _give_up(self, why: str) -> None:
        """Its locks cannot be given back either, and end by themselves."""
        self.means.log.error("what became of this run cannot be told: %s", why)
        self.holds.hurry()
        self.folder.give_up(why)
        await self.audience.fall_silent()

    def _with_unsaved(self) -> Plan:
        """The report; where the server did not take every record of the run, they are kept in its folder."""
        report, records = self.work.result(), self.means.records
        if not records.unsaved:
            return report
        found = records.findings(report.cluster, self.folder.keep(records.unsaved))
        report = report.model_copy(update={"findings": (*report.findings, *found)})
        self.folder.report(report)
        return report


class _CancelledFromOutside(Exception):
    """The state of the flow run says so. `plan`: the report, where the run came to its end all the same."""

    def __init__(self, plan: Plan | None, message: str) -> None:
        self.plan = plan
        super().__init__(message)


async def _with_what_kept_it(work: Awaitable[Plan], holds: PrefectHolds, standstill: Standstill) -> Plan:
    """The report, with what the server kept the run waiting for, and when its process stood still."""
    report = standstill.told_in(await work)
    if not report.executed:
        return report
    return report.model_copy(update={"findings": (*report.findings, *holds.findings())})


def _cancelled(plan: Plan | None, nodes: Sequence[str], message: str) -> Plan:
    state: Any = Cancelled(message=message, data=RunAbandoned(message))
    if plan is not None:
        state = Cancelled(message=headline(plan, nodes), data=RunCancelled(plan))
    return cast("Plan", state)


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


def _folder(keep: Keep, cluster: str, nodes: Sequence[str]) -> RunFolder:
    name = flow_run.get_flow_name() or "run"
    return RunFolder(
        keep,
        COMMANDS.get(name, name),
        cluster,
        nodes,
        flow_run_id=flow_run.get_id(),
        flow_run=flow_run.get_name(),
    )


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
