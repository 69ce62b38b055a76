"""One rolling run a cluster at a time, and nothing else into its way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shunter.engine.holds import Denied
from shunter.engine.stop import Stop
from shunter.flows.errors import RunRefused
from shunter.flows.locks import PrefectHold, PrefectHolds, cluster_limit_name


@dataclass(slots=True)
class WholeCluster:
    """What a rolling run holds for its whole length; the lease is renewed in the background."""

    holds: PrefectHolds
    hold: PrefectHold

    @classmethod
    @asynccontextmanager
    async def held(cls, holds: PrefectHolds, cluster: str, stop: Stop | None = None) -> AsyncIterator[WholeCluster]:
        """Raises RunRefused where another rolling run has it, and PrefectUnreachable."""
        hold = await holds.server.insist(holds.try_hold_cluster, stop)
        if isinstance(hold, Denied):
            raise _refused(cluster, str(hold))
        whole = cls(holds, hold)
        try:
            yield whole
        finally:
            await whole.hold.release()

    async def why_not_ours(self) -> str:
        """Empty while no other rolling run has it. A lease that ran out is taken again if nobody did so. Raises
        PrefectUnreachable.
        """
        if self.hold.lost:
            again = await self.holds.server.insist(self.holds.try_hold_cluster)
            if isinstance(again, Denied):
                return str(again)
            self.hold = again
        return ""


async def refuse_beside_rolling(holds: PrefectHolds, cluster: str, stop: Stop | None = None) -> None:
    """Raises RunRefused where a rolling run is under way, and PrefectUnreachable where nobody can tell."""
    held = await holds.server.insist(holds.who_holds_cluster, stop)
    if held:
        raise _refused(cluster, f"the whole cluster {held}")


def _refused(cluster: str, why: str) -> RunRefused:
    return RunRefused(
        f"a rolling run is under way on {cluster}: wait until it is over, or stop it. Nothing was touched ({why}). "
        f"If it died, its lock ends by itself, or at once with "
        f"`prefect gcl update '{cluster_limit_name(cluster)}' --active-slots 0`"
    )
