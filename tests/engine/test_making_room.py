"""Evacuations in which VMs of the nodes that stay in service must make room first."""

from __future__ import annotations

from building import cluster, node, vm
from virtual import Night, evacuated

from shunter.topology.model import Cluster
from shunter.topology.recheck import check_log, check_plan

GIB = 1024


def too_full_for_big() -> Cluster:
    """big (80 GiB) fits on no node of 100 GiB; once web has gone from N3 to N2, it fits on N3."""
    nodes = [node(f"N{i}", 100 * GIB) for i in (1, 2, 3)]
    vms = [
        vm("big", "N1", 80 * GIB),
        vm("db", "N2", 40 * GIB),
        vm("web", "N3", 30 * GIB),
        vm("mail", "N3", 20 * GIB),
    ]
    return cluster(nodes, vms)


def moves_of(night: Night) -> list[tuple[str, str, str, str | None]]:
    return [(move.vm, move.source, move.target, move.outcome) for move in night.report.moves]


def test_what_must_leave_waits_until_others_have_made_room() -> None:
    night = evacuated(too_full_for_big())
    assert moves_of(night) == [("web", "N3", "N2", "done"), ("big", "N1", "N3", "done")]
    assert night.report.moves[1].start_s >= night.report.moves[0].end_s
    assert night.report.ok
    assert check_log(night.log, ["N1"]) == ()


def test_the_plan_says_who_makes_room_and_who_waits_for_it() -> None:
    plan = evacuated(too_full_for_big()).notes.plan
    assert plan is not None
    assert [(move.vm, move.after) for move in plan.moves] == [("web", None), ("big", ("web",))]
    assert "makes room on N3" in plan.moves[0].why
    assert any("web makes room first" in finding.message for finding in plan.findings)
    assert check_plan(too_full_for_big(), plan, ["N1"]) == ()


def test_when_one_way_to_make_room_fails_another_is_taken() -> None:
    night = evacuated(too_full_for_big(), faults=[{"when": {"vm": "web"}, "do": "migration_fails", "fraction": 0.5}])
    assert moves_of(night) == [("web", "N3", "N2", "failed"), ("db", "N2", "N3", "done"), ("big", "N1", "N2", "done")]
    assert night.report.ok


def test_when_no_room_can_be_made_the_vm_stays_and_nobody_is_moved_for_nothing() -> None:
    faults = [{"when": {"source": name}, "do": "migration_fails", "fraction": 0.5} for name in ("N2", "N3") * 20]
    night = evacuated(too_full_for_big(), faults=faults)
    assert [stays.vm for stays in night.report.unplaced] == ["big"]
    assert {stays.target for stays in night.report.unplaced[0].verdicts} == {"N2", "N3"}
    assert {vm.name: vm.node for vm in night.after.vms} == {"big": "N1", "db": "N2", "web": "N3", "mail": "N3"}


def test_a_room_that_somebody_else_takes_meanwhile_is_noticed_before_the_start() -> None:
    faults = [{"at_s": 20, "do": "vm_memory_changed", "vm": "db", "memory_mib": 69 * GIB}]
    night = evacuated(too_full_for_big(), faults=faults)
    assert check_log(night.log, ["N1"]) == ()
    used = {name: sum(vm.memory_mib for vm in vms) for name, vms in night.after.vms_by_node.items()}
    assert all(mib <= 100 * GIB for mib in used.values())


def test_i4_a_vm_kept_apart_from_another_waits_until_that_one_has_gone() -> None:
    nodes = [node(f"N{i}", 100 * GIB) for i in (1, 2, 3)]
    vms = [vm("a", "N1", 10 * GIB), vm("b", "N2", 10 * GIB), vm("x", "N3", 85 * GIB), vm("c", "N3", 12 * GIB)]
    vms[3]["possible_owners"] = ["N3"]
    of = cluster(nodes, vms, affinity_rules=[{"name": "r", "kind": "different_node", "vms": ["a", "b"]}])
    night = evacuated(of)
    assert night.report.ok
    assert check_log(night.log, ["N1"]) == ()


def test_r11_a_vm_that_makes_room_takes_its_disk_and_what_is_off_on_it_along() -> None:
    of = cluster(
        [node(f"N{i}", 100 * GIB) for i in (1, 2, 3)],
        [
            vm("big", "N1", 80 * GIB),
            vm("db", "N2", 40 * GIB, possible_owners=["N2"]),
            vm("web", "N3", 30 * GIB, volumes=["LUN1"]),
            vm("spare", "N3", GIB, state="off", volumes=["LUN1"]),
            vm("mail", "N3", 20 * GIB, possible_owners=["N3"]),
        ],
        volumes=[{"name": "LUN1", "kind": "disk", "owner": "N3"}],
    )
    night = evacuated(of)
    assert night.report.ok
    assert [night.after.vm_by_name[name].node for name in ("web", "spare")] == ["N2", "N2"]
    assert night.after.volume_by_name["LUN1"].owner == "N2"
    assert [move.name for move in night.report.role_moves] == ["spare"]
    assert check_log(night.log, ["N1"]) == ()
