"""A sound plan passes the recheck, and a plan broken in any one way does not."""

from __future__ import annotations

from typing import Any

import pytest
from building import AMD, INTEL, INTEL_OLDER, cluster, node, vm

from shunter.topology.model import Cluster
from shunter.topology.plan import Finding, Move, Plan, RoleMove, Unplaced, Verdict, VolumeMove
from shunter.topology.planning import plan_evacuation
from shunter.topology.precautions import Precautions
from shunter.topology.recheck import check_plan

RULES = [
    {"name": "apart", "kind": "different_node", "vms": ["web", "db"]},
    {"name": "together", "kind": "same_node", "vms": ["app", "cache"]},
    {"name": "racks", "kind": "different_fault_domain", "vms": ["dc-1", "dc-2"]},
]


def small(**fields: Any) -> Cluster:
    """N1 is to be emptied; N5 is paused, N6 has another processor, N4 no switch "dmz" and no way to CSV2."""
    nodes = [
        node("N1", switches=["lan", "dmz"], processor=INTEL, fault_domain="rack-1"),
        node("N2", switches=["lan", "DMZ"], processor=INTEL, fault_domain="rack-1"),
        node("N3", switches=["lan", "dmz"], processor=INTEL, fault_domain="rack-2"),
        node("N4", switches=["lan"], processor=INTEL, fault_domain="rack-3"),
        node("N5", switches=["lan", "dmz"], processor=INTEL, fault_domain="rack-4", state="paused"),
        node("N6", switches=["lan", "dmz"], processor=INTEL_OLDER, fault_domain="rack-5"),
    ]
    vms = [
        vm("web", memory_mib=8192, switches=["dmz"], volumes=["CSV2"]),
        vm("db", memory_mib=16384, possible_owners=["N1", "N3", "N4"]),
        vm("app", memory_mib=2048),
        vm("cache", "N2", 2048),
        vm("dc-1", memory_mib=1024),
        vm("dc-2", "N3", 1024),
        vm("leader", memory_mib=1000, volumes=["LUN1"]),
        vm("follower", memory_mib=1000, volumes=["LUN1"], state="saved"),
        vm("pinned", memory_mib=1000, possible_owners=["N1"]),
        vm("local", memory_mib=1000, clustered=False, state="off"),
    ]
    volumes = [
        {"name": "CSV1", "owner": "N1"},
        {"name": "CSV2", "owner": "N2", "reachable_from": ["N1", "N2", "N3", "N5", "N6"]},
        {"name": "LUN1", "kind": "disk", "owner": "N1"},
    ]
    given = {"vms": vms, "volumes": volumes, "affinity_rules": RULES, "roles": [{"name": "fs", "node": "N1"}], **fields}
    return cluster(nodes, given.pop("vms"), **given)


def verdicts(*targets: str) -> tuple[Verdict, ...]:
    return tuple(Verdict(target=t, rule="I4", reason="not a possible owner", remedy="add it") for t in targets)


def sound() -> Plan:
    moves = (
        Move(vm="db", source="N1", target="N3", start_s=0, end_s=20),
        Move(vm="web", source="N1", target="N2", start_s=20, end_s=30),
        Move(vm="app", source="N1", target="N2", start_s=30, end_s=35),
        Move(vm="dc-1", source="N1", target="N4", start_s=35, end_s=39),
        Move(vm="leader", source="N1", target="N4", start_s=39, end_s=43),
    )
    role_moves = (
        RoleMove(name="follower", source="N1", target="N4", start_s=43),
        RoleMove(name="fs", source="N1", target="N2", start_s=43),
    )
    volume_moves = (
        VolumeMove(volume="LUN1", source="N1", target="N4", start_s=43),
        VolumeMove(volume="CSV1", source="N1", target="N3", start_s=43),
    )
    unplaced = (Unplaced(vm="pinned", node="N1", verdicts=verdicts("N2", "N3", "N4", "N5", "N6")),)
    return Plan(
        cluster="test",
        ok=False,
        reserve_nodes=1,
        moves=moves,
        role_moves=role_moves,
        volume_moves=volume_moves,
        unplaced=unplaced,
        makespan_s=43,
    )


