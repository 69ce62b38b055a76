"""The flow that empties nodes."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run

from shunter.engine.evacuate import evacuate
from shunter.flows.clusters import is_file
from shunter.flows.emptied_record import EmptiedRecord
from shunter.flows.parameters import (
    BackupLimitS,
    Backups,
    ClusterName,
    NodeNames,
    RefreshDrifted,
    ReserveNodes,
    RunningMigrations,
    Speed,
    StartWithinS,
    UndoPause,
    spoken,
)
from shunter.flows.punctual import Punctual
from shunter.flows.run import Means, carry_out
from shunter.topology.plan import Plan
from shunter.topology.precautions import Precautions


def _name() -> str:
    given = flow_run.get_parameters()
    return f"evacuate {', '.join(given['nodes'])} of {spoken(given['cluster'])}"


@flow(flow_run_name=_name, persist_result=False, retries=0)
async def evacuate_nodes(  # noqa: PLR0917 - each is a field of the form
    cluster: ClusterName,
    nodes: NodeNames,
    reserve_nodes: ReserveNodes = "auto",
    speed: Speed = None,
    running_migrations_on_cancel: RunningMigrations = "finish",
    undo_pause: UndoPause = False,
    backups: Backups = "hold",
    backup_limit_s: BackupLimitS = 3600.0,
    refresh_drifted: RefreshDrifted = False,
    start_within_s: StartWithinS = 3600.0,
) -> Plan:
    """Empty nodes of a cluster: pause them, move their VMs live, hand over what does not run, then look.

    No node takes part in two migrations at once, across all runs on one Prefect server. A VM that fits nowhere keeps
    running where it is; the report says why. A finished evacuation leaves its nodes paused, and keeps on the server
    where the VMs were, so that resume_node can take them back.

    Returns the report, also when it is done in part. Raises RefusedByFindings and RunRefused (nothing was touched; the
    latter while a rolling run is under way), OutcomeInDoubt (look before anything else), RequestError
    (unknown cluster or node) and Unreachable.

    Args:
        cluster: The name of a registered cluster, or the path of a cluster file (ends in .json): a simulated
            cluster starts from it.
        nodes: The nodes that are to be empty afterwards.
        reserve_nodes: How many further nodes may be lost at any moment of the run, with room left for their VMs.
            auto keeps the loss of one covered where it is covered at the start.
        speed: How many times as fast as real time the simulated cluster of a cluster file runs.
        running_migrations_on_cancel: Let the migrations under way finish, or call them off.
        undo_pause: Let the nodes take VMs again if the run is stopped before its end.
        backups: A VM whose backup is under way is held until that is done, and left where it is after backup_limit_s;
            or held so long, and moved then; or moved at once: its backup is then degraded to a plain copy.
        backup_limit_s: How long a run holds a VM for its backup, in seconds.
        refresh_drifted: Refresh the cluster's copy of VMs that were changed outside cluster tools, before they move.
        start_within_s: Taken up later than so many seconds after it was due, a scheduled run is refused and touches
            nothing. A run that somebody starts counts from its start.
    """
    precautions = Precautions(backups=backups, backup_limit_s=backup_limit_s, refresh_drifted=refresh_drifted)

    async def procedure(means: Means) -> Plan:
        record = None
        if not is_file(cluster):  # a cluster that starts from a file ends with this run
            record = EmptiedRecord(means.cluster, nodes, means.log, means.records, flow_run.get_name())
            await record.begin()
        report = await evacuate(
            means.cluster,
            nodes,
            reserve_nodes=reserve_nodes,
            precautions=precautions,
            holds=means.holds,
            audience=means.audience,
            start=means.start,
            stop=means.stop,
            undo_pause=undo_pause,
        )
        if record is not None:
            await record.close(report)
        return report

    return await carry_out(
        procedure,
        cluster,
        nodes=nodes,
        speed=speed,
        on_cancel=running_migrations_on_cancel,
        punctual=Punctual(start_within_s),
    )
