"""Simulated nights in which everything goes wrong, watched: what is said to stand is what stands, and nobody storms."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from drawing import draw_night
from virtual import in_virtual_time

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import SimulatedCluster, draw_faults
from shunter.engine.audience import Nobody
from shunter.engine.failover import fail_over
from shunter.engine.holds import OwnHolds
from shunter.engine.maintain import maintain
from shunter.engine.stop import Stop
from shunter.engine.watch import NoWatcher, WatchPolicy, watch
from shunter.topology.clusterfile import read_cluster
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.rolling import RollingPolicy
from shunter.topology.watching.condition import NORMAL
from shunter.topology.watching.conditions import conditions
from shunter.topology.watching.report import Watch

TROUBLED_S, WATCHED_S = 1800.0, 7200.0


@cache
def watched_night(seed: int) -> tuple[Watch, Cluster]:
    cluster, _ = draw_night(seed)
    faults = draw_faults(cluster, seed, "many", rolling_s=TROUBLED_S, bad_days=True)

    async def night() -> tuple[Watch, Cluster]:
        world = SimulatedCluster(cluster, clock=Clock(), seed=seed, faults=faults, most_glimpses=1)

        async def failed_over(nodes: Sequence[str], before: Cluster, stop: Stop) -> Plan:
            return await fail_over(world, nodes, holds=OwnHolds(), audience=Nobody(), stop=stop, before=before)

        policy = WatchPolicy(on_node_lost="failover")
        report = await watch(world, policy, watcher=NoWatcher(), for_s=WATCHED_S, fail_over=failed_over)
        after = world.now()
        await world.close()
        return report, after

    return in_virtual_time(night)


@pytest.mark.parametrize("seed", range(25))
def test_what_is_said_to_stand_in_the_end_is_what_stands(seed: int) -> None:
    report, after = watched_night(seed)
    told = Counter((each.subject, each.state) for each in report.standing if each.rule != "I3")
    assert told == Counter((key.subject, condition.state) for key, condition in conditions(after).items())
    assert report.ok is not any(condition.severity == "error" for condition in conditions(after).values())


@pytest.mark.parametrize("seed", range(25))
def test_no_subject_is_told_of_again_and_again(seed: int) -> None:
    report, _ = watched_night(seed)
    assert [each.at_s for each in report.occurrences] == sorted(each.at_s for each in report.occurrences)
    of_node = Counter(each.subject for each in report.occurrences if each.what.startswith("node_"))
    assert max(of_node.values(), default=0) <= 12
    last: dict[tuple[str, str], str] = {}
    for each in report.occurrences:
        if each.what.startswith("node_"):
            assert last.get(("node", each.subject)) != each.state or each.times > 1, "told twice"
            last["node", each.subject] = each.state
    begun = [
        each.what
        for each in report.occurrences
        if each.what in ("failover_started", "failover_ended", "failover_failed")
    ]
    assert all(one == "failover_started" or other == "failover_started" for one, other in pairwise(begun))


def test_a_night_that_is_watched_twice_is_told_twice_the_same() -> None:
    once, _ = watched_night(12)
    watched_night.cache_clear()
    assert watched_night(12)[0] == once
    assert once.told > 10


def test_a_night_without_faults_has_nothing_to_tell_beyond_its_first_look() -> None:
    cluster, _ = draw_night(3)

    async def night() -> Watch:
        world = SimulatedCluster(cluster, clock=Clock())
        report = await watch(world, WatchPolicy(), watcher=NoWatcher(), for_s=WATCHED_S)
        await world.close()
        return report

    report = in_virtual_time(night)
    assert {each.at_s for each in report.occurrences if each.before == NORMAL} <= {0.0}


def test_whatever_is_told_is_explained_in_the_documentation() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs/watching.md").read_text(encoding="utf-8")
    told = {each.what for seed in range(25) for each in watched_night(seed)[0].occurrences}
    assert len(told) > 20
    assert {what for what in told if f"`{what}`" not in text} == set()


def test_a_rolling_run_of_ours_is_told_as_maintenance_and_never_as_a_loss() -> None:
    cluster = read_cluster(
        {
            "name": "c",
            "nodes": [{"name": f"N{i}", "memory_mib": 65536, "reserved_mib": 0} for i in (1, 2, 3, 4)],
            "vms": [{"name": f"web-{i}", "node": f"N{i % 4 + 1}", "memory_mib": 8192} for i in range(12)],
        }
    )

    async def night() -> tuple[Watch, Plan]:
        world = SimulatedCluster(cluster, clock=Clock(), reboot_s=600)
        stop = Stop()
        watching = asyncio.create_task(watch(world, WatchPolicy(), watcher=NoWatcher(), stop=stop))
        run = await maintain(world, (), RollingPolicy(maintenance_s=600), holds=OwnHolds(), audience=Nobody())
        await world.clock.sleep(60)
        stop.request()
        report = await watching
        await world.close()
        return report, run

    report, run = in_virtual_time(night)
    assert run.ok
    told = Counter(each.what for each in report.occurrences)
    assert told["node_away"] == 4
    assert told["node_back"] + told["node_resumed"] >= 4
    assert set(told) <= {"node_paused", "node_away", "node_back", "node_resumed"}
    assert not report.standing
