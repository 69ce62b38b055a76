"""`shunter evacuate`, `repair`, `migrate`: a Prefect flow, run here, with its live display, Ctrl-C and report."""

# ruff: noqa: PLC0415  (Prefect reads its settings while it is imported: not before they are made)
from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from shunter.clusters.simulated import Fault
from shunter.commands import output, streams
from shunter.commands.cluster_choice import cluster_of_file, is_file
from shunter.commands.interrupts import spare
from shunter.commands.output import can_redraw
from shunter.commands.returning import Asked as Return
from shunter.commands.rolling import Asked
from shunter.commands.run_thread import Requests, run_beside
from shunter.commands.screens.lines import Lines
from shunter.commands.screens.live import LiveScreen
from shunter.commands.screens.plan import PlanScreen
from shunter.commands.screens.run_view import RunView
from shunter.commands.screens.words import listed, signs_of
from shunter.engine.audience import Audience
from shunter.engine.control import Control
from shunter.engine.failover import failover_of
from shunter.engine.rolling import Budget
from shunter.flows.errors import RunError
from shunter.flows.listeners import listening
from shunter.flows.restarts_seen import Fate
from shunter.flows.run_folder import PAGE, Keep
from shunter.flows.settings import PrefectAtHand, prefect_at_hand
from shunter.flows.spoken import duration
from shunter.topology.choosing import ReserveNodes
from shunter.topology.failover import lost_nodes
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.planning import emptied_nodes, plan_evacuation, plan_migration
from shunter.topology.precautions import USUAL_PRECAUTIONS, Precautions, is_held_by_backups
from shunter.topology.preflight import about_to_be_mended, with_requirements
from shunter.topology.repair import plan_repair
from shunter.topology.rolling.policy import wanted_nodes

LATE_S = 15.0
REPORT_FOLLOWS = "the run is over; its report follows"


@dataclass(frozen=True, slots=True)
class Job:
    """A flow to run here. `plan`: what it will do, from a look at the cluster; `flow`: starts it (imports included).

    `nodes`: those that will be empty, for headlines. `speed` None: real time. Of a cluster that is simulated here:
    `log`, for its witness log, and `faults`, what goes wrong in it. `waits_for_backups`: a plan that moves nothing
    because backups hold VMs is carried out all the same.
    """

    title: str
    cluster: str
    plan: Callable[[Cluster], Plan]
    flow: Callable[[], Awaitable[Plan]]
    nodes: Sequence[str] = ()
    speed: float | None = None
    log: Path | None = None
    faults: Sequence[Fault] = ()
    waits_for_backups: bool = False

    def is_in_vain(self, plan: Plan) -> bool:
        """Whether the flow would touch nothing."""
        if plan.errors:
            return True
        waits = (self.waits_for_backups and is_held_by_backups(plan)) or plan.resumes
        return not (plan.moves or plan.role_moves or plan.maintenance or self.nodes or waits)


def evacuation(
    nodes: Sequence[str],
    cluster: str,
    *,
    reserve_nodes: ReserveNodes = "auto",
    precautions: Precautions = USUAL_PRECAUTIONS,
    speed: float | None = None,
    undo_pause: bool = False,
    log: Path | None = None,
) -> Job:
    """Raises RequestError for an unknown node."""
    names = emptied_nodes(cluster_of_file(cluster), nodes) if is_file(cluster) else tuple(nodes)

    async def flow() -> Plan:
        from shunter.flows.evacuate import evacuate_nodes

        return await evacuate_nodes(
            cluster,
            list(names),
            reserve_nodes,
            speed,
            undo_pause=undo_pause,
            backups=precautions.backups,
            backup_limit_s=precautions.backup_limit_s,
            refresh_drifted=precautions.refresh_drifted,
        )

    def plan(seen: Cluster) -> Plan:
        return plan_evacuation(seen, names, reserve_nodes, precautions)

    return Job(f"Emptying {listed(names)}", cluster, plan, flow, names, speed, log)