def changed(name: str, **fields: Any) -> Plan:
    """The sound plan with one of its moves changed."""
    plan = sound()
    return plan.model_copy(
        update={
            "moves": tuple(m.model_copy(update=fields) if m.vm == name else m for m in plan.moves),
            "role_moves": tuple(m.model_copy(update=fields) if m.name == name else m for m in plan.role_moves),
            "volume_moves": tuple(m.model_copy(update=fields) if m.volume == name else m for m in plan.volume_moves),
        }
    )


def wrong(plan: Plan, of: Cluster | None = None) -> set[tuple[str, str]]:
    return {(found.invariant, found.subject) for found in check_plan(of or small(), plan, ["N1"])}


def test_a_sound_plan_passes() -> None:
    assert check_plan(small(), sound(), ["N1"]) == ()


def test_i1_r15_a_node_in_two_moves_at_once_is_found() -> None:
    assert ("I1", "N1") in wrong(changed("web", start_s=19.9))
    assert wrong(changed("web", start_s=20 - 1e-9)) == set()


def test_i1_a_target_in_two_moves_at_once_is_found_though_their_sources_differ() -> None:
    of = cluster(3, [vm("a", "N1"), vm("b", "N2")])
    moves = tuple(Move(vm=name, source=on, target="N3", start_s=0, end_s=9) for name, on in (("a", "N1"), ("b", "N2")))
    plan = Plan(cluster="test", ok=True, reserve_nodes=0, moves=moves)
    assert [(v.invariant, v.subject) for v in check_plan(of, plan, ["N1", "N2"])] == [("I1", "N3")]


@pytest.mark.parametrize(("start_s", "end_s"), [(-1.0, 20.0), (0.0, 0.0), (5.0, 4.0)])
def test_i1_a_move_takes_time_and_none_begins_before_the_run(start_s: float, end_s: float) -> None:
    assert ("I1", "db") in wrong(changed("db", start_s=start_s, end_s=end_s))


def test_i1_a_node_in_a_migration_that_is_under_way_takes_part_in_no_move_at_the_start() -> None:
    elsewhere = {"vm": "dc-2", "source": "N3", "target": "N6"}
    assert ("I1", "N3") in wrong(sound(), small(migrations=[elsewhere], affinity_rules=RULES[:2]))


def test_i2_a_vm_that_must_leave_and_is_not_in_the_plan_is_found() -> None:
    plan = sound()
    assert wrong(plan.model_copy(update={"moves": plan.moves[1:]})) == {("I2", "db")}
    assert ("I2", "follower") in wrong(plan.model_copy(update={"role_moves": plan.role_moves[1:]}))
    assert wrong(plan.model_copy(update={"unplaced": ()})) == {("I2", "pinned")}


def test_i2_a_vm_that_is_in_the_plan_twice_is_found() -> None:
    plan = sound()
    again = Unplaced(vm="db", node="N1", verdicts=verdicts("N2", "N3", "N4", "N5", "N6"))
    assert wrong(plan.model_copy(update={"unplaced": (*plan.unplaced, again)})) == {("I2", "db")}


def test_i2_a_vm_moves_from_where_it_is_and_to_another_node() -> None:
    assert ("I2", "db") in wrong(changed("db", source="N2"))
    assert ("I2", "fs") in wrong(changed("fs", source="N3"))
    assert ("I2", "db") in wrong(changed("db", target="N1"))


def test_i2_what_runs_moves_live_and_what_does_not_run_does_not() -> None:
    plan = sound()
    as_role = RoleMove(name="dc-1", source="N1", target="N4", start_s=43)
    moves = tuple(move for move in plan.moves if move.vm != "dc-1")
    swapped = plan.model_copy(update={"moves": moves, "role_moves": (*plan.role_moves, as_role)})
    assert wrong(swapped) == {("I2", "dc-1")}
    live = Move(vm="follower", source="N1", target="N4", start_s=43, end_s=47)
    swapped = plan.model_copy(update={"moves": (*plan.moves, live), "role_moves": plan.role_moves[1:]})
    assert ("I2", "follower") in wrong(swapped)


def test_i2_a_plan_that_leaves_a_vm_behind_does_not_call_itself_ok() -> None:
    assert ("I2", "pinned") in wrong(sound().model_copy(update={"ok": True}))


