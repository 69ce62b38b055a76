"""I6: a simulated cluster stops when no majority of the votes is left, as its Windows version counts them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from building import cluster, node, vm
from hypothesis import given, settings
from hypothesis import strategies as st

from shunter.clusters.port import Refused
from shunter.clusters.simulated import SimulatedCluster
from shunter.clusters.simulated.quorum import Quorum
from shunter.topology.model import Cluster

Log = list[dict[str, Any]]
Play = Callable[..., Log]
VERSIONS = ("2008R2", "2012", "2012R2", "2022")


def happened(log: Log, what: str, **fields: Any) -> Log:
    return [line for line in log if line["what"] == what and fields.items() <= line.items()]


def told(log: Log, *fields: str) -> list[tuple[Any, ...]]:
    return [tuple(line[field] for field in fields) for line in log]


def down(*at_s: float) -> list[dict[str, Any]]:
    """N1 goes down at the first of these times, N2 at the second …"""
    return [{"at_s": t, "do": "node_down", "node": f"N{i}"} for i, t in enumerate(at_s, start=1)]


def lost(log: Log) -> list[tuple[int, int, float]]:
    return [(line["votes"], line["of"], line["t_s"]) for line in happened(log, "quorum_lost")]


@pytest.mark.parametrize(
    ("of", "at_s", "expected"),
    [
        (("2008R2", 4, False), (1,), []),  # 3 of 4
        (("2008R2", 4, False), (1, 100), [(2, 4, 100.0)]),
        (("2008R2", 4, True), (1, 100), []),  # 3 of 5
        (("2008R2", 4, True), (1, 100, 200), [(2, 5, 200.0)]),
        (("2012", 4, False), (1, 100), []),  # 3 of 4, then 2 of 3
        (("2012", 4, False), (1, 100, 200), [(1, 2, 200.0)]),  # then 1 of 2
        (("2012", 4, False), (1, 2), [(2, 4, 2.0)]),  # at once
        (("2012", 4, True), (1, 2), []),  # 3 of 5
        (("2012", 4, True), (1, 100, 200), []),  # 4 of 5, 3 of 4, 2 of 3
        (("2022", 4, False), (1, 100), []),  # N4 does not vote: 2 of 3, then 2 of 3
        (("2022", 4, False), (1, 2), [(1, 3, 2.0)]),
        (("2022", 4, False), (1, 100, 200), [(0, 1, 200.0)]),  # of N3 and N4, N3 alone votes
        (("2022", 4, True), (1, 100, 200), []),  # 4 of 5, 2 of 3, 2 of 3
        (("2022", 3, True), (1, 2), [(1, 3, 2.0)]),  # beside three nodes the witness does not vote
        (("2022", 3, True), (1, 100), []),  # beside two it does
        (("2022", 1, True), (1,), [(0, 1, 1.0)]),
    ],
)
def test_i6_losses_one_after_the_other_and_at_once(
    play: Play, of: tuple[str, int, bool], at_s: tuple[float, ...], expected: list[Any]
) -> None:
    version, nodes, witness = of
    log = play(cluster(nodes, windows_version=version, witness=witness), faults=down(*at_s))
    assert lost(log) == expected


@pytest.mark.parametrize(
    ("version", "witness", "expected"),
    [("2008R2", True, [(2, 5)]), ("2008R2", False, [(2, 4)]), ("2012", False, []), ("2022", False, [])],
)
def test_i6_nodes_that_leave_in_good_order_are_missed_only_by_a_static_majority(
    play: Play, version: str, witness: bool, expected: list[Any]
) -> None:
    async def script(world: SimulatedCluster) -> None:
        for name in ("N1", "N2", "N3"):
            with suppress(Refused):
                await world.pause_node(name)
                await world.reboot_node(name)

    log = play(cluster(4, windows_version=version, witness=witness), script, then_s=1000)
    assert told(happened(log, "quorum_lost"), "votes", "of") == expected
    assert happened(log, "node_up", node="N1", by="us")


def test_i6_a_reboot_of_a_node_that_is_not_empty_is_a_sudden_loss(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.pause_node("N1")
        await world.reboot_node("N1")

    def votes(on: str) -> list[Any]:
        return lost(play(cluster(2, [vm("web", on)], witness=False), script, then_s=1))

    assert votes("N1") == [(0, 1, 0.0)]
    assert votes("N2") == []


def test_i6_an_isolated_node_is_missed_like_a_lost_one_and_one_that_is_back_votes_again(play: Play) -> None:
    def happening(*faults: tuple[float, str, str]) -> list[Any]:
        entries = [{"at_s": t, "do": do, "node": name} for t, do, name in faults]
        return lost(play(cluster(3, windows_version="2008R2", witness=False), faults=entries))

    gone = (1, "node_isolated", "N1"), (100, "node_down", "N2")
    assert happening(*gone) == [(1, 3, 100.0)]
    assert happening(gone[0], (50, "node_back", "N1"), gone[1]) == []


def test_a_cluster_without_quorum_stops_and_refuses_everything(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.start_migration("big", "N4")
        await world.clock.sleep(20)
        seen = await world.look()
        assert {node.state for node in seen.nodes} == {"down"}
        assert {vm.state for vm in seen.vms} == {"failed"}
        assert seen.migrations == ()
        orders = (
            world.start_migration("big", "N4"),
            world.pause_node("N3"),
            world.resume_node("N4"),
            world.reboot_node("N3"),
            world.move_volume("CSV1", "N4"),
            world.move_role("Cluster Group", "N4"),
            world.cancel_migration("big"),
        )
        for order in orders:
            with pytest.raises(Refused):
                await order
        assert await world.booted_s("N3") is None

    of = cluster(
        4,
        [vm("web"), vm("db", "N2"), vm("big", "N3", 60000)],
        witness=False,
        volumes=[{"name": "CSV1", "owner": "N1"}],
        roles=[{"name": "Cluster Group", "kind": "core", "node": "N3"}],
    )
    log = play(of, script, faults=down(5, 6))
    assert lost(log) == [(1, 3, 6.0)]
    assert told(happened(log, "vm_crashed"), "vm", "by") == [("web", "fault"), ("db", "fault"), ("big", "cluster")]
    assert told(happened(log, "node_down"), "node") == [("N1",), ("N2",), ("N3",), ("N4",)]
    assert happened(log, "vm_started") == []


def test_a_cluster_starts_again_once_enough_nodes_are_back(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.pause_node("N4")
        await world.clock.sleep(400)
        seen = await world.look()
        assert [node.state for node in seen.nodes] == ["up", "down", "up", "paused"]
        assert seen.node_by_name["N4"].paused_by == "us"
        assert {vm.state for vm in seen.vms} == {"running"}
        assert {vm.node for vm in seen.vms} <= {"N1", "N3"}
        assert (await world.booted_s("N3"), await world.booted_s("N1")) == (0, pytest.approx(200, abs=1e-3))

    of = cluster(
        4,
        [vm("web"), vm("db", "N2"), vm("mail", "N4")],
        witness=False,
        windows_version="2008R2",
        volumes=[{"name": "CSV1", "owner": "N4"}],
    )
    log = play(of, script, faults=[*down(1, 2), {"at_s": 200, "do": "node_up", "node": "N1"}])
    back = [line for line in log if line["t_s"] >= 200]
    assert told([line for line in back if line["what"].startswith("node")], "what", "node", "by") == [
        ("node_up", "N1", "fault"),
        ("node_up", "N3", "fault"),
        ("node_up", "N4", "fault"),
        ("node_paused", "N4", "us"),
    ]
    assert len(happened(log, "quorum_lost")) == 1
    assert {line["vm"] for line in happened(back, "vm_started", by="cluster")} == {"web", "db", "mail"}
    assert told(happened(log, "volume_state_changed"), "state", "t_s") == [("offline", 2.0), ("online", 200.0)]


def test_a_node_that_comes_back_too_early_waits_for_the_others(play: Play) -> None:
    faults = [*down(1, 1, 1), *({"at_s": 100.0 * i, "do": "node_up", "node": f"N{i}"} for i in (1, 2))]
    log = play(cluster(5, windows_version="2008R2", witness=False), faults=faults)
    assert told(happened(log, "node_up"), "node", "t_s") == [
        ("N1", 100.0),
        ("N4", 100.0),
        ("N5", 100.0),
        ("N2", 200.0),
    ]
    later = [*down(1, 1, 1, 1), *({"at_s": 100.0 * i, "do": "node_up", "node": f"N{i}"} for i in (1, 2))]
    log = play(cluster(5, windows_version="2008R2", witness=False), faults=later)
    assert told(happened(log, "node_up"), "node", "t_s") == [(name, 200.0) for name in ("N1", "N2", "N5")]


def test_a_node_that_we_rebooted_before_is_back_by_us_and_paused(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.pause_node("N1")
        await world.reboot_node("N1")

    of = cluster(3, windows_version="2008R2", witness=False)
    log = play(of, script, faults=[{"at_s": 100, "do": "node_down", "node": "N2"}], then_s=900)
    assert lost(log) == [(1, 3, 100.0)]
    assert told([line for line in log if line["t_s"] > 100], "what", "node", "by") == [
        ("node_up", "N1", "us"),
        ("node_paused", "N1", "us"),
        ("node_up", "N3", "fault"),
    ]


@pytest.mark.parametrize("isolated", ["N1", "N2"])
def test_i6_of_two_nodes_without_a_witness_one_has_the_only_vote(play: Play, isolated: str) -> None:
    of = cluster(2, [vm("web"), vm("db", "N2")], witness=False)
    log = play(of, faults=[{"at_s": 1, "do": "node_isolated", "node": isolated}], then_s=100)
    if isolated == "N1":
        assert lost(log) == [(0, 1, 1.0)]
        assert {line["vm"] for line in happened(log, "vm_crashed", by="cluster")} == {"web", "db"}
    else:
        assert lost(log) == happened(log, "vm_crashed") == []


# ------------------------------------------------------------------ laws of counting


@st.composite
def racks(draw: st.DrawFn) -> Cluster:
    votes = draw(st.lists(st.sampled_from([0, 1, 1, 1]), min_size=1, max_size=8).filter(any))
    return cluster(
        [node(f"N{i}", votes=v) for i, v in enumerate(votes, start=1)],
        windows_version=draw(st.sampled_from(VERSIONS)),
        witness=draw(st.booleans()),
    )


@settings(deadline=None)
@given(racks(), st.sets(st.integers(1, 8)))
def test_i6_two_groups_of_nodes_never_both_have_a_majority(of: Cluster, numbers: set[int]) -> None:
    names = {node.name for node in of.nodes}
    group = {f"N{i}" for i in numbers} & names
    quorum = Quorum(of, names)
    nodes_only = Quorum(of.model_copy(update={"witness": False}), names)
    assert not (nodes_only.has_majority(group) and nodes_only.has_majority(names - group))
    assert quorum.has_majority(names)
    assert not quorum.has_majority(set())


@settings(deadline=None)
@given(racks(), st.permutations([f"N{i}" for i in range(1, 9)]))
def test_i6_with_dynamic_quorum_the_last_node_that_votes_goes_on(of: Cluster, order: list[str]) -> None:
    there = {node.name for node in of.nodes}
    voters = {node.name for node in of.nodes if node.votes}
    quorum = Quorum(of, there)
    for name in order:
        there.discard(name)
        if of.windows_version == "2008R2" or not there & voters:
            return
        quorum.recount(there)
        votes, count = quorum.votes(there)
        assert votes == count >= 1
        assert of.windows_version == "2012" or count % 2 == 1
