"""What would happen if nodes were lost now: what restarts where and when, what does not, what is left unprotected."""

from __future__ import annotations

from typing import Any

import pytest
from building import AMD, INTEL, INTEL_OLDER, cluster, node, vm

from shunter.topology.errors import RequestError
from shunter.topology.failover import plan_failover
from shunter.topology.model import Cluster
from shunter.topology.plan import Finding, Plan
from shunter.topology.recheck import check_plan


def planned(of: Cluster, *lost: str) -> Plan:
    plan = plan_failover(of, lost or ("N1",))
    assert check_plan(of, plan, [name.upper() for name in lost or ("N1",)]) == ()
    return plan


def targets(plan: Plan) -> dict[str, str]:
    return {move.vm: move.target for move in plan.moves}


def rules_against(plan: Plan, name: str) -> dict[str, set[str]]:
    (stays,) = [stays for stays in plan.unplaced if stays.vm == name]
    rules: dict[str, set[str]] = {}
    for verdict in stays.verdicts:
        rules.setdefault(verdict.target, set()).add(verdict.rule)
    return rules


def found(plan: Plan, rule: str, subject: str) -> Finding:
    (finding,) = [f for f in plan.findings if (f.rule, f.subject) == (rule, subject)]
    return finding


def of_sizes(*sizes_mib: int, vms: list[dict[str, Any]], **fields: Any) -> Cluster:
    return cluster([node(f"N{i}", mib) for i, mib in enumerate(sizes_mib, start=1)], vms, **fields)


# ---------------------------------------------------------------- what restarts


def test_what_runs_on_a_lost_node_restarts_on_the_others_and_nothing_else_moves() -> None:
    of = of_sizes(100, 100, 100, vms=[vm("a", memory_mib=60), vm("b", memory_mib=40), vm("c", "N2", 50)])
    plan = planned(of)
    assert (plan.kind, plan.ok, plan.reserve_nodes, plan.lower_bound_s) == ("failover", True, 0, 0.0)
    assert targets(plan) == {"a": "N3", "b": "N2"}
    assert all(move.source == "N1" for move in plan.moves)


def test_restarts_begin_when_the_loss_is_noticed_the_most_important_first() -> None:
    vms = [vm("low", memory_mib=5, priority=1000), vm("usual", memory_mib=5), vm("high", memory_mib=5, priority=3000)]
    plan = planned(of_sizes(100, 100, 50, vms=[*vms, vm("c", "N3", 50)]))
    assert [(move.vm, move.start_s) for move in plan.moves] == [("high", 30.0), ("usual", 32.0), ("low", 34.0)]
    assert all(move.end_s > move.start_s + 40 for move in plan.moves)
    assert plan.makespan_s == plan.moves[-1].end_s


def test_a_large_vm_takes_longer_until_it_is_up() -> None:
    small, large = (
        planned(cluster([node("N1", 2**18), node("N2", 2**18), node("N3", 2**18)], [vm("a", memory_mib=mib)])).moves[0]
        for mib in (1024, 131072)
    )
    assert large.end_s - large.start_s > small.end_s - small.start_s + 20


def test_several_nodes_are_lost_at_once_and_their_vms_compete_for_one_room() -> None:
    vms = [vm("a", "N1", 60), vm("b", "N2", 60, priority=3000), vm("c", "N3", 40)]
    of = of_sizes(100, 100, 100, 50, 50, vms=vms)
    plan = planned(of, "N1", "n2")
    assert targets(plan) == {"b": "N3"}
    assert rules_against(plan, "a") == {"N2": {"R01"}, "N3": {"I3"}, "N4": {"I3"}, "N5": {"I3"}}
    assert "b of higher priority goes first" in str(plan.unplaced)


def test_where_memory_is_short_the_lower_priority_waits_said_by_name() -> None:
    vms = [vm("big", memory_mib=50, priority=3000), vm("s1", memory_mib=30), vm("s2", memory_mib=20)]
    plan = planned(of_sizes(100, 50, 1, vms=vms))
    assert (targets(plan), plan.ok) == ({"big": "N2"}, False)
    assert "memory is short: s1 and s2 wait" in found(plan, "I3", "cluster test").message