def test_i2_every_other_node_needs_a_verdict_with_rule_reason_and_remedy() -> None:
    silent = Unplaced(vm="pinned", node="N1", verdicts=verdicts("N2", "N3", "N5", "N6"))
    assert wrong(sound().model_copy(update={"unplaced": (silent,)})) == {("I2", "pinned")}
    empty = Verdict(target="N4", rule="R99", reason="because", remedy="")
    vague = Unplaced(vm="pinned", node="N1", verdicts=(*verdicts("N2", "N3", "N5", "N6"), empty))
    assert wrong(sound().model_copy(update={"unplaced": (vague,)})) == {("I2", "pinned")}


def test_i2_names_that_the_cluster_does_not_have_are_found() -> None:
    assert wrong(changed("db", vm="nobody")) == {("I2", "nobody")}
    assert wrong(changed("db", target="N9")) == {("I2", "N9")}


def test_i3_a_target_without_room_is_found() -> None:
    vms = [vm("a", memory_mib=6000), vm("big", "N2", 60000)]
    plan = Plan(
        cluster="test",
        ok=True,
        reserve_nodes=0,
        moves=(Move(vm="a", source="N1", target="N2", start_s=0, end_s=9),),
    )
    found = check_plan(cluster(2, vms), plan, ["N1"])
    assert [(v.at_s, v.invariant, v.subject) for v in found] == [(0.0, "I3", "N2")]
    assert "66000 MiB with a, 65536 MiB are for VMs" in found[0].message


def test_i3_a_vm_counts_at_both_ends_until_its_move_ends() -> None:
    vms = [vm("a", memory_mib=40000), vm("b", "N2", 40000)]
    out = Move(vm="b", source="N2", target="N3", start_s=0, end_s=20, why="makes room")
    early = Move(vm="a", source="N1", target="N2", start_s=19, end_s=40)
    plan = Plan(cluster="test", ok=True, reserve_nodes=0, moves=(out, early))
    assert ("I3", "N2") in {(v.invariant, v.subject) for v in check_plan(cluster(3, vms), plan, ["N1"])}
    in_time = early.model_copy(update={"start_s": 20.0})
    assert check_plan(cluster(3, vms), plan.model_copy(update={"moves": (out, in_time)}), ["N1"]) == ()


def crowded(priority: int = 2000) -> Cluster:
    return cluster(3, [vm("a", memory_mib=10000, priority=priority), vm("b", "N2", 50000), vm("c", "N3", 5000)])


def test_i3_a_reserve_that_a_move_spends_is_found_at_the_instant_at_which_it_is_spent() -> None:
    moves = (Move(vm="a", source="N1", target="N3", start_s=3, end_s=9),)
    plan = Plan(cluster="test", ok=True, reserve_nodes=1, moves=moves)
    assert check_plan(crowded(), plan, ["N1"]) == ()
    to_full = plan.model_copy(update={"moves": (moves[0].model_copy(update={"target": "N2"}),)})
    assert check_plan(crowded(), to_full, ["N1"]) == ()
    more = cluster(3, [vm("a", memory_mib=11000), vm("b", "N2", 50000), vm("c", "N3", 5000)])
    found = check_plan(more, plan, ["N1"])
    assert [(v.at_s, v.invariant) for v in found] == [(3.0, "I3")]
    assert "the VMs of N2 (50000 MiB) do not pack into what is left (49536 MiB)" in found[0].message
    assert check_plan(more, plan.model_copy(update={"reserve_nodes": 0}), ["N1"]) == ()


def test_i3_what_a_restart_needs_and_the_priority_decide_what_the_reserve_must_hold() -> None:
    moves = (Move(vm="a", source="N1", target="N3", start_s=0, end_s=9),)
    plan = Plan(cluster="test", ok=True, reserve_nodes=1, moves=moves)
    starts_big = [vm("a", memory_mib=4000), vm("b", "N2", 4000, memory_startup_mib=62000)]
    assert [v.invariant for v in check_plan(cluster(3, starts_big), plan, ["N1"])] == ["I3"]
    not_restarted = [vm("a", memory_mib=2000), vm("b", "N2", 62000, priority=0)]
    assert check_plan(cluster(3, not_restarted), plan, ["N1"]) == ()


