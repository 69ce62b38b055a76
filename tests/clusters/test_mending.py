"""What a simulated cluster refuses and does when it is asked to start a VM, restore direct I/O or refresh."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from building import AMD, INTEL, cluster, node, vm

from shunter.clusters.port import OutcomeUnknown, Refused
from shunter.clusters.simulated import SimulatedCluster
from shunter.topology.model import Cluster

Log = list[dict[str, Any]]
Play = Callable[..., Log]


def happened(log: Log, what: str, **fields: Any) -> Log:
    return [line for line in log if line["what"] == what and fields.items() <= line.items()]


def refused(play: Play, of: Cluster, name: str, target: str, **options: Any) -> str:
    """Why the start is refused; and nothing else happened."""
    said: list[str] = []

    async def script(world: SimulatedCluster) -> None:
        with pytest.raises(Refused) as refusal:
            await world.start_vm(name, target)
        said.append(str(refusal.value))

    assert happened(play(of, script, then_s=1, **options), "vm_started") == []
    return said[0]


def started(play: Play, of: Cluster, name: str, target: str) -> Log:
    async def script(world: SimulatedCluster) -> None:
        await world.start_vm(name, target)

    log = play(of, script, then_s=1)
    assert [(line["vm"], line["node"], line["by"]) for line in happened(log, "vm_started")] == [(name, target, "us")]
    return log


# ------------------------------------------------------------------ starts


@pytest.mark.parametrize("state", ["isolated", "joining"])
def test_i2_what_may_run_on_a_node_out_of_sight_is_not_started_elsewhere(play: Play, state: str) -> None:
    nodes = [node("N1", state=state), node("N2"), node("N3")]
    assert "web is running on N1 already" in refused(play, cluster(nodes, [vm("web")]), "web", "N2")
    assert f"N1, which is {state}" in refused(play, cluster(nodes, [vm("web", state="failed")]), "web", "N2")
    down = cluster([node("N1", state="down"), *nodes[1:]], [vm("web", state="failed")])
    started(play, down, "web", "N2")


def test_i2_a_vm_on_its_way_is_not_started(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.start_migration("web", "N2")
        with pytest.raises(Refused, match="web is in a migration"):
            await world.start_vm("web", "N3")

    assert happened(play(cluster(3, [vm("web")]), script), "vm_started") == []


def test_i2_what_we_have_started_the_cluster_does_not_start_again(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.clock.sleep(5)
        await world.start_vm("web", "N3")

    faults = [{"at_s": 1, "do": "node_down", "node": "N1"}]
    log = play(cluster(3, [vm("web")]), script, faults=faults)
    assert [(line["node"], line["by"]) for line in happened(log, "vm_started")] == [("N3", "us")]


@pytest.mark.parametrize(
    ("fields", "target", "reason"),
    [
        ({}, "N3", "N3 is paused"),
        ({}, "N4", "N4 has 2000 MiB free, web starts with 4096"),
        ({"switches": ["lan"]}, "N2", 'N2 has no virtual switch "lan"'),
        ({"possible_owners": ["N1"]}, "N2", "N2 is not a possible owner"),
        ({"volumes": ["far"]}, "N2", "N2 cannot reach volume far"),
        ({"volumes": ["gone"]}, "N2", "volume gone is offline"),
        ({"volumes": ["LUN1"]}, "N2", "LUN1 is in use by db on N1"),
        ({"clustered": False}, "N2", "no clustered VM web"),
        ({"state": "saved"}, "N2", "processor of N2"),
    ],
)
def test_a_start_needs_all_that_the_vm_needs_there(
    play: Play, fields: dict[str, Any], target: str, reason: str
) -> None:
    nodes = [
        node("N1", processor=INTEL, switches=["lan"]),
        node("N2", processor=AMD, switches=[]),
        node("N3", state="paused", processor=INTEL, switches=["lan"]),
        node("N4", 2000, processor=INTEL, switches=["lan"]),
    ]
    volumes = [
        {"name": "far", "owner": "N1", "reachable_from": ["N1"]},
        {"name": "gone", "owner": "N1", "state": "offline"},
        {"name": "LUN1", "kind": "disk", "owner": "N1"},
    ]
    vms = [vm("web", **{"state": "off", **fields}), vm("db", volumes=["LUN1"])]
    assert reason in refused(play, cluster(nodes, vms, volumes=volumes), "web", target)


def test_i4_a_start_keeps_vms_apart(play: Play) -> None:
    rules = [{"name": "dc", "kind": "different_node", "vms": ["web", "dc"]}]
    of = cluster(3, [vm("web", state="off"), vm("dc", "N2")], affinity_rules=rules)
    assert "rule dc" in refused(play, of, "web", "N2")
    started(play, of, "web", "N3")


def test_r11_the_disk_and_what_is_off_on_it_come_along(play: Play) -> None:
    of = cluster(
        [node("N1", state="down"), node("N2"), node("N3")],
        [vm("web", volumes=["LUN1"], state="failed"), vm("old", volumes=["LUN1"], state="off")],
        volumes=[{"name": "LUN1", "kind": "disk", "owner": "N3"}],
    )
    log = started(play, of, "web", "N2")
    assert [(line["source"], line["target"]) for line in happened(log, "volume_owner_changed", by="us")] == [
        ("N3", "N2")
    ]
    assert [line["name"] for line in happened(log, "role_moved", by="us")] == ["old"]


def test_r11_nothing_is_started_on_a_disk_that_is_on_its_way(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.start_migration("web", "N2")
        async for seen in world.follow_migration("web"):
            if seen.phase == "settling":
                with pytest.raises(Refused, match="LUN1 is on its way to N2 with web"):
                    await world.start_vm("old", "N2")
        await world.start_vm("old", "N2")

    vms = [vm("web", volumes=["LUN1"]), vm("old", volumes=["LUN1"], state="failed")]
    log = play(cluster(2, vms, volumes=[{"name": "LUN1", "kind": "disk", "owner": "N1"}]), script)
    assert [line["vm"] for line in happened(log, "vm_started")] == ["old"]


@pytest.mark.parametrize("moved", [True, False])
def test_the_answer_to_a_start_is_lost_whether_it_was_started_or_not(play: Play, moved: bool) -> None:
    async def script(world: SimulatedCluster) -> None:
        with pytest.raises(OutcomeUnknown, match="about vm web"):
            await world.start_vm("web", "N2")
        assert (await world.look()).vm_by_name["web"].holds_memory is moved

    faults = [{"when": {"vm": "web"}, "do": "answer_lost", "moved": moved}]
    log = play(cluster(2, [vm("web", state="failed")]), script, faults=faults)
    assert len(happened(log, "vm_started")) == moved


# ------------------------------------------------------------------ direct I/O and configurations


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"kind": "disk"}, "no Cluster Shared Volume"),
        ({"state": "redirected_no_path"}, "no path to V"),
        ({"state": "redirected_by_design"}, "by design"),
        ({"state": "redirected_by_user"}, "an operator"),
        ({"state": "maintenance"}, "V is in maintenance"),
        ({"state": "offline"}, "V is offline"),
        ({"state": "failed"}, "V is failed"),
        ({"state": "redirected_stuck", "backup": True}, "a backup of V is under way"),
    ],
)
def test_r18_only_what_outlived_its_backup_is_made_direct(play: Play, fields: dict[str, Any], reason: str) -> None:
    async def script(world: SimulatedCluster) -> None:
        with pytest.raises(Refused, match=reason):
            await world.restore_direct_io("V")
        with pytest.raises(Refused, match="there is no volume W"):
            await world.restore_direct_io("W")

    log = play(cluster(2, volumes=[{"name": "V", "owner": "N1", **fields}]), script, then_s=1)
    assert [line["what"] for line in log] == ["cluster"]


def test_r18_a_redirection_whose_backup_is_gone_ends(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.restore_direct_io("V")

    log = play(cluster(2, volumes=[{"name": "V", "owner": "N1", "state": "redirected_backup"}]), script)
    assert [(line["state"], line["by"]) for line in happened(log, "volume_state_changed")] == [("online", "us")]


@pytest.mark.parametrize("moved", [True, False])
def test_answers_about_volumes_and_configurations_are_lost(play: Play, moved: bool) -> None:
    async def script(world: SimulatedCluster) -> None:
        for order in (world.restore_direct_io("V"), world.refresh_configuration("web")):
            with pytest.raises(OutcomeUnknown):
                await order
        seen = await world.look()
        assert (seen.volume_by_name["V"].state == "online") is moved
        assert seen.vm_by_name["web"].configuration_in_cluster_is_current is moved

    of = cluster(
        2,
        [vm("web", configuration_in_cluster_is_current=False)],
        volumes=[{"name": "V", "owner": "N1", "state": "redirected_stuck"}],
    )
    about = ({"volume": "V"}, {"vm": "web"})
    play(of, script, faults=[{"when": when, "do": "answer_lost", "moved": moved} for when in about])
