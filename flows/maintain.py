"""The flow that takes a whole cluster, or some of its nodes, through maintenance."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run

from shunter.engine.maintain import Budget
from shunter.flows.actions import own_work
from shunter.flows.approval import approved
from shunter.flows.errors import RunRefused
from shunter.flows.parameters import (
    Action,
    AnyNodeNames,
    Apart,
    ApprovalS,
    BackupLimitS,
    Backups,
    ClusterName,
    Failback,
    FailedNodes,
    FirstNodes,
    GoOnWithinS,
    MaintenanceS,
    OneFaultDomain,
    OwnAction,
    Parallel,
    Prefer,
    RefreshDrifted,
    ReserveNodes,
    Retries,
    RunningMigrations,
    Speed,
    StartWithinS,
    StopAfterS,
    WarnAfterS,
    WindowS,
    spoken,
)
from shunter.flows.punctual import Punctual
from shunter.flows.rolling import RollingRun
from shunter.flows.run import carry_out, refused
from shunter.topology.plan import Plan
from shunter.topology.precautions import Precautions
from shunter.topology.rolling import RollingPolicy

THREE_DAYS_S = 3 * 86_400.0


def _name() -> str:
    given = flow_run.get_parameters()
    return f"maintain {', '.join(given['nodes']) or 'all nodes'} of {spoken(given['cluster'])}"


@flow(flow_run_name=_name, persist_result=False, retries=0)
async def rolling_maintenance(  # noqa: PLR0917 - each is a field of the form
    cluster: ClusterName,
    nodes: AnyNodeNames = [],  # noqa: B006 - Prefect shows it in the form; it is never changed
    maintenance_s: MaintenanceS = 900.0,
    parallel: Parallel = None,
    reserve_nodes: ReserveNodes = "auto",
    prefer: Prefer = "time",
    window_s: WindowS = None,
    start_within_s: StartWithinS = 3600.0,
    failback: Failback = "none",
    first: FirstNodes = [],  # noqa: B006
    apart: Apart = [],  # noqa: B006
    one_fault_domain: OneFaultDomain = False,
    action: Action = "reboot",
    own_action: OwnAction = None,
    retries: Retries = 0,
    failed_nodes: FailedNodes = 0,
    warn_after_s: WarnAfterS = None,
    stop_after_s: StopAfterS = None,
    wait_for_approval_s: ApprovalS = None,
    go_on_within_s: GoOnWithinS = THREE_DAYS_S,
    speed: Speed = None,
    running_migrations_on_cancel: RunningMigrations = "finish",
    backups: Backups = "hold",
    backup_limit_s: BackupLimitS = 3600.0,
    refresh_drifted: RefreshDrifted = False,
) -> Plan:
    """Take nodes through maintenance: empty, reboot, prove that it is back, next; several at once where that is safe.

    Each VM moves as seldom as possible, and at every instant room is kept for the loss of one more node. One rolling
    run a cluster at a time, and no other run beside it. Started again, it goes on from where the cluster stands.
    While it is under way `steer_rolling_maintenance` holds it, lets it go on, skips a node or stops it.

    Returns the report, also when it is done in part. Raises RefusedByFindings and RunRefused (nothing was touched:
    another rolling run is under way, or the plan was not approved), OutcomeInDoubt (look before anything else),
    RequestError (unknown cluster, node or action), Unreachable and PrefectUnreachable.

    Args:
        cluster: The name of a registered cluster, or the path of a cluster file (ends in .json): a simulated
            cluster starts from it.
        nodes: The nodes to maintain; none means all.
        maintenance_s: How long the maintenance of one node takes, in seconds, from empty to back. After three times
            that (at least 15 minutes) it counts as failed.
        parallel: How many nodes may be away at once at most; none means as many as is safe.
        reserve_nodes: How many further nodes may be lost at any moment of the run, with room left for their VMs.
            auto keeps the loss of one covered where it is covered at the start.
        prefer: The shortest run, or the fewest moves (of those within the window, if there is one).
        window_s: The maintenance window in seconds, from when the run was due by its schedule, else from its first
            start; no node leaves that would not be back by then. Waiting for approval and being tried again count.
        start_within_s: Taken up later than so many seconds after it was due, a scheduled run is refused and touches
            nothing, also when it was approved or is tried again so late. A run that somebody starts is never too late.
        failback: Once all nodes are done, leave the VMs where they are, take each back, or spread them evenly.
        first: Nodes whose turns come first, in this order.
        apart: Groups of nodes of which no two may be away at once, such as nodes that hold copies of each other.
        one_fault_domain: Only nodes of one fault domain are away at the same time.
        action: Restart the node; or wait until somebody has maintained it by hand and says so, by
            steer_rolling_maintenance.
        own_action: In place of both, a coroutine function of your own, as package.module:function, installed for the
            worker. It is given the node's name; it has maintained the node when it returns, and failed when it raises.
        retries: How often a node is tried again whose maintenance failed although it is up.
        failed_nodes: How many nodes may fail before no further one is begun.
        warn_after_s: When people are told that the run still goes on, in seconds that count like the window's: a log
            line and the event shunter.run.warning.
        stop_after_s: From when on no node leaves that would not be back by then, in seconds that count like the
            window's. Unlike the window it does not change the plan.
        wait_for_approval_s: Show the plan and wait so long for somebody to approve it, before the first node.
        go_on_within_s: A run of this cluster that did not finish is gone on with if it ended at most so long ago: nodes
            that were restarted since it began count as done. 0 begins anew.
        speed: How many times as fast as real time the simulated cluster of a cluster file runs.
        running_migrations_on_cancel: Let the migrations under way finish, or call them off.
        backups: A VM whose backup is under way is held until that is done, and left where it is after backup_limit_s;
            or held so long, and moved then; or moved at once: its backup is then degraded to a plain copy.
        backup_limit_s: How long a run holds a VM for its backup, in seconds.
        refresh_drifted: Refresh the cluster's copy of VMs that were changed outside cluster tools, before they move.
    """
    policy = RollingPolicy(
        maintenance_s=maintenance_s,
        parallel=parallel,
        reserve_nodes=reserve_nodes,
        prefer=prefer,
        window_s=window_s,
        failback=failback,
        order=tuple(first),
        apart=tuple(map(tuple, apart)),
        one_fault_domain=one_fault_domain,
        precautions=Precautions(backups=backups, backup_limit_s=backup_limit_s, refresh_drifted=refresh_drifted),
    )
    run = RollingRun(
        cluster,
        tuple(nodes),
        policy,
        Budget(failed_nodes=failed_nodes, retries=retries, warn_after_s=warn_after_s, stop_after_s=stop_after_s),
        action,
        own_work(own_action) if own_action else None,
        go_on_within_s,
    )
    punctual = Punctual(start_within_s, min(filter(None, (window_s, stop_after_s)), default=None), maintenance_s)
    try:
        if wait_for_approval_s is not None:
            await approved(cluster, nodes, policy, wait_for_approval_s, punctual)
    except RunRefused as error:
        return refused(error)
    return await carry_out(
        run.procedure,
        cluster,
        nodes=(),
        speed=speed,
        on_cancel=running_migrations_on_cancel,
        punctual=punctual,
        rolling=True,
        reboot_s=maintenance_s,
    )
