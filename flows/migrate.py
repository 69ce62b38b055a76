"""The flow that moves one VM."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run

from shunter.engine.move_one import move_one
from shunter.flows.parameters import ClusterName, NodeName, RunningMigrations, Speed, VmName, spoken
from shunter.flows.run import Means, carry_out
from shunter.topology.plan import Plan


def _name() -> str:
    given = flow_run.get_parameters()
    return f"migrate {given['vm']} to {given['target']} in {spoken(given['cluster'])}"


@flow(flow_run_name=_name, persist_result=False, retries=0)
async def live_migrate(
    cluster: ClusterName,
    vm: VmName,
    target: NodeName,
    speed: Speed = None,
    running_migrations_on_cancel: RunningMigrations = "finish",
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
    """

    async def procedure(means: Means) -> Plan:
        return await move_one(
            means.cluster,
            vm,
            target,
            holds=means.holds,
            audience=means.audience,
            start=means.start,
            stop=means.stop,
        )

    return await carry_out(procedure, cluster, nodes=(), speed=speed, on_cancel=running_migrations_on_cancel)
