"""The plan of an evacuation (R16): who goes where, what stays and why, and which reserve is kept (I3)."""

from __future__ import annotations

from typing import Any

import pytest
from building import AMD, INTEL, cluster, node, vm
from hypothesis import given
from hypothesis import strategies as st

from shunter.topology.capacity import packs, survives_loss
from shunter.topology.errors import RequestError
from shunter.topology.planning import plan_evacuation, plan_migration
from shunter.topology.recheck import check_plan


def worked_example() -> Any:
    nodes = [
        node("N1", 32768, reserved_mib=4096, processor=INTEL),
        node("N2", 32768, reserved_mib=4096, processor=INTEL),
        node("N3", 32768, reserved_mib=4096, processor=AMD),
    ]
    vms = [
        vm("web-1", "N1", 4096),
        vm("db-1", "N1", 16384, processor_compatibility=True),
        vm("old-1", "N1", 2048, state="off"),
        vm("big-1", "N2", 20480),
    ]
    return cluster(nodes, vms)


def test_what_can_go_goes_and_what_cannot_says_why_for_every_other_node() -> None:
    plan = plan_evacuation(worked_example(), ["n1"], reserve_nodes=0)
    assert [(move.vm, move.target) for move in plan.moves] == [("web-1", "N2")]
    assert [move.name for move in plan.role_moves] == ["old-1"]
    assert [(u.vm, [(v.target, v.rule) for v in u.verdicts]) for u in plan.unplaced] == [
        ("db-1", [("N2", "I3"), ("N3", "R13")])
    ]
    assert plan.unplaced[0].verdicts[0].reason == "db-1 needs 16384 MiB, 8192 MiB are free on N2"
    assert not plan.ok


def test_an_unknown_node_is_a_wrong_request_that_lists_the_nodes() -> None:
    with pytest.raises(RequestError, match='no node of cluster test is called "N9"; the nodes are N1, N2, N3'):
        plan_evacuation(cluster(3), ["N9"])


def test_r16_all_vms_leave_in_pairs_and_the_plan_ends_when_the_source_can_send_no_faster() -> None:
    of = cluster(4, [vm(f"vm-{i}", "N1", 2048) for i in range(12)])
    plan = plan_evacuation(of, ["N1"])
    assert plan.ok
    assert {move.vm for move in plan.moves} == {f"vm-{i}" for i in range(12)}
    assert plan.makespan_s == pytest.approx(plan.lower_bound_s)


def test_several_nodes_are_emptied_as_one_problem_and_none_is_a_target() -> None:
    of = cluster(5, [vm(f"vm-{i}", f"N{i % 2 + 1}", 2048) for i in range(12)])
    plan = plan_evacuation(of, ["N1", "N2"])
    assert plan.ok
    assert {move.target for move in plan.moves} <= {"N3", "N4", "N5"}


def test_a_vm_crowded_out_by_others_of_the_run_gets_rule_i3() -> None:
    nodes = [node("N1", 32768), node("N2", 10000)]
    plan = plan_evacuation(cluster(nodes, [vm("a", "N1", 8000), vm("b", "N1", 7000)]), ["N1"], reserve_nodes=0)
    assert len(plan.moves) == 1
    assert [verdict.rule for verdict in plan.unplaced[0].verdicts] == ["I3"]
    assert "left by the other VMs of this run" in plan.unplaced[0].verdicts[0].reason


def test_i3_a_vm_that_is_off_needs_no_room_even_where_there_is_less_than_none() -> None:
    plan = plan_evacuation(
        cluster([node("N1"), node("N2", 4096)], [vm("old", state="off"), vm("grown", "N2", 8192)]), ["N1"]
    )
    assert [(move.name, move.target) for move in plan.role_moves] == [("old", "N2")]
    assert plan.unplaced == ()


def test_r11_the_off_vms_on_a_disk_go_where_its_running_vm_goes_and_the_disk_with_them() -> None:
    vms = [vm("web", volumes=["LUN1"]), vm("old", volumes=["LUN1"], state="saved"), vm("other", memory_mib=20000)]
    plan = plan_evacuation(cluster(4, vms, volumes=[{"name": "LUN1", "kind": "disk", "owner": "N1"}]), ["N1"])
    web = next(move for move in plan.moves if move.vm == "web")
    assert [(m.name, m.target, m.start_s) for m in plan.role_moves] == [("old", web.target, web.end_s)]
    assert [(m.volume, m.target, m.start_s) for m in plan.volume_moves] == [("LUN1", web.target, web.end_s)]


