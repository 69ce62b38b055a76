"""Paths to volumes that are lost, and storage that is being rebuilt, in a simulated cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from building import cluster, vm

from shunter.clusters.port import Refused
from shunter.clusters.simulated import SimulatedCluster
from shunter.topology.recheck import check_log

Log = list[dict[str, Any]]
Play = Callable[..., Log]


def happened(log: Log, what: str, **fields: Any) -> Log:
    return [line for line in log if line["what"] == what and fields.items() <= line.items()]


def path(at_s: float, do: str, name: str = "N2", volume: str = "CSV1") -> dict[str, Any]:
    return {"at_s": at_s, "do": f"volume_path_{do}", "node": name, "volume": volume}


def test_a_vm_whose_node_loses_its_path_runs_on_over_the_network_and_none_gets_there(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.clock.sleep(5)
        seen = await world.look()
        volume = seen.volume_by_name["CSV1"]
        assert (volume.state, volume.reachable_from, volume.owner) == ("redirected_no_path", ("N1", "N3"), "N1")
        assert seen.vm_by_name["web"].state == "running"
        for order in (world.start_migration("db", "N2"), world.move_volume("CSV1", "N2")):
            with pytest.raises(Refused, match="N2 cannot reach"):
                await order
        await world.start_migration("web", "N3")
        await world.clock.sleep(100)
        volume = (await world.look()).volume_by_name["CSV1"]
        assert (volume.state, volume.reachable_from) == ("online", ())
        await world.start_migration("db", "N2")

    vms = [vm("web", "N2", volumes=["CSV1"]), vm("db", volumes=["CSV1"])]
    of = cluster(3, vms, volumes=[{"name": "CSV1", "owner": "N1"}])
    log = play(of, script, faults=[path(1, "lost"), path(90, "back")])
    told = [(line["t_s"], line["state"], line["reachable_from"]) for line in happened(log, "volume_state_changed")]
    assert told == [(1, "redirected_no_path", ["N1", "N3"]), (90, "online", [])]
    assert happened(log, "vm_crashed") == []
    assert check_log(log) == ()


def test_i7_an_owner_that_loses_its_path_hands_the_volume_over_and_the_last_leaves_it_offline(play: Play) -> None:
    faults = [path(t, "lost", name) for t, name in ((1, "N1"), (2, "N2"), (3, "N3"))]
    faults += [path(4, "lost", "N3"), path(9, "back", "N2"), path(10, "back", "N1"), path(11, "back", "N3")]
    log = play(cluster(3, volumes=[{"name": "CSV1", "owner": "N1"}]), faults=faults)
    owners = [(line["t_s"], line["target"]) for line in happened(log, "volume_owner_changed", by="cluster")]
    assert owners == [(1, "N2"), (2, "N3"), (9, "N2")]
    states = [(line["t_s"], line["state"]) for line in happened(log, "volume_state_changed")]
    assert states == [
        (1, "redirected_no_path"),
        (2, "redirected_no_path"),
        (3, "redirected_no_path"),
        (3, "offline"),
        (9, "offline"),
        (9, "redirected_no_path"),
        (10, "redirected_no_path"),
        (11, "online"),
    ]
    assert check_log(log) == ()


def test_a_path_that_is_lost_leaves_other_states_as_they_are_and_disks_and_strangers_alone(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.clock.sleep(10)
        seen = await world.look()
        told = {volume.name: (volume.state, volume.reachable_from) for volume in seen.volumes}
        assert told == {
            "CSV1": ("redirected_by_design", ("N1", "N3")),
            "CSV2": ("online", ("N1",)),
            "LUN1": ("online", ()),
        }
        await world.clock.sleep(10)
        assert (await world.look()).volume_by_name["CSV1"].reachable_from == ()

    volumes = [
        {"name": "CSV1", "owner": "N1", "state": "redirected_by_design"},
        {"name": "CSV2", "owner": "N1", "reachable_from": ["N1"]},
        {"name": "LUN1", "kind": "disk", "owner": "N2"},
    ]
    faults = [*(path(1, "lost", volume=each["name"]) for each in volumes), path(15, "back"), path(16, "back")]
    assert check_log(play(cluster(3, volumes=volumes), script, faults=faults)) == ()


# ------------------------------------------------------------------ storage jobs


async def percents(world: SimulatedCluster, each_s: float, times: int) -> list[list[tuple[str, float]]]:
    seen = []
    for _ in range(times):
        seen.append([(job.volume, job.percent) for job in (await world.look()).storage_jobs])
        await world.clock.sleep(each_s)
    return seen


def test_a_storage_job_advances_with_time_and_ends(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.clock.sleep(11)
        seen = await percents(world, 50, 4)
        assert seen == [[("CSV1", 0)], [("CSV1", 50)], [], []]

    begins = {"do": "storage_job_starts", "volume": "CSV1", "duration_s": 100}
    faults = [{"at_s": 10, **begins}, {"at_s": 20, **begins}]
    log = play(cluster(2, volumes=[{"name": "CSV1", "owner": "N1"}]), script, faults=faults)
    told = [(line["t_s"], line["what"], line["name"]) for line in log if line["what"].startswith("storage_job")]
    assert told == [
        (10, "storage_job_started", "repair of CSV1"),
        (pytest.approx(110, abs=1e-3), "storage_job_ended", "repair of CSV1"),
    ]
    assert check_log(log) == ()


def test_a_job_of_the_cluster_file_goes_on_from_where_it_is(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        assert await percents(world, 901, 2) == [[("CSV1", 50)], [("CSV1", 75)]]

    jobs = [{"name": "rebuild", "volume": "CSV1", "percent": 50}]
    of = cluster(2, volumes=[{"name": "CSV1", "owner": "N1"}], storage_jobs=jobs)
    log = play(of, script, then_s=3600)
    (over,) = happened(log, "storage_job_ended", name="rebuild")
    assert over["t_s"] == pytest.approx(1800, abs=1e-3)


def test_a_job_is_ended_by_a_fault_too(play: Play) -> None:
    faults = [
        {"at_s": 1, "do": "storage_job_starts", "volume": "CSV1"},
        {"at_s": 60, "do": "storage_job_ends", "volume": "CSV1"},
        {"at_s": 61, "do": "storage_job_ends", "volume": "CSV1"},
    ]
    log = play(cluster(2, volumes=[{"name": "CSV1", "owner": "N1"}]), faults=faults, then_s=4000)
    assert [line["t_s"] for line in happened(log, "storage_job_ended")] == [60]


# ------------------------------------------------------------------ one direction only


def test_migrations_fail_in_one_direction_for_as_long_as_one_tries(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        for target in ("N2", "N2", "N3", "N1", "N2"):
            await world.start_migration("web", target)
            async for _ in world.follow_migration("web"):
                pass

    faults = [{"when": {"source": "N1", "target": "N2"}, "do": "migration_fails", "lasting": True}]
    log = play(cluster(3, [vm("web")]), script, faults=faults)
    assert [line["outcome"] for line in happened(log, "migration_ended")] == [
        "failed",
        "failed",
        "done",
        "done",
        "failed",
    ]
