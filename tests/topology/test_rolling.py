"""Plans of rolling maintenance: which node when, who goes where, and what cannot be done (R16, I3, I5, I6)."""

from __future__ import annotations

import pytest
from building import cluster, node, vm
from rolling_requests import filled, most_away, moves_of, planned, turns

from shunter.topology.errors import RequestError
from shunter.topology.rolling import RollingPolicy, plan_rolling

# ------------------------------------------------------------------ whole clusters


def test_every_node_of_a_cluster_has_its_turn_and_the_reserve_is_kept_all_the_time() -> None:
    plan = planned(filled(6))
    assert plan.ok
    assert sorted(turns(plan)) == ["N1", "N2", "N3", "N4", "N5", "N6"]
    assert plan.reserve_nodes == 1
    assert all(turn.left_mib is not None and turn.left_mib >= 0 for turn in plan.maintenance)


def test_several_nodes_are_away_at_once_where_memory_allows() -> None:
    assert most_away(planned(filled(8, each=4))) > 1


def test_with_parallel_1_no_two_are_away_together() -> None:
    plan = planned(filled(8, each=4), parallel=1)
    assert sorted(turns(plan)) == sorted(f"N{i}" for i in range(1, 9))
    assert most_away(plan) == 1


def test_nobody_moves_more_than_twice_and_only_from_the_first_nodes_do_vms_move_again() -> None:
    of = filled(8)
    plan = planned(of)
    away = most_away(plan)
    first = turns(plan)[:away]
    twice = [v.name for v in of.vms if len(moves_of(plan, v.name)) == 2]
    assert all(len(moves_of(plan, v.name)) <= 2 for v in of.vms)
    assert {of.vm_by_name[name].node for name in twice} <= set(first)


def test_with_an_empty_node_everybody_moves_once_to_a_node_that_is_done() -> None:
    vms = [vm(f"vm-{n}-{i}", f"N{n}") for n in range(1, 4) for i in range(4)]
    plan = planned(cluster(4, vms), prefer="moves")
    assert turns(plan)[0] == "N4"
    assert len(plan.moves) == len(vms)
    ends = {turn.node: turn.end_s for turn in plan.maintenance}
    assert all(move.start_s >= ends[move.target] for move in plan.moves)


def test_where_some_nodes_stay_each_vm_moves_exactly_once_and_only_to_these() -> None:
    of = filled(5, each=4)
    plan = planned(of, ("N1", "N2"), prefer="moves")
    assert sorted(turns(plan)) == ["N1", "N2"]
    assert sorted(move.vm for move in plan.moves) == sorted(v.name for v in of.vms if v.node in ("N1", "N2"))


def test_nobody_goes_to_a_node_whose_turn_is_next_while_others_have_room() -> None:
    plan = planned(filled(6, each=3), ("N1", "N2", "N3"), parallel=1)
    starts = {turn.node: turn.start_s for turn in plan.maintenance}
    assert all(starts.get(move.target, -1.0) < move.start_s for move in plan.moves)


def test_a_node_that_takes_longest_to_empty_is_not_left_for_the_end() -> None:
    vms = [vm(f"vm-{n}-{i}", f"N{n}", 2048) for n in range(1, 9) for i in range(4)]
    vms += [vm(f"slow-{i}", "N4", 5120, dirty_mib_per_s=700) for i in range(5)]
    plan = planned(cluster(8, vms), maintenance_s=120.0, parallel=2)
    assert turns(plan)[-1] != "N4"


def test_the_total_is_no_less_than_the_floor_and_close_to_it_when_maintenance_is_long() -> None:
    plan = planned(filled(8, each=9), maintenance_s=1800.0)
    assert plan.lower_bound_s <= plan.makespan_s <= 1.06 * plan.lower_bound_s


# ------------------------------------------------------------------ reserve


def test_four_nodes_at_60_percent_are_told_that_no_reserve_can_be_kept_and_go_one_by_one() -> None:
    plan = planned(filled(4, each=9, memory_mib=4300))
    assert plan.reserve_nodes == 0
    assert [(finding.rule, finding.severity) for finding in plan.findings] == [("I3", "warning")]
    assert plan.ok
    assert most_away(plan) == 1


