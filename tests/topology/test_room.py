"""Clusters that are too large to ask the solver about: who makes room there, and for whom."""

from __future__ import annotations

import pytest
from building import cluster, node, vm

from shunter.topology.model import Cluster
from shunter.topology.planning import plan_evacuation
from shunter.topology.recheck import check_plan

NODES, VMS_EACH = 60, 8


def crowded(leaving_mib: int, staying_mib: int, **of_those_that_stay: object) -> Cluster:
    """N1 holds one VM of `leaving_mib`; every other node of 80 GiB has 8 VMs of `staying_mib`."""
    gib_80 = 80 * 1024
    vms = [vm("large", "N1", leaving_mib)]
    vms += [
        vm(f"vm-{i}-{k}", f"N{i}", staying_mib, **of_those_that_stay)
        for i in range(2, NODES + 1)
        for k in range(VMS_EACH)
    ]
    return cluster([node(f"N{i}", gib_80) for i in range(1, NODES + 1)], vms)


@pytest.mark.parametrize(("large_gib", "helpers"), [(16, 0), (24, 1), (32, 2), (40, 3)])
def test_a_few_vms_of_one_node_move_on_to_make_room_for_a_large_one(large_gib: int, helpers: int) -> None:
    of = crowded(large_gib * 1024, 8 * 1024)
    plan = plan_evacuation(of, ["N1"], reserve_nodes=0)
    assert plan.ok
    assert check_plan(of, plan, ("N1",)) == ()
    assert len(plan.moves) == 1 + helpers
    assert len({move.source for move in plan.moves if move.vm != "large"}) <= 1


def test_vms_that_may_not_move_make_no_room() -> None:
    of = crowded(24 * 1024, 8 * 1024, clustered=False)
    plan = plan_evacuation(of, ["N1"], reserve_nodes=0)
    assert [stays.vm for stays in plan.unplaced] == ["large"]
    assert plan.moves == ()
