"""Moves that wait get other targets when a source waits with them and need not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from building import cluster, node, vm

from shunter.topology.model import Cluster
from shunter.topology.pairing import Backlog
from shunter.topology.placement import wanted_move
from shunter.topology.redirecting import redirection

SMALL_NODE = [node("N1", 65536), node("N2", 65536), node("N3", 65536), node("N4", 8192)]


def redirected(of: Cluster, waiting: Mapping[str, str], busy: set[str], **options: Any) -> Mapping[str, str]:
    """N1 and N2 are emptied, these moves wait, and these nodes are busy."""
    backlog = Backlog(wanted_move(of, name, target) for name, target in waiting.items())
    given = {"emptied": ("N1", "N2"), "promised": waiting, "reserve_nodes": 0, **options}
    return redirection(of, backlog, busy, **given)


def test_a_vm_whose_target_is_busy_goes_to_an_idle_node() -> None:
    assert redirected(cluster(4, [vm("a")]), {"a": "N3"}, {"N2", "N3"}) == {"a": "N4"}


def test_nobody_is_redirected_while_its_source_is_busy_or_no_node_is_idle() -> None:
    of = cluster(4, [vm("a")])
    assert redirected(of, {"a": "N3"}, {"N1", "N3"}) == {}
    assert redirected(of, {"a": "N3"}, {"N3", "N4"}) == {}


def test_where_the_idle_node_has_no_room_left_two_vms_change_places() -> None:
    of = cluster(SMALL_NODE, [vm("a", "N1", 8192), vm("b", "N2", 4096)])
    assert redirected(of, {"a": "N3", "b": "N4"}, {"N2", "N3"}) == {"a": "N4", "b": "N3"}


def test_a_vm_that_does_not_fit_even_so_waits() -> None:
    of = cluster(SMALL_NODE, [vm("a", "N1", 16384), vm("b", "N2", 4096)])
    assert redirected(of, {"a": "N3", "b": "N4"}, {"N2", "N3"}) == {}


def test_what_was_tried_in_vain_is_not_tried_again() -> None:
    assert redirected(cluster(4, [vm("a")]), {"a": "N3"}, {"N2", "N3"}, tried={("a", "N4"): None}) == {}


def test_i4_a_vm_is_not_sent_where_a_rule_forbids_it() -> None:
    of = cluster(4, [vm("a", possible_owners=["N1", "N3"])])
    assert redirected(of, {"a": "N3"}, {"N2", "N3"}) == {}


def test_a_vm_tied_to_others_or_with_preferred_owners_keeps_its_target() -> None:
    rule = {"name": "pair", "kind": "different_node", "vms": ["a", "b"]}
    tied = cluster(4, [vm("a"), vm("b", "N3")], affinity_rules=[rule])
    assert redirected(tied, {"a": "N3"}, {"N2", "N3"}) == {}
    wishes = cluster(4, [vm("a", preferred_owners=["N3"])])
    assert redirected(wishes, {"a": "N3"}, {"N2", "N3"}) == {}


def test_i3_a_redirection_never_costs_the_reserve() -> None:
    nodes = [node("N1", 65536), node("N2", 65536), node("N3", 8192), node("N4", 12288), node("N5", 8192)]
    of = cluster(nodes, [vm("a", "N1", 6144), vm("b", "N3", 1024), vm("c", "N5", 8192)])
    busy = {"N2", "N3", "N5"}
    assert redirected(of, {"a": "N3"}, busy) == {"a": "N4"}
    assert redirected(of, {"a": "N3"}, busy, reserve_nodes=1) == {}
