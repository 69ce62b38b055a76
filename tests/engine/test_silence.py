"""A cluster that does not answer: no wait is without end, and what had been touched is said."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from building import cluster, node, vm
from virtual import Notes, in_virtual_time

from shunter.clusters.clock import Clock
from shunter.clusters.port import Unreachable
from shunter.clusters.simulated import Fault, SimulatedCluster
from shunter.clusters.simulated.faults import When
from shunter.engine.evacuate import evacuate
from shunter.engine.failover import fail_over
from shunter.engine.holds import OwnHolds
from shunter.engine.looking import look
from shunter.engine.maintain import maintain
from shunter.engine.resume import resume
from shunter.topology.homes import Before
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.rolling import RollingPolicy


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


class StoodStill(SimulatedCluster):
    """The first look falls into an hour in which this process stands still; its connection is broken afterwards."""

    looks = 0

    async def look(self) -> Cluster:
        self.looks += 1
        if self.looks == 1:
            await self.clock.sleep(3600.0)
            self.clock.missed(3600.0)
            raise Unreachable("the connection to the cluster test broke")
        return await super().look()


def test_a_look_that_fails_after_a_standstill_is_repeated_as_patiently_as_any() -> None:
    async def story() -> Cluster:
        world = StoodStill(cluster(2, [vm("web")]), clock=Clock())
        return await look(world)

    assert in_virtual_time(story).name == "test"


class NoNews(SimulatedCluster):
    """Can be looked at and told what to do, but the wait for a change always breaks off."""

    async def wait_for_change(self, *_: object, **__: object) -> None:
        raise Unreachable("the connection to the cluster test broke")


VMS = [vm(f"vm-{i}", "N2", memory_mib=8192) for i in range(3)]


def emptied(world: SimulatedCluster) -> Awaitable[Plan]:
    return evacuate(world, ["N2"], holds=OwnHolds(), audience=Notes())


def taken_back(world: SimulatedCluster) -> Awaitable[Plan]:
    before = Before({f"vm-{i}": "N1" for i in range(3)}, ours=True)
    return resume(world, "N1", failback="as-before", before=before, holds=OwnHolds(), audience=Notes())


def failed_over(world: SimulatedCluster) -> Awaitable[Plan]:
    return fail_over(world, ["N2"], holds=OwnHolds(), audience=Notes())


def maintained(world: SimulatedCluster) -> Awaitable[Plan]:
    return maintain(world, ["N2"], RollingPolicy(maintenance_s=300), holds=OwnHolds(), audience=Notes())


@pytest.mark.parametrize(
    ("procedure", "lost_at_s", "ok"),
    [(emptied, 5.0, True), (taken_back, 5.0, False), (failed_over, 0.0, True), (maintained, 5e5, True)],
)
def test_a_run_that_hears_of_no_change_looks_again_and_comes_to_its_end(
    procedure: Callable[[SimulatedCluster], Awaitable[Plan]], lost_at_s: float, ok: bool
) -> None:
    """N2 is lost meanwhile, the cluster restarts its VMs, and an answer is lost."""

    async def day() -> tuple[Plan, Cluster]:
        of = cluster([node("N1", state="paused", paused_by="us"), *(node(f"N{i}") for i in (2, 3, 4))], VMS)
        faults = [
            Fault(do="node_down", node="N2", at_s=lost_at_s),
            Fault(do="answer_lost", when=When(vm="vm-1"), moved=True),
        ]
        world = NoNews(of, clock=Clock(), faults=faults, reboot_s=300.0)
        await world.clock.sleep(0.001)
        report = await procedure(world)
        seen = await world.look()
        await world.close()
        return report, seen

    report, seen = in_virtual_time(day)
    assert (report.executed, report.ok) == (True, ok)
    assert {vm.state for vm in seen.vms} == {"running"}
