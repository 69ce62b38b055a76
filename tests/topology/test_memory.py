"""Memory before and after, and the line up to which nodes may be filled."""

from __future__ import annotations

from building import cluster, node, vm

from shunter.topology.memory import memory
from shunter.topology.planning import plan_evacuation


def test_i3_memory_is_told_before_and_after_with_the_line_of_the_reserve() -> None:
    nodes = [node(name, mib, reserved_mib=0) for name, mib in (("N1", 1000), ("N2", 1000), ("N3", 1000), ("N4", 2000))]
    of = cluster(nodes, [vm("a", "N1", 300), vm("b", "N2", 100)])
    told = {memory.node: memory for memory in plan_evacuation(of, ["N1"], 1).memory}
    assert [told[name].before_mib for name in ("N1", "N2", "N3", "N4")] == [300, 100, 0, 0]
    assert told["N1"].after_mib == 0
    assert told["N1"].emptied
    assert told["N1"].line_mib is None
    assert sum(memory.after_mib for memory in told.values()) == 400
    # of 4000 MiB on the nodes that count, 2000 are kept free for the largest: half of each
    assert [told[name].line_mib for name in ("N2", "N3", "N4")] == [500, 500, 1000]


def test_without_a_reserve_there_is_no_line() -> None:
    told = plan_evacuation(cluster(2, [vm("a")]), ["N1"], 0).memory
    assert [memory.line_mib for memory in told] == [None, None]


def test_of_a_node_that_is_down_afterwards_nobody_knows() -> None:
    before = cluster([node("N1"), node("N2")], [vm("a", "N1", 300)])
    after = cluster([node("N1"), node("N2", state="down")], [vm("a", "N1", 300)])
    assert [told.node for told in memory(before, after, (), 0)] == ["N1"]


def test_with_a_reserve_of_two_nodes_the_two_largest_are_kept_free() -> None:
    of = cluster([node("N1", 1000), node("N2", 1000), node("N3", 2000), node("N4", 4000)])
    told = {line.node: line.line_mib for line in memory(of, of, (), 2)}
    # of 8000 MiB 6000 are kept free: a quarter of each may be used
    assert told == {"N1": 250, "N2": 250, "N3": 500, "N4": 1000}