def test_where_memory_is_there_in_pieces_that_are_too_small_it_is_said_who_could_make_room() -> None:
    vms = [vm("db", memory_mib=40), vm("a", "N2", 30), vm("b", "N2", 40), vm("c", "N3", 30), vm("d", "N3", 40)]
    plan = planned(of_sizes(100, 100, 100, vms=vms))
    assert (targets(plan), plan.ok) == ({}, False)
    told = [finding.message for finding in plan.findings if finding.subject == "cluster test"]
    assert told[:2] == [
        "memory is short: db waits (40 MiB needed, 60 MiB free, in pieces that are too small)",
        "room can be made: db fits on N3 once c has moved on to N2",
    ]


def test_startup_memory_counts_where_it_is_more() -> None:
    grown = vm("a", memory_mib=20, memory_startup_mib=60, memory_maximum_mib=60)
    assert rules_against(planned(of_sizes(100, 50, 50, vms=[grown])), "a") == {"N2": {"I3"}, "N3": {"I3"}}


def test_r13_a_cold_restart_may_go_to_any_processor_and_a_saved_state_may_not() -> None:
    nodes = [node("N1", processor=INTEL), node("N2", processor=AMD), node("N3", processor=INTEL_OLDER)]
    plan = planned(cluster(nodes, [vm("runs"), vm("saved", state="saved"), vm("off", state="off")]))
    assert set(targets(plan)) == {"runs"}
    assert [move.name for move in plan.role_moves] == ["off"]
    assert rules_against(plan, "saved") == {"N2": {"R13"}, "N3": {"R13"}}


def test_preferred_owners_are_heeded_where_that_costs_nobodys_restart() -> None:
    wish = vm("wish", memory_mib=50, preferred_owners=["N3"])
    tied = vm("tied", memory_mib=50, possible_owners=["N1", "N3"], priority=1000)
    assert targets(planned(of_sizes(100, 100, 50, vms=[wish]))) == {"wish": "N3"}
    assert targets(planned(of_sizes(100, 100, 50, vms=[wish, tied]))) == {"wish": "N2", "tied": "N3"}


def test_i4_rules_hold_with_what_runs_on_and_among_what_restarts() -> None:
    rules = [{"name": "dc", "kind": "different_node", "vms": ["a", "b", "c"]}]
    of = of_sizes(100, 100, 100, vms=[vm("a", "N1", 5), vm("b", "N1", 5), vm("c", "N2", 5)], affinity_rules=rules)
    plan = planned(of)
    assert list(targets(plan).values()) == ["N3"]
    (left,) = plan.unplaced
    assert rules_against(plan, left.vm) == {"N2": {"I4"}, "N3": {"I4"}}


def test_switches_and_storage_are_asked_of_the_node_that_a_vm_restarts_on() -> None:
    nodes = [node("N1", switches=["lan"]), node("N2", switches=[]), node("N3", switches=["lan"])]
    volumes = [{"name": "CSV1", "owner": "N1", "reachable_from": ["N1", "N2"]}]
    plan = planned(cluster(nodes, [vm("a", switches=["lan"], volumes=["CSV1"])], volumes=volumes))
    assert rules_against(plan, "a") == {"N2": {"R20"}, "N3": {"R08"}}


# ---------------------------------------------------------------- who is not restarted


def test_priority_0_is_not_started_and_does_not_count_against_ok() -> None:
    plan = planned(cluster(3, [vm("spare", priority=0), vm("a")]))
    assert (targets(plan).keys(), plan.ok) == ({"a"}, True)
    assert found(plan, "R01", "vm spare").severity == "info"
    assert rules_against(plan, "spare").keys() == {"N2", "N3"}


def test_what_is_outside_the_clusters_care_dies_with_its_node() -> None:
    plan = planned(cluster(3, [vm("local", clustered=False), vm("shelf", clustered=False, state="off")]))
    assert not plan.ok
    assert "Add-ClusterVirtualMachineRole" in found(plan, "R01", "vm local").remedy
    assert found(plan, "R01", "vm shelf").severity == "info"
    assert [stays.vm for stays in plan.unplaced] == ["local"]


# ---------------------------------------------------------------- volumes and roles