def test_i3_memory_in_pieces_is_no_reserve() -> None:
    vms = [vm("a", memory_mib=1000), vm("big", "N2", 40000), vm("c", "N3", 30000), vm("d", "N4", 30000)]
    plan = Plan(
        cluster="test", ok=True, reserve_nodes=1, moves=(Move(vm="a", source="N1", target="N3", start_s=0, end_s=3),)
    )
    assert [v.invariant for v in check_plan(cluster(4, vms), plan, ["N1"])] == ["I3"]


def test_i3_a_reserve_of_two_nodes_means_any_two() -> None:
    vms = [vm("a", memory_mib=1000), *(vm(f"v{i}", f"N{i}", 30000) for i in (2, 3, 4))]
    plan = Plan(
        cluster="test", ok=True, reserve_nodes=2, moves=(Move(vm="a", source="N1", target="N2", start_s=0, end_s=3),)
    )
    assert [v.invariant for v in check_plan(cluster(4, vms), plan, ["N1"])] == ["I3"]
    assert check_plan(cluster(4, vms), plan.model_copy(update={"reserve_nodes": 1}), ["N1"]) == ()


def test_i3_a_plan_that_is_refused_for_its_reserve_owes_none() -> None:
    refusal = Finding(rule="I3", severity="error", subject="cluster test", message="no reserve", remedy="lower it")
    moves = (Move(vm="web", source="N1", target="N2", start_s=0, end_s=3),)
    plan = Plan(cluster="test", ok=False, reserve_nodes=1, findings=(refusal,), moves=moves)
    assert check_plan(cluster(2, [vm("web"), vm("b", "N2")]), plan, ["N1"]) == ()


def test_i4_a_node_that_is_no_possible_owner_is_found() -> None:
    assert wrong(changed("db", target="N2")) >= {("I4", "db")}


def test_i4_anti_affinity_holds_at_every_instant_counting_a_mover_at_both_ends() -> None:
    assert wrong(changed("web", target="N3")) == {("I4", "web")}
    rule = {"name": "apart", "kind": "different_node", "vms": ["a", "b"]}
    of = cluster(3, [vm("a", "N1"), vm("b", "N2")], affinity_rules=[rule])
    out = Move(vm="b", source="N2", target="N3", start_s=0, end_s=20, why="makes room")
    meanwhile = Move(vm="a", source="N1", target="N2", start_s=20, end_s=40)
    plan = Plan(cluster="test", ok=True, reserve_nodes=0, moves=(out, meanwhile))
    assert check_plan(of, plan, ["N1"]) == ()
    too_early = meanwhile.model_copy(update={"start_s": 19.0})
    found = check_plan(of, plan.model_copy(update={"moves": (out, too_early)}), ["N1"])
    assert ("I4", "a") in {(v.invariant, v.subject) for v in found}


def test_i4_vms_kept_in_different_fault_domains_do_not_meet_in_one() -> None:
    assert wrong(changed("dc-1", target="N3")) == {("I4", "dc-1")}
    dc_2_in_rack_1 = [{"name": "racks", "kind": "different_fault_domain", "vms": ["dc-2", "app"]}]
    assert wrong(sound(), small(affinity_rules=dc_2_in_rack_1)) == set()


def test_i4_vms_to_be_kept_on_one_node_are_together_at_the_end() -> None:
    assert ("I4", "rule together") in wrong(changed("app", target="N4"))


def test_i4_a_soft_rule_may_be_broken() -> None:
    soft = [{**rule, "soft": True} for rule in RULES]
    assert wrong(changed("web", target="N3"), small(affinity_rules=soft)) == set()


def test_r13_another_processor_is_found_for_what_runs_and_what_is_saved() -> None:
    assert wrong(changed("app", target="N6"), small(affinity_rules=[])) == {("R13", "app")}
    assert ("R13", "follower") in wrong(changed("follower", target="N6"))


def test_r13_the_compatibility_setting_bridges_versions_and_never_manufacturers() -> None:
    for processor, expected in ((INTEL_OLDER, []), (AMD, ["R13"])):
        of = cluster(
            [node("N1", processor=INTEL), node("N2", processor=processor)], [vm("a", processor_compatibility=True)]
        )
        moves = (Move(vm="a", source="N1", target="N2", start_s=0, end_s=3),)
        plan = Plan(cluster="test", ok=True, reserve_nodes=0, moves=moves)
        assert [v.invariant for v in check_plan(of, plan, ["N1"])] == expected


