"""Whatever is ordered while nodes go and come: what the simulated cluster tells of itself holds together."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from drawing import draw_night

from shunter.clusters.port import ClusterError
from shunter.clusters.simulated import SimulatedCluster, draw_faults
from shunter.topology.clusterfile import read_cluster
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.recheck import check_log
from shunter.topology.recheck.world import World

Log = list[dict[str, Any]]
Play = Callable[..., Log]

LASTS_S = 6000.0
OF_THE_WORLD = ("log", "I1", "I2", "I7")
"""What must hold whoever acts; the others judge what we did, which is anything here."""


async def order_anything(world: SimulatedCluster, chance: random.Random) -> None:
    while world.clock.now_s() < LASTS_S:
        seen = await world.look()
        node, target = (chance.choice(seen.nodes).name for _ in range(2))
        with suppress(ClusterError):
            match chance.randrange(8):
                case 0:
                    await world.reboot_node(node)
                case 1 | 2:
                    await world.pause_node(node)
                case 3 | 4:
                    await world.resume_node(node)
                case _ if seen.vms:
                    await world.start_migration(chance.choice(seen.vms).name, target)
        await world.clock.sleep(chance.choice((0.0, 1.0, 10.0, 60.0)))


async def mend_anything(world: SimulatedCluster, chance: random.Random) -> None:
    while world.clock.now_s() < LASTS_S:
        seen = await world.look()
        with suppress(ClusterError):
            match chance.randrange(6):
                case 0 if seen.volumes:
                    await world.restore_direct_io(chance.choice(seen.volumes).name)
                case 1 if seen.vms:
                    await world.refresh_configuration(chance.choice(seen.vms).name)
                case 2 if seen.vms:
                    await world.start_vm(chance.choice(seen.vms).name, chance.choice(seen.nodes).name)
                case _:
                    for each in [each for each in seen.vms if each.state == "failed"][:2]:
                        await world.start_vm(each.name, chance.choice(seen.nodes).name)
        await world.clock.sleep(chance.choice((0.0, 1.0, 10.0, 60.0)))


def weathered(play: Play, seed: int, *, bad_day: bool = False) -> tuple[Cluster, Log]:
    """How the cluster stands at the end, and what it told."""
    of, _ = draw_night(seed)
    drawn = draw_faults(of, seed, "many", rolling_s=LASTS_S, bad_days=bad_day)
    told = [fault.told() for fault in drawn]
    chance = random.Random(f"orders/{seed}")

    worlds: list[SimulatedCluster] = []

    async def script(world: SimulatedCluster) -> None:
        worlds.append(world)
        if bad_day:
            mending = random.Random(f"mending/{seed}")
            await asyncio.gather(order_anything(world, chance), mend_anything(world, mending))
        else:
            await order_anything(world, chance)

    options = {"reboot_s": 300.0, "noise": 0.3, "reboot_noise": 0.3, "balances": True, "seed": seed, "then_s": 1500}
    log = play(of, script, faults=told, **options)
    return worlds[0].now(), log


@pytest.mark.parametrize("bad_day", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_i1_i2_i7_hold_in_rough_weather(play: Play, seed: int, bad_day: bool) -> None:
    _, log = weathered(play, seed, bad_day=bad_day)
    assert [found for found in check_log(log) if found.invariant in OF_THE_WORLD] == []


def known(vm: VirtualMachine) -> tuple[object, ...]:
    return vm.node, vm.state, vm.memory_mib, vm.backup, vm.configuration_in_cluster_is_current


@pytest.mark.parametrize("bad_day", [False, True])
@pytest.mark.parametrize("seed", range(40, 70))
def test_whoever_reads_the_log_knows_how_the_cluster_stands(play: Play, seed: int, bad_day: bool) -> None:
    end, log = weathered(play, seed, bad_day=bad_day)
    read = World(read_cluster(log[0]["cluster"]))
    for line in log[1:]:
        read.apply(line)
    assert read.node_state == {node.name: node.state for node in end.nodes}
    assert read.paused_by == {node.name: node.paused_by or "elsewhere" for node in end.nodes if node.state == "paused"}
    assert {vm.name: known(vm) for vm in read.vms.values()} == {vm.name: known(vm) for vm in end.vms}
    assert read.owner == {volume.name: volume.owner for volume in end.volumes}
    assert read.volume_state == {volume.name: volume.state for volume in end.volumes}
    reached = {volume.name: volume.reachable_from for volume in end.volumes}
    assert {volume.name: volume.reachable_from for volume in read.cluster.volumes} == reached
    assert read.volumes_in_backup == {volume.name for volume in end.volumes if volume.backup}
    assert sorted(read.storage_jobs) == sorted((job.name, job.volume) for job in end.storage_jobs)
    assert read.role_on == {role.name: role.node for role in end.roles}


def test_the_same_seed_has_the_same_weather(play: Play) -> None:
    assert weathered(play, 11) == weathered(play, 11)
    assert weathered(play, 11, bad_day=True) == weathered(play, 11, bad_day=True)


@pytest.mark.heavy
def test_everything_happens_sooner_or_later(play: Play) -> None:
    logs = [weathered(play, seed)[1] for seed in range(40)]
    assert {line["what"] for log in logs for line in log} >= {
        "node_isolated",
        "node_rebooted",
        "node_down",
        "node_up",
        "quorum_lost",
        "vm_crashed",
        "vm_started",
        "role_moved",
        "volume_owner_changed",
    }
    balanced = [line for log in logs for line in log if line["what"] == "migration_ended" and line["by"] == "elsewhere"]
    assert len(balanced) > 40


@pytest.mark.heavy
def test_everything_that_limps_does_so_sooner_or_later(play: Play) -> None:
    logs = [weathered(play, seed, bad_day=True)[1] for seed in range(40)]
    assert {line["what"] for log in logs for line in log} >= {
        "node_quarantined",
        "backup_started",
        "backup_ended",
        "configuration_changed",
        "configuration_refreshed",
        "storage_job_started",
        "storage_job_ended",
    }
    lines = [line for log in logs for line in log]
    assert {line["state"] for line in lines if line["what"] == "volume_state_changed"} >= {
        "redirected_no_path",
        "redirected_stuck",
        "redirected_by_user",
        "maintenance",
        "offline",
        "online",
    }
    assert any(line["what"] == "volume_state_changed" and line.get("by") == "us" for line in lines)
    started = [line for line in lines if line["what"] == "vm_started"]
    assert {line["by"] for line in started} == {"us", "cluster", "fault"}
    assert any(line.get("wrongly_configured") for line in started)
    assert any(line.get("degraded") for line in lines if line["what"] == "backup_ended")
    assert any(line["what"] == "vm_crashed" and "reason" in line for line in lines)