def repair(
    cluster: str, *, reserve_nodes: ReserveNodes = "auto", speed: float | None = None, log: Path | None = None
) -> Job:
    async def flow() -> Plan:
        from shunter.flows.repair import repair_placement

        return await repair_placement(cluster, reserve_nodes, speed)

    return Job("Bringing the cluster in order", cluster, lambda c: plan_repair(c, reserve_nodes), flow, (), speed, log)


def failover(nodes: Sequence[str], cluster: str, *, speed: float | None = None, log: Path | None = None) -> Job:
    """Raises RequestError for an unknown node."""
    names = lost_nodes(cluster_of_file(cluster), nodes) if is_file(cluster) else tuple(nodes)

    async def flow() -> Plan:
        from shunter.flows.failover import failover

        return await failover(cluster, list(names), speed)

    return Job(f"Failing over {listed(names)}", cluster, lambda seen: failover_of(seen, names), flow, names, speed, log)


def returning(asked: Return, cluster: str, *, speed: float | None = None, log: Path | None = None) -> Job:
    """Raises RequestError for an unknown node, or a file of homes that is none."""
    if is_file(cluster):
        cluster_of_file(cluster).find_node(asked.node)
    homes = dict(asked.homes) if asked.homes is not None else None

    async def flow() -> Plan:
        from shunter.flows.resume import resume_node

        return await resume_node(
            cluster,
            asked.node,
            asked.failback,
            homes,
            asked.reserve_nodes,
            asked.whoever_paused,
            speed,
            backups=asked.precautions.backups,
            backup_limit_s=asked.precautions.backup_limit_s,
            refresh_drifted=asked.precautions.refresh_drifted,
        )

    title = f"Bringing {asked.node} back"
    return Job(title, cluster, asked.plan, flow, (), speed, log, waits_for_backups=True)


def migration(
    vm: str,
    node: str,
    cluster: str,
    *,
    precautions: Precautions = USUAL_PRECAUTIONS,
    speed: float | None = None,
    log: Path | None = None,
) -> Job:
    async def flow() -> Plan:
        from shunter.flows.migrate import live_migrate

        return await live_migrate(
            cluster,
            vm,
            node,
            speed,
            backups=precautions.backups,
            backup_limit_s=precautions.backup_limit_s,
            refresh_drifted=precautions.refresh_drifted,
        )

    def plan(seen: Cluster) -> Plan:
        return plan_migration(seen, vm, node, precautions)

    return Job(f"Moving {vm} to {node}", cluster, plan, flow, (), speed, log, waits_for_backups=True)


def maintenance(
    asked: Asked,
    cluster: str,
    budget: Budget,
    *,
    speed: float | None = None,
    log: Path | None = None,
) -> Job:
    """Raises RequestError for an unknown node."""
    if is_file(cluster):
        wanted_nodes(cluster_of_file(cluster), asked.nodes, asked.policy)

    async def flow() -> Plan:
        from shunter.flows.maintain import rolling_maintenance

        policy = asked.policy
        return await rolling_maintenance(
            cluster,
            list(asked.nodes),
            maintenance_s=policy.maintenance_s,
            parallel=policy.parallel,
            reserve_nodes=policy.reserve_nodes,
            prefer=policy.prefer,
            window_s=policy.window_s,
            failback=policy.failback,
            first=list(policy.order),
            apart=[list(group) for group in policy.apart],
            one_fault_domain=policy.one_fault_domain,
            backups=policy.precautions.backups,
            backup_limit_s=policy.precautions.backup_limit_s,
            refresh_drifted=policy.precautions.refresh_drifted,
            retries=budget.retries,
            failed_nodes=budget.failed_nodes,
            warn_after_s=budget.warn_after_s,
            stop_after_s=budget.stop_after_s,
            speed=speed,
        )

    what = listed(asked.nodes) if asked.nodes else "all nodes"
    return Job(f"Maintaining {what}", cluster, asked.plan, flow, (), speed, log, waits_for_backups=True)


