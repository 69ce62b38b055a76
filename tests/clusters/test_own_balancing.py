"""The cluster's own balancer: VMs come onto a node that is back, by nobody that we know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from building import cluster, node, vm

from shunter.clusters.simulated import SimulatedCluster

Log = list[dict[str, Any]]
Play = Callable[..., Log]

FULL = [vm(f"vm-{i}", f"N{2 + i % 2}", 4096 + i) for i in range(12)]


def happened(log: Log, what: str, **fields: Any) -> Log:
    return [line for line in log if line["what"] == what and fields.items() <= line.items()]


async def resuming(world: SimulatedCluster) -> None:
    await world.pause_node("N1")
    await world.clock.sleep(10)
    await world.resume_node("N1")


@pytest.mark.parametrize("seed", range(8))
def test_r15_a_node_that_is_resumed_gets_a_few_vms_one_after_the_other(play: Play, seed: int) -> None:
    log = play(cluster(3, FULL), resuming, balances=True, seed=seed, then_s=600)
    starts, ends = happened(log, "migration_started"), happened(log, "migration_ended")
    assert 2 <= len(starts) <= 4
    assert {(line["target"], line["by"]) for line in starts} == {("N1", "elsewhere")}
    assert {line["outcome"] for line in ends} == {"done"}
    assert 70 <= starts[0]["t_s"] <= 130
    assert all(end["t_s"] <= start["t_s"] for end, start in zip(ends, starts[1:], strict=False))
    assert [line["source"] for line in starts[:2]] in (["N2", "N3"], ["N3", "N2"])


def test_what_the_balancer_does_comes_from_the_seed(play: Play) -> None:
    logs = [play(cluster(3, FULL), resuming, balances=True, seed=seed, then_s=600) for seed in (1, 1, 2, 3)]
    assert logs[0] == logs[1]
    assert logs[1] != logs[2] != logs[3]


def test_a_node_that_comes_back_up_gets_vms_too(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.reboot_node("N1")

    log = play(cluster(3, FULL), script, balances=True, reboot_s=100, then_s=600)
    assert 160 <= happened(log, "migration_started")[0]["t_s"] <= 220


def test_a_node_that_comes_back_paused_gets_nothing_until_it_is_resumed(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.pause_node("N1")
        await world.reboot_node("N1")
        await world.clock.sleep(1000)
        assert not any("migration_started" in line for line in world.witness.lines)
        await world.resume_node("N1")

    log = play(cluster(3, FULL), script, balances=True, then_s=600)
    assert happened(log, "migration_started")[0]["t_s"] >= 1060


def test_without_it_nothing_moves_by_itself(play: Play) -> None:
    assert happened(play(cluster(3, FULL), resuming, then_s=600), "migration_started") == []


def test_it_leaves_paused_nodes_alone(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await resuming(world)
        await world.pause_node("N2")
        await world.clock.sleep(600)
        await resuming(world)
        await world.pause_node("N1")

    log = play(cluster(3, FULL), script, balances=True, then_s=600)
    starts = happened(log, "migration_started")
    assert {line["source"] for line in starts} == {"N3"}
    assert max(line["t_s"] for line in starts) < 600


def test_i3_it_makes_no_node_fuller_than_the_one_it_relieves(play: Play) -> None:
    nodes = [node("N1", 10000), node("N2", 20000), node("N3", 20000)]
    of = cluster(nodes, [vm("here", "N1", 4000), vm("big", "N2", 9000), vm("small", "N2", 2000), vm("x", "N3", 2000)])
    log = play(of, resuming, balances=True, then_s=600)
    assert happened(log, "migration_started") == []


def test_r15_it_waits_for_nodes_that_take_part_in_another_migration(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await resuming(world)
        await world.start_migration("big", "N4")

    nodes = [node("N1"), node("N2"), node("N3", state="paused"), node("N4")]
    of = cluster(nodes, [vm("big", "N2", 20000), *(vm(f"s-{i}", "N2", 4000) for i in range(5))])
    slow = [{"when": {"vm": "big"}, "do": "migration_slow", "factor": 20}]
    log = play(of, script, balances=True, faults=slow, then_s=900)
    (over,) = happened(log, "migration_ended", vm="big")
    assert over["t_s"] > 150
    first, *_ = happened(log, "migration_started", by="elsewhere")
    assert first["t_s"] == over["t_s"]
    assert happened(log, "migration_refused") == []
