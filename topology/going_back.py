"""Moves that nobody must make: VMs go back to where they belong, as many as room, order, rules and reserve allow."""

from __future__ import annotations

from collections.abc import Mapping

from shunter.topology.detours import straight_way
from shunter.topology.model import AffinityRule, Cluster
from shunter.topology.ordering import near, riders
from shunter.topology.placement import Placement
from shunter.topology.reserve import first_failure


def ordered_back(
    after: Cluster, targets: Mapping[str, str], reserve_nodes: int, promised: Mapping[str, str] | None = None
) -> Placement | None:
    """These moves (VM → node) in an order that is valid live and keeps the reserve; without those that cannot be had,
    the largest first. None: not even that. `promised`: moves decided elsewhere (VM → node).
    """
    left = keeping_rules(after, targets, promised)
    while left:
        placement = in_order(after, left, promised)
        if placement and first_failure(after, reserve_nodes, placement, promised=promised) is None:
            return placement
        largest = max(left, key=lambda name: (after.vm_by_name[name].memory_mib, name))
        del left[largest]
        left = keeping_rules(after, left, promised)
    return Placement() if not targets else None


def in_order(after: Cluster, targets: Mapping[str, str], promised: Mapping[str, str] | None = None) -> Placement | None:
    """All of these moves in an order that is valid live; None: none was found."""
    way = straight_way(after, targets, promised)
    return Placement(targets=dict(way.targets), after=way.after) if way is not None else None


def keeping_rules(
    after: Cluster, targets: Mapping[str, str], promised: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Without the VMs that would end against a hard rule, or what shares a disk with them and comes along (I4, R11)."""
    left = dict(targets)
    here = {vm.name: vm.node for vm in after.vms}
    going = {**after.heading, **(promised or {})}
    while True:
        coming = {rider: to for vm, to in left.items() for rider in riders(after, vm)}
        ends = {**here, **going, **left, **coming}
        against = [vm for vm in left if any(_breaks(after, name, here, ends) for name in (vm, *riders(after, vm)))]
        if not against:
            return left
        for vm in against:
            del left[vm]


def _breaks(after: Cluster, name: str, here: Mapping[str, str], ends: Mapping[str, str]) -> bool:
    """Whether a rule that the VM is under is kept now, and would be broken where all end."""
    return any(
        not rule.soft and _is_broken(after, rule, name, ends) and not _is_broken(after, rule, name, here)
        for rule in after.rules_by_vm.get(name, ())
    )


def _is_broken(after: Cluster, rule: AffinityRule, name: str, places: Mapping[str, str]) -> bool:
    apart = rule.kind.startswith("different")
    return any(
        near(after, rule, places[name], places[other]) is apart
        for other in rule.vms
        if other != name and other in places
    )
