"""The flow that brings a cluster in order."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run

from shunter.engine.repair import repair
from shunter.flows.parameters import ClusterName, ReserveNodes, RunningMigrations, Speed, StartWithinS, spoken
from shunter.flows.punctual import Punctual
from shunter.flows.run import Means, carry_out
from shunter.topology.plan import Plan


def _name() -> str:
    return f"repair {spoken(flow_run.get_parameters()['cluster'])}"


@flow(flow_run_name=_name, persist_result=False, retries=0)
async def repair_placement(
    cluster: ClusterName,
    reserve_nodes: ReserveNodes = "auto",
    speed: Speed = None,
    running_migrations_on_cancel: RunningMigrations = "finish",
    start_within_s: StartWithinS = 3600.0,
) -> Plan:
    """Make the fewest live moves after which no VM stands where a rule or a lack of memory forbids it.

    Returns the report, also when it is done in part. Raises RefusedByFindings and RunRefused (nothing was touched; the
    latter while a rolling run is under way), OutcomeInDoubt (look before anything else), RequestError
    (unknown cluster) and Unreachable.

    Args:
        cluster: The name of a registered cluster, or the path of a cluster file (ends in .json): a simulated
            cluster starts from it.
        reserve_nodes: How many further nodes may be lost at any moment of the run, with room left for their VMs.
            auto keeps the loss of one covered where it is covered at the start.
        speed: How many times as fast as real time the simulated cluster of a cluster file runs.
        running_migrations_on_cancel: Let the migrations under way finish, or call them off.
        start_within_s: Taken up later than so many seconds after it was due, a scheduled run is refused and touches
            nothing. A run that somebody starts counts from its start.
    """

    async def procedure(means: Means) -> Plan:
        return await repair(
            means.cluster,
            reserve_nodes=reserve_nodes,
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
