"""The flow that checks whether a cluster is fit for live migration."""

from __future__ import annotations

from typing import Any, cast

from prefect import flow
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from shunter.flows.artifacts import leave_check
from shunter.flows.clusters import open_cluster
from shunter.flows.errors import UnfitCluster
from shunter.flows.markdown import check_headline
from shunter.flows.parameters import ClusterName, spoken
from shunter.flows.temporary_server import end_it_with_us
from shunter.topology.preflight import Check, check


def _name() -> str:
    return f"check {spoken(flow_run.get_parameters()['cluster'])}"


@flow(flow_run_name=_name, persist_result=False, retries=0)
async def check_cluster(cluster: ClusterName) -> Check:
    """Check everything that can be seen before a run, and what the loss of each node would mean. Touches nothing.

    Returns what was found. Raises UnfitCluster, which holds it, where something stands against every run on this
    cluster; RequestError (unknown cluster) and Unreachable.

    Args:
        cluster: The name of a registered cluster, or the path of a cluster file (ends in .json).
    """
    end_it_with_us()
    async with open_cluster(cluster) as port:
        found = check(await port.look())
    await leave_check(found)
    message = check_headline(found)
    state: Any = Completed(message=message, data=found)
    if not found.ok:
        state = Failed(name="Refused", message=message, data=UnfitCluster(found, message))
    return cast("Check", state)  # what is in the state is handed to the caller
