"""N+1 while a cluster is watched (I3): what is no longer covered, what would help, and when to ask again."""

from __future__ import annotations

from typing import Any

import pytest
from building import cluster, node, vm
from hypothesis import given
from smallclusters import Drawn, small_clusters

from shunter.topology.loss import losses
from shunter.topology.model import Cluster
from shunter.topology.watching.condition import Condition, Kind
from shunter.topology.watching.cover import cover, matters


def found(of: Cluster, kind: Kind = Kind.N_PLUS_1) -> Condition | None:
    return next((condition for key, condition in cover(of).items() if key.kind is kind), None)


def full(**third: Any) -> Cluster:
    """N1's VM fits on N3 only, N2 is full."""
    of = [node("N1", 100), node("N2", 100), node("N3", 100, **third)]
    return cluster(of, [vm("a", "N1", 80), vm("b", "N2", 60)])


@given(small_clusters())
def test_i3_what_is_told_is_what_the_loss_of_each_node_means(drawn: Drawn) -> None:
    of = drawn.cluster(sound=False)
    open_ = [loss for loss in losses(of) if loss.ok is False]
    told = found(of)
    assert (told.nodes if told else ()) == tuple(loss.node for loss in open_)
    assert (told.vms if told else ()) == tuple(vm for loss in open_ for vm in loss.unplaced)
    assert told is None or all(name in told.state for name in told.nodes)


def test_i3_a_node_that_is_away_is_named_where_its_return_would_cover_all_again() -> None:
    assert found(full()) is None
    told = found(full(state="paused"))
    assert told is not None
    assert told.message == ("no longer N+1: if one of these nodes is lost, VMs will not restart: N1 (a) and N2 (b)")
    assert told.remedy == "resume N3: then all is covered again"
    down = found(full(state="down"))
    assert down is not None
    assert down.remedy == "bring N3 back: then all is covered again"
    ours = found(full(state="paused", paused_by="us"))
    assert ours is not None
    assert ours.remedy == "N3 was paused by a run of ours; all is covered again once it is back"


def test_i3_memory_that_lacks_is_said_in_mib_and_a_vm_that_is_bound_by_name() -> None:
    short = found(cluster([node("N1", 200), node("N2", 100)], [vm("a", "N1", 120), vm("b", "N2", 30)]))
    assert short is not None
    assert (short.nodes, short.vms) == (("N1",), ("a",))
    assert short.message == "no longer N+1: if N1 is lost, a will not restart"
    assert short.remedy.startswith("free about 120 MiB on the other nodes")
    bound = found(cluster(2, [vm("a", possible_owners=["N1"])]))
    assert bound is not None
    assert bound.remedy.startswith("give a more possible owners")


def test_i3_growth_of_dynamic_memory_is_a_warning_of_its_own() -> None:
    of = cluster([node("N1", 200), node("N2", 100)], [vm("a", "N1", 40, memory_maximum_mib=120), vm("b", "N2", 30)])
    assert found(of) is None
    told = found(of, Kind.GROWTH)
    assert told is not None
    assert (told.nodes, told.vms, told.severity) == (("N1",), ("a",), "warning")
    assert "once all VMs have grown to their maximum, if N1 is lost, a will not restart" in told.message


def test_i3_a_loss_that_is_not_covered_now_is_not_said_again_of_grown_vms() -> None:
    of = cluster([node("N1", 200), node("N2", 100)], [vm("a", "N1", 120, memory_maximum_mib=180), vm("b", "N2", 30)])
    told = found(of)
    assert told is not None
    assert told.nodes == ("N1",)
    grown = found(of, Kind.GROWTH)
    assert grown is not None
    assert grown.nodes == ("N2",), "once a has grown, b has no room beside it"


BASE = cluster(3, [vm("a"), vm("b", "N2")], volumes=[{"name": "CSV1"}])


@pytest.mark.parametrize(
    "now",
    [
        cluster(3, [vm("a", memory_mib=8192), vm("b", "N2")], volumes=[{"name": "CSV1"}]),
        cluster(3, [vm("a", "N3"), vm("b", "N2")], volumes=[{"name": "CSV1"}]),
        cluster(3, [vm("a", state="off"), vm("b", "N2")], volumes=[{"name": "CSV1"}]),
        cluster(3, [vm("a")], volumes=[{"name": "CSV1"}]),
        cluster(
            [node("N1"), node("N2"), node("N3", state="paused")], [vm("a"), vm("b", "N2")], volumes=[{"name": "CSV1"}]
        ),
        cluster(3, [vm("a"), vm("b", "N2")], volumes=[{"name": "CSV1", "state": "offline"}]),
        cluster(3, [vm("a"), vm("b", "N2")], volumes=[{"name": "CSV1", "reachable_from": ["N1"]}]),
    ],
)
def test_what_decides_who_restarts_where_is_a_reason_to_ask_again(now: Cluster) -> None:
    assert matters(BASE, now)


def test_load_backups_owners_and_drift_are_not() -> None:
    of = [node("N1", cpu_percent=90.0), node("N2"), node("N3")]
    vms = [vm("a", backup=True, dirty_mib_per_s=900.0), vm("b", "N2", configuration_in_cluster_is_current=False)]
    assert not matters(BASE, cluster(of, vms, volumes=[{"name": "CSV1", "owner": "N2", "backup": True}]))
    assert not matters(BASE, BASE)
