"""The oracle against cases that were worked out by hand: it judges the planners, so it is judged itself."""

from __future__ import annotations

from typing import Any

import pytest
from brute_force import fewest_live_steps, fewest_moves, is_in_order, most_placed
from building import AMD, INTEL, cluster, node, vm

from shunter.topology.model import Cluster


def rule(kind: str, *vms: str) -> dict[str, Any]:
    return {"name": f"{kind} {' '.join(vms)}", "kind": kind, "vms": list(vms)}


def nodes(*memory_mib: int, **fields: Any) -> list[dict[str, Any]]:
    return [node(f"N{i}", mib, **fields) for i, mib in enumerate(memory_mib, start=1)]


def owned(name: str, on: str, mib: int, *owners: str) -> dict[str, Any]:
    return vm(name, on, mib, possible_owners=list(owners))


def test_a_cluster_in_order_needs_no_move() -> None:
    of = cluster(nodes(10, 10), [vm("a", "N1", 10)])
    assert is_in_order(of)
    assert (fewest_moves(of), fewest_live_steps(of)) == (0, 0)


def test_everybody_leaves_an_emptied_node_and_nobody_else_moves() -> None:
    of = cluster(nodes(10, 10, 10), [vm("a", "N1", 6), vm("b", "N1", 4), vm("c", "N2", 5)])
    assert (fewest_moves(of, ["N1"]), fewest_live_steps(of, ["N1"])) == (2, 2)
    assert fewest_moves(of, ["N1"], helped=False) == 2


def test_two_full_nodes_cannot_swap_live() -> None:
    of = cluster(nodes(10, 10), [owned("a", "N1", 10, "N2"), owned("b", "N2", 10, "N1")])
    assert (fewest_moves(of), fewest_live_steps(of)) == (2, None)


def test_two_vms_swap_live_by_way_of_a_third_node() -> None:
    of = cluster(nodes(10, 10, 10), [owned("a", "N1", 10, "N2", "N3"), owned("b", "N2", 10, "N1")])
    assert fewest_moves(of) == 2  # a to N3
    pinned = owned("c", "N3", 1, "N3")
    of = cluster(nodes(10, 10, 10), [owned("a", "N1", 10, "N2"), owned("b", "N2", 10, "N1", "N3"), pinned])
    assert (fewest_moves(of), fewest_live_steps(of)) == (2, None)


def test_a_circle_of_three_full_nodes_has_an_order_only_by_a_detour_over_a_spare_node() -> None:
    keepers = [owned(f"k{i}", f"N{i}", 1, f"N{i}") for i in (1, 2, 3)]
    circle = [vm("a", "N1", 9), vm("b", "N2", 9), vm("c", "N3", 9)]
    rules = [rule("same_node", "a", "k2"), rule("same_node", "b", "k3"), rule("same_node", "c", "k1")]
    of = cluster(nodes(10, 10, 10, 9), [*circle, *keepers], affinity_rules=rules)
    assert (fewest_moves(of), fewest_live_steps(of)) == (3, 4)
    without = cluster(nodes(10, 10, 10, 8), [*circle, *keepers], affinity_rules=rules)
    assert (fewest_moves(without), fewest_live_steps(without)) == (3, None)
    roomy = cluster(nodes(10, 10, 19, 8), [*circle, *keepers], affinity_rules=rules)
    assert (fewest_moves(roomy), fewest_live_steps(roomy)) == (3, 3)


def test_a_chain_of_vms_kept_apart_has_one_order() -> None:
    vms = [owned("a", "N1", 1, "N2"), owned("b", "N2", 1, "N3"), owned("c", "N3", 1, "N4")]
    rules = [rule("different_node", "a", "b"), rule("different_node", "b", "c")]
    of = cluster(4, vms, affinity_rules=rules)
    assert (fewest_moves(of), fewest_live_steps(of)) == (3, 3)
    in_a_ring = [owned("a", "N1", 1, "N2"), owned("b", "N2", 1, "N1")]
    of = cluster(2, in_a_ring, affinity_rules=[rule("different_node", "a", "b")])
    assert (fewest_moves(of), fewest_live_steps(of)) == (2, None)


def test_vms_kept_apart_limit_how_many_can_leave() -> None:
    vms = [vm(name, "N1", 1) for name in ("a", "b", "c")]
    of = cluster(3, vms, affinity_rules=[rule("different_node", "a", "b"), rule("different_node", "b", "c")])
    assert fewest_moves(of, ["N1"]) == 3
    rules = [rule("different_node", *two) for two in (("a", "b"), ("b", "c"), ("a", "c"))]
    of = cluster(3, vms, affinity_rules=rules)
    assert (fewest_moves(of, ["N1"]), fewest_live_steps(of, ["N1"])) == (None, None)
    assert most_placed(of, ["N1"]) == 2


