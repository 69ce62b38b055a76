"""Who has what in a simulated cluster changes: VMs are started, what does not run and volumes go to other nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunter.clusters.simulated.rules import RUNS
from shunter.clusters.simulated.witness import Doer
from shunter.topology.model import Role, VirtualMachine

if TYPE_CHECKING:
    from shunter.clusters.simulated.cluster import SimulatedCluster


class Hands:
    """Does and writes down what somebody has decided; nothing may stand against it."""

    def __init__(self, world: SimulatedCluster) -> None:
        self._world = world

    def start(self, vm: VirtualMachine, target: str, by: Doer, *, wrongly_configured: bool = False) -> None:
        """Start a VM that does not run, with the memory it starts with; its disks come along."""
        world = self._world
        self.carry_disks(vm, vm.node, target, by)
        memory_mib = vm.restart_mib
        maximum_mib = max(memory_mib, vm.memory_maximum_mib)
        memory = {"memory_mib": memory_mib, "memory_maximum_mib": maximum_mib}
        world.put_vm(vm.name, state="running", node=target, restart_pending=False, **memory)
        wrongly = {"wrongly_configured": True} if wrongly_configured else {}
        world.witness.saw("vm_started", vm=vm.name, node=target, by=by, memory_mib=memory_mib, **wrongly)

    def give_vm(self, vm: VirtualMachine, target: str, by: Doer) -> None:
        """Give a VM that does not run to another node."""
        self._give(vm, target, by)
        self.carry_disks(vm, vm.node, target, by)

    def carry_disks(self, vm: VirtualMachine, source: str, target: str, by: Doer) -> None:
        """Disks follow the VM, and with them what else stands on them where it was and does not run (R11)."""
        seen = self._world.now()
        for disk in vm.volumes:
            if seen.volume_by_name[disk].kind != "disk":
                continue
            for other in self._world.now().vms_by_disk[disk]:
                if other.name != vm.name and other.state not in RUNS and other.node == source:
                    self._give(other, target, by)
            self.give_volume(disk, target, by)

    def _give(self, vm: VirtualMachine, target: str, by: Doer) -> None:
        if vm.node != target:
            self._world.put_vm(vm.name, node=target)
            self._world.witness.saw("role_moved", name=vm.name, source=vm.node, target=target, by=by)

    def give_volume(self, volume: str, target: str, by: Doer) -> None:
        before = self._world.now().volume_by_name[volume].owner
        if before != target:
            self._world.put_volume(volume, owner=target)
            self._world.witness.saw("volume_owner_changed", volume=volume, source=before, target=target, by=by)

    def give_role(self, role: Role, target: str, by: Doer) -> None:
        self._world.put_role(role.name, node=target)
        self._world.witness.saw("role_moved", name=role.name, source=role.node, target=target, by=by)