def test_r11_what_is_off_on_a_disk_comes_along_when_one_vm_is_moved() -> None:
    vms = [vm("web", volumes=["LUN1"]), vm("old", volumes=["LUN1"], state="off")]
    rule = {"name": "pair", "kind": "same_node", "vms": ["web", "old"]}
    of = cluster(3, vms, volumes=[{"name": "LUN1", "kind": "disk", "owner": "N1"}], affinity_rules=[rule])
    plan = plan_migration(of, "web", "N2")
    assert plan.ok
    assert [(m.name, m.target) for m in plan.role_moves] == [("old", "N2")]
    assert [(m.volume, m.target) for m in plan.volume_moves] == [("LUN1", "N2")]


def test_r11_who_must_come_along_and_may_not_is_named() -> None:
    vms = [vm("web", volumes=["LUN1"]), vm("old", volumes=["LUN1"], state="off", possible_owners=["N1"])]
    of = cluster(3, vms, volumes=[{"name": "LUN1", "kind": "disk", "owner": "N1"}])
    plan = plan_migration(of, "web", "N2")
    assert [v.reason for v in plan.unplaced[0].verdicts] == [
        "old must come along (they share a disk): N2 is not a possible owner of old (N1)"
    ]


def test_r11_a_disk_that_nobody_uses_goes_to_another_node_and_one_in_use_stays_with_its_vm() -> None:
    disks = [{"name": name, "kind": "disk", "owner": "N1"} for name in ("LUN1", "LUN2")]
    alone = cluster(3, [vm("one", "N1", volumes=["LUN1"], possible_owners=["N1"])], volumes=disks)
    plan = plan_evacuation(alone, ["N1"])
    assert [move.volume for move in plan.volume_moves] == ["LUN2"]
    assert [stays.vm for stays in plan.unplaced] == ["one"]


def test_i7_a_volume_goes_to_a_node_that_reaches_it_and_one_that_cannot_is_said() -> None:
    volumes = [
        {"name": "CSV1", "owner": "N1", "reachable_from": ["N1", "N3"]},
        {"name": "CSV2", "owner": "N1", "reachable_from": ["N1"]},
    ]
    plan = plan_evacuation(cluster(3, volumes=volumes), ["N1"])
    assert [(move.volume, move.target) for move in plan.volume_moves] == [("CSV1", "N3")]
    assert [(f.rule, f.subject) for f in plan.findings if f.severity == "warning"] == [("I7", "volume CSV2")]
    assert not plan.ok


def test_vms_of_a_hard_same_node_rule_go_to_one_node() -> None:
    rule = {"name": "pair", "kind": "same_node", "vms": ["a", "b"]}
    plan = plan_evacuation(cluster(4, [vm("a"), vm("b"), vm("c")], affinity_rules=[rule]), ["N1"])
    target = {move.vm: move.target for move in plan.moves}
    assert target["a"] == target["b"]


def test_vms_of_a_hard_different_node_rule_go_to_different_nodes() -> None:
    rule = {"name": "apart", "kind": "different_node", "vms": ["a", "b"]}
    plan = plan_evacuation(cluster(4, [vm("a"), vm("b"), vm("c")], affinity_rules=[rule]), ["N1"])
    target = {move.vm: move.target for move in plan.moves}
    assert target["a"] != target["b"]


def test_preferred_owners_are_preferred_where_it_costs_no_time() -> None:
    plan = plan_evacuation(cluster(4, [vm("a", preferred_owners=["N4"])]), ["N1"])
    assert plan.moves[0].target == "N4"


def test_a_vm_outside_the_clusters_care_holds_up_its_node_while_it_runs() -> None:
    of = cluster(2, [vm("local", clustered=False), vm("template", clustered=False, state="off")])
    plan = plan_evacuation(of, ["N1"], reserve_nodes=0)
    assert [(u.vm, u.verdicts[0].rule) for u in plan.unplaced] == [("local", "R01")]
    assert [(f.severity, f.subject) for f in plan.findings] == [("info", "vm template")]


