"""Where half of the nodes leave, or more, the targets share memory and time so that the evacuation ends early."""

from __future__ import annotations

import random

import pytest
from building import cluster, node, vm

from shunter.topology.model import Cluster
from shunter.topology.placement import Problem
from shunter.topology.planning import leaving, plan_evacuation
from shunter.topology.recheck import check_plan
from shunter.topology.relaxation import relaxed_targets

GIB = 1024


def uneven(seed: int) -> tuple[Cluster, list[str]]:
    """Nine nodes of 256 or 512 GiB leave three that are 85 % full afterwards; some VMs write much, some nothing."""
    rng = random.Random(seed)
    rooms = [rng.choice((256, 512)) * GIB for _ in range(9)]
    targets = [256 * GIB, 512 * GIB, 512 * GIB]
    left = [round(0.85 * sum(targets) * room / sum(rooms)) for room in rooms]
    vms = []
    for i, node_mib in enumerate(left, start=1):
        sizes_mib: list[int] = []
        while (left_mib := node_mib - sum(sizes_mib)) > 256:
            sizes_mib.append(min(rng.choice((512, 1024, 4096, 8192, 16384, 32768)), left_mib))
        for size in sizes_mib:
            vms.append(vm(f"vm-{len(vms)}", f"N{i}", size, dirty_mib_per_s=rng.choice((0, 20, 200))))
    nodes = [node(f"N{i}", mib) for i, mib in enumerate([*rooms, *targets], start=1)]
    return cluster(nodes, vms), [f"N{i}" for i in range(1, 10)]


@pytest.mark.parametrize("seed", range(6))
def test_long_migrations_of_little_memory_go_where_there_is_little_room(seed: int) -> None:
    of, emptied = uneven(seed)
    plan = plan_evacuation(of, emptied, reserve_nodes=0)
    assert plan.ok
    assert check_plan(of, plan, emptied) == ()
    assert plan.makespan_s <= 1.05 * plan.lower_bound_s


def test_vms_kept_apart_keep_apart_when_targets_are_evened_out() -> None:
    of, emptied = uneven(1)
    some = [machine.name for machine in of.vms[:3]]
    rule = {"name": "apart", "kind": "different_node", "vms": some}
    raw = of.model_copy(
        update={"affinity_rules": cluster(3, [vm(n) for n in some], affinity_rules=[rule]).affinity_rules}
    )
    plan = plan_evacuation(raw, emptied, reserve_nodes=0)
    assert plan.ok
    assert check_plan(raw, plan, emptied) == ()
    assert len({move.target for move in plan.moves if move.vm in some}) == len(some)


def test_a_vm_tied_to_one_that_somebody_else_moves_may_be_placed_with_it() -> None:
    rule = {"name": "pair", "kind": "same_node", "vms": ["a", "b"]}
    of = cluster(
        2,
        [vm("a", "N2"), vm("b", "N1")],
        affinity_rules=[rule],
        migrations=[{"vm": "b", "source": "N1", "target": "N2"}],
    )
    assert check_plan(of, plan_evacuation(of, ["N2"], reserve_nodes=0), ("N2",)) == ()


def test_a_node_that_is_too_full_already_does_not_keep_the_others_from_being_evened_out() -> None:
    vms = [*(vm(f"a{i}", "N1", 4096) for i in range(4)), vm("fat", "N3", 70000)]
    of = cluster(4, vms)
    problem = Problem(of, leaving(of, ["N1"]), ["N1"])
    targets = relaxed_targets(problem, {f"a{i}": "N2" for i in range(4)}, 0.0)
    assert targets is not None
    assert sorted(targets.values()) == ["N2", "N2", "N4", "N4"]
