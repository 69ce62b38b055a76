"""What becomes of a simulated node that is rebooted, and of what was on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from building import cluster, node, vm

from shunter.clusters.port import OutcomeUnknown, Refused
from shunter.clusters.simulated import SimulatedCluster
from shunter.topology.errors import RequestError

Log = list[dict[str, Any]]
Play = Callable[..., Log]


def happened(log: Log, what: str, **fields: Any) -> Log:
    return [line for line in log if line["what"] == what and fields.items() <= line.items()]


def told(log: Log, *fields: str) -> list[tuple[Any, ...]]:
    return [tuple(line[field] for field in fields) for line in log]


async def rebooting(world: SimulatedCluster) -> None:
    await world.pause_node("N1")
    await world.reboot_node("N1")


def away_s(log: Log) -> float:
    (gone,), (back,) = happened(log, "node_rebooted"), happened(log, "node_up")
    return float(back["t_s"] - gone["t_s"])


def test_a_node_is_away_as_long_as_a_reboot_takes(play: Play) -> None:
    log = play(cluster(3), rebooting, reboot_s=90)
    assert away_s(log) == pytest.approx(90, abs=1e-3)
    assert told(log[1:], "what", "node", "by") == [
        ("node_paused", "N1", "us"),
        ("node_rebooted", "N1", "us"),
        ("node_down", "N1", "us"),
        ("node_up", "N1", "us"),
        ("node_paused", "N1", "us"),
    ]


def test_the_noise_of_a_reboot_comes_from_the_seed_and_is_drawn_anew_each_time(play: Play) -> None:
    async def twice(world: SimulatedCluster) -> None:
        await rebooting(world)
        await world.clock.sleep(200)
        await world.reboot_node("N1")

    def drawn(seed: int) -> list[float]:
        log = play(cluster(3), twice, reboot_s=100, noise=0.9, reboot_noise=0.3, seed=seed)
        starts, ends = happened(log, "node_rebooted"), happened(log, "node_up")
        return [end["t_s"] - start["t_s"] for start, end in zip(starts, ends, strict=True)]

    times = [s for seed in range(10) for s in drawn(seed)]
    assert len(set(times)) == 20
    assert all(70 <= s <= 130 for s in times)
    assert drawn(4) == drawn(4)


def test_the_noise_of_migrations_leaves_reboots_alone(play: Play) -> None:
    log = play(cluster(3), rebooting, reboot_s=100, noise=0.9, seed=5)
    assert away_s(log) == pytest.approx(100, abs=1e-3)


@pytest.mark.parametrize("noise", [-0.1, 1.0])
def test_the_noise_of_reboots_is_below_one(play: Play, noise: float) -> None:
    with pytest.raises(RequestError, match=f"reboot_noise {noise:g}"):
        play(cluster(2), reboot_noise=noise)


@pytest.mark.parametrize("reboot_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_reboot_takes_some_time(play: Play, reboot_s: float) -> None:
    with pytest.raises(RequestError, match="reboot_s"):
        play(cluster(2), reboot_s=reboot_s)


@pytest.mark.parametrize("paused_by", ["elsewhere", None])
def test_i8_a_node_that_somebody_else_paused_comes_back_paused_by_them(play: Play, paused_by: str | None) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.reboot_node("N1")
        await world.clock.sleep(700)
        back = (await world.look()).node_by_name["N1"]
        assert (back.state, back.paused_by) == ("paused", paused_by)

    log = play(cluster([node("N1", state="paused", paused_by=paused_by), node("N2"), node("N3")]), script)
    assert told(log[-2:], "what", "by") == [("node_up", "us"), ("node_paused", "elsewhere")]


def test_a_node_that_was_not_paused_comes_back_up(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.reboot_node("N1")
        await world.clock.sleep(700)
        assert (await world.look()).node_by_name["N1"].state == "up"

    assert happened(play(cluster(3), script), "node_paused") == []


def test_i5_what_runs_on_a_node_as_it_is_rebooted_is_lost_and_started_elsewhere(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.start_migration("away", "N2")
        await world.clock.sleep(2)
        await rebooting(world)

    vms = [vm("web"), vm("away", memory_mib=30000), vm("local", clustered=False), vm("old", state="off")]
    log = play(cluster(3, vms), script)
    at_s = happened(log, "node_rebooted")[0]["t_s"]
    assert told([line for line in log if line["t_s"] == at_s], "what") == [
        ("node_paused",),
        ("node_rebooted",),
        ("node_down",),
        ("migration_ended",),
        ("vm_crashed",),
        ("vm_crashed",),
        ("vm_crashed",),
        ("role_moved",),
    ]
    assert told(happened(log, "migration_ended"), "vm", "outcome", "node") == [("away", "source_lost", None)]
    assert told(happened(log, "vm_crashed"), "vm", "by") == [("web", "us"), ("away", "us"), ("local", "us")]
    assert {line["vm"] for line in happened(log, "vm_started", by="cluster", t_s=at_s + 30)} == {"web", "away"}


def test_a_migration_to_a_node_that_is_rebooted_leaves_the_vm_on_its_source(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.start_migration("web", "N1")
        await rebooting(world)

    log = play(cluster(3, [vm("web", "N2")]), script)
    assert told(happened(log, "migration_ended"), "outcome", "node") == [("target_lost", "N2")]
    assert happened(log, "vm_crashed") == []


def test_i7_volumes_and_roles_of_a_rebooted_node_go_to_others(play: Play) -> None:
    of = cluster(
        [node("N1"), node("N2", 2000), node("N3"), node("N4", state="paused")],
        [vm("old", state="off"), vm("kept", state="saved", possible_owners=["N1", "N4"])],
        volumes=[{"name": "CSV1", "owner": "N1"}],
        roles=[
            {"name": "Cluster Group", "kind": "core", "node": "N1"},
            {"name": "files", "kind": "file_server", "node": "N1"},
            {"name": "other", "node": "N2"},
        ],
    )
    log = play(of, rebooting)
    assert told(happened(log, "volume_owner_changed", by="cluster"), "volume", "target") == [("CSV1", "N2")]
    assert told(happened(log, "role_moved", by="cluster"), "name", "source", "target") == [
        ("old", "N1", "N3"),
        ("Cluster Group", "N1", "N3"),
        ("files", "N1", "N2"),
    ]


def test_r11_what_is_off_on_a_lost_disk_goes_with_it(play: Play) -> None:
    of = cluster(
        3,
        [vm("one", state="off", volumes=["LUN1"]), vm("two", state="off", volumes=["LUN1"])],
        volumes=[{"name": "LUN1", "kind": "disk", "owner": "N1"}],
    )

    async def script(world: SimulatedCluster) -> None:
        await rebooting(world)
        seen = await world.look()
        assert {seen.vm_by_name["one"].node, seen.vm_by_name["two"].node} == {seen.volume_by_name["LUN1"].owner}

    log = play(of, script)
    assert told(happened(log, "role_moved", by="cluster"), "name") == [("one",), ("two",)]


@pytest.mark.parametrize("order", ["reboot", "pause", "resume"])
def test_a_node_that_is_rebooting_takes_no_orders(play: Play, order: str) -> None:
    async def script(world: SimulatedCluster) -> None:
        await rebooting(world)
        orders = {"reboot": world.reboot_node, "pause": world.pause_node, "resume": world.resume_node}
        with pytest.raises(Refused, match="N1 is down"):
            await orders[order]("N1")

    assert len(happened(play(cluster(3), script), "node_rebooted")) == 1


@pytest.mark.parametrize("moved", [True, False])
def test_an_answer_about_a_reboot_is_lost_and_the_boot_time_tells_what_happened(play: Play, moved: bool) -> None:
    async def script(world: SimulatedCluster) -> None:
        with pytest.raises(OutcomeUnknown):
            await world.reboot_node("N1")
        await world.clock.sleep(700)
        booted_s = await world.booted_s("N1")
        assert booted_s == (pytest.approx(600, abs=1e-3) if moved else 0)

    log = play(cluster(3), script, faults=[{"when": {"node": "N1"}, "do": "answer_lost", "moved": moved}])
    assert len(happened(log, "node_rebooted")) == int(moved)


# ------------------------------------------------------------------ reboots that go wrong


def test_a_slow_reboot_takes_so_many_times_as_long_once(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        for _ in range(2):
            await rebooting(world)
            await world.clock.sleep(400)

    log = play(cluster(3), script, reboot_s=100, faults=[{"when": {"node": "n1"}, "do": "reboot_slow", "factor": 3}])
    assert told(happened(log, "node_up"), "t_s") == [(pytest.approx(300),), (pytest.approx(500),)]
    whats = [line["what"] for line in log]
    assert whats.index("fault_injected") + 1 == whats.index("node_rebooted")


def test_a_reboot_that_fails_leaves_the_node_down_for_ever(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await rebooting(world)
        await world.clock.sleep(50_000)
        assert (await world.look()).node_by_name["N1"].state == "down"
        assert await world.booted_s("N1") is None

    log = play(cluster(3), script, faults=[{"when": {"node": "N1"}, "do": "reboot_fails"}])
    assert happened(log, "node_up") == []


def test_somebody_starts_a_node_whose_reboot_failed_and_it_is_still_paused(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await rebooting(world)
        await world.clock.sleep(6000)
        assert await world.booted_s("N1") == pytest.approx(5000, abs=1e-3)

    faults = [{"when": {"node": "N1"}, "do": "reboot_fails"}, {"at_s": 5000, "do": "node_up", "node": "N1"}]
    log = play(cluster(3), script, faults=faults)
    assert told(log[-2:], "what", "by", "t_s") == [("node_up", "fault", 5000.0), ("node_paused", "us", 5000.0)]


@pytest.mark.parametrize("fault", ["node_down", "node_up", "node_isolated", "node_back"])
def test_a_node_that_is_rebooting_comes_when_it_is_ready(play: Play, fault: str) -> None:
    log = play(cluster(3), rebooting, then_s=900, faults=[{"at_s": 300, "do": fault, "node": "N1"}])
    assert away_s(log) == pytest.approx(600, abs=1e-3)
    assert len(happened(log, "node_down")) == 1


def test_a_node_comes_back_isolated_until_it_is_seen_again(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await rebooting(world)
        await world.clock.sleep(620)
        assert (await world.look()).node_by_name["N1"].state == "isolated"
        assert await world.booted_s("N1") is None
        await world.clock.sleep(100)
        assert (await world.look()).node_by_name["N1"].state == "paused"
        assert await world.booted_s("N1") == pytest.approx(600, abs=1e-3)

    faults = [{"when": {"node": "N1"}, "do": "reboot_isolated"}, {"at_s": 700, "do": "node_back", "node": "N1"}]
    log = play(cluster(3), script, faults=faults)
    about_nodes = [line for line in log if line["what"].startswith("node_")]
    assert told(about_nodes[1:], "what", "by") == [
        ("node_rebooted", "us"),
        ("node_down", "us"),
        ("node_isolated", "fault"),
        ("node_up", "fault"),
        ("node_paused", "us"),
    ]
