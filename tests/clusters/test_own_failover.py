"""How a simulated cluster restarts the VMs of a lost node by itself, and where it gives up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from building import cluster, node, vm

from shunter.clusters.port import Failed
from shunter.clusters.simulated import SimulatedCluster
from shunter.topology.recheck import check_log

Log = list[dict[str, Any]]
Play = Callable[..., Log]

N1_IS_LOST = {"at_s": 1, "do": "node_down", "node": "N1"}


def happened(log: Log, what: str, **fields: Any) -> Log:
    return [line for line in log if line["what"] == what and fields.items() <= line.items()]


def starts(log: Log) -> list[tuple[str, str]]:
    return [(line["vm"], line["node"]) for line in happened(log, "vm_started")]


def fails(name: str, on: str, **fields: Any) -> dict[str, Any]:
    return {"at_s": 0, "do": "role_fails", "vm": name, "node": on, **fields}


# ------------------------------------------------------------------ order and time


def test_a_node_starts_one_vm_after_the_other_and_the_most_important_first(play: Play) -> None:
    vms = [vm(f"vm-{i}", memory_mib=1024, priority=priority) for i, priority in enumerate((1000, 2000, 3000) * 3)]
    log = play(cluster(3, vms), faults=[N1_IS_LOST])
    started = happened(log, "vm_started", by="cluster")
    assert len(started) == 9
    assert min(line["t_s"] for line in started) == pytest.approx(31, abs=1e-3)
    priorities = [vms[int(line["vm"][3:])]["priority"] for line in started]
    for target in ("N2", "N3"):
        times = [line["t_s"] for line in started if line["node"] == target]
        assert all(1 <= later - earlier <= 3 + 1e-3 for earlier, later in pairwise(times))
    assert priorities == sorted(priorities, reverse=True)
    assert check_log(log) == ()


def test_the_same_seed_restarts_at_the_same_times_and_another_at_others(play: Play) -> None:
    of = cluster(3, [vm(f"vm-{i}", memory_mib=1024) for i in range(9)])
    logs = [play(of, faults=[N1_IS_LOST], seed=seed) for seed in (1, 1, 2)]
    assert logs[0] == logs[1]
    times = [[line["t_s"] for line in happened(log, "vm_started")] for log in logs]
    assert times[0] != times[2]


# ------------------------------------------------------------------ starts that fail


def test_a_vm_that_fails_on_one_node_is_started_on_the_next_after_a_while(play: Play) -> None:
    of = cluster([node("N1"), node("N2", 90000), node("N3")], [vm("web")])
    log = play(of, faults=[fails("web", "N2"), N1_IS_LOST])
    assert starts(log) == [("web", "N2"), ("web", "N3")]
    first, second = happened(log, "vm_started")
    assert second["t_s"] - first["t_s"] == pytest.approx(20, abs=1e-3)
    (failed,) = happened(log, "vm_crashed", node="N2", by="fault")
    assert (failed["t_s"], failed["reason"]) == (first["t_s"], "web does not come up on N2")
    assert check_log(log) == ()


def test_the_cluster_gives_up_a_vm_that_has_failed_as_often_as_there_are_other_nodes(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.clock.sleep(3600)
        assert (await world.look()).vm_by_name["web"].state == "failed"
        await world.pause_node("N2")
        await world.resume_node("N2")
        await world.clock.sleep(3600)
        await world.start_vm("web", "N4")
        assert (await world.look()).vm_by_name["web"].state == "running"

    faults = [*(fails("web", name) for name in ("N2", "N3")), fails("web", "N4", times=1), N1_IS_LOST]
    log = play(cluster(4, [vm("web")]), script, faults=faults)
    assert Counter(starts(log)) == {("web", "N2"): 1, ("web", "N3"): 1, ("web", "N4"): 2}
    assert [line["by"] for line in happened(log, "vm_started")] == ["cluster"] * 3 + ["us"]
    assert check_log(log) == ()


def test_where_a_vm_has_failed_everywhere_it_is_tried_there_again(play: Play) -> None:
    nodes = [node("N1"), node("N2"), node("N3", state="paused"), node("N4", state="paused")]
    log = play(cluster(nodes, [vm("web")]), faults=[fails("web", "N2", times=2), N1_IS_LOST])
    assert starts(log) == [("web", "N2")] * 3
    assert len(happened(log, "vm_crashed", by="fault", node="N2")) == 2


def test_a_start_that_we_ask_for_fails_on_that_node_and_nowhere_else(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.clock.sleep(1)
        for _ in range(2):
            with pytest.raises(Failed, match="web was started on N2 and failed: web does not come up on N2"):
                await world.start_vm("web", "N2")
        assert (await world.look()).vm_by_name["web"].state == "failed"
        await world.start_vm("db", "N2")
        await world.start_vm("web", "N3")

    of = cluster(3, [vm("web", state="off"), vm("db", state="off")])
    log = play(of, script, faults=[fails("WEB", "n2"), {"at_s": 9, "do": "vm_started", "vm": "web"}])
    assert starts(log) == [("web", "N2"), ("web", "N2"), ("db", "N2"), ("web", "N3")]
    assert check_log(log) == ()


# ------------------------------------------------------------------ configurations that are not current


def drifted(play: Play, seed: int) -> Log:
    faults = [{"at_s": 0.5, "do": "configuration_changes", "vm": "web"}, N1_IS_LOST]
    return play(cluster(4, [vm("web"), vm("db")]), faults=faults, seed=seed)


def test_r19_a_drifted_vm_fails_the_first_time_or_comes_up_wrongly_configured_as_the_seed_says(play: Play) -> None:
    logs = [drifted(play, seed) for seed in range(20)]
    failed_first = 0
    for log in logs:
        assert len(happened(log, "configuration_changed", vm="web")) == 1
        of_web = happened(log, "vm_started", vm="web")
        assert of_web[-1]["wrongly_configured"]
        assert len(of_web) == 1 + len(happened(log, "vm_crashed", vm="web", by="fault", node=of_web[0]["node"]))
        failed_first += len(of_web) == 2
        assert all("wrongly_configured" not in line for line in [*of_web[:-1], *happened(log, "vm_started", vm="db")])
        assert check_log(log) == ()
    assert 0 < failed_first < len(logs)
    assert drifted(play, 3) == logs[3]


def test_r19_a_refreshed_vm_comes_up_as_it_should(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.refresh_configuration("web")

    for seed in range(8):
        of = cluster(3, [vm("web", configuration_in_cluster_is_current=False)])
        log = play(of, script, faults=[N1_IS_LOST], seed=seed)
        assert len(starts(log)) == 1
        assert "wrongly_configured" not in happened(log, "vm_started")[0]
        assert check_log(log) == ()


def test_r19_where_it_was_a_drifted_vm_starts_as_it_is(play: Play) -> None:
    async def script(world: SimulatedCluster) -> None:
        await world.start_vm("web", "N1")

    for seed in range(8):
        of = cluster(2, [vm("web", state="off", configuration_in_cluster_is_current=False)])
        (started,) = happened(play(of, script, seed=seed), "vm_started")
        assert "wrongly_configured" not in started


# ------------------------------------------------------------------ what the cluster says of it


def test_it_says_of_each_vm_whether_it_is_restarting_it_and_no_more_of_one_that_fits_nowhere(play: Play) -> None:
    pending: dict[float, list[str]] = {}

    async def script(world: SimulatedCluster) -> None:
        for at_s in (2, 33, 41):
            await world.clock.sleep(at_s - world.clock.now_s())
            pending[at_s] = [each.name for each in (await world.look()).vms if each.restart_pending]

    vms = [vm("web"), vm("big", memory_mib=60000), vm("lab", priority=0), vm("stays", "N2", 8192)]
    faults = [N1_IS_LOST, {"at_s": 40, "do": "vm_memory_changed", "vm": "stays", "memory_mib": 512}]
    log = play(cluster(2, vms), script, faults=faults)
    assert pending == {2: ["web", "big"], 33: [], 41: []}
    assert starts(log) == [("web", "N2"), ("big", "N2")]


def test_one_that_it_has_given_up_is_pending_no_more(play: Play) -> None:
    pending: list[bool] = []

    async def script(world: SimulatedCluster) -> None:
        for _ in range(3):
            await world.clock.sleep(25)
            pending.append((await world.look()).vm_by_name["web"].restart_pending)

    play(cluster(3, [vm("web")]), script, faults=[fails("web", "N2"), fails("web", "N3"), N1_IS_LOST])
    assert pending == [True, True, False]


def test_a_cluster_that_begins_with_pending_restarts_goes_on_with_them(play: Play) -> None:
    vms = [vm("web", state="failed", restart_pending=True), vm("given-up", state="failed")]
    log = play(cluster([node("N1", state="down"), node("N2")], vms))
    assert starts(log) == [("web", "N2")]
