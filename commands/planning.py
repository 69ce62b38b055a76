"""`shunter plan …`: what would happen. Touches nothing, needs no Prefect."""

from __future__ import annotations

from collections.abc import Sequence

from shunter.commands import output
from shunter.commands.cluster_choice import cluster_of_file
from shunter.commands.output import Pictures
from shunter.topology.choosing import ReserveNodes
from shunter.topology.contradiction import with_contradiction
from shunter.topology.failover import lost_nodes, plan_failover
from shunter.topology.plan import Plan
from shunter.topology.planning import emptied_nodes, plan_evacuation
from shunter.topology.precautions import Precautions
from shunter.topology.preflight import with_requirements
from shunter.topology.repair import plan_repair


def evacuation(
    nodes: Sequence[str],
    cluster: str,
    *,
    reserve_nodes: ReserveNodes,
    precautions: Precautions,
    as_json: bool,
    pictures: Pictures,
) -> Plan:
    """Show the plan. Raises RequestError."""
    seen = cluster_of_file(cluster)
    planned = plan_evacuation(seen, nodes, reserve_nodes, precautions)
    found = with_requirements(seen, with_contradiction(seen, planned, emptied_nodes(seen, nodes)))
    output.show(found, emptied_nodes(seen, nodes), seen, as_json=as_json, pictures=pictures)
    return found


def repair(cluster: str, *, reserve_nodes: ReserveNodes, as_json: bool, pictures: Pictures) -> Plan:
    """Show the plan. Raises RequestError."""
    seen = cluster_of_file(cluster)
    found = with_requirements(seen, with_contradiction(seen, plan_repair(seen, reserve_nodes)))
    output.show(found, (), seen, as_json=as_json, pictures=pictures)
    return found


def failover(nodes: Sequence[str], cluster: str, *, as_json: bool, pictures: Pictures) -> Plan:
    """Show what would happen. Raises RequestError.

    Of what stands against runs nothing stands against this: the cluster restarts VMs by itself, and no VM moves live.
    """
    seen = cluster_of_file(cluster)
    found = plan_failover(seen, nodes)
    output.show(found, lost_nodes(seen, nodes), seen, as_json=as_json, pictures=pictures)
    return found
