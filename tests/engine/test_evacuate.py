"""Evacuations by the real engine on a simulated cluster, in virtual time."""

from __future__ import annotations

import asyncio
import json

import pytest
from building import cluster, node, vm
from virtual import Night, Notes, evacuated, in_virtual_time

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import SimulatedCluster
from shunter.engine.evacuate import evacuate
from shunter.engine.holds import HELD_ELSEWHERE, Denied, Hold, OwnHolds


def where(night: Night, *names: str) -> list[str]:
    return [night.after.vm_by_name[name].node for name in names]


def test_r16_an_evacuated_node_is_empty_paused_and_stays_so() -> None:
    night = evacuated(cluster(3, [vm("web"), vm("db", memory_mib=8192), vm("other", "N2")]))
    assert night.report.ok
    assert night.after.vms_by_node["N1"] == ()
    assert (night.after.node_by_name["N1"].state, night.after.node_by_name["N1"].paused_by) == ("paused", "us")
    assert night.notes.of("node N1") == ["pausing", "paused", "draining", "drained"]


def test_r01_a_vm_runs_on_its_source_until_it_runs_on_its_target_and_never_stops() -> None:
    night = evacuated(cluster(3, [vm("web")]))
    assert night.happened("vm_stopped") == night.happened("vm_started") == []
    assert [line["outcome"] for line in night.happened("migration_ended", vm="web")] == ["done"]
    assert night.notes.of("vm web") == ["migrating", "running"]


def test_r14_offload_is_unloaded_before_the_copy_and_restored_only_where_the_target_supports_it() -> None:
    supports = cluster([node("N1", tcp_offload=True), node("N2", tcp_offload=True)], [vm("web")])
    night = evacuated(supports)
    assert night.notes.of("web: N1 → N2") == [
        "waiting",
        "checking",
        "preparing",
        "unloading_offload",
        "copying",
        "switching",
        "settling",
        "restoring_offload",
        "done",
    ]
    plain = cluster([node("N1", tcp_offload=True), node("N2", tcp_offload=False)], [vm("web")])
    assert "restoring_offload" not in evacuated(plain).notes.of("web: N1 → N2")


def test_without_noise_the_run_takes_exactly_as_long_as_was_forecast() -> None:
    vms = [vm(f"vm-{i}", f"N{i % 2 + 1}", 1000 + 517 * i, dirty_mib_per_s=5 * i) for i in range(20)]
    night = evacuated(cluster(5, vms), ["N1", "N2"])
    assert night.notes.plan is not None
    assert night.report.makespan_s == pytest.approx(night.notes.plan.makespan_s, rel=0.01)


