"""The flow that brings a node back."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run

from shunter.engine.looking import look
from shunter.engine.resume import resume
from shunter.flows.clusters import is_file
from shunter.flows.emptied_record import forget, known_before, note_return
from shunter.flows.parameters import (
    BackupLimitS,
    Backups,
    ClusterName,
    FailbackOfNode,
    Homes,
    OneNode,
    RefreshDrifted,
    ReserveNodes,
    RunningMigrations,
    Speed,
    StartWithinS,
    WhoeverPaused,
    spoken,
)
from shunter.flows.punctual import Punctual
from shunter.flows.run import Means, carry_out
from shunter.topology.homes import Before, homes_given
from shunter.topology.plan import Plan
from shunter.topology.precautions import Precautions


def _name() -> str:
    given = flow_run.get_parameters()
    return f"resume {given['node']} of {spoken(given['cluster'])}"


@flow(flow_run_name=_name, persist_result=False, retries=0)
async def resume_node(  # noqa: PLR0917 - each is a field of the form
    cluster: ClusterName,
    node: OneNode,
    failback: FailbackOfNode = "none",
    homes: Homes = None,
    reserve_nodes: ReserveNodes = "auto",
    whoever_paused: WhoeverPaused = False,
    speed: Speed = None,
    running_migrations_on_cancel: RunningMigrations = "finish",
    backups: Backups = "hold",
    backup_limit_s: BackupLimitS = 3600.0,
    refresh_drifted: RefreshDrifted = False,
    start_within_s: StartWithinS = 3600.0,
) -> Plan:
    """Bring a node back: prove by a fresh look that it is healthy, let it take VMs again, and take VMs back to it.

    A node that no run of Shunter paused stays paused, unless that is asked for. Nobody must move back: a VM that may
    not, or whose move would spend the reserve, runs on where it is, and the report says why.

    Returns the report, also when it is done in part. Raises RefusedByFindings and RunRefused (nothing was touched; the
    latter while a rolling run is under way), OutcomeInDoubt (look before anything else), RequestError
    (unknown cluster or node) and Unreachable.

    Args:
        cluster: The name of a registered cluster, or the path of a cluster file (ends in .json): a simulated
            cluster starts from it.
        node: The node that is to take VMs again.
        failback: Move no VM; or those whose first preferred owner that is up it is; or each VM back to where it was
            before the run that emptied this node, which the record of that run tells.
        homes: For as-before, in place of that record: VM and the node where it was.
        reserve_nodes: How many further nodes may be lost at any moment of the moves, with room left for their VMs.
            auto keeps the loss of one covered where it is covered at the start.
        whoever_paused: Resume it also if somebody else paused it, or if nobody knows who did.
        speed: How many times as fast as real time the simulated cluster of a cluster file runs.
        running_migrations_on_cancel: Let the migrations under way finish, or call them off.
        backups: A VM whose backup is under way is held until that is done, and left where it is after backup_limit_s;
            or held so long, and moved then; or moved at once: its backup is then degraded to a plain copy.
        backup_limit_s: How long a run holds a VM for its backup, in seconds.
        refresh_drifted: Refresh the cluster's copy of VMs that were changed outside cluster tools, before they move.
        start_within_s: Taken up later than so many seconds after it was due, a scheduled run is refused and touches
            nothing. A run that somebody starts counts from its start.
    """
    precautions = Precautions(backups=backups, backup_limit_s=backup_limit_s, refresh_drifted=refresh_drifted)

    async def procedure(means: Means) -> Plan:
        recorded = not is_file(cluster)  # a cluster that starts from a file ends with this run
        seen = await look(means.cluster)
        name = seen.find_node(node).name
        before = await known_before(means.records, means.cluster, seen, name, means.log) if recorded else None
        if homes is not None:
            before = Before(homes_given(seen, homes), ours=before is not None and before.ours)
        report = await resume(
            means.cluster,
            name,
            failback=failback,
            before=before,
            reserve_nodes=reserve_nodes,
            whoever_paused=whoever_paused,
            precautions=precautions,
            holds=means.holds,
            audience=means.audience,
            start=means.start,
            stop=means.stop,
        )
        if recorded and report.ok and failback == "as-before":
            await forget(means.records, seen.name, name)
        elif recorded and report.executed:
            after = await look(means.cluster)
            if after.node_by_name[name].state == "up":
                await note_return(means.records, means.cluster, after, name, means.log)
        return report

    return await carry_out(
        procedure,
        cluster,
        nodes=(),
        speed=speed,
        on_cancel=running_migrations_on_cancel,
        punctual=Punctual(start_within_s),
    )
