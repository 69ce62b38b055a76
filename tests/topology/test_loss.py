"""N+1 by real placement (I3): if a node were lost now, which of its VMs would restart elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations, product
from typing import Any

import pytest
from building import AMD, INTEL, cluster, node, vm
from files import disks_with_their_vms
from hypothesis import given, settings
from hypothesis import strategies as st

from shunter.topology import loss as loss_module
from shunter.topology.loss import Loss, losses
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.preflight import check


def lost(of: Cluster, name: str = "N1") -> Loss:
    (found,) = [loss for loss in losses(of) if loss.node == name]
    return found


def stays_down(of: Cluster, name: str = "N1") -> tuple[str, ...]:
    found = lost(of, name)
    assert found.ok is (not found.unplaced)
    return found.unplaced


def test_i3_vms_that_find_room_elsewhere_survive_the_loss_of_their_node() -> None:
    of = cluster([node(f"N{i}", 100) for i in (1, 2, 3)], [vm("a", memory_mib=60), vm("b", memory_mib=40)])
    assert losses(of) == (Loss(node="N1", ok=True), Loss(node="N2", ok=True), Loss(node="N3", ok=True))


def test_i3_memory_that_is_free_in_sum_but_not_in_one_piece_does_not_help() -> None:
    of = cluster(
        [node(f"N{i}", 100) for i in (1, 2, 3)], [vm("a", memory_mib=80), vm("b", "N2", 40), vm("c", "N3", 40)]
    )
    assert stays_down(of) == ("a",)


def test_i3_as_many_vms_as_possible_restart() -> None:
    vms = [vm("big", memory_mib=50), vm("s1", memory_mib=30), vm("s2", memory_mib=20)]
    assert stays_down(cluster([node("N1", 100), node("N2", 50)], vms)) == ("big",)


def test_i3_the_more_important_vm_restarts_first() -> None:
    vms = [vm("big", memory_mib=50, priority=3000), vm("s1", memory_mib=30), vm("s2", memory_mib=20)]
    assert stays_down(cluster([node("N1", 100), node("N2", 50)], vms)) == ("s1", "s2")


def test_i3_a_restart_needs_startup_memory_where_that_is_more() -> None:
    of = cluster(
        [node("N1", 100), node("N2", 50)], [vm("a", memory_mib=20, memory_startup_mib=60, memory_maximum_mib=60)]
    )
    assert stays_down(of) == ("a",)


def test_i3_only_what_the_cluster_would_restart_counts() -> None:
    vms = [
        vm("none", memory_mib=90, priority=0),
        vm("off", memory_mib=90, state="off"),
        vm("lab", memory_mib=9, clustered=False),
        vm("paused", memory_mib=1, state="paused"),
    ]
    assert stays_down(cluster([node("N1", 100), node("N2", 1)], vms)) == ()
    assert stays_down(cluster([node("N1", 100), node("N2", 100, reserved_mib=99)], [*vms, vm("x", memory_mib=1)])) != ()


@pytest.mark.parametrize("state", ["paused", "down", "joining", "isolated", "quarantined"])
def test_i3_a_node_that_is_not_up_is_no_refuge(state: str) -> None:
    of = cluster([node("N1", 100), node("N2", 100, state=state)], [vm("a", memory_mib=50)])
    assert stays_down(of) == ("a",)


def test_i3_the_loss_of_a_paused_node_that_holds_vms_counts_too() -> None:
    paused = [node("N2", 100, state="paused"), node("N3", 100, state="paused"), node("N4", 100, state="down")]
    of = cluster([node("N1", 100), *paused], [vm("a", "N2", 60), vm("old", "N3", 60, state="off")])
    assert [(loss.node, loss.ok) for loss in losses(of)] == [("N1", True), ("N2", True)]


def test_r13_a_cold_restart_may_go_to_any_processor() -> None:
    of = cluster([node("N1", processor=INTEL), node("N2", processor=AMD)], [vm("a")])
    assert stays_down(of) == ()


@pytest.mark.parametrize(
    "fields", [{"possible_owners": ["N1", "N3"]}, {"switches": ["lan"]}, {"volumes": ["CSV1"]}, {"volumes": ["CSV2"]}]
)
def test_i4_r08_r20_a_vm_restarts_only_where_it_may_be(fields: Mapping[str, Any]) -> None:
    nodes = [node("N1", 100, switches=["lan"]), node("N2", 100, switches=[]), node("N3", 10, switches=["lan"])]
    volumes = [{"name": "CSV1", "reachable_from": ["N1", "N3"]}, {"name": "CSV2", "state": "offline"}]
    assert stays_down(cluster(nodes, [vm("a", memory_mib=50, **fields)], volumes=volumes)) == ("a",)
    assert stays_down(cluster(nodes, [vm("a", memory_mib=50)], volumes=volumes)) == ()


def test_r11_vms_on_one_disk_restart_on_one_node() -> None:
    disk = [{"name": "LUN1", "kind": "disk"}]
    both = [vm("a", memory_mib=60, volumes=["LUN1"]), vm("b", memory_mib=50, volumes=["LUN1"])]
    rooms = [node("N1", 200), node("N2", 70), node("N3", 70)]
    assert len(stays_down(cluster(rooms, both, volumes=disk))) == 1
    assert stays_down(cluster([*rooms[:2], node("N3", 110)], both, volumes=disk)) == ()
    assert stays_down(cluster(rooms, both, volumes=[{"name": "LUN1", "kind": "csv"}])) == ()


@pytest.mark.parametrize(
    ("kind", "down"), [("different_node", 0), ("different_fault_domain", 1), ("same_node", 1), ("same_fault_domain", 0)]
)
def test_i4_hard_affinity_rules_hold_after_the_restart(kind: str, down: int) -> None:
    nodes = [node("N1", 100, fault_domain="A"), node("N2", 50, fault_domain="B"), node("N3", 50, fault_domain="B")]
    rule = {"name": "pair", "kind": kind, "vms": ["a", "b"]}
    vms = [vm("a", memory_mib=40), vm("b", memory_mib=40)]
    assert len(stays_down(cluster(nodes, vms, affinity_rules=[rule]))) == down
    assert stays_down(cluster(nodes, vms, affinity_rules=[{**rule, "soft": True}])) == ()


def test_i4_a_vm_does_not_restart_beside_one_that_a_rule_keeps_apart_from_it() -> None:
    rule = {"name": "pair", "kind": "different_node", "vms": ["a", "b"]}
    vms = [vm("a"), vm("b", on="N2")]
    assert stays_down(cluster(2, vms, affinity_rules=[rule])) == ("a",)
    assert stays_down(cluster(3, vms, affinity_rules=[rule])) == ()
    assert stays_down(cluster(2, [vms[0], {**vms[1], "state": "off"}], affinity_rules=[rule])) == ()


def test_i3_room_that_a_lost_source_had_claimed_on_a_target_is_free_again() -> None:
    under_way = [{"vm": "a", "source": "N1", "target": "N2"}]
    of = cluster([node("N1", 100), node("N2", 60)], [vm("a", memory_mib=60)], migrations=under_way)
    assert stays_down(of) == ()


def test_i3_a_vm_on_its_way_counts_at_both_ends_when_another_node_is_lost() -> None:
    under_way = [{"vm": "a", "source": "N2", "target": "N3"}]
    of = cluster(
        [node("N1", 100), node("N2", 100), node("N3", 100)],
        [vm("a", "N2", 60), vm("b", "N1", 50)],
        migrations=under_way,
    )
    assert stays_down(of) == ("b",)


def test_i3_what_is_not_decided_is_neither_yes_nor_no(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [337, 783, 265, 461, 321, 707, 661, 683, 589, 415, 297, 699, 229, 599, 643, 203]
    rooms = [node(f"N{i}", mib) for i, mib in enumerate([1580, 1578, 1578, 1578, 1578], start=2)]
    of = cluster([node("N1", 10000), *rooms], [vm(f"vm-{i}", memory_mib=mib) for i, mib in enumerate(sizes)])
    assert sum(sizes) == sum(room["memory_mib"] for room in rooms)
    assert (lost(of).ok, len(lost(of).unplaced)) == (False, 1)

    monkeypatch.setattr(loss_module, "MOST_WORK", 1e-9)
    found = check(of)
    assert found.ok
    assert json.loads(found.to_json())["survives_loss"][0] == {"node": "N1", "ok": None, "unplaced": []}
    (finding,) = found.findings
    assert (finding.rule, finding.severity, finding.subject) == ("I3", "warning", "node N1")
    assert "not decided" in finding.message


# ---------------------------------------------------------------- against all possibilities


def fewest_down(of: Cluster, name: str) -> tuple[int, ...]:
    """How many of each priority restart at best, the highest first: by trying every choice."""
    lost_vms = [v for v in of.vms_by_node[name] if v.holds_memory and v.clustered and v.priority > 0]
    refuges = [n.name for n in of.nodes if n.state == "up" and n.name != name]
    priorities = sorted({v.priority for v in lost_vms}, reverse=True)
    best = (0,) * len(priorities)
    for choice in product([None, *refuges], repeat=len(lost_vms)):
        placed = {v.name: to for v, to in zip(lost_vms, choice, strict=True) if to is not None}
        counts = tuple(sum(v.priority == p and v.name in placed for v in lost_vms) for p in priorities)
        if counts > best and _valid(of, name, placed):
            best = counts
    return best


def _valid(of: Cluster, name: str, placed: Mapping[str, str]) -> bool:
    running = {v.name: v.node for v in of.vms if v.holds_memory and v.node != name} | dict(placed)
    for v, to in ((of.vm_by_name[v], to) for v, to in placed.items()):
        if v.possible_owners and to not in v.possible_owners:
            return False
    for room in of.nodes:
        used = sum(_mib(of.vm_by_name[v], placed) for v, on in running.items() if on == room.name)
        if used > room.memory_mib and room.name in placed.values():
            return False
    for disk in of.vms_by_disk.values():
        users = [v.name for v in disk if v.name in running]
        if any(v in placed for v in users) and len({running[v] for v in users}) > 1:
            return False
    return all(_holds(of, rule, placed, running) for rule in of.affinity_rules)


def _mib(v: VirtualMachine, placed: Mapping[str, str]) -> int:
    return max(v.memory_mib, v.memory_startup_mib) if v.name in placed else v.memory_mib


def _holds(of: Cluster, rule: Any, placed: Mapping[str, str], running: Mapping[str, str]) -> bool:
    def place(n: str) -> str:
        domain = of.node_by_name[n].fault_domain
        return f"rack {domain}" if rule.kind.endswith("fault_domain") and domain else n

    pairs = [(a, b) for a, b in combinations(rule.vms, 2) if a in running and b in running]
    ours = [(a, b) for a, b in pairs if a in placed or b in placed]
    together = [(a, b) for a, b in ours if place(running[a]) == place(running[b])]
    if rule.kind.startswith("different"):
        return not together
    apart_anyway = len({place(running[v]) for v in rule.vms if v in running and v not in placed}) > 1
    if apart_anyway:
        ours = [(a, b) for a, b in ours if a in placed and b in placed]
        together = [(a, b) for a, b in together if a in placed and b in placed]
    return len(together) == len(ours)


drawn_vm = st.fixed_dictionaries(
    {"on": st.integers(1, 3), "memory_mib": st.integers(1, 60)},
    optional={
        "priority": st.sampled_from([0, 1000, 3000]),
        "possible_owners": st.sets(st.integers(1, 4), min_size=1, max_size=3),
        "state": st.sampled_from(["off", "paused"]),
        "memory_startup_mib": st.integers(1, 60),
        "volumes": st.sampled_from([["LUN1"], ["CSV1"]]),
    },
)
drawn_rule = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["different_node", "same_node", "different_fault_domain", "same_fault_domain"]),
        "vms": st.sets(st.integers(0, 5), min_size=2, max_size=3),
    }
)


@given(
    rooms=st.lists(st.integers(20, 100), min_size=4, max_size=4),
    drawn=st.lists(drawn_vm, min_size=6, max_size=8),
    rules=st.lists(drawn_rule, max_size=2),
)
@settings(max_examples=150)
def test_i3_as_many_restart_as_any_choice_allows(rooms: list[int], drawn: list[Any], rules: list[Any]) -> None:
    vms = []
    for i, given_fields in enumerate(drawn):
        fields = {"memory_maximum_mib": 100, **given_fields}
        on = f"N{fields.pop('on')}" if i > 3 else "N1"
        fields.pop("on", None)
        owners = sorted(f"N{owner}" for owner in fields.pop("possible_owners", ()))
        vms.append(vm(f"vm-{i}", on, **fields, possible_owners=owners))
    nodes = [node(f"N{i}", room, fault_domain=f"rack-{i % 2}") for i, room in enumerate(rooms, start=1)]
    named = [
        {"name": f"r{i}", "kind": rule["kind"], "vms": [f"vm-{v}" for v in sorted(rule["vms"])]}
        for i, rule in enumerate(rules)
    ]
    volumes: list[dict[str, Any]] = [{"name": "LUN1", "kind": "disk"}, {"name": "CSV1"}]
    disks_with_their_vms({"vms": vms, "volumes": volumes})
    of = cluster(nodes, vms, affinity_rules=named, volumes=volumes)
    found = lost(of)
    best = fewest_down(of, "N1")
    restarted = [v for v in of.vms_by_node["N1"] if v.holds_memory and v.priority > 0 and v.name not in found.unplaced]
    priorities = sorted({v.priority for v in of.vms_by_node["N1"] if v.holds_memory and v.priority > 0}, reverse=True)
    assert tuple(sum(v.priority == p for v in restarted) for p in priorities) == best
    assert found.ok is (not found.unplaced)
    assert found.fewest
