"""Why a simulated cluster refuses: its own rules, kept apart from those of the planners on purpose."""

from __future__ import annotations

from collections.abc import Mapping

from shunter.clusters.port import Refused
from shunter.topology.model import Cluster, Node, VirtualMachine


def migration_refusal(now: Cluster, vm: VirtualMachine | None, target: str) -> Refused | None:
    """Why this live migration cannot start; None when it can."""
    if vm is None or not vm.clustered:
        return Refused("there is no clustered VM of this name")
    if target not in now.node_by_name:
        return Refused(f"there is no node {target}")
    if vm.state not in ("running", "paused"):
        return Refused(f"{vm.name} is {vm.state}; only a running VM migrates live")
    if vm.node == target:
        return Refused(f"{vm.name} is on {target} already")
    for under_way in now.migrations:
        for node in (under_way.source, under_way.target):
            if node in (vm.node, target):
                return Refused(
                    f"migration limit reached: {node} takes part in the migration of {under_way.vm}", busy=True
                )
    reason = (
        _unfit_node(now.node_by_name[target])
        or _unfit_processor(now, vm, target)
        or _no_room(now, vm, target)
        or _shared_disk(now, vm)
        or _backup(vm)
        or placement_refusal(now, vm, target)
    )
    return Refused(reason) if reason else None


def placement_refusal(now: Cluster, vm: VirtualMachine, target: str) -> str | None:
    """Why this VM, running or not, may not be placed on the node, processor and memory apart."""
    node = now.node_by_name[target]
    if vm.possible_owners and target not in vm.possible_owners:
        return f"{target} is not a possible owner of {vm.name}"
    names = [name.casefold() for name in node.switches]
    for switch in vm.switches:
        if switch.casefold() not in names:
            return f'{target} has no virtual switch "{switch}"'
    for name in vm.volumes:
        volume = now.volume_by_name[name]
        if volume.state in ("offline", "failed"):
            return f"volume {name} is {volume.state}"
        if volume.reachable_from and target not in volume.reachable_from:
            return f"{target} cannot reach volume {name}"
    return _kept_apart(now, vm, node) if vm.state in ("running", "paused", "failed") else None


def _unfit_node(node: Node) -> str | None:
    return None if node.state == "up" else f"{node.name} is {node.state}"


def _unfit_processor(now: Cluster, vm: VirtualMachine, target: str) -> str | None:
    one, other = now.node_by_name[vm.node].processor, now.node_by_name[target].processor
    if one is None or other is None or one == other:
        return None
    if one.manufacturer.lower() == other.manufacturer.lower() and vm.processor_compatibility:
        return None
    return f"the processor of {target} lacks features that {vm.name} uses"


def room_mib(now: Cluster, node: Node) -> int:
    """Memory that nobody on the node or on the way to it uses."""
    taken = sum(vm.memory_mib for vm in now.vms if vm.node == node.name and vm.state in ("running", "paused"))
    coming = sum(
        now.vm_by_name[m.vm].memory_mib
        for m in now.migrations
        if m.target == node.name and now.vm_by_name[m.vm].node != node.name
    )
    return node.memory_mib - node.reserved_mib - taken - coming


def _no_room(now: Cluster, vm: VirtualMachine, target: str) -> str | None:
    free = room_mib(now, now.node_by_name[target])
    return f"not enough memory on {target}: {vm.memory_mib} MiB needed, {free} free" if free < vm.memory_mib else None


def _shared_disk(now: Cluster, vm: VirtualMachine) -> str | None:
    disks = {name for name in vm.volumes if now.volume_by_name[name].kind == "disk"}
    for other in now.vms:
        shares = other.name != vm.name and disks.intersection(other.volumes)
        if shares and other.state in ("running", "paused"):
            return f"disk {min(shares)} is in use by {other.name} as well"
    return None


def _backup(vm: VirtualMachine) -> str | None:
    return f"a backup of {vm.name} is under way" if vm.backup else None


def _kept_apart(now: Cluster, vm: VirtualMachine, node: Node) -> str | None:
    """A rule that keeps VMs apart counts each of them where it is and where it is going; what is broken already stays."""
    heading: Mapping[str, str] = {migration.vm: migration.target for migration in now.migrations}
    for rule in now.affinity_rules:
        if rule.soft or vm.name not in rule.vms or not rule.kind.startswith("different"):
            continue
        for name in rule.vms:
            other = now.vm_by_name[name]
            if name == vm.name or other.state not in ("running", "paused"):
                continue
            together_already = _close(now, rule.kind, vm.node, other.node)
            if _close(now, rule.kind, node.name, heading.get(name, other.node)) or (
                not together_already and _close(now, rule.kind, node.name, other.node)
            ):
                return f"rule {rule.name} keeps {vm.name} and {name} apart"
    return None


def _close(now: Cluster, kind: str, one: str, other: str) -> bool:
    domain = now.node_by_name[one].fault_domain
    same_domain = domain is not None and domain == now.node_by_name[other].fault_domain
    return one == other or (kind == "different_fault_domain" and same_domain)