def test_i7_volumes_of_a_lost_node_are_spread_over_those_that_reach_them() -> None:
    volumes = [{"name": f"CSV{i}", "owner": "N1"} for i in (1, 2, 3)]
    volumes += [{"name": "near", "owner": "N1", "reachable_from": ["N1", "N3"]}, {"name": "kept", "owner": "N2"}]
    plan = planned(cluster(4, volumes=volumes))
    owners = {move.volume: move.target for move in plan.volume_moves}
    assert owners == {"CSV1": "N3", "CSV2": "N4", "CSV3": "N2", "near": "N3"}
    assert {move.start_s for move in plan.volume_moves} == {30.0}


def test_r11_a_disk_follows_the_vm_that_uses_it_and_what_is_off_on_it_comes_along() -> None:
    volumes = [{"name": "LUN", "kind": "disk", "owner": "N1"}]
    vms = [vm("a", memory_mib=60, volumes=["LUN"]), vm("b", memory_mib=60, state="off", volumes=["LUN"])]
    plan = planned(of_sizes(100, 10, 100, vms=vms, volumes=volumes))
    assert targets(plan) == {"a": "N3"}
    assert [(move.volume, move.target) for move in plan.volume_moves] == [("LUN", "N3")]
    assert [(move.name, move.target) for move in plan.role_moves] == [("b", "N3")]


def test_i7_a_volume_that_no_node_reaches_any_more_takes_its_vms_down() -> None:
    volumes = [{"name": "CSV1", "owner": "N1", "reachable_from": ["N1"]}]
    plan = planned(cluster(3, [vm("a", volumes=["CSV1"])], volumes=volumes))
    assert (plan.ok, plan.moves, plan.volume_moves) == (False, (), ())
    assert "connect another node to CSV1" in found(plan, "I7", "volume CSV1").remedy
    assert rules_against(plan, "a") == {"N2": {"R08"}, "N3": {"R08"}}


def test_a_paused_node_takes_no_vm_and_owns_volumes_only_where_nobody_else_can() -> None:
    nodes = [node("N1"), node("N2", state="paused"), node("N3")]
    volumes = [
        {"name": "any", "owner": "N1"},
        {"name": "near", "owner": "N1", "reachable_from": ["N1", "N2"]},
    ]
    plan = planned(cluster(nodes, [vm("a")], volumes=volumes))
    assert targets(plan) == {"a": "N3"}
    assert {move.volume: move.target for move in plan.volume_moves} == {"any": "N3", "near": "N2"}


# ---------------------------------------------------------------- what is under way, and what is lost already


def test_a_migration_from_a_lost_node_is_lost_and_one_to_it_comes_to_nothing() -> None:
    vms = [vm("leaves", "N1", 60), vm("comes", "N3", 10), vm("b", "N2", 40)]
    migrations = [{"vm": "leaves", "source": "N1", "target": "N4"}, {"vm": "comes", "source": "N3", "target": "N2"}]
    plan = planned(of_sizes(200, 100, 50, 60, 30, vms=vms, migrations=migrations), "N1", "N2")
    assert targets(plan) == {"leaves": "N4", "b": "N3"}
    assert "it is lost with N1" in found(plan, "R09", "vm leaves").message
    assert "it runs on on N3" in found(plan, "R09", "vm comes").message


def test_of_a_node_that_is_down_already_what_failed_restarts_at_once() -> None:
    of = cluster([node("N1", state="down"), node("N2"), node("N3")], [vm("a", state="failed"), vm("b", "N2")])
    plan = planned(of)
    assert [(move.vm, move.start_s) for move in plan.moves] == [("a", 0.0)]
    other = planned(of, "N2")
    assert [stays.vm for stays in other.unplaced] in ([], ["b"])
    assert "a is failed on N1 already" in "".join(finding.message for finding in other.findings)


def test_an_isolated_node_is_waited_for() -> None:
    plan = planned(cluster([node("N1", state="isolated"), node("N2"), node("N3")], [vm("a")]))
    assert "none of them may be started elsewhere before" in found(plan, "I2", "node N1").message


# ---------------------------------------------------------------- votes


def test_i6_a_loss_that_takes_the_majority_stops_everything_and_says_what_to_do() -> None:
    of = cluster(3, [vm("a", "N1"), vm("b", "N2"), vm("c", "N3"), vm("old", "N1", state="off")])
    plan = planned(of, "N1", "N2")
    assert (plan.ok, plan.moves, plan.role_moves) == (False, (), ())
    (error,) = plan.errors
    assert error.rule == "I6"
    assert "only 1 of 3 votes are left" in error.message
    assert "Start-ClusterNode -ForceQuorum" in error.remedy
    assert rules_against(plan, "a") == {"N2": {"I6"}, "N3": {"I6"}}
    assert {stays.vm for stays in plan.unplaced} == {"a", "b", "old"}


