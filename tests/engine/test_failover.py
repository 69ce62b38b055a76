"""Failovers by the real engine on a simulated cluster, in virtual time."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from building import cluster, node, vm
from virtual import Night, Notes, failed_over, in_virtual_time

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import SimulatedCluster
from shunter.engine.failover import fail_over
from shunter.engine.holds import OwnHolds
from shunter.engine.stop import Stop
from shunter.topology.errors import RequestError
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.recheck import check_failover, check_log

GIVEN_UP = {"state": "failed"}


def with_n1_down(vms: list[Any], nodes: int = 3, **more: Any) -> Cluster:
    """N1 was lost some time ago, and the cluster restarts nothing of it any more."""
    return cluster([node("N1", state="down"), *(node(f"N{i}") for i in range(2, nodes + 1))], vms, **more)


def started_by(night: Night) -> dict[str, str]:
    return {line["vm"]: line["by"] for line in night.happened("vm_started")}


def started_after_s(night: Night, name: str) -> float:
    (line,) = night.happened("vm_started", vm=name)
    return float(line["t_s"]) - night.notes.began_s


def test_what_the_cluster_restarts_by_itself_is_watched_and_told_and_nothing_is_started_twice() -> None:
    night = failed_over(cluster(3, [vm("web"), vm("db", memory_mib=8192), vm("other", "N2")]))
    assert night.report.ok
    assert started_by(night) == {"web": "cluster", "db": "cluster"}
    assert {move.vm: (move.source, move.why) for move in night.report.moves} == {
        "web": ("N1", "restarted by the cluster"),
        "db": ("N1", "restarted by the cluster"),
    }


def test_i2_what_the_cluster_gave_up_is_started_where_it_fits_the_most_important_first() -> None:
    vms = [vm("low", priority=1000, **GIVEN_UP), vm("high", priority=3000, **GIVEN_UP), vm("mid", **GIVEN_UP)]
    night = failed_over(with_n1_down(vms, nodes=2), how=None)
    assert night.report.ok
    assert [(line["vm"], line["by"]) for line in night.happened("vm_started")] == [
        ("high", "us"),
        ("mid", "us"),
        ("low", "us"),
    ]
    assert night.notes.of("vm high") == ["failed", "starting", "running"]


def test_i2_what_the_cluster_gave_up_long_ago_is_started_after_half_a_minute_in_which_it_begins_nothing() -> None:
    night = failed_over(with_n1_down([vm("web", **GIVEN_UP)]), how=None)
    assert started_by(night) == {"web": "us"}
    assert started_after_s(night, "web") == pytest.approx(30.0)
    (wait,) = night.notes.waits[0]
    assert wait.reason == "is not being restarted by the cluster; this run starts it if that stays so"
    assert wait.until_s == night.notes.began_s + 30.0


def test_i2_what_the_cluster_says_that_it_is_restarting_is_left_to_it() -> None:
    night = failed_over(with_n1_down([vm("web", restart_pending=True, **GIVEN_UP), vm("db", **GIVEN_UP)]), how=None)
    assert started_by(night) == {"web": "cluster", "db": "us"}
    assert started_after_s(night, "db") > started_after_s(night, "web")
    assert night.report.ok


def test_i2_what_the_cluster_says_for_ever_that_it_is_restarting_is_never_started_by_us_and_is_named() -> None:
    of = with_n1_down([vm("web", restart_pending=True, **GIVEN_UP)])

    async def night() -> tuple[Plan, list[str]]:
        world = SimulatedCluster(of, clock=Clock())
        world.failover.leave_to_others("web")  # it stays in the queue, and nothing comes of it
        report = await fail_over(world, ["N1"], holds=OwnHolds(), audience=Notes())
        lines = list(world.witness.lines)
        await world.close()
        return report, lines

    report, lines = in_virtual_time(night)
    assert not any("vm_started" in line for line in lines)
    assert not report.ok
    (stays,) = report.unplaced
    assert {verdict.reason for verdict in stays.verdicts} == {
        "the cluster says that it is restarting web itself, and had not done so when this run ended"
    }


def in_pieces(*others: Any, **of_those_that_run: Any) -> Cluster:
    """N1 was lost. `db` fits nowhere; it does on N2 or N3 once a small one has moved on to the other."""
    small = [vm("a", "N2", 30, **of_those_that_run), vm("b", "N3", 30, **of_those_that_run)]
    vms = [vm("db", memory_mib=40, **GIVEN_UP), *small, vm("c", "N2", 40), vm("d", "N3", 40), *others]
    return cluster([node("N1", 100, state="down"), node("N2", 100), node("N3", 100)], vms)


def test_i3_where_memory_is_there_in_pieces_that_are_too_small_others_move_on_live() -> None:
    night = failed_over(in_pieces(), how=None)
    assert night.report.ok
    assert [(move.vm, move.source, move.target, move.why) for move in night.report.made_room] == [
        ("b", "N3", "N2", "makes room for db, which starts on N3 then")
    ]
    assert {move.vm: move.target for move in night.report.moves} == {"db": "N3"}
    assert night.happened("vm_crashed") == []
    assert check_log(night.log) == ()
    assert check_failover(night.report, night.log, ["N1"]) == ()


def test_i3_room_is_made_for_the_most_important_one_first() -> None:
    """There is room for one of them."""
    night = failed_over(in_pieces(vm("a-low", memory_mib=40, priority=1000, **GIVEN_UP)), how=None)
    assert {move.vm: move.target for move in night.report.moves} == {"db": "N3"}
    assert [stays.vm for stays in night.report.unplaced] == ["a-low"]


def test_r17_a_vm_under_backup_makes_no_room() -> None:
    night = failed_over(in_pieces(backup=True), how=None)
    assert night.happened("migration_started") == []
    assert [stays.vm for stays in night.report.unplaced] == ["db"]


def test_i3_where_one_cannot_move_on_another_makes_room_and_both_are_told() -> None:
    faults = [{"when": {"vm": "b"}, "do": "migration_fails", "lasting": True}]
    night = failed_over(in_pieces(), how=None, faults=faults)
    assert {move.vm: move.target for move in night.report.moves} == {"db": "N2"}
    assert {(move.vm, move.outcome) for move in night.report.made_room} == {("b", "failed"), ("a", "done")}
    assert any(told.subject == "vm b" and "and did not" in told.message for told in night.report.findings)
    assert check_failover(night.report, night.log, ["N1"]) == ()


def test_i2_whoever_waits_for_room_does_not_wait_for_a_node_that_is_isolated_meanwhile() -> None:
    began_s = failed_over(in_pieces(), how=None).happened("migration_started")[0]["t_s"]
    faults = [{"at_s": began_s + 0.001, "do": "node_isolated", "node": "N3"}]
    night = failed_over(in_pieces(), how=None, faults=faults)
    assert night.happened("migration_refused") == []
    assert {move.vm: move.target for move in night.report.moves} == {}
    assert [(move.vm, move.outcome) for move in night.report.made_room] == [("b", "failed")]
    assert night.report.makespan_s < 120
    assert [stays.vm for stays in night.report.unplaced] == ["db"]
    assert check_failover(night.report, night.log, ["N1"], night.notes.began_s) == ()


def filled_up(seed: int) -> tuple[Cluster, list[dict[str, Any]]]:
    """What N1 ran is to be started where a quarter of the memory is free, in pieces; and what goes wrong meanwhile."""
    rng = random.Random(f"in pieces/{seed}")
    count = rng.randint(3, 5)
    vms: list[dict[str, Any]] = []
    for on in range(2, count + 1):
        free_mib = 100
        while free_mib > 25:
            mib = min(rng.randint(8, 45), free_mib - 1)
            free_mib -= mib
            bound = rng.choice(({}, {}, {}, {"backup": True}, {"possible_owners": [f"N{on}", "N1"]}, {"priority": 0}))
            vms.append(vm(f"runs-{len(vms)}", f"N{on}", mib, **bound))
    lost = range(rng.randint(1, 3))
    vms += [vm(f"lost-{i}", "N1", rng.randint(20, 50), priority=rng.choice((1000, 3000)), **GIVEN_UP) for i in lost]
    nodes = [node("N1", 100, state="down"), *(node(f"N{i}", 100) for i in range(2, count + 1))]
    wrong = rng.choices(("migration_fails", "answer_lost"), k=rng.randint(0, 2))
    return cluster(nodes, vms), [{"when": {"vm": rng.choice(vms)["name"]}, "do": do} for do in wrong]


@pytest.mark.parametrize("first", range(0, 120, 40))
def test_whoever_makes_room_for_whom_no_invariant_breaks_and_the_report_agrees_with_the_log(first: int) -> None:
    some_made_room = False
    for seed in range(first, first + 40):
        of, faults = filled_up(seed)
        night = failed_over(of, how=None, faults=faults, seed=seed)
        assert check_log(night.log) == (), f"seed {seed}"
        assert check_failover(night.report, night.log, ["N1"], night.notes.began_s) == (), f"seed {seed}"
        some_made_room |= bool(night.report.made_room)
    assert some_made_room


def test_i3_a_run_that_is_stopped_makes_no_room() -> None:
    stop = Stop()
    stop.request()
    night = failed_over(in_pieces(), how=None, stop=stop)
    assert night.happened("migration_started") == []


def test_i2_what_the_cluster_begins_while_the_run_tries_others_is_left_to_it_and_waited_for() -> None:
    """Nine have room on N3 once `full` needs less; by then `web` has failed on N2, and is about to be tried again."""
    small = [f"small-{i}" for i in range(9)]
    vms = [
        vm("web", possible_owners=["N2"], **GIVEN_UP),
        vm("full", "N3", memory_mib=65536),
        *(vm(name, restart_pending=True, possible_owners=["N3"], **GIVEN_UP) for name in small),
    ]
    faults = [
        {"at_s": 0, "do": "role_fails", "vm": "web", "node": "N2"},
        {"at_s": 65, "do": "vm_memory_changed", "vm": "full", "memory_mib": 1024},
    ]
    night = failed_over(with_n1_down(vms), how=None, faults=faults)
    assert {name: by for name, by in started_by(night).items() if name != "web"} == dict.fromkeys(small, "cluster")
    assert [stays.vm for stays in night.report.unplaced] == ["web"]


def test_i3_where_memory_is_short_the_lower_priority_waits_and_is_named() -> None:
    most = 65536
    vms = [vm("low", memory_mib=most, priority=1000, **GIVEN_UP), vm("high", memory_mib=most, **GIVEN_UP)]
    night = failed_over(with_n1_down(vms, nodes=2), how=None)
    assert not night.report.ok
    assert [move.vm for move in night.report.moves] == ["high"]
    assert [(stays.vm, {v.rule for v in stays.verdicts if v.target == "N2"}) for stays in night.report.unplaced] == [
        ("low", {"I3"})
    ]


def test_a_vm_of_priority_0_is_not_started_and_does_not_count() -> None:
    night = failed_over(with_n1_down([vm("spare", priority=0, **GIVEN_UP)]), how=None)
    assert night.report.ok
    assert started_by(night) == {}
    assert [stays.vm for stays in night.report.unplaced] == ["spare"]


def test_i2_nothing_of_a_node_that_is_up_is_started_and_nothing_is_touched() -> None:
    night = failed_over(cluster(3, [vm("web")]), how=None)
    assert not night.report.executed
    assert [finding.rule for finding in night.report.errors] == ["I2"]
    assert [line["what"] for line in night.log] == ["cluster"]


def test_what_failed_on_a_node_that_is_back_is_started_and_what_runs_there_stays() -> None:
    night = failed_over(cluster(3, [vm("web", **GIVEN_UP), vm("db")]), how=None)
    assert night.report.ok
    assert started_by(night) == {"web": "us"}
    assert [move.vm for move in night.report.moves] == ["web"]


def test_i2_nothing_of_an_isolated_node_is_started_before_the_cluster_declares_it_down() -> None:
    night = failed_over(cluster(3, [vm("web")]), how="isolate")
    assert night.report.ok
    down_s = night.happened("node_down", node="N1")[0]["t_s"]
    assert [line["t_s"] > down_s for line in night.happened("vm_started", vm="web")] == [True]


def test_a_node_that_comes_back_from_isolation_has_run_its_vms_all_along() -> None:
    night = failed_over(cluster(3, [vm("web")]), how="isolate", faults=[{"at_s": 60, "do": "node_back", "node": "N1"}])
    assert night.report.ok
    assert night.report.moves == night.report.unplaced == ()
    assert started_by(night) == {}


def test_a_node_that_stays_isolated_is_named_and_its_vms_are_left_alone() -> None:
    of = cluster([node("N1", state="isolated"), node("N2"), node("N3")], [vm("web")])
    night = failed_over(of, how=None)
    assert started_by(night) == {}
    assert not night.report.ok
    assert ("I2", "node N1") in {(finding.rule, finding.subject) for finding in night.report.errors}
    assert {verdict.reason for verdict in night.report.unplaced[0].verdicts} == {
        "N1 is isolated: web may still be running there"
    }


def test_i7_volumes_whose_owner_is_gone_get_another() -> None:
    of = with_n1_down([vm("web", **GIVEN_UP)], volumes=[{"name": "CSV1", "owner": "N1"}])
    night = failed_over(of, how=None)
    assert night.after.volume_by_name["CSV1"].owner in ("N2", "N3")
    assert [move.volume for move in night.report.volume_moves] == ["CSV1"]


@pytest.mark.parametrize("moved", [True, False])
def test_after_a_lost_answer_to_a_start_only_a_look_tells_and_the_vm_runs_once(moved: bool) -> None:
    faults = [{"when": {"vm": "web"}, "do": "answer_lost", "moved": moved}]
    night = failed_over(with_n1_down([vm("web", **GIVEN_UP)]), how=None, faults=faults)
    assert len(night.happened("vm_started", vm="web")) == 1
    assert night.after.vm_by_name["web"].state == "running"
    assert "lost_sight" in night.notes.of("vm web")
    assert night.report.ok


def test_a_vm_that_does_not_come_up_on_one_node_is_started_on_another() -> None:
    faults = [{"at_s": 0, "do": "role_fails", "vm": "web", "node": "N2"}]
    night = failed_over(with_n1_down([vm("web", preferred_owners=["N2"], **GIVEN_UP)]), how=None, faults=faults)
    assert night.report.ok
    assert [(move.target, move.outcome) for move in night.report.moves] == [("N2", "failed"), ("N3", "done")]


@pytest.mark.parametrize("comes_up", [True, False])
def test_r11_what_followed_a_vm_to_the_node_of_its_start_is_told_whether_it_came_up_or_not(comes_up: bool) -> None:
    vms = [
        vm("web", volumes=["LUN"], preferred_owners=["N2"], **GIVEN_UP),
        vm("twin", volumes=["LUN"], state="off"),
    ]
    stands = with_n1_down(vms, volumes=[{"name": "LUN", "kind": "disk", "owner": "N1"}])
    faults = [] if comes_up else [{"at_s": 0, "do": "role_fails", "vm": "web", "node": "N2", "times": 9}]
    night = failed_over(stands, how=None, faults=faults)
    told = {(move.name, move.source, move.target) for move in night.report.role_moves}
    told |= {(move.volume, move.source, move.target) for move in night.report.volume_moves}
    handed = night.happened("role_moved", by="us") + night.happened("volume_owner_changed", by="us")
    happened = {(line.get("name", line.get("volume")), line["source"], line["target"]) for line in handed}
    assert happened == told
    assert {name for name, _, _ in told} == {"twin", "LUN"}
    assert night.report.ok


def test_several_nodes_lost_at_once_are_one_problem() -> None:
    vms = [vm("a"), vm("b", "N2"), vm("c", "N3"), vm("d", "N4")]
    night = failed_over(cluster(5, vms), ("N1", "N2"))
    assert night.report.ok
    assert sorted(move.vm for move in night.report.moves) == ["a", "b"]


def test_i6_where_no_majority_is_left_nothing_is_done_but_told() -> None:
    night = failed_over(cluster(3, [vm("a"), vm("b", "N2"), vm("c", "N3")], witness=False), ("N1", "N2"))
    assert started_by(night) == {}
    assert not night.report.ok
    assert "I6" in {finding.rule for finding in night.report.errors}


def test_a_run_that_is_stopped_starts_nothing_more() -> None:
    stop = Stop()
    stop.request()
    night = failed_over(with_n1_down([vm("web", **GIVEN_UP)]), how=None, stop=stop)
    assert started_by(night) == {}
    assert night.report.interrupted
    assert not night.report.ok


def test_what_is_no_longer_protected_is_said_at_the_end() -> None:
    most = 65536
    night = failed_over(cluster(3, [vm("a", memory_mib=most), vm("b", "N2", memory_mib=most)]))
    assert night.report.ok
    said = [finding.message for finding in night.report.findings if finding.rule == "I3"]
    assert len(said) == 1
    assert "N2" in said[0]
    assert "N3" in said[0]


def test_an_unknown_node_is_refused_before_anything_is_touched() -> None:
    with pytest.raises(RequestError, match="N9"):
        failed_over(cluster(2, []), ("N9",), how=None)


def test_a_run_that_waits_for_the_cluster_stops_at_once_when_asked_to() -> None:
    most = 65536

    async def night() -> tuple[Plan, float]:
        of = cluster(3, [vm("a", memory_mib=most), vm("b", "N2", most), vm("c", "N3", most)])
        world, stop = SimulatedCluster(of, clock=Clock()), Stop()
        world.presence.lose("N1")
        asyncio.get_running_loop().call_later(20.0, stop.request)
        report = await fail_over(world, ["N1"], holds=OwnHolds(), audience=Notes(), stop=stop)
        now_s = world.clock.now_s()
        await world.close()
        return report, now_s

    report, now_s = in_virtual_time(night)
    assert report.interrupted
    assert now_s == pytest.approx(20.0)


def test_nobody_waits_for_a_vm_of_priority_0_to_be_restarted() -> None:
    night = failed_over(with_n1_down([vm("spare", priority=0, **GIVEN_UP)]), how=None)
    assert night.report.ok
    assert not any(night.notes.waits)


def test_what_waits_is_told_with_what_for_and_how_long_at_most() -> None:
    night = failed_over(cluster(3, [vm("web")]), how="isolate")
    told = [(wait.subject, wait.reason) for waits in night.notes.waits for wait in waits]
    isolated = next(wait for waits in night.notes.waits for wait in waits if wait.subject == "N1")
    assert isolated.reason == "is isolated; nothing of it is started before the cluster declares it down"
    assert isolated.until_s == night.notes.began_s + 600.0
    assert told.index(("N1", isolated.reason)) < told.index(("web", "waits to be restarted by the cluster"))


def test_what_has_no_place_is_told_while_the_others_are_started() -> None:
    vms = [vm("low", memory_mib=65536, priority=1000, **GIVEN_UP), vm("high", memory_mib=65536, **GIVEN_UP)]
    night = failed_over(with_n1_down(vms, nodes=2), how=None)
    told = [{(wait.subject, wait.reason) for wait in waits} for waits in night.notes.waits]
    assert {("high", "waits for its turn to be started"), ("low", "has no place as things are")} in told


def test_the_step_of_a_start_that_failed_says_why() -> None:
    faults = [{"at_s": 0, "do": "role_fails", "vm": "web", "node": "N2"}]
    night = failed_over(with_n1_down([vm("web", preferred_owners=["N2"], **GIVEN_UP)]), how=None, faults=faults)
    (step,) = (step for step in night.notes.steps if (step.source, step.target) == ("starting", "failed"))
    assert "web does not come up on N2" in step.reason
