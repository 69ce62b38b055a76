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


@dataclass(frozen=True, slots=True)
class Recovery:
    """Of one cluster. Use `opened`. `left`: what there was when it was opened."""

    left: LeftBehind
    _server: PrefectServer
    _records: Records
    _port: ClusterPort
    _dead: dict[str, tuple[Claim, str]]

    @classmethod
    @asynccontextmanager
    async def opened(cls, cluster: str) -> AsyncIterator[Recovery]:
        """Touches nothing. Raises RequestError (no such cluster), Unreachable and PrefectUnreachable."""
        async with (
            PrefectServer.connected(LOG) as server,
            Records.opened(server, LOG, Control()) as records,
            open_cluster(cluster) as port,
        ):
            seen = await port.look()
            known = await server.insist(lambda: claims.read_claims(server, seen.name))
            dead: dict[str, tuple[Claim, str]] = {}
            for variable, claim in known.items():
                why = await server.insist(partial(claims.why_dead, server, claim))
                if why:
                    dead[variable] = claim, why
            alive = [claim for variable, claim in known.items() if variable not in dead]
            half = await _half_emptied(records, port, seen, alive)
            told = [DeadRun(name=claim.name, why=why, held=_held(claim)) for claim, why in dead.values()]
            yield cls(LeftBehind(cluster=seen.name, runs=tuple(told), nodes=half), server, records, port, dead)

    async def give_back(self, cluster: str) -> LeftBehind:
        """End the locks, let the nodes take VMs again; what is left after that.

        Raises RunError and PrefectUnreachable.
        """
        for variable, (claim, why) in self._dead.items():
            await self._server.insist(partial(claims.bury, self._server, variable, claim, why))
        for half in self.left.nodes:
            await resume_node(cluster, half.node, whoever_paused=True)
        async with Recovery.opened(cluster) as after:
            return after.left


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
