"""What every port must do, seen on the simulated cluster in this process and over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from building import cluster, node, vm

from shunter.clusters.port import ClusterPort, Phase, Refused

OnEither = Callable[..., list[dict[str, Any]]]


async def followed(port: ClusterPort, name: str) -> list[Phase]:
    phases: list[Phase] = []
    async for seen in port.follow_migration(name):
        if not phases or phases[-1] is not seen.phase:
            phases.append(seen.phase)
    return phases


def test_r01_a_migrated_vm_runs_on_the_target_and_never_stopped(on_either: OnEither) -> None:
    async def script(port: ClusterPort) -> None:
        await port.start_migration("web", "N2")
        under_way = await port.look()
        assert [(m.vm, m.source, m.target, m.by) for m in under_way.migrations] == [("web", "N1", "N2", "us")]
        assert under_way.vm_by_name["web"].node == "N1"
        await followed(port, "web")
        seen = await port.look()
        assert seen.migrations == ()
        assert (seen.vm_by_name["web"].node, seen.vm_by_name["web"].state) == ("N2", "running")

    log = on_either(cluster(3, [vm("web", memory_mib=30000)]), script)
    assert [line["what"] for line in log] == ["cluster", "migration_started", "migration_ended"]


def test_r14_a_source_with_offload_unloads_it_before_the_copy(on_either: OnEither) -> None:
    async def script(port: ClusterPort) -> None:
        await port.start_migration("web", "N2")
        assert await followed(port, "web") == [
            Phase.PREPARING,
            Phase.UNLOADING_OFFLOAD,
            Phase.COPYING,
            Phase.SWITCHING,
            Phase.SETTLING,
        ]
        await port.start_migration("web", "N1")
        assert Phase.UNLOADING_OFFLOAD not in await followed(port, "web")

    on_either(cluster([node("N1", tcp_offload=True), node("N2", tcp_offload=False)], [vm("web")]), script)


def test_copying_is_seen_to_advance_and_not_more_than_some_fifty_times(on_either: OnEither) -> None:
    async def script(port: ClusterPort) -> None:
        await port.start_migration("big", "N2")
        seen = [glimpse async for glimpse in port.follow_migration("big")]
        percents = [glimpse.percent for glimpse in seen if glimpse.phase is Phase.COPYING]
        assert percents == sorted(percents)
        assert percents[0] == 0
        assert 90 < percents[-1] < 100
        assert 40 < len(seen) < 60
        times = [glimpse.at_s for glimpse in seen]
        assert times == sorted(times)

    on_either(cluster(2, [vm("big", memory_mib=60000)]), script)


def test_following_what_does_not_migrate_ends_at_once(on_either: OnEither) -> None:
    async def script(port: ClusterPort) -> None:
        assert await followed(port, "web") == []
        assert await followed(port, "nobody") == []

    on_either(cluster(2, [vm("web")]), script)


def test_a_snapshot_stays_the_same_object_as_long_as_nothing_changes(on_either: OnEither) -> None:
    async def script(port: ClusterPort) -> None:
        first = await port.look()
        assert await port.look() is first
        await port.pause_node("N1")
        assert await port.look() is not first
        assert first.node_by_name["N1"].state == "up"

    on_either(cluster(2), script)


def test_waiting_ends_with_a_change_or_with_its_time(on_either: OnEither) -> None:
    async def script(port: ClusterPort) -> None:
        seen = await port.look()
        began_s = port.clock.now_s()
        await port.wait_for_change(seen, 20)
        assert port.clock.now_s() - began_s >= 19.999
        assert await port.look() is seen
        await port.start_migration("web", "N2")
        await port.wait_for_change(seen, 1e6)
        moving = await port.look()
        while moving.migrations:
            await port.wait_for_change(moving, 1e6)
            moving = await port.look()
        assert moving.vm_by_name["web"].node == "N2"

    on_either(cluster(2, [vm("web")]), script)


def test_pausing_and_resuming_are_idempotent_and_remember_who_did_it(on_either: OnEither) -> None:
    async def script(port: ClusterPort) -> None:
        await port.pause_node("N1")
        await port.pause_node("N1")
        paused = (await port.look()).node_by_name["N1"]
        assert (paused.state, paused.paused_by) == ("paused", "us")
        await port.resume_node("N1")
        await port.resume_node("N1")
        resumed = (await port.look()).node_by_name["N1"]
        assert (resumed.state, resumed.paused_by) == ("up", None)

    log = on_either(cluster(2), script)
    assert [(line["what"], line["by"]) for line in log[1:]] == [("node_paused", "us"), ("node_resumed", "us")]


def test_i8_pausing_a_node_that_somebody_else_paused_does_not_make_it_ours(on_either: OnEither) -> None:
    async def script(port: ClusterPort) -> None:
        await port.pause_node("N1")
        assert (await port.look()).node_by_name["N1"].paused_by == "elsewhere"

    log = on_either(cluster([node("N1", state="paused", paused_by="elsewhere"), node("N2")]), script)
    assert [line["what"] for line in log] == ["cluster"]


def test_roles_and_volumes_change_hands(on_either: OnEither) -> None:
    async def script(port: ClusterPort) -> None:
        await port.move_role("old", "N2")
        await port.move_role("Cluster Group", "N2")
        await port.move_volume("CSV1", "N2")
        seen = await port.look()
        assert seen.vm_by_name["old"].node == "N2"
        assert seen.roles[0].node == "N2"
        assert seen.volume_by_name["CSV1"].owner == "N2"

    of = cluster(
        2,
        [vm("old", state="off")],
        volumes=[{"name": "CSV1", "owner": "N1"}],
        roles=[{"name": "Cluster Group", "kind": "core", "node": "N1"}],
    )
    log = on_either(of, script)
    assert [line["what"] for line in log[1:]] == ["role_moved", "role_moved", "volume_owner_changed"]


def test_a_cancelled_migration_leaves_the_vm_on_its_source(on_either: OnEither) -> None:
    async def script(port: ClusterPort) -> None:
        await port.start_migration("web", "N2")
        await port.cancel_migration("web")
        seen = await port.look()
        assert seen.migrations == ()
        assert seen.vm_by_name["web"].node == "N1"
        with pytest.raises(Refused, match="no migration"):
            await port.cancel_migration("web")

    log = on_either(cluster(2, [vm("web", memory_mib=60000)]), script)
    assert [(line["outcome"], line["node"]) for line in log if line["what"] == "migration_ended"] == [
        ("cancelled", "N1")
    ]


def test_refusals_keep_their_class_and_say_whether_a_node_is_busy(on_either: OnEither) -> None:
    async def script(port: ClusterPort) -> None:
        with pytest.raises(Refused, match="N9") as unknown:
            await port.start_migration("a", "N9")
        assert not unknown.value.busy
        await port.start_migration("a", "N2")
        with pytest.raises(Refused, match="N2 takes part in the migration of a") as busy:
            await port.start_migration("c", "N2")
        assert busy.value.busy
        for order in (port.pause_node("N9"), port.move_volume("x", "N1"), port.move_role("x", "N1")):
            with pytest.raises(Refused):
                await order

    on_either(cluster(3, [vm("a", memory_mib=60000), vm("c", "N3")]), script)


def test_the_migration_log_tells_what_became_of_each_migration(on_either: OnEither) -> None:
    async def script(port: ClusterPort) -> None:
        await port.start_migration("a", "N2")
        await followed(port, "a")
        await port.start_migration("b", "N2")
        await port.cancel_migration("b")
        records = await port.migration_log()
        told = [(r.vm, r.source, r.target, r.by, r.outcome, r.node) for r in records]
        assert told == [("a", "N1", "N2", "us", "done", "N2"), ("b", "N1", "N2", "us", "cancelled", "N1")]
        assert records[0].started_s < records[0].ended_s <= records[1].started_s

    on_either(cluster(2, [vm("a"), vm("b", memory_mib=60000)]), script)


def test_whoever_waits_for_one_node_hears_of_it_though_others_change_meanwhile(on_either: OnEither) -> None:
    async def script(port: ClusterPort) -> None:
        await port.start_migration("web", "N2")
        while (seen := await port.look()).migrations:
            await port.wait_for_change(seen, 1e6)
        waiting = asyncio.ensure_future(port.wait_for_change(seen, 1e6, node="N3"))
        await port.pause_node("N3")
        await waiting
        assert (await port.look()).node_by_name["N3"].state == "paused"

    on_either(cluster(3, [vm("web")]), script)


def test_a_rebooted_node_comes_back_paused_and_tells_when_it_started(on_either: OnEither) -> None:
    async def script(port: ClusterPort) -> None:
        before_s = await port.booted_s("N1")
        assert before_s is not None
        await port.pause_node("N1")
        ordered_s = port.clock.now_s()
        await port.reboot_node("N1")
        assert await port.booted_s("N1") is None
        while (seen := await port.look()).node_by_name["N1"].state == "down":
            await port.wait_for_change(seen, 1e4)
        assert (seen.node_by_name["N1"].state, seen.node_by_name["N1"].paused_by) == ("paused", "us")
        booted_s = await port.booted_s("N1")
        assert booted_s is not None
        assert booted_s >= ordered_s + 599 > before_s
        await port.resume_node("N1")

    log = on_either(cluster(3), script)
    assert [(line["what"], line["node"], line["by"]) for line in log[1:]] == [
        ("node_paused", "N1", "us"),
        ("node_rebooted", "N1", "us"),
        ("node_down", "N1", "us"),
        ("node_up", "N1", "us"),
        ("node_paused", "N1", "us"),
        ("node_resumed", "N1", "us"),
    ]


def test_only_a_node_of_the_cluster_that_is_there_is_rebooted(on_either: OnEither) -> None:
    async def script(port: ClusterPort) -> None:
        with pytest.raises(Refused, match="N9"):
            await port.reboot_node("N9")
        with pytest.raises(Refused, match="N9"):
            await port.booted_s("N9")
        with pytest.raises(Refused, match="N2 is down and cannot be rebooted"):
            await port.reboot_node("N2")
        assert await port.booted_s("N2") is None

    log = on_either(cluster([node("N1"), node("N2", state="down"), node("N3")]), script)
    assert [line["what"] for line in log] == ["cluster"]


def test_a_vm_that_does_not_run_is_started_where_it_is_wanted(on_either: OnEither) -> None:
    async def script(port: ClusterPort) -> None:
        await port.start_vm("web", "N2")
        seen = (await port.look()).vm_by_name["web"]
        assert (seen.state, seen.node, seen.memory_mib) == ("running", "N2", 8192)
        with pytest.raises(Refused, match="web is running on N2 already"):
            await port.start_vm("web", "N3")
        for name, target in (("nobody", "N1"), ("off", "N9")):
            with pytest.raises(Refused, match=r"there is no (clustered VM nobody|node N9)"):
                await port.start_vm(name, target)

    of = cluster(3, [vm("web", state="failed", memory_startup_mib=8192), vm("off", state="off")])
    log = on_either(of, script)
    assert [(line["what"], line["vm"], line["node"], line["by"], line["memory_mib"]) for line in log[1:]] == [
        ("vm_started", "web", "N2", "us", 8192)
    ]


def test_r18_direct_io_is_restored_where_it_outlived_its_backup(on_either: OnEither) -> None:
    async def script(port: ClusterPort) -> None:
        await port.restore_direct_io("CSV1")
        await port.restore_direct_io("CSV1")
        assert (await port.look()).volume_by_name["CSV1"].state == "online"
        with pytest.raises(Refused, match="a backup of CSV2 is under way"):
            await port.restore_direct_io("CSV2")

    volumes = [
        {"name": "CSV1", "owner": "N1", "state": "redirected_stuck"},
        {"name": "CSV2", "owner": "N1", "state": "redirected_backup", "backup": True},
    ]
    log = on_either(cluster(2, volumes=volumes), script)
    assert [(line["what"], line["volume"], line["state"]) for line in log[1:]] == [
        ("volume_state_changed", "CSV1", "online")
    ]


def test_r19_a_refreshed_configuration_is_current_and_the_vm_runs_on(on_either: OnEither) -> None:
    async def script(port: ClusterPort) -> None:
        await port.refresh_configuration("web")
        seen = (await port.look()).vm_by_name["web"]
        assert (seen.configuration_in_cluster_is_current, seen.state) == (True, "running")
        with pytest.raises(Refused, match="there is no clustered VM nobody"):
            await port.refresh_configuration("nobody")

    log = on_either(cluster(2, [vm("web", configuration_in_cluster_is_current=False)]), script)
    assert [(line["what"], line["vm"]) for line in log[1:]] == [("configuration_refreshed", "web")]
