"""Where a VM may be, read afresh from the rules (I4, R07, R08, R11, R13, R20), without the planners' filters."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Set

from shunter.topology.model import Cluster, Node, VirtualMachine

Reason = tuple[str, str]
"""Rule, and what is wrong."""


def misfits(
    cluster: Cluster, vm: VirtualMachine, source: str, target: str, volume_state: Mapping[str, str]
) -> Iterator[Reason]:
    """What forbids this VM, as it is, to go from one node to the other, whoever else is there."""
    here, there = cluster.node_by_name[source], cluster.node_by_name[target]
    if not vm.clustered:
        yield "R01", "it is not in the cluster's care"
    if vm.possible_owners and target not in vm.possible_owners:
        yield "I4", f"{target} is not one of its possible owners"
    if vm.state in ("running", "paused", "saved") and not _processor_bridged(vm, here, there):
        yield "R13", f"the processors of {source} and {target} differ"
    for switch in vm.switches:
        if switch.casefold() not in [name.casefold() for name in there.switches]:
            yield "R20", f"{target} has no switch {switch}"
    for name in vm.volumes:
        reachable_from = cluster.volume_by_name[name].reachable_from
        if reachable_from and target not in reachable_from:
            yield "R08", f"{target} does not reach {name}"
        if volume_state[name] in ("offline", "failed"):
            yield "R08", f"{name} is {volume_state[name]}"
    if vm.state in ("running", "paused") and source != target and not _joined(cluster, here, there):
        yield "R07", f"no network joins {source} and {target}"


def _joined(cluster: Cluster, here: Node, there: Node) -> bool:
    """Whether both have a working adapter on one network that is meant for both."""
    on = [{adapter.network for adapter in node.adapters if adapter.link_mbps} for node in (here, there)]
    return any(
        network.name in on[0] & on[1] and (not network.nodes or {here.name, there.name} <= {*network.nodes})
        for network in cluster.networks
    )


def _processor_bridged(vm: VirtualMachine, here: Node, there: Node) -> bool:
    one, other = here.processor, there.processor
    if one is None or other is None or one == other:
        return True
    return vm.processor_compatibility and one.manufacturer.casefold() == other.manufacturer.casefold()


def running_on_its_disks(cluster: Cluster, vm: VirtualMachine, running: Set[str]) -> list[str]:
    """The other running VMs on a `disk` volume of this VM (R11)."""
    disks = {name for name in vm.volumes if cluster.volume_by_name[name].kind == "disk"}
    if not disks:
        return []
    return [
        other.name
        for other in cluster.vms
        if other.name in running and other.name != vm.name and disks & set(other.volumes)
    ]


def too_close(
    cluster: Cluster, vm: str, source: str, target: str, places: Mapping[str, Collection[str]]
) -> Iterator[str]:
    """Hard rules that keep VMs apart and that this VM breaks on the target, and did not break on its source.

    `places`: every node where each VM counts, both ends while it moves.
    """
    for rule in cluster.affinity_rules:
        if rule.soft or vm not in rule.vms or rule.kind not in ("different_node", "different_fault_domain"):
            continue
        for other in rule.vms:
            for place in places.get(other, ()) if other != vm else ():
                if close(cluster, rule.kind, place, target) and not close(cluster, rule.kind, place, source):
                    yield f"rule {rule.name}: {other} is on {place}"


def apart(cluster: Cluster, moved: Collection[str], places: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Hard rules that keep VMs together and that are broken although one of their VMs was moved."""
    for rule in cluster.affinity_rules:
        if rule.soft or rule.kind not in ("same_node", "same_fault_domain") or not set(rule.vms) & set(moved):
            continue
        first = places[rule.vms[0]]
        for other in rule.vms[1:]:
            if not close(cluster, rule.kind, first, places[other]):
                yield rule.name, f"{rule.vms[0]} ends on {first}, {other} on {places[other]}"


def close(cluster: Cluster, kind: str, one: str, other: str) -> bool:
    """Whether two nodes are one in the eyes of a rule of this kind: one node or, if so meant, one fault domain."""
    if one == other or kind.endswith("_node"):
        return one == other
    here, there = cluster.node_by_name[one].fault_domain, cluster.node_by_name[other].fault_domain
    return here is not None and here == there
