"""How long a simulated migration takes (R12), and that chance comes from the seed alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from io import StringIO
from typing import Any

import pytest
from building import cluster, node, vm
from hypothesis import given, settings
from hypothesis import strategies as st

from shunter.clusters.clock import Clock
from shunter.clusters.port import ClusterError
from shunter.clusters.simulated import SimulatedCluster, draw_faults
from shunter.clusters.simulated.copying import course
from shunter.topology.estimate import estimate
from shunter.topology.model import Cluster

Play = Callable[..., list[dict[str, Any]]]
RATE = 10_000 * 1e6 / 8 / 2**20 * 0.9 * 0.91
"""MiB/s at 10 Gbit/s between nodes that are 30 % busy."""


def seconds(play: Play, of: Cluster, target: str = "N2", **options: Any) -> float:
    async def script(world: SimulatedCluster) -> None:
        await world.start_migration("web", target)

    log = play(of, script, then_s=80_000, **options)
    assert log[-1]["what"] == "migration_ended"
    return float(log[-1]["t_s"])


def test_r12_a_vm_at_rest_is_copied_once(play: Play) -> None:
    expected_s = 1.5 + 8192 / RATE + 0.5 + 0.5
    assert seconds(play, cluster(2, [vm("web", memory_mib=8192, state="paused")])) == pytest.approx(
        expected_s, abs=1e-4
    )


@pytest.mark.parametrize("dirty", [20.0, 28.0, 34.0])
def test_r12_a_small_rest_is_copied_while_the_vm_stands_still(play: Play, dirty: float) -> None:
    first_s = 8192 / RATE
    expected_s = 1.5 + first_s + 0.5 + dirty * first_s / RATE + 0.5
    of = cluster(2, [vm("web", memory_mib=8192, dirty_mib_per_s=dirty)])
    assert seconds(play, of) == pytest.approx(expected_s, abs=1e-4)


@pytest.mark.parametrize("dirty", [36.0, 45.0])
def test_r12_a_larger_rest_is_copied_first_while_the_vm_runs(play: Play, dirty: float) -> None:
    first_s = 8192 / RATE
    second_s = dirty * first_s / RATE
    expected_s = 1.5 + first_s + second_s + 0.5 + dirty * second_s / RATE + 0.5
    of = cluster(2, [vm("web", memory_mib=8192, dirty_mib_per_s=dirty)])
    assert seconds(play, of) == pytest.approx(expected_s, abs=1e-4)


def test_r12_a_vm_that_writes_faster_than_the_wire_is_copied_twice(play: Play) -> None:
    of = cluster(2, [vm("web", memory_mib=8192, dirty_mib_per_s=5000.0)])
    expected_s = 1.5 + 8192 / RATE + 0.5 + 8192 / RATE + 0.5
    assert seconds(play, of) == pytest.approx(expected_s, abs=1e-4)


def test_r12_the_busier_node_and_the_slower_adapter_set_the_speed(play: Play) -> None:
    networks = [{"name": "LM", "roles": ["live_migration"]}]

    def between(mbps: int, cpu_percent: float) -> float:
        slow = {"adapters": [{"name": "nic", "network": "LM", "link_mbps": mbps}], "cpu_percent": cpu_percent}
        fast = {"adapters": [{"name": "nic", "network": "LM", "link_mbps": 10_000}], "cpu_percent": 0.0}
        return seconds(
            play,
            cluster([node("N1", **fast), node("N2", **slow)], [vm("web", state="paused")], networks=networks),
        )

    def expected_s(mbps: int, headroom: float) -> float:
        return 2.5 + 4096 / (mbps * 1e6 / 8 / 2**20 * 0.9 * headroom)

    assert between(1000, 0.0) == pytest.approx(expected_s(1000, 1.0), abs=1e-4)
    assert between(10_000, 50.0) == pytest.approx(expected_s(10_000, 0.75), abs=1e-4)
    assert between(10_000, 100.0) == pytest.approx(expected_s(10_000, 0.05), abs=1e-4)


def test_r14_unloading_offload_takes_a_moment_more(play: Play) -> None:
    with_offload = seconds(play, cluster([node("N1", tcp_offload=True), node("N2", tcp_offload=False)], [vm("web")]))
    without = seconds(play, cluster(2, [vm("web")]))
    assert with_offload - without == pytest.approx(0.2, abs=1e-4)


nodes = st.fixed_dictionaries(
    {
        "cpu_percent": st.floats(0, 100),
        "tcp_offload": st.booleans(),
        "adapters": st.lists(
            st.fixed_dictionaries(
                {"network": st.sampled_from(["LM", "LM2", "M"]), "link_mbps": st.integers(100, 100_000)}
            ),
            max_size=4,
        ).map(lambda adapters: [{"name": f"nic-{i}", **adapter} for i, adapter in enumerate(adapters)]),
    }
)
vms = st.fixed_dictionaries(
    {
        "memory_mib": st.integers(1, 2**21),
        "dirty_mib_per_s": st.floats(0, 20_000),
        "state": st.sampled_from(["running", "paused"]),
    }
)
NETWORKS = [
    {"name": "LM", "roles": ["live_migration"]},
    {"name": "LM2", "roles": ["live_migration", "cluster"], "nodes": ["N1", "N2"]},
    {"name": "M", "roles": ["management"]},
]


@settings(max_examples=300, deadline=None)
@given(nodes, nodes, vms)
def test_the_forecast_and_the_simulated_cluster_agree_without_noise(
    source: dict[str, Any], target: dict[str, Any], moving: dict[str, Any]
) -> None:
    of = cluster(
        [node("N1", 2**22, **source), node("N2", 2**22, **target)],
        [vm("web", memory_maximum_mib=2**22, **moving)],
        networks=NETWORKS,
    )
    forecast = estimate(of, of.vms[0], "N2")
    simulated = course(of, of.vms[0], of.nodes[1], 1.0)
    if forecast is None or simulated is None:
        assert forecast is simulated
        return
    phases = (simulated.preparing_s, simulated.unloading_s, simulated.copying_s, simulated.settling_s)
    assert sum(phases) + simulated.switching_s == pytest.approx(forecast.duration_s, rel=1e-12, abs=1e-6)
    assert simulated.switching_s == pytest.approx(forecast.downtime_s, rel=1e-12, abs=1e-6)


def test_r12_the_simulated_clock_shows_what_was_forecast(play: Play) -> None:
    for memory_mib, dirty in ((777, 3.0), (20_000, 90.0), (60_000, 2000.0)):
        of = cluster(2, [vm("web", memory_mib=memory_mib, dirty_mib_per_s=dirty)])
        forecast = estimate(of, of.vms[0], "N2")
        assert forecast is not None
        assert seconds(play, of) == pytest.approx(forecast.duration_s, abs=3e-5)


def test_noise_stays_within_its_bounds_and_comes_from_the_seed(play: Play) -> None:
    of = cluster(2, [vm("web")])
    undisturbed_s = seconds(play, of)
    drawn = {seed: seconds(play, of, noise=0.3, seed=seed) for seed in range(20)}
    assert len(set(drawn.values())) > 15
    assert all(0.7 * undisturbed_s - 1e-4 <= s <= 1.3 * undisturbed_s + 1e-4 for s in drawn.values())
    assert drawn[7] == seconds(play, of, noise=0.3, seed=7)


def test_the_same_seed_writes_the_same_log_byte_for_byte(play: Play) -> None:
    of = cluster(
        6,
        [vm(f"vm-{i}", f"N{i % 6 + 1}", 2000 + 300 * i, volumes=["CSV1"]) for i in range(30)],
        volumes=[{"name": "CSV1", "owner": "N1"}],
    )

    async def script(world: SimulatedCluster) -> None:
        for i in range(0, 30, 3):
            with suppress(ClusterError):
                await world.start_migration(f"vm-{i}", f"N{(i + 1) % 6 + 1}")
            await world.clock.sleep(2)

    def night(seed: int) -> list[dict[str, Any]]:
        faults = [
            fault.model_dump(mode="json", exclude_unset=True, exclude_none=True)
            for fault in draw_faults(of, seed, "many")
        ]
        return play(of, script, faults=faults, seed=seed, noise=0.2)

    assert json.dumps(night(3)) == json.dumps(night(3))
    assert json.dumps(night(3)) != json.dumps(night(4))


def test_the_log_is_written_as_it_grows(play: Play) -> None:
    file = StringIO()

    async def script(world: SimulatedCluster) -> None:
        assert file.getvalue().count("\n") == 1
        await world.start_migration("web", "N2")
        assert file.getvalue().count("\n") == 2

    log = play(cluster(2, [vm("web")]), script, log=file)
    assert [json.loads(line) for line in file.getvalue().splitlines()] == log


def test_time_may_run_faster_than_the_world_outside() -> None:
    async def body() -> None:
        world = SimulatedCluster(cluster(2, [vm("web")]), clock=Clock(1000))
        await world.start_migration("web", "N2")
        async for _ in world.follow_migration("web"):
            pass
        assert world.clock.now_s() >= 6.9
        assert (await world.look()).vm_by_name["web"].node == "N2"
        await world.close()

    asyncio.run(body())
