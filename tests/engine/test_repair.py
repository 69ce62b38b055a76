"""Repairs by the real engine on a simulated cluster, in virtual time."""

from __future__ import annotations

from building import cluster, node, vm
from virtual import Night, repaired

from shunter.engine.holds import Denied, Hold, OwnHolds
from shunter.topology.breaches import breaches
from shunter.topology.model import Cluster
from shunter.topology.recheck import check_log

GIB = 1024


def moved(night: Night) -> list[tuple[str, str, str]]:
    return [(move.vm, move.source, move.target) for move in night.report.moves if move.outcome == "done"]


def test_a_cluster_in_order_is_left_alone() -> None:
    night = repaired(cluster(2, [vm("web")]))
    assert not night.report.executed
    assert night.report.ok
    assert night.log[1:] == []


def test_i4_a_vm_on_a_node_that_may_not_own_it_goes_to_one_that_may() -> None:
    night = repaired(cluster(3, [vm("web", possible_owners=["N2"]), vm("db")]))
    assert moved(night) == [("web", "N1", "N2")]
    assert night.report.ok


def test_i4_of_two_vms_to_be_kept_apart_one_moves() -> None:
    of = cluster(
        3,
        [vm("dc-1"), vm("dc-2"), vm("web", "N2")],
        affinity_rules=[{"name": "dc", "kind": "different_node", "vms": ["dc-1", "dc-2"]}],
    )
    night = repaired(of)
    assert len(moved(night)) == 1
    assert breaches(night.after) == ()


def test_i3_a_node_short_of_memory_gives_away_as_few_vms_as_it_can() -> None:
    nodes = [node("N1", 32 * GIB), node("N2", 32 * GIB)]
    night = repaired(cluster(nodes, [vm("a", "N1", 8 * GIB), vm("b", "N1", 8 * GIB), vm("c", "N1", 20 * GIB)]))
    assert len(moved(night)) == 1
    assert breaches(night.after) == ()


def swapped(spare_mib: int) -> Cluster:
    """a belongs with p on N2, b with q on N1; each stands on the other's node, and neither fits there yet."""
    nodes = [node("N1", 100), node("N2", 100), node("N3", spare_mib)]
    vms = [
        vm("a", "N1", 60),
        vm("b", "N2", 60),
        vm("q", "N1", 10, possible_owners=["N1"]),
        vm("p", "N2", 10, possible_owners=["N2"]),
    ]
    rules = [
        {"name": "a-p", "kind": "same_node", "vms": ["a", "p"]},
        {"name": "b-q", "kind": "same_node", "vms": ["b", "q"]},
    ]
    return cluster(nodes, vms, affinity_rules=rules)


def test_two_vms_that_must_change_places_do_so_by_way_of_a_third_node() -> None:
    night = repaired(swapped(spare_mib=60), reserve_nodes=0)
    assert [len([m for m in moved(night) if m[0] == name]) for name in ("a", "b")] in ([1, 2], [2, 1])
    assert breaches(night.after) == ()
    assert night.report.ok
    assert check_log(night.log) == ()


def test_a_way_by_a_third_node_is_gone_again_after_its_first_migration_has_failed() -> None:
    fails = {"when": {"target": "N3"}, "do": "migration_fails", "fraction": 0.3}
    night = repaired(swapped(spare_mib=60), reserve_nodes=0, faults=[fails])
    assert breaches(night.after) == ()
    assert night.report.ok
    assert check_log(night.log) == ()


class LocksLostAtFirst(OwnHolds):
    """The first two nodes that are held are no longer ours when that is asked."""

    first = True

    async def try_hold(self, nodes: tuple[str, ...]) -> Hold | Denied:
        hold = await super().try_hold(nodes)
        if self.first and not isinstance(hold, Denied):
            self.first = False
            await hold.release()
        return hold


def test_a_way_by_a_third_node_is_gone_again_after_its_first_migration_was_put_off() -> None:
    night = repaired(swapped(spare_mib=60), reserve_nodes=0, holds=LocksLostAtFirst())
    assert any(step.event == "postpone" for step in night.notes.steps)
    assert breaches(night.after) == ()
    assert night.report.ok


def test_where_no_vm_can_move_before_another_has_nothing_is_touched_and_the_reason_is_said() -> None:
    night = repaired(swapped(spare_mib=59), reserve_nodes=0)
    assert not night.report.executed
    assert {stays.vm for stays in night.report.unplaced} == {"p", "q"}
    assert any("no order was found" in finding.message for finding in night.report.findings)


def test_a_repair_goes_on_after_a_failure_and_ends_in_order() -> None:
    of = cluster(3, [vm("web", possible_owners=["N2"]), vm("db", possible_owners=["N3"])])
    night = repaired(of, faults=[{"when": {"vm": "web"}, "do": "migration_fails", "fraction": 0.3}])
    assert breaches(night.after) == ()
    assert night.report.ok
    assert check_log(night.log) == ()


def test_what_is_off_and_misplaced_changes_its_node_without_a_migration() -> None:
    night = repaired(cluster(2, [vm("old", state="off", possible_owners=["N2"])]))
    assert night.report.moves == ()
    assert [(move.name, move.target) for move in night.report.role_moves] == [("old", "N2")]
    assert night.report.ok


def test_a_report_of_a_repair_done_in_part_names_what_stays_and_why() -> None:
    of = cluster(
        [node("N1", 32 * GIB), node("N2", 32 * GIB)],
        [vm("big-1", "N1", 24 * GIB), vm("big-2", "N1", 24 * GIB), vm("big-3", "N2", 24 * GIB)],
    )
    night = repaired(of)
    assert not night.report.ok
    assert [stays.vm for stays in night.report.unplaced] == ["big-1"]
    assert [verdict.rule for verdict in night.report.unplaced[0].verdicts] == ["I3"]
