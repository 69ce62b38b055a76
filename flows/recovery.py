"""What runs that died have left behind on a cluster, and giving it back: locks, pauses, half-emptied nodes (I8)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from shunter.clusters.port import ClusterPort
from shunter.engine.control import Control
from shunter.flows import claims, emptied_record, rolling_record
from shunter.flows.claims import Claim
from shunter.flows.clusters import open_cluster
from shunter.flows.records import Records
from shunter.flows.resume import resume_node
from shunter.flows.server import PrefectServer
from shunter.topology.model import Cluster
from shunter.topology.recovery import DeadRun, HalfEmptied, LeftBehind

LOG = logging.getLogger(__name__)


async def left_behind(cluster: str) -> LeftBehind:
    """Touches nothing. Raises RequestError (no such cluster), Unreachable and PrefectUnreachable."""
    async with _looked(cluster) as found:
        return found.left


async def give_back(cluster: str) -> LeftBehind:
    """End the locks of dead runs, let the nodes that they paused take VMs again; what is left after that.

    Raises RunError and RunRefused (a node cannot be brought back), and what `left_behind` raises.
    """
    async with _looked(cluster) as found:
        for variable, (claim, why) in found.dead.items():
            await found.server.insist(partial(claims.bury, found.server, variable, claim, why))
        for half in found.left.nodes:
            await resume_node(cluster, half.node, whoever_paused=True)
    return await left_behind(cluster)


@dataclass(frozen=True, slots=True)
class _Found:
    """`dead`: the claims of dead runs, by the names of their variables, and what proves that they are dead."""

    left: LeftBehind
    server: PrefectServer
    dead: dict[str, tuple[Claim, str]]


@asynccontextmanager
async def _looked(cluster: str) -> AsyncIterator[_Found]:
    async with (
        PrefectServer.connected(LOG) as server,
        Records.opened(server, LOG, Control()) as records,
        open_cluster(cluster) as port,
    ):
        seen = await port.look()
        known = await server.insist(partial(claims.read_claims, server, seen.name))
        dead: dict[str, tuple[Claim, str]] = {}
        for variable, claim in known.items():
            if why := await server.insist(partial(claims.why_dead, server, claim)):
                dead[variable] = claim, why
        alive = [claim for variable, claim in known.items() if variable not in dead]
        half = await _half_emptied(records, port, seen, alive)
        told = [DeadRun(name=claim.name, why=why, held=_held(claim)) for claim, why in dead.values()]
        yield _Found(LeftBehind(cluster=seen.name, runs=tuple(told), nodes=half), server, dead)


def _held(claim: Claim) -> tuple[str, ...]:
    return tuple(dict.fromkeys(subject for each in claim.leases.values() for subject in each))


async def _half_emptied(
    records: Records, port: ClusterPort, seen: Cluster, alive: list[Claim]
) -> tuple[HalfEmptied, ...]:
    """Nodes paused by a run that did not come to its end, and does not live. Raises PrefectUnreachable."""
    names = {claim.name for claim in alive}
    left = dict(await emptied_record.begun(records, port, seen, LOG))
    if not any("the whole cluster" in _held(claim) for claim in alive):
        for node, run in (await rolling_record.left_paused(records, seen, LOG)).items():
            left.setdefault(node, run)
    return tuple(
        HalfEmptied(
            node=node, run=run or "a run", vms=tuple(vm.name for vm in seen.vms_by_node[node] if vm.holds_memory)
        )
        for node, run in left.items()
        if run not in names
    )
