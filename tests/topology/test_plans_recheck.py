"""Whatever the cluster, a plan is sound: read again by code that shares nothing with the planners (I1 to I4, I7)."""

from __future__ import annotations

from typing import Any

import pytest
from building import cluster, node, vm
from drawing import draw_night
from hypothesis import given, settings
from hypothesis import strategies as st

from shunter.topology.planning import plan_evacuation
from shunter.topology.recheck import check_plan


@pytest.mark.parametrize("first", range(0, 200, 25))
def test_the_plan_of_a_drawn_cluster_is_sound_with_every_reserve(first: int) -> None:
    for seed in range(first, first + 25):
        of, nodes = draw_night(seed)
        for reserve_nodes in ("auto", 0, 1, 2):
            plan = plan_evacuation(of, nodes, reserve_nodes)
            assert check_plan(of, plan, nodes) == (), f"draw_night({seed}), reserve {reserve_nodes}"


small_vm = st.fixed_dictionaries(
    {"on": st.integers(1, 4), "memory_mib": st.integers(1, 30), "state": st.sampled_from(["running", "paused", "off"])},
    optional={
        "possible_owners": st.sets(st.integers(1, 4), min_size=1),
        "priority": st.sampled_from([0, 1000]),
        "memory_startup_mib": st.integers(1, 40),
        "dirty_mib_per_s": st.integers(0, 2000),
    },
)
rule = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["different_node", "same_node", "different_fault_domain", "same_fault_domain"]),
        "vms": st.sets(st.integers(0, 7), min_size=2, max_size=3),
    }
)


@given(
    rooms=st.lists(st.integers(20, 90), min_size=4, max_size=4),
    drawn=st.lists(small_vm, min_size=8, max_size=8),
    rules=st.lists(rule, max_size=2),
    emptied=st.sets(st.integers(1, 4), min_size=1, max_size=3),
    reserve=st.sampled_from(["auto", 0, 1]),
)
@settings(deadline=None, max_examples=300)
def test_the_plan_of_a_tight_cluster_is_sound(
    rooms: list[int], drawn: list[Any], rules: list[Any], emptied: set[int], reserve: Any
) -> None:
    nodes = [node(f"N{i}", room, fault_domain=f"rack-{i % 2}") for i, room in enumerate(rooms, start=1)]
    vms = []
    for i, given_fields in enumerate(drawn):
        fields = dict(given_fields)
        on = f"N{fields.pop('on')}"
        owners = sorted(f"N{owner}" for owner in fields.pop("possible_owners", ()))
        vms.append(vm(f"vm-{i}", on, **fields, possible_owners=owners, memory_maximum_mib=200))
    named = [
        {"name": f"r{i}", "kind": r["kind"], "vms": [f"vm-{v}" for v in sorted(r["vms"])]} for i, r in enumerate(rules)
    ]
    of = cluster(nodes, vms, affinity_rules=named)
    leaving = [f"N{i}" for i in sorted(emptied)]
    assert check_plan(of, plan_evacuation(of, leaving, reserve), leaving) == ()