def test_r15_moves_run_in_parallel_and_no_node_is_in_two_at_once() -> None:
    night = evacuated(cluster(4, [vm(f"vm-{i}", f"N{i % 2 + 1}", 4096) for i in range(8)]), ["N1", "N2"])
    busy: set[str] = set()
    most = 0
    for line in night.log:
        if line["what"] == "migration_started":
            assert busy.isdisjoint({line["source"], line["target"]})
            busy |= {line["source"], line["target"]}
            most = max(most, len(busy) // 2)
        if line["what"] == "migration_ended":
            busy -= {line["source"], line["target"]}
    assert most == 2


def test_what_is_off_leaves_after_what_runs_and_volumes_leave_last() -> None:
    of = cluster(3, [vm("web"), vm("old", state="off")], volumes=[{"name": "CSV1", "owner": "N1"}])
    night = evacuated(of)
    order = [
        line["what"] for line in night.log if line["what"] in ("migration_ended", "role_moved", "volume_owner_changed")
    ]
    assert order == ["migration_ended", "role_moved", "volume_owner_changed"]
    assert [move.name for move in night.report.role_moves] == ["old"]
    assert [move.volume for move in night.report.volume_moves] == ["CSV1"]
    assert night.notes.of("volume CSV1") == ["changing_owner", "online"]


def test_r11_vms_and_disk_that_follow_a_running_vm_are_in_the_report() -> None:
    vms = [vm("web", volumes=["LUN1"]), vm("old", volumes=["LUN1"], state="off")]
    night = evacuated(cluster(3, vms, volumes=[{"name": "LUN1", "kind": "disk", "owner": "N1"}]))
    assert night.report.ok
    target = where(night, "web")[0]
    assert where(night, "old") == [target]
    assert [(m.name, m.target) for m in night.report.role_moves] == [("old", target)]
    assert [(m.volume, m.target) for m in night.report.volume_moves] == [("LUN1", target)]


def test_r11_what_followed_a_vm_is_in_the_report_although_somebody_else_moves_it_on_at_once() -> None:
    disk = {"name": "LUN1", "kind": "disk", "owner": "N1"}
    of = cluster(3, [vm("web", volumes=["LUN1"], preferred_owners=["N2"])], volumes=[disk])

    async def night() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        world = SimulatedCluster(of, clock=Clock())

        async def move_on() -> None:
            while (seen := world.now()).vm_by_name["web"].node == "N1" or seen.migrations:
                await world.wait_for_change(seen, 3600)
            world.take_off(seen.vm_by_name["web"], "N3", "elsewhere")

        moving_on = asyncio.create_task(move_on())
        report = await evacuate(world, ["N1"], holds=OwnHolds(), audience=Notes())
        await moving_on
        lines = [json.loads(line) for line in world.witness.lines]
        moves = [(line["t_s"], line["what"], line["by"]) for line in lines if line["what"].startswith("migration")]
        assert [(what, by) for _, what, by in moves[:3]] == [
            ("migration_started", "us"),
            ("migration_ended", "us"),
            ("migration_started", "elsewhere"),
        ]
        assert moves[1][0] == moves[2][0]
        return [(m.vm, m.target) for m in report.moves], [(m.volume, m.target) for m in report.volume_moves]

    assert in_virtual_time(night) == ([("web", "N2")], [("LUN1", "N2")])


def test_a_vm_that_cannot_be_placed_keeps_running_and_the_report_says_why() -> None:
    night = evacuated(cluster(3, [vm("web"), vm("local", clustered=False)]))
    assert where(night, "local") == ["N1"]
    assert [(u.vm, {v.rule for v in u.verdicts}) for u in night.report.unplaced] == [("local", {"R01"})]
    assert not night.report.ok
    assert night.notes.of("node N1")[-1] == "paused"


def test_a_run_that_finds_nothing_it_can_move_gives_its_pause_back() -> None:
    night = evacuated(cluster(3, [vm("local", clustered=False)]))
    assert night.after.node_by_name["N1"].state == "up"
    assert night.notes.of("node N1")[-2:] == ["resuming", "up"]


def test_i8_a_node_that_somebody_else_paused_stays_paused() -> None:
    of = cluster([node("N1", state="paused", paused_by="elsewhere"), node("N2")], [vm("local", clustered=False)])
    night = evacuated(of)
    assert night.after.node_by_name["N1"].state == "paused"
    assert night.happened("node_resumed") == night.happened("node_paused") == []


def test_a_run_that_a_finding_forbids_touches_nothing() -> None:
    night = evacuated(cluster(2, [vm("web"), vm("b", "N2")]), reserve_nodes=1)
    assert not night.report.executed
    assert [line["what"] for line in night.log] == ["cluster"]


def test_a_migration_that_fails_half_way_is_tried_again_on_another_node() -> None:
    faults = [{"when": {"vm": "web"}, "do": "migration_fails", "fraction": 0.5}]
    night = evacuated(cluster(3, [vm("web")]), faults=faults)
    assert [move.outcome for move in night.report.moves] == ["failed", "done"]
    assert len({move.target for move in night.report.moves}) == 2
    assert night.report.ok


def test_a_migration_that_fails_every_time_ends_after_three_attempts_and_the_vm_runs_on() -> None:
    faults = [{"when": {"vm": "web"}, "do": "migration_fails", "fraction": 0.5} for _ in range(9)]
    night = evacuated(cluster(3, [vm("web"), vm("other")]), faults=faults)
    assert [move.outcome for move in night.report.moves if move.vm == "web"] == ["failed"] * 3
    assert where(night, "web") == ["N1"]
    assert {verdict.target for verdict in night.report.unplaced[0].verdicts} == {"N2", "N3"}


@pytest.mark.parametrize("moved", [True, False])
def test_a_lost_answer_leads_to_a_look_and_never_to_a_blind_repeat(moved: bool) -> None:
    faults = [{"when": {"vm": "web"}, "do": "answer_lost", "moved": moved}]
    night = evacuated(cluster(3, [vm("web")]), faults=faults)
    assert night.report.ok
    assert len(night.happened("migration_ended", vm="web", outcome="done")) == 1
    states = [step.target for step in night.notes.steps if step.lifecycle == "migration"]
    assert "lost_sight" in states


def test_a_migration_of_which_sight_was_lost_is_called_off_when_its_time_is_over_and_made_again() -> None:
    faults = [
        {"when": {"vm": "web"}, "do": "answer_lost", "moved": False},
        {"when": {"vm": "web"}, "do": "migration_slow", "factor": 500.0},
    ]
    night = evacuated(cluster(2, [vm("web")]), faults=faults, seed=3)
    first, second = night.report.moves
    assert (first.outcome, second.outcome) == ("cancelled", "done")
    assert 300 <= first.end_s < 330
    assert night.report.ok


def test_what_comes_right_while_a_lost_node_is_waited_for_is_not_left_behind() -> None:
    vms = [vm("web", "N1", volumes=["CSV1"]), vm("db", "N2")]
    of = cluster(4, vms, volumes=[{"name": "CSV1", "owner": "N3", "state": "offline"}])
    faults = [
        {"at_s": 1.0, "do": "node_down", "node": "N2"},
        {"at_s": 8.0, "do": "volume_state", "volume": "CSV1", "state": "online"},
    ]
    night = evacuated(of, ["N1", "N2"], faults=faults)
    assert [(move.vm, move.outcome) for move in night.report.moves] == [("db", "failed"), ("web", "done")]
    assert night.report.unplaced == ()


def test_a_lost_answer_to_a_pause_leads_to_a_look() -> None:
    night = evacuated(cluster(3, [vm("web")]), faults=[{"when": {"node": "N1"}, "do": "answer_lost", "moved": True}])
    assert night.notes.of("node N1")[:3] == ["pausing", "lost_sight", "paused"]
    assert night.report.ok


def test_when_the_source_is_lost_its_vms_are_accounted_for() -> None:
    of = cluster(4, [vm(f"vm-{i}", memory_mib=8192) for i in range(4)])
    night = evacuated(of, faults=[{"at_s": 5, "do": "node_down", "node": "N1"}])
    assert all(name != "N1" for name in where(night, *(f"vm-{i}" for i in range(4))))
    done = {move.vm for move in night.report.moves if move.outcome == "done"}
    told = {finding.subject.removeprefix("vm ") for finding in night.report.findings if finding.rule == "I2"}
    assert done | told >= {f"vm-{i}" for i in range(4)}


def test_when_the_target_is_lost_the_vm_runs_on_and_goes_elsewhere() -> None:
    nodes = [node("N1"), node("N2"), node("N3", memory_mib=40000)]
    of = cluster(nodes, [vm("web", memory_mib=30000, preferred_owners=["N2"])])
    night = evacuated(of, faults=[{"at_s": 5, "do": "node_down", "node": "N2"}])
    assert where(night, "web") == ["N3"]
    assert [move.outcome for move in night.report.moves] == ["failed", "done"]


def test_r09_a_migration_that_somebody_else_started_is_respected() -> None:
    vms = [vm("web"), vm("other", "N2", memory_mib=20000)]
    night = evacuated(cluster(3, vms, migrations=[{"vm": "other", "source": "N2", "target": "N3"}]))
    assert night.report.ok
    ended = night.happened("migration_ended", vm="other", by="elsewhere")
    started = night.happened("migration_started", vm="web")
    assert ended[0]["t_s"] <= started[0]["t_s"]
    assert any("another migration" in wait.reason for waits in night.notes.waits for wait in waits)


def test_a_target_that_fills_up_between_plan_and_move_is_not_overfilled() -> None:
    of = cluster(
        [node("N1"), node("N2", 40000), node("N3", 40000)],
        [
            vm("a", memory_mib=16000, preferred_owners=["N2"]),
            vm("b", memory_mib=15000, preferred_owners=["N2"]),
            vm("guest", "N2", 4000, memory_maximum_mib=30000),
        ],
    )
    night = evacuated(of, faults=[{"at_s": 2, "do": "vm_memory_changed", "vm": "guest", "memory_mib": 22000}])
    assert night.report.ok
    assert "N3" in where(night, "a", "b")


def test_r17_a_vm_is_held_until_its_backup_is_done_and_the_others_go_on() -> None:
    of = cluster(3, [vm("web"), vm("db", backup=True)])
    night = evacuated(of, faults=[{"at_s": 300, "do": "backup_ends", "vm": "db", "outcome": "done"}])
    assert night.report.ok
    started = {line["vm"]: line["t_s"] for line in night.happened("migration_started")}
    assert started["web"] < 1
    assert started["db"] >= 300


def test_r17_a_backup_that_does_not_end_is_waited_for_within_limits_and_reported() -> None:
    night = evacuated(cluster(3, [vm("web"), vm("db", backup=True)]))
    assert [(u.vm, {v.rule for v in u.verdicts}) for u in night.report.unplaced] == [("db", {"R17"})]
    assert night.report.makespan_s < 60
    assert 3600 <= night.notes.steps[-1].at_s < 7200


def test_the_same_seed_gives_the_same_night_byte_for_byte() -> None:
    of = cluster(4, [vm(f"vm-{i}", memory_mib=2000 + i) for i in range(8)])
    faults = [{"when": {"vm": "vm-3"}, "do": "migration_fails", "fraction": 0.3}]
    assert evacuated(of, faults=faults, seed=5, noise=0.3).log == evacuated(of, faults=faults, seed=5, noise=0.3).log


class HeldByAnotherRun:
    """Holds of which another run has some nodes, until it gives them back."""

    def __init__(self, held: dict[str, float], clock: Clock) -> None:
        self.held, self.clock, self.own, self.asked = held, clock, OwnHolds(), 0

    async def try_hold(self, nodes: tuple[str, ...]) -> Hold | Denied:
        self.asked += 1
        if held := [name for name in nodes if self.clock.now_s() < self.held.get(name, 0.0)]:
            return Denied.alike(held, HELD_ELSEWHERE)
        return await self.own.try_hold(nodes)


def test_r15_a_node_that_another_run_holds_is_passed_over_and_used_when_it_is_given_back() -> None:
    of = cluster(4, [vm(f"vm-{i}", f"N{i % 2 + 1}") for i in range(4)])

    async def night() -> tuple[list[tuple[str, float]], int]:
        world = SimulatedCluster(of, clock=Clock())
        holds = HeldByAnotherRun({"N1": 60.0}, world.clock)
        report = await evacuate(world, ["N1", "N2"], holds=holds, audience=Notes())
        return [(move.source, move.start_s) for move in report.moves], holds.asked

    moves, asked = in_virtual_time(night)
    assert all(start_s < 60 for source, start_s in moves if source == "N2")
    assert all(start_s >= 60 for source, start_s in moves if source == "N1")
    assert asked < 120


def test_no_source_waits_with_idle_nodes_around_when_migrations_take_other_times_than_planned() -> None:
    vms = [vm(f"vm-{i}", f"N{i % 2 + 1}", 1000 + 517 * i) for i in range(20)]
    night = evacuated(cluster(4, vms), ["N1", "N2"], noise=0.3, seed=4, reserve_nodes=0)
    took_s = {"N1": 0.0, "N2": 0.0}
    for move in night.report.moves:
        took_s[move.source] += move.end_s - move.start_s
    assert night.report.ok
    assert {move.outcome for move in night.report.moves} == {"done"}
    assert night.report.makespan_s == pytest.approx(max(took_s.values()), rel=0.001)