def test_r08_and_r20_a_target_without_the_vms_volume_or_switch_is_found() -> None:
    assert wrong(changed("web", target="N4")) == {("R08", "web"), ("R20", "web")}


def test_r16_what_is_being_emptied_is_no_target() -> None:
    assert ("R16", "db") in {(v.invariant, v.subject) for v in check_plan(small(), sound(), ["N1", "N3"])}


def test_i8_a_paused_node_is_no_target() -> None:
    assert wrong(changed("web", target="N5")) == {("I8", "web")}
    assert wrong(changed("CSV1", target="N5")) == {("I8", "CSV1")}


def test_i7_a_volume_needs_an_owner_that_reaches_it_and_none_stays_behind() -> None:
    of = small(volumes=[{"name": v, "owner": "N1", "reachable_from": ["N1", "N2"]} for v in ("CSV1", "CSV2", "LUN1")])
    assert ("R08", "CSV1") in wrong(sound(), of)
    plan = sound()
    no_csv = plan.model_copy(update={"ok": True, "unplaced": (), "volume_moves": plan.volume_moves[:1]})
    assert ("I7", "CSV1") in wrong(no_csv)


def test_r16_a_role_that_stays_is_found_where_the_plan_calls_itself_ok() -> None:
    plan = sound()
    no_fs = plan.model_copy(update={"ok": True, "unplaced": (), "role_moves": plan.role_moves[:1]})
    assert ("R16", "fs") in wrong(no_fs)


def test_r11_what_shares_a_disk_stays_together_and_the_disk_with_it() -> None:
    assert wrong(changed("follower", target="N2")) == {("R11", "LUN1")}
    assert wrong(changed("LUN1", target="N2")) == {("R11", "LUN1")}
    assert wrong(changed("leader", target="N2")) == {("R11", "LUN1")}


def test_r11_two_running_vms_on_one_disk_do_not_move_live() -> None:
    of = cluster(2, [vm(n, volumes=["L"]) for n in ("a", "b")], volumes=[{"name": "L", "kind": "disk", "owner": "N1"}])
    moves = (
        Move(vm="a", source="N1", target="N2", start_s=0, end_s=3),
        Move(vm="b", source="N1", target="N2", start_s=3, end_s=6),
    )
    volume_moves = (VolumeMove(volume="L", source="N1", target="N2", start_s=6),)
    plan = Plan(cluster="test", ok=True, reserve_nodes=0, moves=moves, volume_moves=volume_moves)
    found = check_plan(of, plan, ["N1"])
    assert {(v.invariant, v.subject) for v in found} == {("R11", "a"), ("R11", "b")}


def test_r17_a_vm_whose_backup_is_under_way_does_not_move() -> None:
    of = cluster(2, [vm("a", backup=True)])
    moves = (Move(vm="a", source="N1", target="N2", start_s=0, end_s=3),)
    assert [
        v.invariant for v in check_plan(of, Plan(cluster="test", ok=True, reserve_nodes=0, moves=moves), ["N1"])
    ] == ["R17"]


def test_r17_a_plan_that_does_not_wait_for_a_backup_says_so() -> None:
    of = cluster(2, [vm("a", backup=True)])
    proceed = Precautions(backups="proceed")
    plan = plan_evacuation(of, ["N1"], 0, proceed)
    assert [(move.vm, move.target) for move in plan.moves] == [("a", "N2")]
    assert check_plan(of, plan, ["N1"]) == ()
    silent = plan.model_copy(update={"findings": ()})
    assert [violation.invariant for violation in check_plan(of, silent, ["N1"])] == ["R17"]


def test_r01_nothing_moves_live_from_a_node_that_is_down() -> None:
    of = cluster([node("N1", state="down"), node("N2")], [vm("a")])
    moves = (Move(vm="a", source="N1", target="N2", start_s=0, end_s=3),)
    plan = Plan(cluster="test", ok=True, reserve_nodes=0, moves=moves)
    assert [v.invariant for v in check_plan(of, plan, ["N1"])] == ["R01"]
