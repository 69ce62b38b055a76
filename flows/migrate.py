"""The flow that moves one VM."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run

from shunter.engine.move_one import move_one
from shunter.flows.parameters import (
    BackupLimitS,
    Backups,
    ClusterName,
    OneVm,
    RefreshDrifted,
    RunningMigrations,
    Speed,
    StartWithinS,
    TargetNode,
    spoken,
)
from shunter.flows.punctual import Punctual
from shunter.flows.run import Means, carry_out
from shunter.topology.plan import Plan
from shunter.topology.precautions import Precautions


def _name() -> str:
    given = flow_run.get_parameters()
    return f"migrate {given['vm']} to {given['target']} in {spoken(given['cluster'])}"


@flow(flow_run_name=_name, persist_result=False, retries=0)
async def live_migrate(  # noqa: PLR0917 - each is a field of the form
    cluster: ClusterName,
    vm: OneVm,
    target: TargetNode,
    speed: Speed = None,
    running_migrations_on_cancel: RunningMigrations = "finish",
    backups: Backups = "hold",
    backup_limit_s: BackupLimitS = 3600.0,
    refresh_drifted: RefreshDrifted = False,
    start_within_s: StartWithinS = 3600.0,
) -> Plan:
    """Move one running VM to a node of your choice, without interrupting it.

    Returns the report. Raises RefusedByFindings and RunRefused (nothing was touched; the
    latter while a rolling run is under way), OutcomeInDoubt (look before anything else), RequestError
    (unknown cluster, VM or node) and Unreachable.

    Args:
        cluster: The name of a registered cluster, or the path of a cluster file (ends in .json): a simulated
            cluster starts from it.
        vm: The VM to move.
        target: The node it moves to.
        speed: How many times as fast as real time the simulated cluster of a cluster file runs.
        running_migrations_on_cancel: Let the migration finish, or call it off.
        backups: A VM whose backup is under way is held until that is done, and left where it is after backup_limit_s;
            or held so long, and moved then; or moved at once: its backup is then degraded to a plain copy.
        backup_limit_s: How long a run holds a VM for its backup, in seconds.
        refresh_drifted: Refresh the cluster's copy of VMs that were changed outside cluster tools, before they move.
        start_within_s: Taken up later than so many seconds after it was due, a scheduled run is refused and touches
            nothing. A run that somebody starts counts from its start.
    """
    precautions = Precautions(backups=backups, backup_limit_s=backup_limit_s, refresh_drifted=refresh_drifted)

    async def procedure(means: Means) -> Plan:
        return await move_one(
            means.cluster,
            vm,
            target,
            precautions=precautions,
            holds=means.holds,
            audience=means.audience,
            start=means.start,
            stop=means.stop,
        )

    return await carry_out(
        procedure,
        cluster,
        nodes=(),
        speed=speed,
        on_cancel=running_migrations_on_cancel,
        punctual=Punctual(start_within_s),
    )
