"""How a cluster stands, as a value: it agrees with a watch and with a check, and forgets nothing that is not well."""

from __future__ import annotations

import asyncio

import async_solipsism
from building import cluster, node, vm
from hypothesis import given
from smallclusters import Drawn, small_clusters

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import SimulatedCluster
from shunter.engine.watch import NoWatcher, WatchPolicy, watch
from shunter.topology.model import Cluster
from shunter.topology.preflight import check
from shunter.topology.status import status
from shunter.topology.watching.report import Watch


def first_look(of: Cluster) -> Watch:
    async def looked() -> Watch:
        world = SimulatedCluster(of, clock=Clock())
        try:
            return await watch(world, WatchPolicy(), watcher=NoWatcher(), for_s=0)
        finally:
            await world.close()

    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        return runner.run(looked())


@given(small_clusters())
def test_it_tells_what_a_watch_tells_at_its_first_look_and_of_losses_what_a_check_does(drawn: Drawn) -> None:
    of = drawn.cluster(sound=False)
    found = status(of)
    watched = {(each.rule, each.severity, each.subject, each.message) for each in first_look(of).standing}
    told = {(each.rule, each.severity, each.subject, each.message) for each in found.findings}
    full = {f"node {each.name}" for each in found.nodes if each.free_mib < 0}
    assert told - watched == {each for each in told if each[0] == "I3" and each[2] in full}
    assert watched <= told
    assert found.survives_loss == check(of).survives_loss
    assert found.ok is not any(each.severity != "info" for each in found.findings)


def test_a_node_says_who_paused_it_and_which_run_where_that_is_known() -> None:
    of = cluster(
        [
            node("N1"),
            node("N2", state="paused", paused_by="us"),
            node("N3", state="paused", paused_by="elsewhere"),
            node("N4", state="paused"),
        ]
    )
    found = status(of, paused_by_run={"N2": "rolling maintenance, run 1f2e"})
    assert [(each.state, each.paused_by, each.paused_by_run) for each in found.nodes] == [
        ("up", None, None),
        ("paused", "us", "rolling maintenance, run 1f2e"),
        ("paused", "elsewhere", None),
        ("paused", None, None),
    ]


def test_memory_is_what_a_node_has_for_vms_less_those_on_it_and_on_their_way_to_it() -> None:
    of = cluster(
        [node("N1"), {"name": "N2", "memory_mib": 65536, "reserved_mib": 4096}],
        [vm("a", "N1", 8192), vm("b", "N2", 16384), vm("off", "N2", 1024, state="off")],
        migrations=[{"vm": "a", "source": "N1", "target": "N2"}],
    )
    n1, n2 = status(of).nodes
    assert (n1.used_mib, n1.free_mib, n1.reserved_mib) == (8192, 65536 - 8192, 0)
    assert (n2.used_mib, n2.free_mib, n2.reserved_mib) == (24576, 65536 - 4096 - 24576, 4096)
    assert n2.vms == {"running": 1, "paused": 0, "off": 1, "saved": 0, "failed": 0}


def test_the_gravest_comes_first() -> None:
    of = cluster(
        [node("N1"), node("N2"), node("N3", state="down")],
        [vm("a", "N3", state="failed"), vm("b", backup=True)],
        volumes=[{"name": "CSV1", "owner": "N1", "state": "redirected_stuck"}],
    )
    found = status(of)
    assert not found.ok
    severities = [each.severity for each in found.findings]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)
    assert [each.subject for each in found.findings] == ["volume CSV1", "node N3", "vm a", "vm b"]


def test_a_cluster_without_a_majority_hangs_on_nobody_any_more() -> None:
    of = cluster([node("N1"), node("N2", state="down"), node("N3", state="down")], windows_version="2008R2")
    assert status(of).quorum.model_dump() == {"votes": 2, "of": 4, "ok": False, "hangs_on": ()}
    of = cluster([node("N1"), node("N2")], witness=False)
    assert status(of).quorum.model_dump() == {"votes": 1, "of": 1, "ok": True, "hangs_on": ("N1", "N2")}
