"""Why a simulated cluster refuses: its own rules, kept apart from those of the planners on purpose."""

from __future__ import annotations

from collections.abc import Mapping

from shunter.clusters.port import Refused
from shunter.clusters.simulated.copying import are_joined
from shunter.topology.model import Cluster, Node, VirtualMachine

RUNS = ("running", "paused")
MEMBER = ("up", "paused")


def migration_refusal(now: Cluster, name: str, target: str) -> Refused | None:
    """Why this live migration cannot start; None when it can."""
    vm = now.vm_by_name.get(name)
    if vm is None or not vm.clustered:
        return Refused(f"there is no clustered VM {name}")
    if target not in now.node_by_name:
        return Refused(f"there is no node {target}")
    if vm.state not in RUNS:
        return Refused(f"{name} is {vm.state}; only a running VM migrates live")
    if vm.node == target:
        return Refused(f"{name} is on {target} already")
    for under_way in now.migrations:
        for node in (under_way.source, under_way.target):
            if node in (vm.node, target):
                return Refused(
                    f"migration limit reached: {node} takes part in the migration of {under_way.vm}", busy=True
                )
    reason = (
        _unfit_node(now.node_by_name[target])
        or _out_of_sight(now.node_by_name[vm.node])
        or unfit_processor(now, vm, target)
        or _no_room(now, vm, target)
        or _shared_disk(now, vm)
        or _no_wire(now, vm, target)
        or placement_refusal(now, vm, target)
    )
    return Refused(reason) if reason else None


def role_refusal(now: Cluster, vm: VirtualMachine, target: str) -> str | None:
    """Why this VM, which does not run, may not be given to the node."""
    if not vm.clustered:
        return f"{vm.name} is not in the cluster"
    if vm.state in RUNS:
        return f"{vm.name} is {vm.state}: it would be stopped; migrate it live"
    state_is_kept = unfit_processor(now, vm, target) if vm.state == "saved" else None
    return (
        _unfit_node(now.node_by_name[target])
        or state_is_kept
        or disk_elsewhere(now, vm, target)
        or placement_refusal(now, vm, target)
    )


def start_refusal(now: Cluster, vm: VirtualMachine, target: str) -> str | None:
    """Why this VM, which does not run, may not be started on the node."""
    free = room_mib(now, now.node_by_name[target])
    return (
        _unfit_node(now.node_by_name[target])
        or (unfit_processor(now, vm, target) if vm.state == "saved" else None)
        or (f"{target} has {free} MiB free, {vm.name} starts with {vm.restart_mib}" if free < vm.restart_mib else None)
        or disk_elsewhere(now, vm, target)
        or placement_refusal(now, vm.model_copy(update={"state": "running"}), target)
    )


def order_to_start_refusal(now: Cluster, name: str, target: str) -> str | None:
    """Why the cluster does not start this VM on the node when it is asked to (I2). It may run where it was last as long
    as that node is out of sight and has not been declared down.
    """
    vm = now.vm_by_name.get(name)
    if vm is None or not vm.clustered:
        return f"there is no clustered VM {name}"
    if any(migration.vm == name for migration in now.migrations):
        return f"{name} is in a migration; wait until that is over"
    if vm.state in RUNS:
        return f"{name} is {vm.state} on {vm.node} already"
    last = now.node_by_name[vm.node]
    if last.state in ("isolated", "joining"):
        return f"{name} may run on {last.name}, which is {last.state} and has not been declared down"
    return start_refusal(now, vm, target)


def direct_io_refusal(now: Cluster, name: str) -> str | None:
    """Why direct I/O of this volume cannot be restored. It can where it outlived its backup (R18)."""
    volume = now.volume_by_name.get(name)
    if volume is None:
        return f"there is no volume {name}"
    if volume.kind != "csv":
        return f"{name} is no Cluster Shared Volume: its I/O is never redirected"
    if volume.backup:
        return f"a backup of {name} is under way; wait until it is over"
    return _WHY_NOT_DIRECT.get(volume.state, "").format(volume=name) or None


_WHY_NOT_DIRECT = {
    "redirected_no_path": "a node has no path to {volume}; restore its path, and direct I/O comes back by itself",
    "redirected_by_design": "the I/O of {volume} is redirected by design (ReFS on Storage Spaces Direct); leave it so",
    "redirected_by_user": "an operator has redirected the I/O of {volume}; ask who did",
    "maintenance": "{volume} is in maintenance; end that first (Resume-ClusterResource)",
    "offline": "{volume} is offline; bring it online first",
    "failed": "{volume} is failed; bring it online first",
}