def run(job: Job, *, as_json: bool, pictures: output.Pictures, out: Path | None = None) -> Plan:
    """Carry it out and show the report. `out`: the folder in which it is kept.

    Raises RequestError, Unreachable and PrefectUnreachable.
    """
    seen = cluster_of_file(job.cluster) if is_file(job.cluster) else None
    plan = about_to_be_mended(with_requirements(seen, job.plan(seen))) if seen else None
    if plan is not None:
        pictures.draw(plan, job.nodes)  # finds out before the first move whether they can be written
    if plan is not None and job.is_in_vain(plan):
        output.show(plan, job.nodes, seen, as_json=as_json)
        return plan
    keep = Keep()
    with keep.claimed(out) if out is not None else nullcontext():
        report, forecast_s = carry_out(job, seen, plan, keep)
    output.show(report, job.nodes, seen, as_json=as_json, forecast_s=forecast_s)
    leave(report, job.nodes, keep, pictures, forecast_s)
    return report


def carry_out(job: Job, seen: Cluster | None, plan: Plan | None, keep: Keep) -> tuple[Plan, float | None]:
    """Run the flow; return its report and what had been forecast. `seen` and `plan` are shown while Prefect starts.

    From the start of the run on, a request to end ends nothing: the report of a run must not get lost.
    """
    console = output.messages()
    with prefect_at_hand(quiet=True) as prefect:
        if plan is not None:
            PlanScreen.of(plan, job.nodes, console, seen).print()
        wait_for_prefect(prefect, console)
        spare(REPORT_FOLLOWS)
        view = RunView(time.monotonic, job.speed or 1.0)
        report = run_beside(lambda requests: _reported(job, view, console, requests, keep))
    return report, view.plan.makespan_s if view.plan else None


def leave(
    report: Plan, nodes: Sequence[str], keep: Keep, pictures: output.Pictures, forecast_s: float | None = None
) -> None:
    """Once the report is shown: draw it, and say where it is kept, last of all. No disk that is full undoes a run."""
    if pictures.html is not None and keep.folder is not None:
        pictures = replace(pictures, also=keep.folder / PAGE)
    for wrong in pictures.drawn_if_possible(report, nodes, forecast_s):
        output.complain(wrong)
    lost = streams.unwritten() if report.executed else None
    if lost is not None:
        output.complain(f"{lost}; what is missing there is in the report that was kept")
    if keep.folder is not None:
        output.say(f"Report, plan and log are kept in {keep.folder}")


def wait_for_prefect(prefect: PrefectAtHand, console: Console) -> None:
    """Return once the flows are imported and their server is there; say what is waited for, and since when."""
    whose = "an embedded Prefect server starts, usually in 15 s" if prefect.embedded else f"asking {prefect.shown}"
    what = f"waiting for Prefect: {whose}"
    signs = signs_of(console)

    def tell(text: str) -> None:
        console.print(signs.plain(text), soft_wrap=True, markup=False)

    with ExitStack() as stack:
        if can_redraw(console):
            stack.enter_context(console.status(escape(signs.plain(what))))
        else:
            tell(what)
        if prefect.embedded is None:
            prefect.wait_until_ready(tell)  # before anything that takes time
        import shunter.flows.evacuate  # noqa: F401  takes a second or two, which an embedded server needs anyway

        if prefect.embedded is not None:
            prefect.wait_until_ready(tell)


async def _reported(job: Job, view: RunView, console: Console, requests: Requests, keep: Keep) -> Plan:
    """The report of the flow run; once there is one, it counts, whatever Prefect comes to."""
    try:
        return await _watched(job, view, console, requests, keep)
    except RunError as error:
        return error.plan
    except Exception as error:
        if keep.report is None:
            raise
        output.complain(f"the work is over, and Prefect could not be told how it ended ({error or repr(error)})")
        return keep.report


