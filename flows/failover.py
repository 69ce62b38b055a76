"""The flow for nodes that are lost: what the cluster leaves lying is brought to run."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run

from shunter.engine.failover import fail_over
from shunter.flows.clusters import is_file
from shunter.flows.emptied_record import EmptiedRecord
from shunter.flows.handed import handed
from shunter.flows.parameters import ClusterName, NodeNames, Speed, StartWithinS, spoken
from shunter.flows.punctual import Punctual
from shunter.flows.run import Means, carry_out
from shunter.topology.plan import Plan


def _name() -> str:
    given = flow_run.get_parameters()
    return f"failover of {', '.join(spoken(node) for node in given['nodes'])} on {spoken(given['cluster'])}"


@flow(flow_run_name=_name, persist_result=False, retries=0)
async def failover(
    cluster: ClusterName, nodes: NodeNames, speed: Speed = None, start_within_s: StartWithinS = 3600.0
) -> Plan:
    """See to it that everything that ran on lost nodes runs again, as far as it can.

    The cluster restarts VMs by itself, and is waited for. What it leaves failed is started where it fits, the most
    important first; where memory is there and in too small pieces, others move on live. A VM that may still be running
    (its node isolated, not declared down) is not started. It works beside an evacuation or a rolling run, and keeps on
    the server where the VMs were, so that resume_node can take them back.

    Returns the report, also when it is done in part. Raises RefusedByFindings (nothing was touched: a node that is
    there, a quorum that is not), RequestError (unknown cluster or node) and Unreachable.

    Args:
        cluster: The name of a registered cluster, or the path of a cluster file (ends in .json): a simulated
            cluster starts from it.
        nodes: The nodes that are lost.
        speed: How many times as fast as real time the simulated cluster of a cluster file runs.
        start_within_s: Taken up later than so many seconds after it was due, a scheduled run is refused and touches
            nothing. A run that somebody starts counts from its start.
    """

    known = handed()
    before = known.before if known is not None else None

    async def procedure(means: Means) -> Plan:
        record = None
        if not is_file(cluster):  # a cluster that starts from a file ends with this run
            record = EmptiedRecord(
                means.cluster, nodes, means.log, means.records, flow_run.get_name(), before, pauses=False
            )
            await record.begin()
        report = await fail_over(
            means.cluster,
            nodes,
            holds=means.holds,
            audience=means.audience,
            start=means.start,
            stop=means.stop,
            before=before,
        )
        if record is not None:
            await record.close(report)
        return report

    return await carry_out(
        procedure, cluster, nodes=nodes, speed=speed, on_cancel="finish", punctual=Punctual(start_within_s), urgent=True
    )