def test_i6_losing_every_node_leaves_nothing_to_run_on() -> None:
    plan = planned(cluster(2, [vm("a"), vm("b", "N2")]), "N1", "N2")
    assert [error.rule for error in plan.errors] == ["I6"]
    assert {stays.vm for stays in plan.unplaced} == {"a", "b"}


@pytest.mark.parametrize(
    ("version", "witness", "nodes", "lost", "severity"),
    [
        ("2022", True, 2, 1, None),
        ("2022", False, 2, 1, "warning"),
        ("2022", False, 4, 2, "warning"),
        ("2022", True, 4, 2, None),
        ("2022", True, 4, 3, "error"),
        ("2022", False, 5, 2, None),
        ("2022", False, 5, 3, "error"),
        ("2012", False, 4, 2, "error"),
        ("2008R2", True, 3, 2, "error"),
        ("2008R2", True, 4, 2, None),
    ],
)
def test_i6_votes_count_as_the_version_counts_them(
    version: str, witness: bool, nodes: int, lost: int, severity: str | None
) -> None:
    of = cluster(nodes, [vm("a")], windows_version=version, witness=witness)
    plan = planned(of, *(f"N{i}" for i in range(1, lost + 1)))
    told = [f.severity for f in plan.findings if f.rule == "I6" and "are left" in f.message]
    assert told == ([severity] if severity else [])


def test_i6_nodes_that_are_away_already_count_no_more_in_new_versions_and_still_do_in_2008_r2() -> None:
    nodes = [node("N1"), node("N2"), node("N3"), node("N4", state="down"), node("N5", state="down")]
    new, old = (
        planned(cluster(nodes, [vm("a")], windows_version=version, witness=False)) for version in ("2022", "2008R2")
    )
    assert new.errors == ()
    assert [error.rule for error in old.errors] == ["I6"]


# ---------------------------------------------------------------- what else there is to know


def test_r19_what_may_come_up_wrongly_configured_is_named() -> None:
    plan = planned(cluster(3, [vm("a", configuration_in_cluster_is_current=False), vm("b")]))
    assert found(plan, "R19", "vm a").severity == "warning"
    assert plan.ok


def test_r21_another_system_drive_is_told_where_csvs_are_in_use() -> None:
    nodes = [node("N1", system_drive="C:"), node("N2", system_drive="D:")]
    of = cluster(nodes, [vm("a", volumes=["CSV1"])], volumes=[{"name": "CSV1", "owner": "N1"}])
    assert "a may not find" in found(planned(of), "R21", "node N2").message


def test_r17_a_backup_that_ends_with_the_node_is_to_be_repeated() -> None:
    assert "back a up again" in found(planned(cluster(3, [vm("a", backup=True)])), "R17", "vm a").remedy


def test_growth_of_dynamic_memory_is_told_of_nodes_that_take_vms() -> None:
    plan = planned(of_sizes(100, 100, 10, vms=[vm("a", memory_mib=60, memory_maximum_mib=160)]))
    told = [finding.message for finding in plan.findings if finding.subject == "node N2"]
    assert any("they need 160 MiB, N2 has 100 MiB" in message for message in told)


def test_what_is_no_longer_protected_is_told_with_the_vms_that_would_stay_down() -> None:
    vms = [vm("a", memory_mib=40), vm("b", "N2", 30), vm("c", "N3", 50)]
    plan = planned(of_sizes(100, 100, 60, vms=vms))
    after = {loss.node: (loss.ok, loss.unplaced) for loss in plan.survives_loss}
    assert targets(plan) == {"a": "N2"}
    assert after["N3"] == (False, ("c",))
    assert after["N2"] == (False, ("a", "b"))
    assert "if one of these nodes were lost as well" in found(plan, "I3", "cluster test").message


def test_an_unknown_node_is_a_wrong_request() -> None:
    with pytest.raises(RequestError, match='no node of cluster test is called "N9"'):
        plan_failover(cluster(2), ["N9"])
    with pytest.raises(RequestError, match="no node given"):
        plan_failover(cluster(2), [])