async def _watched(job: Job, view: RunView, console: Console, requests: Requests, keep: Keep) -> Plan:
    """The flow run with a display; requests to end ask it to stop."""
    stop = Control()
    async with AsyncExitStack() as stack:
        if can_redraw(console):
            screen = LiveScreen(view, job.title, console)
            audience: Audience = view
            tell: Callable[[str], None] = screen.note
            await stack.enter_async_context(screen)
        else:
            audience = lines = Lines(view, console)
            tell = lines.say
        stack.enter_context(requests.answered_by(_stopping(stop, view, tell)))
        stack.enter_context(_patient(keep, tell))
        witness = stack.enter_context(output.opened(job.log)) if job.log else None
        stack.enter_context(listening(audience, stop=stop, witness=witness, faults=job.faults, keep=keep))
        with run_needs_prefect(lambda: view.plan is not None):
            return await job.flow()


@contextmanager
def run_needs_prefect(begun: Callable[[], bool]) -> Iterator[None]:
    """Around a flow that is run here. Raises PrefectUnreachable where it breaks off at its server.

    `begun`: whether it may have touched something.
    """
    from shunter.flows.unanswered import told_as_unreachable

    def consequence() -> str:
        if begun():
            return ". The run had begun: look at the cluster before anything else, then start it again; it goes on"
        return "; nothing was touched. Look at the server (PREFECT_API_URL) and what stands in between, then try again"

    with told_as_unreachable("the run cannot go on without its Prefect server", consequence):
        yield


@contextmanager
def _patient(keep: Keep, tell: Callable[[str], None]) -> Iterator[None]:
    """Say what is waited for where a server that is silent delays the end of a run whose work is over."""
    loop, timers = asyncio.get_running_loop(), list[asyncio.TimerHandle]()

    def late() -> None:
        kept = f"its report is in {keep.folder}; " if keep.folder is not None else ""
        tell(f"the work is over; {kept}the Prefect server does not answer, and is waited for some minutes at most")

    keep.when_reported = lambda: timers.append(loop.call_later(LATE_S, late))
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


def asked_to_stop(view: RunView, *, again: bool) -> str:
    """What Ctrl-C comes to now, and what the second one does. Nodes that are away are brought back first."""
    names = [mover.vm for mover in view.running.values()]
    running, one = listed(names), len(names) == 1
    away = view.rolling.away if view.rolling is not None else []
    if again:
        stay = "stays where it is, unless it is" if one else "stay where they are, unless they are"
        told = f"{running} {stay} switching over already"
    else:
        told = f"{running} may finish; Ctrl-C again calls that off"
    said = [told] if running else ["no migration is under way"]
    if view.failover is not None:
        starting = listed([vm.vm for vm in view.failover.at(Fate.STARTING, Fate.LOST_SIGHT)])
        of_starts = f"the start of {starting} is waited for" if starting else "no VM is being started"
        said = [of_starts, *([told] if running else [])]
    if away:
        left_s = max(turn.back_s(view.elapsed_s) for turn in away) - view.elapsed_s
        verb = "is" if len(away) == 1 else "are"
        said.append(
            f"{listed([turn.node for turn in away])} {verb} away and brought back first, about {duration(left_s)}"
        )
    return f"{'Calling off: ' if again else 'Stopping: nothing new starts; '}{'; '.join(said)}."


def _stopping(stop: Control, view: RunView, tell: Callable[[str], None]) -> Callable[[], None]:
    """Asked once: nothing new starts, what runs finishes. Once more: what runs is called off. Never just an end."""

    def ask() -> None:
        again = stop.asked
        stop.request(running="cancel" if again else "finish")
        view.stopping = True
        tell(asked_to_stop(view, again=again))

    return ask