def test_fault_domains_count_as_places() -> None:
    racks = [node(f"N{i}", 10, fault_domain=rack) for i, rack in ((1, "r1"), (2, "r1"), (3, "r2"))]
    two = [vm("a", "N1", 1), vm("b", "N2", 1)]
    apart = cluster(racks, two, affinity_rules=[rule("different_fault_domain", "a", "b")])
    assert (fewest_moves(apart), fewest_live_steps(apart)) == (1, 1)
    spread = cluster(racks, [vm("a", "N1", 1), vm("b", "N3", 1)], affinity_rules=[rule("same_fault_domain", "a", "b")])
    assert fewest_moves(spread) == 1
    leaving = cluster(
        racks, [vm("a", "N1", 1), vm("b", "N3", 1)], affinity_rules=[rule("different_fault_domain", "a", "b")]
    )
    assert fewest_moves(leaving, ["N3"]) is None  # b would come into a's rack
    assert most_placed(leaving, ["N3"]) == 0
    assert fewest_moves(leaving, ["N1"]) == 1


def test_two_staying_vms_move_so_that_a_large_one_finds_room() -> None:
    vms = [vm("big", "N1", 8), vm("b", "N2", 4), vm("c", "N2", 3), owned("d", "N3", 3, "N3"), owned("e", "N4", 5, "N4")]
    of = cluster(nodes(8, 9, 7, 8), vms)
    assert fewest_moves(of, ["N1"], helped=False) is None
    assert (fewest_moves(of, ["N1"]), fewest_live_steps(of, ["N1"])) == (3, 3)
    assert most_placed(of, ["N1"], helped=False) == 0
    assert most_placed(of, ["N1"]) == 1


def test_a_staying_vm_makes_way_for_one_that_makes_room() -> None:
    vms = [owned("big", "N1", 8, "N1", "N2"), owned("b", "N2", 6, "N2", "N3"), vm("c", "N3", 4)]
    of = cluster(nodes(8, 8, 6, 4), vms)
    assert (fewest_moves(of, ["N1"]), fewest_live_steps(of, ["N1"])) == (3, 3)


def test_of_a_node_short_of_memory_as_few_move_as_may() -> None:
    of = cluster(nodes(10, 10), [vm("a", "N1", 3), vm("b", "N1", 4), vm("c", "N1", 7)])
    assert (fewest_moves(of), fewest_live_steps(of)) == (1, 1)
    assert not is_in_order(of)
    full = cluster(nodes(10, 3), [vm("a", "N1", 6), vm("b", "N1", 6)])
    assert (fewest_moves(full), fewest_live_steps(full)) == (None, None)


def test_what_was_out_of_order_before_is_held_against_a_repair_alone() -> None:
    of = cluster(
        3, [vm("a", "N1", 1), vm("b", "N2", 1), vm("c", "N2", 1)], affinity_rules=[rule("different_node", "b", "c")]
    )
    assert (fewest_moves(of, ["N1"]), fewest_moves(of)) == (1, 1)
    touched = cluster(3, [vm("a", "N1", 1), vm("b", "N1", 1)], affinity_rules=[rule("different_node", "a", "b")])
    assert fewest_moves(touched, ["N1"]) == 2
    nowhere_else = cluster(2, [vm("a", "N1", 1), vm("b", "N1", 1)], affinity_rules=[rule("different_node", "a", "b")])
    assert fewest_moves(nowhere_else, ["N1"]) is None


def test_r11_what_is_off_goes_along_with_its_disk_and_two_running_vms_hold_it() -> None:
    disk = [{"name": "L", "kind": "disk", "owner": "N1"}]
    rider = vm("old", "N1", 1, state="off", volumes=["L"], possible_owners=["N1", "N3"])
    of = cluster(nodes(5, 5, 5), [vm("a", "N1", 1, volumes=["L"]), rider, vm("b", "N3", 5)], volumes=disk)
    assert fewest_moves(of, ["N1"]) == 2  # N3 alone may take the disk, and b must make room there
    two = cluster(2, [vm("a", "N1", 1, volumes=["L"]), vm("b", "N1", 1, volumes=["L"])], volumes=disk)
    assert fewest_moves(two, ["N1"]) is None


def test_r13_and_r20_and_r08_and_paused_nodes_are_heeded() -> None:
    mixed = cluster([node("N1", processor=INTEL), node("N2", processor=AMD)], [vm("a")])
    assert fewest_moves(mixed, ["N1"]) is None
    switches = [node("N1", switches=["dmz"]), node("N2", switches=["lan"]), node("N3", switches=["DMZ"])]
    assert fewest_moves(cluster(switches, [vm("a", switches=["dmz"])]), ["N1"]) == 1
    assert fewest_moves(cluster(switches, [vm("a", "N2", switches=["dmz"])])) == 1
    near = [{"name": "CSV", "owner": "N2", "reachable_from": ["N2"]}]
    assert fewest_moves(cluster(2, [vm("a", volumes=["CSV"])], volumes=near)) == 1
    paused = [node("N1"), node("N2", state="paused")]
    assert fewest_moves(cluster(paused, [vm("a")]), ["N1"]) is None


def test_what_it_does_not_look_at_is_refused() -> None:
    under_way: Cluster = cluster(2, [vm("a")], migrations=[{"vm": "a", "source": "N1", "target": "N2"}])
    with pytest.raises(ValueError, match="under way"):
        fewest_moves(under_way)
    off = cluster(2, [vm("a"), vm("b", state="off")], affinity_rules=[rule("different_node", "a", "b")])
    with pytest.raises(ValueError, match="b is off"):
        fewest_moves(off)
