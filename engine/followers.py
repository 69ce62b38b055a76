"""What came along when a VM changed its node: a disk, and the VMs that do not run and share it (R11)."""

from __future__ import annotations

from dataclasses import dataclass

from shunter.topology.eligibility import disks_of
from shunter.topology.model import Cluster


@dataclass(frozen=True, slots=True)
class Followers:
    """`vms` came from the leader's node; `disks` are (disk, node that owned it before)."""

    vms: tuple[str, ...] = ()
    disks: tuple[tuple[str, str], ...] = ()


def followers(before: Cluster, after: Cluster, leader: str, target: str) -> Followers:
    """Disks of `leader` and VMs on them that two looks, before and after its move, show on their way with it."""
    vm = before.vm_by_name[leader]
    route = (vm.node, target)
    vms: dict[str, None] = {}
    disks = []
    for disk in disks_of(before, vm):
        owner = before.volume_by_name[disk].owner
        if owner != target == after.volume_by_name[disk].owner:
            disks.append((disk, owner))
        for other in before.vms_by_disk[disk]:
            moved = (other.node, after.vm_by_name[other.name].node) == route
            if other.name != leader and moved and not other.holds_memory:
                vms[other.name] = None
    return Followers(tuple(vms), tuple(disks))
