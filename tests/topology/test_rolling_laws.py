"""Whatever the cluster and the wishes, a rolling plan is sound: read again with none of the planner's code."""

from __future__ import annotations

import random
from typing import Any

import pytest
from building import cluster, node, vm
from drawing import draw_night, draw_tight_night
from hypothesis import given, settings
from hypothesis import strategies as st

from shunter.topology.model import Cluster
from shunter.topology.recheck import check_plan
from shunter.topology.rolling import RollingPolicy, plan_rolling
from shunter.topology.rolling.fleet import Fitness, Fleet, phases_of
from shunter.topology.rolling.floor import floor
from shunter.topology.rolling.reserve import Reserve


def drawn_policy(rng: random.Random) -> RollingPolicy:
    return RollingPolicy(
        maintenance_s=rng.choice((60.0, 600.0, 1800.0)),
        reserve_nodes=rng.choice(("auto", 0, 1, 2)),
        parallel=rng.choice((None, None, 1, 2)),
        prefer=rng.choice(("time", "moves")),
        window_s=rng.choice((None, None, None, 2500.0)),
        failback=rng.choice(("none", "none", "as_it_was", "spread")),
        one_fault_domain=rng.random() < 0.15,
    )


def assert_sound(of: Cluster, nodes: list[str], policy: RollingPolicy, what: str) -> None:
    plan = plan_rolling(of, nodes, policy)
    assert check_plan(of, plan, nodes) == (), what
    asked = nodes or list(of.node_by_name)
    named = [turn.node for turn in plan.maintenance] + [entry.node for entry in plan.untouched]
    assert sorted(named) == sorted(asked), what


@pytest.mark.parametrize("first", range(0, 160, 40))
@pytest.mark.parametrize("draw", [draw_night, draw_tight_night])
def test_the_plan_of_a_drawn_cluster_is_sound_and_names_every_node(draw: Any, first: int) -> None:
    for seed in range(first, first + 40):
        of, leaving = draw(seed)
        rng = random.Random(f"rolling/{seed}")
        nodes = leaving if rng.random() < 0.4 else []
        policy = drawn_policy(rng)
        assert_sound(of, nodes, policy, f"{draw.__name__}({seed}), {nodes}, {policy}")


small_vm = st.fixed_dictionaries(
    {
        "on": st.integers(1, 4),
        "memory_mib": st.integers(1, 20),
        "state": st.sampled_from(["running", "running", "off"]),
    },
    optional={
        "possible_owners": st.sets(st.integers(1, 4), min_size=2),
        "priority": st.sampled_from([0, 1000]),
        "memory_startup_mib": st.integers(1, 30),
    },
)


@given(
    rooms=st.lists(st.integers(40, 120), min_size=4, max_size=4),
    drawn=st.lists(small_vm, min_size=1, max_size=9),
    asked=st.sets(st.integers(1, 4), max_size=3),
    wishes=st.fixed_dictionaries(
        {
            "reserve_nodes": st.sampled_from(["auto", 0, 1]),
            "prefer": st.sampled_from(["time", "moves"]),
            "failback": st.sampled_from(["none", "as_it_was", "spread"]),
        }
    ),
)
@settings(deadline=None, max_examples=120)
def test_the_plan_of_a_small_cluster_is_sound_and_names_every_node(
    rooms: list[int], drawn: list[Any], asked: set[int], wishes: dict[str, Any]
) -> None:
    nodes = [node(f"N{i}", room) for i, room in enumerate(rooms, start=1)]
    vms = []
    for i, given_fields in enumerate(drawn):
        fields = dict(given_fields)
        on = f"N{fields.pop('on')}"
        owners = {f"N{owner}" for owner in fields.pop("possible_owners", ())}
        vms.append(vm(f"vm-{i}", on, **fields, possible_owners=sorted(owners | {on}) if owners else []))
    of = cluster(nodes, vms)
    policy = RollingPolicy(maintenance_s=60.0, **wishes)
    assert_sound(of, [f"N{i}" for i in sorted(asked)], policy, str(policy))


@pytest.mark.heavy
@given(
    seed=st.integers(0, 10_000), nodes=st.integers(3, 6), fill=st.floats(0.2, 0.8), maintenance_s=st.floats(10, 3000)
)
@settings(deadline=None, max_examples=60)
def test_no_plan_beats_the_floors(seed: int, nodes: int, fill: float, maintenance_s: float) -> None:
    rng = random.Random(seed)
    of = cluster(
        [node(f"N{i}", rng.choice((65536, 131072))) for i in range(1, nodes + 1)],
        [
            vm(f"vm-{i}", f"N{rng.randint(1, nodes)}", rng.choice((1024, 2048, 4096, 8192)))
            for i in range(int(fill * 16 * nodes))
        ],
    )
    plan = plan_rolling(of, (), RollingPolicy(maintenance_s=maintenance_s))
    done = [turn.node for turn in plan.maintenance]
    bound = floor(of, done, maintenance_s, plan.reserve_nodes, Fitness(of))
    assert plan.makespan_s >= bound.time_s - 1e-6
    if not plan.untouched:
        assert len(plan.moves) >= bound.moves


@given(
    steps=st.lists(st.tuples(st.integers(0, 11), st.integers(1, 4)), max_size=40),
    sizes=st.lists(st.integers(1, 30), min_size=12, max_size=12),
)
@settings(deadline=None, max_examples=100)
def test_a_reserve_that_was_told_of_every_step_answers_as_one_that_looks_for_the_first_time(
    steps: list[tuple[int, int]], sizes: list[int]
) -> None:
    of = cluster(
        [node(f"N{i}", 100) for i in range(1, 5)], [vm(f"vm-{i}", f"N{i % 4 + 1}", mib) for i, mib in enumerate(sizes)]
    )
    fleet = Fleet(of, phases_of(of.nodes, [n.name for n in of.nodes]))
    told = Reserve(fleet, 1)
    for number, to in steps:
        name, target = f"vm-{number}", f"N{to}"
        if fleet.place[name] == target or not told.allows_start(name, target):
            continue
        fleet.begin(name, target)
        assert Reserve(fleet, 1).holds()
        fleet.arrive(name)
        assert Reserve(fleet, 1).holds()