def placement_refusal(now: Cluster, vm: VirtualMachine, target: str) -> str | None:
    """Why this VM may not be placed on the node, whatever the node's state, processor and memory."""
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
    return _kept_apart(now, vm, node) if vm.state in RUNS else None


def volume_refusal(now: Cluster, name: str, target: str) -> str | None:
    """Why the node may not become the owner of this volume."""
    volume = now.volume_by_name[name]
    if volume.state in ("offline", "failed"):
        return f"{name} is {volume.state}"
    if volume.reachable_from and target not in volume.reachable_from:
        return f"{target} cannot reach {name}"
    if volume.kind == "disk":
        for vm in now.vms_by_disk[name]:
            if vm.state in RUNS and vm.node != target:
                return f"{name} is in use by {vm.name} on {vm.node}"
    return _unfit_node(now.node_by_name[target])


def unfit_processor(now: Cluster, vm: VirtualMachine, target: str) -> str | None:
    one, other = now.node_by_name[vm.node].processor, now.node_by_name[target].processor
    if one is None or other is None or one == other:
        return None
    if one.manufacturer.lower() == other.manufacturer.lower() and vm.processor_compatibility:
        return None
    return f"the processor of {target} lacks features that {vm.name} uses"


def room_mib(now: Cluster, node: Node) -> int:
    """Memory on the node that nobody uses. A VM on its way counts at both ends until its migration is over."""
    free = node.memory_mib - node.reserved_mib
    free -= now.held_mib[node.name]
    for migration in now.migrations:
        vm = now.vm_by_name[migration.vm]
        if node.name in (migration.source, migration.target) and vm.node != node.name:
            free -= vm.memory_mib
    return free


def disk_elsewhere(now: Cluster, vm: VirtualMachine, target: str) -> str | None:
    """A `disk` volume has one owner: it cannot leave a running VM behind, and follows one that has arrived (R11)."""
    for name in _disks_of(now, vm):
        for other in now.vms_by_disk[name]:
            if other.state not in RUNS or other.name == vm.name:
                continue
            if other.node != target:
                return f"disk {name} is in use by {other.name} on {other.node}"
            if other.name in now.heading:
                return f"disk {name} is on its way to {target} with {other.name}"
    return None


def _disks_of(now: Cluster, vm: VirtualMachine) -> list[str]:
    return [name for name in vm.volumes if now.volume_by_name[name].kind == "disk"]


def _unfit_node(node: Node) -> str | None:
    return None if node.state == "up" else f"{node.name} is {node.state}"


def _out_of_sight(node: Node) -> str | None:
    """The cluster empties a quarantined node; of one that it does not see it gets nothing."""
    return None if node.state in (*MEMBER, "quarantined") else f"{node.name} is {node.state}"


def _no_room(now: Cluster, vm: VirtualMachine, target: str) -> str | None:
    free = room_mib(now, now.node_by_name[target])
    return f"not enough memory on {target}: {vm.memory_mib} MiB needed, {free} free" if free < vm.memory_mib else None


def _shared_disk(now: Cluster, vm: VirtualMachine) -> str | None:
    for name in _disks_of(now, vm):
        for other in now.vms_by_disk[name]:
            if other.state in RUNS and other.name != vm.name:
                return f"disk {name} is in use by {other.name} as well"
    return None


def _no_wire(now: Cluster, vm: VirtualMachine, target: str) -> str | None:
    joined = are_joined(now, now.node_by_name[vm.node], now.node_by_name[target])
    return None if joined else f"no network joins {vm.node} and {target}"


def _kept_apart(now: Cluster, vm: VirtualMachine, node: Node) -> str | None:
    """Hard rules that keep VMs apart count each where it is and where it goes; what is broken already may stay so."""
    heading: Mapping[str, str] = {migration.vm: migration.target for migration in now.migrations}
    for rule in now.rules_by_vm.get(vm.name, ()):
        if rule.soft or not rule.kind.startswith("different"):
            continue
        for name in rule.vms:
            other = now.vm_by_name[name]
            if name == vm.name or other.state not in RUNS:
                continue
            for place in {other.node, heading.get(name, other.node)}:
                if _close(now, rule.kind, node.name, place) and not _close(now, rule.kind, vm.node, place):
                    return f"rule {rule.name} keeps {vm.name} and {name} apart"
    return None


def _close(now: Cluster, kind: str, one: str, other: str) -> bool:
    domain = now.node_by_name[one].fault_domain
    same_domain = domain is not None and domain == now.node_by_name[other].fault_domain
    return one == other or (kind == "different_fault_domain" and same_domain)
