"""A watch of many days holds no more at its end than after a while."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
from building import cluster, vm
from virtual import in_virtual_time

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import Fault, SimulatedCluster
from shunter.engine import watch as watch_module
from shunter.engine.watch import Glance, NoWatcher, WatchPolicy, watch
from shunter.topology.watching.report import Watch

DAY_S = 86_400.0
DAYS = 12
KEPT = 100
OF = cluster(4, [vm(f"vm-{i}", f"N{i % 4 + 1}") for i in range(16)])


def daily() -> list[Fault]:
    """Each hour a backup; each quarter of a day a node is lost and comes back. What happens each time is the same."""
    faults: list[Fault] = []
    for hour in range(DAYS * 24):
        at_s, name, node = hour * 3600 + 60.0, f"vm-{hour % 16}", f"N{hour // 6 % 4 + 1}"
        faults += [Fault(do="backup_starts", vm=name, at_s=at_s), Fault(do="backup_ends", vm=name, at_s=at_s + 900)]
        if hour % 6 == 0:
            faults += [
                Fault(do="node_down", node=node, at_s=at_s + 60),
                Fault(do="node_up", node=node, at_s=at_s + 600),
            ]
    return faults


class Weighs(NoWatcher):
    """Asks each third day how much memory is held that was allocated by the watch and what it decides with."""

    def __init__(self) -> None:
        self.held_bytes: list[int] = []

    def looked(self, glance: Glance) -> None:
        if glance.at_s >= (len(self.held_bytes) + 1) * 3 * DAY_S:
            gc.collect()
            ours = [tracemalloc.Filter(True, f"*/{room}/*") for room in ("engine", "topology", "pydantic")]
            sizes = tracemalloc.take_snapshot().filter_traces(ours).statistics("filename")
            self.held_bytes.append(sum(each.size for each in sizes))


@pytest.mark.heavy
def test_a_watch_of_many_days_holds_no_more_than_one_of_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "MOST_KEPT", KEPT)
    weighs = Weighs()

    async def days() -> Watch:
        world = SimulatedCluster(OF, clock=Clock(), faults=daily(), most_glimpses=1)
        try:
            return await watch(world, WatchPolicy(look_every_s=3600.0), watcher=weighs, for_s=DAYS * DAY_S)
        finally:
            await world.close()

    tracemalloc.start()
    try:
        report = in_virtual_time(days)
    finally:
        tracemalloc.stop()
    assert len(report.occurrences) == KEPT
    assert report.told == sum(report.counts.values()) > 6 * KEPT
    assert report.counts["backup_started"] == report.counts["backup_ended"] > 200
    early, *_, late = weighs.held_bytes
    assert late - early < 20_000, weighs.held_bytes
