"""The flow that takes a whole cluster, or some of its nodes, through maintenance."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run

from shunter.clusters.port import Refused
from shunter.engine.maintain import Budget, maintain
from shunter.flows.approval import approved
from shunter.flows.parameters import (
    AnyNodeNames,
    ApprovalS,
    ClusterName,
    FailedNodes,
    MaintenanceS,
    Parallel,
    ReserveNodes,
    Retries,
    RunningMigrations,
    Speed,
    WindowS,
    spoken,
)
from shunter.flows.run import Means, carry_out
from shunter.topology.plan import Plan
from shunter.topology.rolling import RollingPolicy
from shunter.topology.rolling.policy import Failback, Prefer

ROLLING = "rolling maintenance"
"""What a rolling run locks besides nodes: one run a cluster."""


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
    failback: Failback = "none",
    first: AnyNodeNames = [],  # noqa: B006
    one_fault_domain: bool = False,
    retries: Retries = 0,
    failed_nodes: FailedNodes = 0,
    wait_for_approval_s: ApprovalS = None,
    speed: Speed = None,
    running_migrations_on_cancel: RunningMigrations = "finish",
) -> Plan:
    """Take nodes through maintenance: empty, reboot, prove that it is back, next; several at once where that is safe.

    Each VM moves as seldom as possible, and at every instant room is kept for the loss of one more node. One rolling
    run a cluster at a time. Started again, it goes on from where the cluster stands.

    Returns the report, also when it is done in part. Raises RefusedByFindings (nothing was touched), OutcomeInDoubt
    (look before anything else), RequestError (unknown cluster or node), Refused (another rolling run is under way, or
    the plan was not approved) and Unreachable.

    Args:
        cluster: The name of a registered cluster, or the path of a cluster file (ends in .json): a simulated
            cluster starts from it.
        nodes: The nodes to maintain; none means all.
        maintenance_s: How long the maintenance of one node takes, in seconds, from empty to back.
        parallel: How many nodes may be away at once at most; none means as many as is safe.
        reserve_nodes: How many further nodes may be lost at any moment of the run, with room left for their VMs.
        prefer: The shortest run, or the fewest moves (of those within the window, if there is one).
        window_s: The maintenance window in seconds from the start; no node leaves that would not be back by then.
        failback: Once all nodes are done, leave the VMs where they are, take each back, or spread them evenly.
        first: Nodes whose turns come first, in this order.
        one_fault_domain: Only nodes of one fault domain are away at the same time.
        retries: How often a node is tried again whose maintenance failed although it is up.
        failed_nodes: How many nodes may fail before no further one is begun.
        wait_for_approval_s: Show the plan and wait so long for somebody to approve it, before the first node.
        speed: How many times as fast as real time the simulated cluster of a cluster file runs.
        running_migrations_on_cancel: Let the migrations under way finish, or call them off.
    """
    policy = RollingPolicy(
        maintenance_s=maintenance_s,
        parallel=parallel,
        reserve_nodes=reserve_nodes,
        prefer=prefer,
        window_s=window_s,
        failback=failback,
        order=tuple(first),
        one_fault_domain=one_fault_domain,
    )
    if wait_for_approval_s is not None:
        await approved(cluster, nodes, policy, wait_for_approval_s)

    async def procedure(means: Means) -> Plan:
        alone = await means.holds.try_hold((ROLLING,))
        if alone is None:
            raise Refused(f"another rolling run is under way on {spoken(cluster)}: wait until it is over, or stop it")
        try:
            return await maintain(
                means.cluster,
                nodes,
                policy,
                holds=means.holds,
                audience=means.audience,
                start=means.start,
                control=means.stop,
                budget=Budget(failed_nodes=failed_nodes, retries=retries),
            )
        finally:
            await alone.release()

    return await carry_out(
        procedure,
        cluster,
        nodes=(),
        speed=speed,
        on_cancel=running_migrations_on_cancel,
        reboot_s=maintenance_s,
    )
