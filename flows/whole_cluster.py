"""One rolling run a cluster at a time, and nothing else into its way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shunter.flows.errors import RunRefused
from shunter.flows.lock_server import LEASE_S
from shunter.flows.locks import PrefectHold, PrefectHolds, cluster_limit_name


@dataclass(slots=True)
class WholeCluster:
    """What a rolling run holds for its whole length; the lease is renewed in the background."""

    holds: PrefectHolds
    hold: PrefectHold

    @classmethod
    @asynccontextmanager
    async def held(cls, holds: PrefectHolds, cluster: str) -> AsyncIterator[WholeCluster]:
        """Raises RunRefused where another rolling run has it, and PrefectUnreachable."""
        hold = await holds.try_hold_cluster()
        if hold is None:
            await refuse_beside_rolling(holds, cluster)
            raise RunRefused(
                f"the lock {cluster_limit_name(cluster)} cannot be taken, so that nobody could keep a second rolling "
                "run away; the log of the run says why. Nothing was touched"
            )
        whole = cls(holds, hold)
        try:
            yield whole
        finally:
            await whole.hold.release()

    async def still_ours(self) -> bool:
        """Whether no other rolling run has it. A lease that ran out is taken again if nobody did so."""
        if self.hold.lost:
            again = await self.holds.try_hold_cluster()
            if again is None:
                return False
            self.hold = again
        return True


async def refuse_beside_rolling(holds: PrefectHolds, cluster: str) -> None:
    """Raises RunRefused where a rolling run is under way, and PrefectUnreachable where nobody can tell."""
    if await holds.cluster_is_held():
        raise RunRefused(
            f"a rolling run is under way on {cluster}: wait until it is over, or stop it. Nothing was touched. If it "
            f"died, its lock ends by itself within {LEASE_S:g} s, or at once with "
            f"`prefect gcl update '{cluster_limit_name(cluster)}' --active-slots 0`"
        )