def test_four_nodes_at_60_percent_are_refused_when_a_reserve_of_one_is_demanded() -> None:
    plan = planned(filled(4, each=9, memory_mib=4300), reserve_nodes=1)
    assert [finding.severity for finding in plan.findings] == ["error"]
    assert not plan.ok
    assert plan.maintenance == ()


def test_a_cluster_in_which_no_node_can_go_is_told_so_with_every_vm_in_the_way() -> None:
    of = filled(3, each=3, memory_mib=20000)
    plan = planned(of)
    assert plan.maintenance == plan.moves == ()
    assert [entry.node for entry in plan.untouched] == ["N1", "N2", "N3"]
    assert sorted(entry.vm for entry in plan.unplaced) == sorted(v.name for v in of.vms)


def test_with_no_reserve_more_nodes_are_away_than_with_one_and_with_two_fewer() -> None:
    of = filled(8, each=10)
    away = [most_away(planned(of, reserve_nodes=reserve)) for reserve in (0, 1, 2)]
    assert away == [3, 2, 1]


def test_a_reserve_that_does_not_hold_at_the_start_is_a_warning_in_front() -> None:
    of = cluster(
        4, [vm("big-1", "N1", 40000), vm("big-2", "N2", 40000), vm("big-3", "N3", 40000), vm("s", "N4", 30000)]
    )
    plan = planned(of)
    assert plan.findings[0].severity == "warning"
    assert "does not hold now already" in plan.findings[0].message
    assert plan.reserve_nodes == 0


# ------------------------------------------------------------------ what stands in the way


def test_a_node_with_a_vm_that_cannot_move_is_untouched_with_the_verdicts_and_the_rest_is_done() -> None:
    of = cluster(4, [vm("pinned", "N2", possible_owners=["N2"]), *(vm(f"vm-{i}", f"N{i}") for i in range(1, 5))])
    plan = planned(of)
    assert sorted(turns(plan)) == ["N1", "N3", "N4"]
    assert [entry.node for entry in plan.untouched] == ["N2"]
    assert [(u.vm, sorted(v.target for v in u.verdicts)) for u in plan.unplaced] == [("pinned", ["N1", "N3", "N4"])]
    assert moves_of(plan, "vm-2") == []
    assert not plan.ok


def test_a_vm_under_backup_keeps_its_node_untouched() -> None:
    plan = planned(cluster(3, [vm("v", "N1", backup=True)]))
    (entry,) = plan.untouched
    assert (entry.node, entry.reason) == ("N1", "backups hold VMs on N1: v (R17)")
    assert entry.remedy.startswith("nothing: N1 has its turn once the run sees them end")
    assert {verdict.rule for entry in plan.unplaced for verdict in entry.verdicts} == {"R17"}


def test_a_vm_that_more_than_a_backup_keeps_is_not_said_to_wait_for_that() -> None:
    (entry,) = planned(cluster(3, [vm("v", "N1", backup=True, possible_owners=["N1"])])).untouched
    assert entry.reason == "v cannot leave N1"


def test_r11_vms_that_run_on_one_disk_keep_their_node_untouched() -> None:
    disk = {"name": "LUN1", "kind": "disk", "owner": "N1"}
    of = cluster(3, [vm("a", "N1", volumes=["LUN1"]), vm("b", "N1", volumes=["LUN1"]), vm("c", "N2")], volumes=[disk])
    plan = planned(of)
    assert sorted(turns(plan)) == ["N2", "N3"]
    assert {verdict.rule for entry in plan.unplaced for verdict in entry.verdicts} == {"R11"}


def test_r11_what_stands_on_the_disk_of_a_running_vm_follows_it_each_time() -> None:
    disk = {"name": "LUN1", "kind": "disk", "owner": "N1"}
    vms = [vm("a", "N1", volumes=["LUN1"]), vm("b", "N1", volumes=["LUN1"], state="off"), vm("c", "N2")]
    plan = planned(cluster(3, vms, volumes=[disk]))
    assert plan.ok
    assert [m.target for m in plan.role_moves if m.name == "b"] == moves_of(plan, "a")
    assert [m.target for m in plan.volume_moves] == moves_of(plan, "a")


