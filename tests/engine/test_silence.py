"""A cluster that does not answer: no wait is without end, and what had been touched is said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from building import cluster, vm
from virtual import Notes, in_virtual_time

from shunter.clusters.clock import Clock
from shunter.clusters.port import Unreachable
from shunter.clusters.simulated import SimulatedCluster
from shunter.engine.evacuate import evacuate
from shunter.engine.holds import OwnHolds
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan


class Silent(SimulatedCluster):
    """Does what it is told, but answers some verbs never; after `deaf_from_s` it cannot be looked at."""

    def __init__(self, of: Cluster, verb: str = "", deaf_from_s: float = float("inf")) -> None:
        super().__init__(of, clock=Clock())
        self.verb, self.deaf_from_s = verb, deaf_from_s

    async def look(self) -> Cluster:
        if self.clock.now_s() >= self.deaf_from_s:
            raise Unreachable("the cluster test cannot be reached")
        return await super().look()

    async def _never(self, verb: str) -> None:
        if self.verb == verb:
            await asyncio.sleep(80_000)

    async def pause_node(self, node: str) -> None:
        await super().pause_node(node)
        await self._never("pause_node")

    async def move_role(self, name: str, target: str) -> None:
        await super().move_role(name, target)
        await self._never("move_role")

    async def move_volume(self, volume: str, target: str) -> None:
        await super().move_volume(volume, target)
        await self._never("move_volume")


OF = {"volumes": [{"name": "CSV1", "owner": "N1"}]}


def evacuated(make: Callable[[Cluster], Silent]) -> tuple[Plan, float]:
    async def night() -> tuple[Plan, float]:
        world = make(cluster(3, [vm("web"), vm("old", state="off")], **OF))
        report = await evacuate(world, ["N1"], holds=OwnHolds(), audience=Notes())
        return report, world.clock.now_s()

    return in_virtual_time(night)


@pytest.mark.parametrize("verb", ["pause_node", "move_role", "move_volume"])
def test_an_order_that_is_never_answered_is_looked_after_when_its_deadline_has_passed(verb: str) -> None:
    report, ended_s = evacuated(lambda of: Silent(of, verb))
    assert report.ok
    assert ended_s < 600


@pytest.mark.parametrize(("verb", "deaf_from_s"), [("pause_node", 0.001), ("", 3.0)])
def test_a_cluster_that_stays_out_of_reach_ends_the_run_with_what_had_been_touched(
    verb: str, deaf_from_s: float
) -> None:
    with pytest.raises(Unreachable, match=r"this run had paused (N1|nothing) and moved .*: look at these"):
        evacuated(lambda of: Silent(of, verb, deaf_from_s))
