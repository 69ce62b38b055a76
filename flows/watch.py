"""The flow that watches a cluster until it is ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Annotated, Any, Literal, cast
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed
from pydantic import Field

from shunter.clusters.port import ClusterPort
from shunter.engine.control import Control
from shunter.engine.stop import Stop
from shunter.engine.watch import WatchPolicy, watch
from shunter.flows.clusters import open_cluster
from shunter.flows.errors import RunError, RunRefused, WatchCancelled
from shunter.flows.failover import failover
from shunter.flows.handed import handing
from shunter.flows.listeners import current_listener, listening
from shunter.flows.locks import PrefectHolds
from shunter.flows.obeying import own_cancellation
from shunter.flows.parameters import ClusterName, Speed, spoken
from shunter.flows.server import Logger, PrefectServer
from shunter.flows.shelter import sheltered_tasks
from shunter.flows.sole_watch import SoleWatch
from shunter.flows.standstill import PROCESS, Standstill
from shunter.flows.temporary_server import end_it_with_us
from shunter.flows.unanswered import told_as_unreachable
from shunter.flows.watch_audience import WatchAudience
from shunter.flows.watch_document import watch_headline
from shunter.topology.model import Cluster
from shunter.topology.plan import Finding, Plan
from shunter.topology.watching.condition import NORMAL, Occurrence
from shunter.topology.watching.hysteresis import Patience
from shunter.topology.watching.report import Watch

# Prefect kills a cancelled flow run after 30 s
WIND_DOWN_S = 20.0
LONGEST_S = 366 * 86_400.0
SERVER = "the Prefect server"


def _titled(title: str) -> Any:
    return Field(json_schema_extra={"title": title})


ForS = Annotated[
    Annotated[float, Field(ge=0, le=LONGEST_S, allow_inf_nan=False)] | None, _titled("Watch for (seconds)")
]
EveryS = Annotated[float, Field(ge=1, le=86_400, allow_inf_nan=False)]
LookEveryS = Annotated[EveryS, _titled("Look at least every (seconds)")]
CoverEveryS = Annotated[EveryS, _titled("Decide N+1 at most every (seconds)")]
BackupLimitS = Annotated[
    Annotated[float, Field(ge=60, le=30 * 86_400, allow_inf_nan=False)], _titled("A backup takes at most (seconds)")
]
OnNodeLost = Annotated[Literal["nothing", "failover"], _titled("When a node is lost")]


def _name() -> str:
    return f"watch {spoken(flow_run.get_parameters()['cluster'])}"


@flow(flow_run_name=_name, persist_result=False, retries=0)
async def watch_cluster(  # noqa: PLR0917 - each is a field of the form
    cluster: ClusterName,
    for_s: ForS = None,
    on_node_lost: OnNodeLost = "nothing",
    look_every_s: LookEveryS = 30.0,
    cover_every_s: CoverEveryS = 60.0,
    backup_limit_s: BackupLimitS = 4 * 3600.0,
    speed: Speed = None,
) -> Watch:
    """Watch a cluster: nodes, VMs, volumes, migrations that others start, backups, drift, N+1 and quorum. What happens
    is told once, as an event shunter.watch.…, as a line of the log and in the artifact, which shows how things stand.

    One watch a cluster at a time. It touches nothing, unless it is to start failovers. Returns all that happened, with
    what stands at the end. Raises RunRefused (the cluster is watched already), RequestError (unknown cluster),
    Unreachable (at the first look; later that is told) and PrefectUnreachable.

    Args:
        cluster: The name of a registered cluster, or the path of a cluster file (ends in .json): a simulated
            cluster starts from it.
        for_s: How long, in the cluster's seconds; 0 is one look. Left out: until the run is cancelled.
        on_node_lost: failover - when the cluster itself has declared a node down, the flow failover is started for it,
            once. An isolated node is not lost. nothing - it is told, and that is all.
        look_every_s: It looks whenever the cluster says that something changed, and besides at least so often.
        cover_every_s: What the loss of each node would mean is decided when something changed that matters to it, and
            no more often than that.
        backup_limit_s: A backup that runs for longer is told of.
        speed: How many times as fast as real time the simulated cluster of a cluster file runs.
    """
    policy = WatchPolicy(
        look_every_s, cover_every_s, patience=Patience(backup_s=backup_limit_s), on_node_lost=on_node_lost
    )
    state: Any
    try:
        watched, cancelled = await _watched(cluster, policy, for_s, speed)
    except RunRefused as error:
        state = Failed(name="Refused", message=str(error), data=error)
    else:
        if cancelled:
            state = Cancelled(message=watch_headline(watched), data=WatchCancelled(watched))
            return cast("Watch", state)
        state = Completed(
            name=None if watched.ok else "Ended with trouble", message=watch_headline(watched), data=watched
        )
    return cast("Watch", state)  # what is in the state is handed to the caller


async def _watched(cluster: str, policy: WatchPolicy, for_s: float | None, speed: float | None) -> tuple[Watch, bool]:
    """The watch, and whether its flow run was cancelled meanwhile."""
    log = get_run_logger()
    listener = current_listener()
    stop = listener.stop or Control()
    end_it_with_us()
    async with AsyncExitStack() as stack:
        stack.enter_context(sheltered_tasks())
        voice = _Voice()
        server = await stack.enter_async_context(PrefectServer.connected(log, voice.say))
        await server.insist(server.probe, stop)
        port = await stack.enter_async_context(
            open_cluster(cluster, speed=speed, witness=listener.witness, faults=listener.faults)
        )
        name = (await port.look()).name
        known, run_name = flow_run.get_id(), flow_run.get_name() or "unnamed"
        run_id = UUID(known) if known else None
        holds = await stack.enter_async_context(PrefectHolds.opened(server, name, log, run_id, run_name))
        sole = await stack.enter_async_context(SoleWatch.held(holds, name, stop))
        audience = await stack.enter_async_context(WatchAudience(name, port.clock.now_s(), log, listener.watcher))

        def tell(finding: Finding) -> None:
            audience.occurred(_noticed(finding, name, port.clock.now_s()))

        voice.tell = tell
        stack.enter_context(Standstill.noticed(port.clock, tell))
        fail_over = _FailOver(cluster, port, stop)
        work = asyncio.ensure_future(watch(port, policy, watcher=audience, stop=stop, for_s=for_s, fail_over=fail_over))
        cancelled = await stack.enter_async_context(own_cancellation(server, run_id, log))
        try:
            await asyncio.wait({work, cancelled}, return_when=asyncio.FIRST_COMPLETED)
            is_cancelled = cancelled.done()
            if is_cancelled:
                stop.request()
            watched = await asyncio.shield(work)
        except asyncio.CancelledError:
            holds.hurry()
            await _wind_down(work, stop, log)
            raise
    if sole.overtaken:
        raise RunRefused(f"another watch of {name} has taken over while the Prefect server could not be reached")
    return watched, is_cancelled


def _noticed(finding: Finding, cluster: str, at_s: float) -> Occurrence:
    """Something about this process or its server that may explain what is told next, or why nothing was told."""
    return Occurrence(
        at_s=at_s,
        what={PROCESS: "stood_still", SERVER: "server_silent"}.get(finding.subject, "time_jumped"),
        rule=finding.rule,
        severity=finding.severity,
        subject=f"cluster {cluster}",
        message=finding.message,
        remedy=finding.remedy,
        before=NORMAL,
        state=NORMAL,
    )


class _Voice:
    """Tells once of each silence of the Prefect server, and of its end."""

    def __init__(self) -> None:
        self.tell: Callable[[Finding], None] | None = None
        self._silent = False

    def say(self, text: str) -> None:
        """Empty once it answers again."""
        if self.tell is None or bool(text) == self._silent:
            return
        self._silent = bool(text)
        self.tell(
            Finding(
                rule="I8",
                severity="warning" if text else "info",
                subject=SERVER,
                message=f"{text}; what happens is told there once it answers" if text else "the server answers again",
                remedy="look at the Prefect server and the network between" if text else "nothing",
            )
        )


class _FailOver:
    """Starts the flow `failover` on the cluster that is watched."""

    def __init__(self, cluster: str, port: ClusterPort, control: Control) -> None:
        self._cluster, self._port, self._control = cluster, port, control

    async def __call__(self, nodes: Sequence[str], before: Cluster, stop: Stop) -> Plan:  # noqa: ARG002  the same as ours
        try:
            with (
                told_as_unreachable("the failover cannot go on without its Prefect server"),
                handing(self._port, before),
                listening(stop=self._control),
            ):
                return await failover(self._cluster, list(nodes))
        except RunError as error:
            return error.plan


async def _wind_down(work: asyncio.Future[Watch], stop: Stop, log: Logger) -> None:
    """The flow run was cancelled: a failover that goes on comes to a good end, if that takes no longer than we have."""
    log.info("cancelled: the watch ends")
    stop.request()
    await asyncio.wait({work}, timeout=WIND_DOWN_S)
    if not work.done():
        log.warning("a failover is still under way; the cluster goes on without us. Start it again (shunter failover)")
        work.cancel()
        await asyncio.wait({work}, timeout=WIND_DOWN_S / 4)
