"""Backups in a simulated cluster: those of VMs that move (R17), and what those of volumes leave behind (R18)."""

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


def whats(log: Log) -> list[str]:
    return [line["what"] for line in log[1:] if line["what"] != "fault_injected"]


async def move_web(world: SimulatedCluster) -> None:
    await world.start_migration("web", "N2")


def test_r17_a_backup_is_seen_from_its_start_to_its_end(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        seen = []
        for _ in range(3):
            seen.append((await world.look()).vm_by_name["web"].backup)
            await world.clock.sleep(5)
        assert seen == [False, True, False]

    faults = [
        {"at_s": 1, "do": "backup_starts", "vm": "web"},
        {"at_s": 9, "do": "backup_ends", "vm": "web", "outcome": "failed"},
    ]
    log = play(cluster(2, [vm("web")]), script, faults=faults)
    assert [(line["outcome"], line.get("degraded")) for line in happened(log, "backup_ended", vm="web")] == [
        ("failed", None)
    ]


def test_r17_a_vm_that_moves_under_backup_is_backed_up_as_a_plain_copy_and_no_error_says_so(play: Play) -> None:
    faults = [{"at_s": 200, "do": "backup_ends", "vm": "web"}]
    log = play(cluster(2, [vm("web", backup=True)]), move_web, faults=faults)
    assert whats(log) == ["migration_started", "migration_ended", "backup_ended"]
    (over,) = happened(log, "backup_ended", vm="web")
    assert (over["outcome"], over["degraded"], over["t_s"]) == ("done", True, log[2]["t_s"])
    assert [found.invariant for found in check_log(log)] == ["R17"]
    assert check_log(log, backups_may_degrade=True) == ()


def test_r17_a_backup_that_starts_in_the_middle_of_a_migration_is_seen_and_waits_for_its_end(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await move_web(world)
        await world.clock.sleep(2.5)
        assert (await world.look()).vm_by_name["web"].backup
        async for _ in world.follow_migration("web"):
            pass
        assert not (await world.look()).vm_by_name["web"].backup

    faults = [
        {"at_s": 2, "do": "backup_starts", "vm": "web"},
        {"at_s": 3, "do": "backup_ends", "vm": "web"},
    ]
    log = play(cluster(2, [vm("web", memory_mib=30000)]), script, faults=faults)
    assert whats(log) == ["migration_started", "backup_started", "migration_ended", "backup_ended"]
    assert happened(log, "backup_ended", outcome="done", degraded=True)
    assert check_log(log) == ()


@pytest.mark.parametrize("outcome", ["done", "failed", "aborted"])
def test_r17_where_the_migration_fails_the_backup_goes_on_on_the_source(play: Play, outcome: str) -> None:
    faults = [
        {"when": {"vm": "web"}, "do": "migration_fails", "fraction": 0.5},
        {"at_s": 2, "do": "backup_starts", "vm": "web"},
        {"at_s": 60, "do": "backup_ends", "vm": "web", "outcome": outcome},
    ]
    log = play(cluster(2, [vm("web", memory_mib=30000)]), move_web, faults=faults)
    assert whats(log) == ["migration_started", "backup_started", "migration_ended", "backup_ended"]
    (over,) = happened(log, "backup_ended")
    assert (over["outcome"], over["t_s"], "degraded" in over) == (outcome, 60, False)


def test_a_backup_fails_with_the_node_that_its_vm_runs_on(play: Play) -> None:
    log = play(cluster(3, [vm("web", backup=True)]), faults=[{"at_s": 1, "do": "node_down", "node": "N1"}])
    assert [line["outcome"] for line in happened(log, "backup_ended", vm="web")] == ["failed"]


# ------------------------------------------------------------------ volumes


@pytest.mark.parametrize(
    ("outcome", "after"), [("done", "online"), ("failed", "redirected_stuck"), ("aborted", "redirected_stuck")]
)
def test_r18_on_2008_r2_a_backup_that_fails_leaves_its_volume_redirected(play: Play, outcome: str, after: str) -> None:
    faults = [
        {"at_s": 1, "do": "backup_starts", "volume": "CSV1"},
        {"at_s": 5, "do": "backup_ends", "volume": "CSV1", "outcome": outcome},
    ]
    of = cluster(2, volumes=[{"name": "CSV1", "owner": "N1"}], windows_version="2008R2")
    log = play(of, faults=faults)
    assert [line["state"] for line in happened(log, "volume_state_changed")] == ["redirected_backup", after]
    newer = play(cluster(2, volumes=[{"name": "CSV1", "owner": "N1"}]), faults=faults)
    assert happened(newer, "volume_state_changed") == []
    assert [line["outcome"] for line in happened(newer, "backup_ended")] == [outcome]


def test_r18_a_backup_ends_with_the_owner_of_its_volume_and_the_next_owner_has_it_redirected(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.clock.sleep(20)
        seen = (await world.look()).volume_by_name["CSV1"]
        assert (seen.owner, seen.state, seen.backup) == ("N2", "redirected_stuck", False)
        await world.restore_direct_io("CSV1")
        assert (await world.look()).volume_by_name["CSV1"].state == "online"

    faults = [
        {"at_s": 1, "do": "backup_starts", "volume": "CSV1"},
        {"at_s": 5, "do": "node_down", "node": "N1"},
        {"at_s": 9, "do": "backup_ends", "volume": "CSV1"},
    ]
    of = cluster(3, volumes=[{"name": "CSV1", "owner": "N1"}], windows_version="2008R2")
    log = play(of, script, faults=faults)
    assert [line["outcome"] for line in happened(log, "backup_ended", volume="CSV1")] == ["failed"]
    assert check_log(log) == ()


def test_r18_a_cluster_may_refuse_direct_io_and_says_what_to_do(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        with pytest.raises(Refused, match=r"a backup program still holds .* -VolumeName CSV1"):
            await world.restore_direct_io("CSV1")
        await world.restore_direct_io("CSV1")
        for _ in range(3):
            with pytest.raises(Refused, match=r"a filter driver on its owner N1 .* give CSV2 to another node"):
                await world.restore_direct_io("CSV2")
        await world.move_volume("CSV2", "N2")
        await world.restore_direct_io("CSV2")

    volumes = [{"name": name, "owner": "N1", "state": "redirected_stuck"} for name in ("CSV1", "CSV2")]
    faults = [
        {"when": {"volume": "CSV1"}, "do": "direct_io_refused"},
        {"when": {"volume": "CSV2"}, "do": "direct_io_refused", "node": "n1", "lasting": True},
    ]
    log = play(cluster(2, volumes=volumes), script, faults=faults)
    assert [line["volume"] for line in happened(log, "volume_state_changed")] == ["CSV1", "CSV2"]
