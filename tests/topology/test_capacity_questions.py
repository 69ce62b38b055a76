"""Questions that other cluster software answers too: may hosts be lost, may a VM be admitted, how are groups spread."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import Any

import pytest
from building import cluster, node, vm

from shunter.topology.capacity import survives_loss
from shunter.topology.failover import plan_failover
from shunter.topology.model import Cluster
from shunter.topology.planning import plan_evacuation
from shunter.topology.recheck import check_plan
from shunter.topology.restarting import choose_restarts

Hosts = dict[str, tuple[int, list[int]]]
"""Host → its memory in GiB, and that of its VMs."""


def pool(hosts: Hosts, *more: dict[str, Any], **fields: Any) -> Cluster:
    nodes = [node(name, gib * 1024) for name, (gib, _) in hosts.items()]
    vms = [
        vm(f"{name}-{i}", name, gib * 1024)
        for name, (_, sizes) in hosts.items()
        for i, gib in enumerate(sizes, start=1)
    ]
    return cluster(nodes, [*vms, *more], **fields)


@pytest.mark.parametrize(
    ("hosts", "lost", "survives"),
    [
        ({"a": (128, [60, 60]), "b": (128, [60, 60])}, 1, False),
        ({"a": (128, [60]), "b": (128, [60])}, 1, True),
        ({"a": (128, [100]), "b": (128, []), "c": (128, [60, 30])}, 1, True),
        ({"a": (128, [100, 20]), "b": (128, [100]), "c": (128, [30])}, 1, False),
        ({"a": (128, [100]), "b": (128, []), "c": (128, []), "d": (128, [])}, 2, True),
        ({"a": (128, [100]), "b": (128, [100]), "c": (128, []), "d": (128, [])}, 3, False),
        ({"a": (64, []), "b": (64, [])}, 1, True),
    ],
)
def test_i3_so_many_hosts_may_be_lost_where_every_such_loss_is_absorbed(
    hosts: Hosts, lost: int, *, survives: bool
) -> None:
    of = pool(hosts, windows_version="2008R2", witness=True)
    assert survives_loss(of, lost).ok is survives
    plans = {names: plan_failover(of, names) for names in combinations(hosts, lost)}
    assert all(check_plan(of, plan, names) == () for names, plan in plans.items())
    held = [plan for plan in plans.values() if not plan.errors]
    if survives:
        assert all(not plan.unplaced for plan in held)
    elif lost == 1:
        assert any(plan.unplaced for plan in held)


@pytest.mark.parametrize(
    ("hosts", "gib", "admitted"),
    [
        ({"a": (128, [60]), "b": (128, [])}, 60, True),
        ({"a": (128, [60, 60]), "b": (128, [])}, 60, False),
        ({"a": (128, [60]), "b": (128, [])}, 200, False),
        ({"a": (128, []), "b": (64, [])}, 100, False),
        ({"a": (128, [60]), "b": (128, [60]), "c": (128, [60])}, 60, True),
    ],
)
def test_i3_a_vm_is_admitted_where_it_starts_and_a_loss_stays_covered(
    hosts: Hosts, gib: int, *, admitted: bool
) -> None:
    waiting = vm("new", "a", gib * 1024, state="off")
    of = pool(hosts, waiting)
    assert survives_loss(of, 1).ok
    starts = choose_restarts(of, [of.vm_by_name["new"]]).targets
    running = pool(hosts, waiting | {"state": "running"})
    there = [running.with_vms_on({"new": name}) for name in hosts]
    keeps = any(
        where.free_mib(name) >= 0 and survives_loss(where, 1).ok for name, where in zip(hosts, there, strict=True)
    )
    assert (bool(starts) and keeps) is admitted


@pytest.mark.parametrize(
    ("rooms", "sizes", "spread"),
    [
        ((512, 256), (120,), [1]),
        ((200, 60), (24, 23, 22, 21), [2, 2]),
        ((400, 400, 400), (30, 30, 30, 30, 30), [2, 2, 1]),
        ((300, 20), (30, 30, 30), [3]),
        ((64, 64), (30, 200), None),
    ],
)
def test_vms_of_a_group_are_spread_as_evenly_as_memory_allows(
    rooms: tuple[int, ...], sizes: tuple[int, ...], spread: list[int] | None
) -> None:
    hosts: Hosts = {"leaving": (1024, list(sizes)), **{f"n{i}": (gib, []) for i, gib in enumerate(rooms)}}
    names = [f"leaving-{i}" for i in range(1, len(sizes) + 1)]
    rules = [
        {"name": f"apart-{i}", "kind": "different_node", "vms": list(pair), "soft": True}
        for i, pair in enumerate(combinations(names, 2))
    ]
    of = pool(hosts, affinity_rules=rules)
    for plan in (plan_evacuation(of, ["leaving"], 0), plan_failover(of, ["leaving"])):
        assert check_plan(of, plan, ["leaving"]) == ()
        if spread is None:
            assert plan.unplaced
        elif plan.kind == "evacuation":
            assert sorted(Counter(move.target for move in plan.moves).values(), reverse=True) == spread
        else:
            assert {move.vm for move in plan.moves} == set(names)


@pytest.mark.parametrize(
    ("hosts", "witness", "tolerated"),
    [(2, False, 0), (2, True, 1), (3, False, 1), (4, False, 1), (4, True, 2), (5, False, 2), (7, True, 3)],
)
def test_i6_so_many_empty_hosts_may_be_lost_at_once_by_votes_alone(
    hosts: int, tolerated: int, *, witness: bool
) -> None:
    of = cluster(hosts, witness=witness)
    lost = [f"N{i}" for i in range(1, hosts + 1)]

    def may_end(count: int) -> bool:
        return any(f.rule == "I6" and "are left" in f.message for f in plan_failover(of, lost[:count]).findings)

    assert [count for count in range(1, hosts + 1) if not may_end(count)] == list(range(1, tolerated + 1))


# ---------------------------------------------------------------- runs of other cluster software, in their shapes


def test_a_vm_that_must_be_apart_from_one_restarts_on_the_only_node_left_for_it() -> None:
    rules = [{"name": "lonely", "kind": "different_node", "vms": ["one", "other"]}]
    plan = plan_failover(cluster(3, [vm("one", "N2"), vm("other", "N3"), vm("c", "N1")], affinity_rules=rules), ["N3"])
    assert [(move.vm, move.target) for move in plan.moves] == [("other", "N1")]


def test_three_vms_apart_on_three_nodes_leave_the_one_of_the_lost_node_waiting() -> None:
    pairs = combinations(("a", "b", "c"), 2)
    rules = [{"name": f"r{i}", "kind": "different_node", "vms": list(pair)} for i, pair in enumerate(pairs)]
    vms = [vm("a", "N1"), vm("b", "N2"), vm("c", "N3"), vm("free", "N3")]
    plan = plan_failover(cluster(3, vms, affinity_rules=rules), ["N3"])
    assert [stays.vm for stays in plan.unplaced] == ["c"]
    assert [move.vm for move in plan.moves] == ["free"]


def test_vms_that_must_be_together_restart_together() -> None:
    rules = [{"name": "stick", "kind": "same_node", "vms": ["a", "b", "c"]}]
    plan = plan_failover(cluster(3, [vm(name, "N3") for name in "abc"], affinity_rules=rules), ["N3"])
    assert len({move.target for move in plan.moves}) == 1
    assert len(plan.moves) == 3


def test_a_wish_for_nodes_is_followed_and_no_condition() -> None:
    wished = vm("a", "N2", preferred_owners=["N2", "N3"])
    assert [move.target for move in plan_failover(cluster(3, [wished]), ["N2"]).moves] == ["N3"]
    alone = vm("a", "N3", preferred_owners=["N3"])
    assert [move.target for move in plan_failover(cluster(3, [alone]), ["N3"]).moves] in (["N1"], ["N2"])


def test_a_vm_that_is_stopped_is_handed_over_and_stays_stopped() -> None:
    plan = plan_failover(cluster(3, [vm("a", "N3", state="off")]), ["N3"])
    assert (plan.moves, [move.name for move in plan.role_moves], plan.ok) == ((), ["a"], True)


def test_after_a_failover_the_next_node_is_evacuated_onto_what_is_left() -> None:
    of = cluster(3, [vm("a", "N3"), vm("b", "N1")])
    first = {move.vm: move.target for move in plan_failover(of, ["N3"]).moves}
    down = cluster([node("N1"), node("N2"), node("N3", state="down")], [vm("a", first["a"]), vm("b", "N1")])
    plan = plan_evacuation(down, [first["a"]], 0)
    assert all(move.target not in ("N3", first["a"]) for move in plan.moves)
    assert plan.ok
