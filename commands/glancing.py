"""`shunter status`: how a cluster stands. Touches nothing; of a cluster file it needs no Prefect."""

# ruff: noqa: PLC0415  (Prefect, for registered clusters alone, reads its settings while it is imported)
from __future__ import annotations

import asyncio
import sys
from contextlib import closing

from shunter.commands import output
from shunter.commands.checking import Patience
from shunter.commands.cluster_choice import cluster_of_file, is_file
from shunter.commands.screens.status import StatusScreen
from shunter.topology.model import Cluster
from shunter.topology.status import Status, status


def glance(cluster: str, *, as_json: bool) -> Status:
    """Show it. Raises RequestError, Unreachable and PrefectUnreachable."""
    seen, runs = (cluster_of_file(cluster), dict[str, str]()) if is_file(cluster) else _registered(cluster)
    with closing(Patience()) as patience:
        found = status(seen, patience.decided, paused_by_run=runs)
    if as_json:
        sys.stdout.buffer.write(found.to_json().encode() + b"\n")
        sys.stdout.flush()
    else:
        StatusScreen(found, output.results()).print()
    return found


def _registered(name: str) -> tuple[Cluster, dict[str, str]]:
    """A look at the cluster of this name, which the Prefect server knows how to reach, and which runs paused nodes."""
    from shunter.commands.running import wait_for_prefect
    from shunter.flows.settings import prefect_at_hand

    with prefect_at_hand(quiet=True) as prefect:
        wait_for_prefect(prefect, output.messages())
        return asyncio.run(_look(name))


async def _look(name: str) -> tuple[Cluster, dict[str, str]]:
    from shunter.flows.clusters import open_cluster
    from shunter.flows.pauses import paused_by_runs

    async with open_cluster(name) as port:
        seen = await port.look()
        return seen, await paused_by_runs(port, seen)
