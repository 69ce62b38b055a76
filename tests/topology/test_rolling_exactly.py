"""Small clusters: wherever any order of the nodes does all, one away at a time, so does the plan."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

import pytest
from building import cluster, node, vm

from shunter.topology.model import Cluster
from shunter.topology.rolling import RollingPolicy, plan_rolling

Places = Mapping[str, str]


def drawn(seed: int) -> Cluster:
    """Three or four nodes, so full that it is not obvious whether they can be emptied one after the other."""
    rng = random.Random(seed)
    rooms = [rng.choice((12, 14, 16, 20)) for _ in range(rng.choice((3, 3, 4)))]
    names = [f"N{i}" for i in range(1, len(rooms) + 1)]
    free = dict(zip(names, rooms, strict=True))
    vms = []
    most = sum(rooms) - min(rooms)
    while sum(rooms) - sum(free.values()) < most * 0.8 and len(vms) < 9:
        on, mib = rng.choice(names), rng.randint(2, 9)
        if free[on] >= mib:
            free[on] -= mib
            vms.append(vm(f"vm-{len(vms)}", on, mib))
        elif rng.random() < 0.2:
            break
    return cluster([node(name, room) for name, room in zip(names, rooms, strict=True)], vms)


def targets(of: Cluster, places: Places, leaving: str) -> Iterator[Places]:
    """Every way to empty this node onto the others, all else staying."""
    sizes = {each.name: each.memory_mib for each in of.vms}
    room = {each.name: each.memory_mib - each.reserved_mib for each in of.nodes if each.name != leaving}
    for name, on in places.items():
        if on != leaving:
            room[on] -= sizes[name]
    leave = sorted((name for name, on in places.items() if on == leaving), key=lambda name: -sizes[name])

    def put(at: int, places: Places) -> Iterator[Places]:
        if at == len(leave):
            yield places
            return
        for on in list(room):
            if room[on] >= sizes[leave[at]]:
                room[on] -= sizes[leave[at]]
                yield from put(at + 1, {**places, leave[at]: on})
                room[on] += sizes[leave[at]]

    return put(0, places)


def can_all_be_done(of: Cluster) -> bool:
    """Tries every order and every choice of targets."""
    seen = set()

    def go_on(places: Places, left: frozenset[str]) -> bool:
        if not left:
            return True
        state = (left, tuple(sorted(places.items())))
        if state in seen:
            return False
        seen.add(state)
        return any(go_on(after, left - {leaving}) for leaving in sorted(left) for after in targets(of, places, leaving))

    return go_on({each.name: each.node for each in of.vms}, frozenset(each.name for each in of.nodes))


@pytest.mark.parametrize("seed", range(40))
def test_wherever_any_order_does_all_so_does_the_plan(seed: int) -> None:
    of = drawn(seed)
    plan = plan_rolling(of, (), RollingPolicy(reserve_nodes=0))
    assert (len(plan.maintenance) == len(of.nodes)) is can_all_be_done(of)


def test_of_what_is_tried_out_some_can_be_done_by_no_rule_of_thumb_and_some_not_at_all() -> None:
    possible = [seed for seed in range(40) if can_all_be_done(drawn(seed))]
    assert 5 < len(possible) < 35


def test_an_order_that_only_a_search_finds() -> None:
    vms = [vm("a1", "N1", 1000), vm("a2", "N1", 1000), vm("c", "N2", 3000), vm("d", "N3", 3000)]
    plan = plan_rolling(cluster([node(f"N{i}", 4096) for i in (1, 2, 3)], vms), (), RollingPolicy(reserve_nodes=0))
    assert plan.ok
    assert plan.maintenance[0].node == "N1"
    assert len(plan.moves) == 6


def test_where_no_order_does_all_that_is_said_and_in_a_larger_cluster_only_that_none_was_found() -> None:
    def full(count: int) -> list[str]:
        of = cluster(
            [node(f"N{i}", 100) for i in range(1, count + 1)], [vm(f"vm-{i}", f"N{i}", 60) for i in range(1, count + 1)]
        )
        return [stays.reason for stays in plan_rolling(of, (), RollingPolicy(reserve_nodes=0)).untouched]

    few, many = full(3), full(7)
    assert few == [
        f"N{i} cannot be emptied even without a reserve: in no order do all nodes find room for their VMs"
        for i in (1, 2, 3)
    ]
    assert many == [f"no way was found to empty N{i} even without a reserve" for i in range(1, 8)]