def test_r11_a_disk_stays_with_the_vm_beside_it_when_another_on_it_that_stands_apart_leaves() -> None:
    disk = {"name": "LUN1", "kind": "disk", "owner": "N1"}
    vms = [vm("beside", "N1", volumes=["LUN1"]), vm("apart", "N2", volumes=["LUN1"], state="off")]
    plan = planned(cluster(4, vms, volumes=[disk]), ("N2",))
    assert plan.ok
    assert turns(plan) == ["N2"]
    assert plan.volume_moves == ()


def test_a_vm_with_two_possible_owners_goes_between_them() -> None:
    vms = [vm("pinned", "N1", possible_owners=["N1", "N3"]), *(vm(f"vm-{i}", f"N{i}") for i in range(1, 5))]
    plan = planned(cluster(4, vms))
    assert plan.ok
    assert set(moves_of(plan, "pinned")) <= {"N1", "N3"}


def test_a_node_that_is_down_is_named_and_the_others_are_done() -> None:
    of = cluster([node("N1"), node("N2"), node("N3"), node("N4"), node("N5", state="down")], [vm("a", "N1")])
    plan = planned(of)
    assert [entry.node for entry in plan.untouched] == ["N5"]
    assert sorted(turns(plan)) == ["N1", "N2", "N3", "N4"]


@pytest.mark.parametrize(("paused_by", "takes"), [("us", True), ("elsewhere", False)])
def test_i8_a_paused_node_that_is_named_is_maintained_and_takes_vms_afterwards_only_if_we_had_paused_it(
    paused_by: str, takes: bool
) -> None:
    nodes = [node("N1", state="paused", paused_by=paused_by), node("N2"), node("N3"), node("N4")]
    of = cluster(nodes, [vm(f"vm-{n}-{i}", f"N{n}") for n in range(2, 5) for i in range(5)])
    plan = planned(of, ("N1", "N2", "N3", "N4"), prefer="moves")
    assert "N1" in turns(plan)
    assert ("N1" in {move.target for move in plan.moves}) is takes
    (said,) = [finding.message for finding in plan.findings if finding.rule == "I8"]
    assert said.endswith("takes VMs again afterwards" if takes else "stays paused")


@pytest.mark.parametrize(
    ("paused_by", "whom"), [("us", "by another run"), ("elsewhere", "by somebody else"), (None, "by whom is not known")]
)
def test_i8_a_node_that_was_paused_before_and_that_nobody_names_is_left_alone(paused_by: str | None, whom: str) -> None:
    nodes = [node("N1", state="paused", paused_by=paused_by), node("N2"), node("N3"), node("N4")]
    plan = planned(cluster(nodes, [vm(f"vm-{n}", f"N{n}") for n in range(1, 5)]))
    assert sorted(turns(plan)) == ["N2", "N3", "N4"]
    assert "vm-1" not in {move.vm for move in plan.moves}
    (stays,) = plan.untouched
    assert (stays.node, stays.reason) == ("N1", f"N1 was paused before this run, {whom}")
    assert "name it" in stays.remedy
    assert not plan.ok


def test_unknown_nodes_and_orders_are_wrong_requests() -> None:
    with pytest.raises(RequestError, match="N9"):
        plan_rolling(cluster(3), ("N9",))
    with pytest.raises(RequestError, match="first: N3 is not among the nodes to maintain"):
        plan_rolling(cluster(3), ("N1", "N2"), RollingPolicy(order=("N3",)))


# ------------------------------------------------------------------ votes and fault domains


def test_i6_without_a_witness_a_static_majority_limits_how_many_are_away() -> None:
    of = filled(5, each=1, windows_version="2008R2", witness=False)
    assert most_away(planned(of, reserve_nodes=0)) == 2


def test_i6_two_nodes_with_a_witness_go_one_after_the_other() -> None:
    plan = planned(filled(2, each=2), reserve_nodes=0)
    assert sorted(turns(plan)) == ["N1", "N2"]
    assert most_away(plan) == 1


def test_i6_two_nodes_of_2008_r2_without_a_witness_cannot_go() -> None:
    plan = planned(filled(2, each=2, windows_version="2008R2", witness=False), reserve_nodes=0)
    assert plan.maintenance == ()
    assert ["I6" in entry.reason for entry in plan.untouched] == [True, True]