def test_a_node_that_is_down_cannot_be_evacuated() -> None:
    plan = plan_evacuation(cluster([node("N1", state="down"), node("N2")]), ["N1"])
    assert [(f.rule, f.subject) for f in plan.errors] == [("R01", "node N1")]


def full(free_mib: int) -> Any:
    """Three nodes; N2 and N3 so full that each has `free_mib` left."""
    vms = [vm("web", "N1", 4096), vm("b", "N2", 65536 - free_mib), vm("c", "N3", 65536 - free_mib)]
    return cluster(3, vms)


def test_i3_with_auto_the_reserve_is_given_up_with_a_warning_where_it_cannot_be_kept() -> None:
    plan = plan_evacuation(full(8192), ["N1"])
    assert (plan.ok, plan.reserve_nodes) == (True, 0)
    assert [(f.rule, f.severity) for f in plan.findings] == [("I3", "warning")]


def test_i3_a_reserve_that_is_demanded_and_cannot_be_kept_refuses_the_run_and_still_shows_the_moves() -> None:
    plan = plan_evacuation(full(8192), ["N1"], reserve_nodes=1)
    assert (plan.ok, [(f.rule, f.severity) for f in plan.errors]) == (False, [("I3", "error")])
    assert [move.vm for move in plan.moves] == ["web"]


def test_i3_the_reserve_is_kept_where_there_is_room() -> None:
    plan = plan_evacuation(cluster(4, [vm(f"vm-{i}", f"N{i % 4 + 1}", 8192) for i in range(8)]), ["N1"], 1)
    assert (plan.ok, plan.reserve_nodes, plan.findings) == (True, 1, ())


def test_i3_vms_that_are_not_started_after_a_failover_need_no_reserve() -> None:
    vms = [vm("web", "N1", 4096), vm("b", "N2", 60000, priority=0), vm("c", "N3", 60000, priority=0)]
    assert plan_evacuation(cluster(3, vms), ["N1"], 1).ok


def test_a_two_node_cluster_is_evacuated_with_a_warning() -> None:
    plan = plan_evacuation(cluster(2, [vm("web"), vm("b", "N2")]), ["N1"])
    assert (plan.ok, plan.reserve_nodes, len(plan.moves)) == (True, 0, 1)


def test_r12_a_vm_that_will_stand_still_for_long_is_announced() -> None:
    plan = plan_evacuation(cluster(3, [vm("db", dirty_mib_per_s=5000)]), ["N1"])
    assert [(f.rule, f.subject) for f in plan.findings] == [("R12", "vm db")]


def test_the_same_input_gives_the_same_plan() -> None:
    vms = [vm(f"vm-{i}", f"N{i % 5 + 1}", 1000 + 37 * i) for i in range(60)]
    assert plan_evacuation(cluster(5, vms), ["N2"]) == plan_evacuation(cluster(5, vms), ["N2"])


@given(items=st.lists(st.integers(1, 30), max_size=7), rooms=st.lists(st.integers(0, 40), max_size=4))
def test_packing_is_decided_as_trying_everything_decides_it(items: list[int], rooms: list[int]) -> None:
    def fits(left: list[int], free: tuple[int, ...]) -> bool:
        return not left or any(
            fits(left[1:], (*free[:i], room - left[0], *free[i + 1 :]))
            for i, room in enumerate(free)
            if room >= left[0]
        )

    assert packs(items, rooms) is fits(sorted(items, reverse=True), tuple(rooms))


def test_i3_memory_in_pieces_too_small_for_a_large_vm_is_no_room() -> None:
    vms = [vm("big", "N1", 30000), vm("b", "N2", 40000), vm("c", "N3", 40000)]
    survival = survives_loss(cluster(3, vms), 1)
    assert (survival.ok, survival.lost) == (False, ("N1",))


def test_i7_a_disk_that_stays_for_a_vm_outside_the_clusters_care_leaves_its_node_not_empty() -> None:
    of = cluster(
        2, [vm("old", state="off", clustered=False, volumes=["LUN1"])], volumes=[{"name": "LUN1", "kind": "disk"}]
    )
    plan = plan_evacuation(of, ["N1"])
    assert not plan.ok
    assert [(f.rule, f.subject) for f in plan.findings if f.severity == "warning"] == [("I7", "volume LUN1")]
    assert check_plan(of, plan, ["N1"]) == ()
