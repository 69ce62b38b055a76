"""A rolling run in which nothing could begin any more goes on: VMs that stay make room, and the report stays true."""

from __future__ import annotations

from building import cluster, node, vm
from virtual import Night, maintained

from shunter.topology.recheck import check_log, check_report


def is_sound(night: Night, nodes: tuple[str, ...]) -> None:
    done = [turn.node for turn in night.report.maintenance if turn.outcome == "done"]
    assert check_log(night.log, rolled=done) == ()
    assert check_report(night.report, night.log, nodes, 0.0) == ()


def test_where_a_vm_that_was_started_meanwhile_takes_the_room_another_moves_out_of_the_way() -> None:
    small = [vm(f"b-{i}", "N2", 8192) for i in range(4)]
    leaving = [vm("larger", "N1", 34000), vm("large", "N1", 32768)]
    of = cluster(
        [node("N1", 131072), node("N2"), node("N3", 34000 + 24576)],
        [*leaving, *small, vm("late", "N2", 8192, state="off")],
    )
    faults = [{"at_s": 1, "do": "vm_started", "vm": "late"}]
    night = maintained(of, ("N1",), reserve_nodes=0, faults=faults)
    assert night.report.ok
    assert [(turn.node, turn.outcome) for turn in night.report.maintenance] == [("N1", "done")]
    moved = [move.vm for move in night.report.moves]
    assert moved[0] == "larger"
    assert moved[-1] == "large"
    assert len(moved) == 3
    is_sound(night, ("N1",))


def test_where_no_room_can_be_made_the_node_is_named_and_nobody_else_has_moved() -> None:
    small = [vm(f"b-{i}", "N2", 8192) for i in range(4)]
    leaving = [vm("larger", "N1", 34000), vm("large", "N1", 32768)]
    of = cluster(
        [node("N1", 131072), node("N2"), node("N3", 34000)],
        [*leaving, *small, vm("late", "N2", 8192, state="off")],
    )
    night = maintained(of, ("N1",), reserve_nodes=0, faults=[{"at_s": 1, "do": "vm_started", "vm": "late"}])
    assert not night.report.ok
    assert [entry.node for entry in night.report.untouched] == ["N1"]
    assert {move.vm for move in night.report.moves} == {"larger"}
    is_sound(night, ("N1",))