def test_nodes_that_are_to_be_apart_are_never_away_together() -> None:
    plan = planned(filled(6, each=2), apart=(("N1", "N2", "N3"), ("N4", "N5")))
    turn = {t.node: t for t in plan.maintenance}
    for one, other in (("N1", "N2"), ("N1", "N3"), ("N2", "N3"), ("N4", "N5")):
        assert turn[one].end_s <= turn[other].start_s or turn[other].end_s <= turn[one].start_s


def test_storage_that_is_being_rebuilt_is_named_in_front_as_what_every_node_waits_for() -> None:
    jobs = [{"name": "repair", "volume": "CSV1", "percent": 40}]
    plan = planned(filled(4, each=1, volumes=[{"name": "CSV1"}], storage_jobs=jobs))
    assert len(plan.maintenance) == 4
    assert [(f.severity, f.subject, f.message) for f in plan.findings] == [
        ("warning", "storage job repair", "no node leaves before repair has rebuilt CSV1; it is at 40 %")
    ]


@pytest.mark.parametrize("state", ["down", "isolated", "quarantined", "joining"])
@pytest.mark.parametrize("wanted", [(), ("N2", "N3")])
def test_a_node_whose_partner_is_away_already_is_untouched_and_nobody_moves_for_it(
    state: str, wanted: tuple[str, ...]
) -> None:
    nodes = [node("N1", state=state), *(node(f"N{i}") for i in range(2, 6))]
    of = cluster(nodes, [vm(f"vm-{i}", f"N{i}") for i in range(2, 6)])
    plan = planned(of, wanted, apart=(("n1", "n2"), ("N3", "N4")))
    reasons = {entry.node: (entry.reason, entry.remedy) for entry in plan.untouched}
    assert reasons["N2"] == (f"N2 must not be away together with N1, which is {state}", "bring N1 back first")
    assert set(turns(plan)) == ({"N3"} if wanted else {"N3", "N4", "N5"})
    assert moves_of(plan, "vm-2") == []


def test_with_one_fault_domain_all_that_are_away_together_are_of_one() -> None:
    nodes = [node(f"N{i}", fault_domain=f"rack-{i % 2}") for i in range(1, 7)]
    of = cluster(nodes, [vm(f"vm-{i}", f"N{i}") for i in range(1, 7)])
    plan = planned(of, one_fault_domain=True)
    assert sorted(turns(plan)) == sorted(of.node_by_name)
    for one in plan.maintenance:
        together = [t.node for t in plan.maintenance if t.start_s < one.end_s and one.start_s < t.end_s]
        assert len({of.node_by_name[name].fault_domain for name in together}) == 1


# ------------------------------------------------------------------ VMs outside the cluster's care, that do not run


def test_i4_nobody_goes_where_a_vm_outside_the_clusters_care_stands_from_which_it_is_kept_apart() -> None:
    rule = {"name": "apart", "kind": "different_node", "vms": ["web", "old"]}
    of = cluster(3, [vm("web", "N1"), vm("old", "N2", state="off", clustered=False)], affinity_rules=[rule])
    plan = planned(of, ("N1", "N3"))
    assert plan.ok
    assert moves_of(plan, "web") == ["N3"]


def test_i4_a_vm_that_must_stay_with_one_outside_the_clusters_care_holds_its_node() -> None:
    rule = {"name": "pair", "kind": "same_node", "vms": ["web", "old"]}
    of = cluster(3, [vm("web", "N1"), vm("old", "N1", state="off", clustered=False)], affinity_rules=[rule])
    plan = planned(of)
    assert turns(plan) == ["N2", "N3"]
    assert [untouched.node for untouched in plan.untouched] == ["N1"]
    assert moves_of(plan, "web") == []


def test_i4_what_is_off_is_not_given_to_a_node_to_which_one_it_is_kept_apart_from_is_moving() -> None:
    rule = {"name": "apart", "kind": "different_node", "vms": ["web", "old"]}
    of = cluster(
        4,
        [vm("web", "N2"), vm("old", "N1", state="off")],
        affinity_rules=[rule],
        migrations=[{"vm": "web", "source": "N2", "target": "N3"}],
    )
    plan = planned(of, ("N1",))
    assert [move.target for move in plan.role_moves if move.name == "old"] == ["N4"]
