"""Which run paused the nodes that are paused now, and what for, as the records of runs tell (I8)."""

from __future__ import annotations

import logging

from shunter.clusters.port import ClusterPort
from shunter.engine.control import Control
from shunter.flows import emptied_record, rolling_record
from shunter.flows.records import Records
from shunter.flows.server import PrefectServer
from shunter.topology.model import Cluster

LOG = logging.getLogger(__name__)


async def paused_by_runs(cluster: ClusterPort, seen: Cluster) -> dict[str, str]:
    """Node → run and purpose, of those that runs recorded. `seen`: a look at the cluster. Raises PrefectUnreachable."""
    if not any(node.state == "paused" and node.paused_by != "elsewhere" for node in seen.nodes):
        return {}
    async with PrefectServer.connected(LOG) as server, Records.opened(server, LOG, Control()) as records:
        emptied = await emptied_record.paused_by(records, cluster, seen, LOG)
        return emptied | await rolling_record.paused_by(records, seen, LOG)
