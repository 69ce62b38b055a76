"""What a simulated cluster does by itself for a node that it has lost: volumes, roles and VMs go to others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from shunter.clusters.simulated.rules import MEMBER, RUNS, role_refusal, room_mib, start_refusal
from shunter.clusters.simulated.witness import Doer
from shunter.topology.model import Cluster, VirtualMachine, Volume, VolumeState

if TYPE_CHECKING:
    from shunter.clusters.simulated.cluster import SimulatedCluster

RESTART_AFTER_S = 30.0
Refusal = Callable[[Cluster, VirtualMachine, str], str | None]


class Failover:
    """Gives volumes and roles of a lost node to others at once, and starts its VMs elsewhere after a while.

    A VM that fits nowhere stays failed where it was, and is tried again whenever something changes.
    """

    def __init__(self, world: SimulatedCluster) -> None:
        self._world = world
        self._crashed: dict[str, bool] = {}
        """VMs to start again; whether their time has come."""
        self._state_before: dict[str, VolumeState] = {}
        """Of volumes that are offline because no node that reaches them is there."""
        self._asked = False

    # ------------------------------------------------------------------ nodes go

    def crash_all_on(self, name: str, by: Doer) -> None:
        """What runs on the node is lost, and so are the migrations from and to it."""
        world = self._world
        for flight in list(world.flights.values()):
            if flight.switched and name in (flight.source, flight.target):
                world.end_flight(flight, "done")  # the VM runs on the target, whatever becomes of that now
            elif name in (flight.source, flight.target):
                world.end_flight(flight, "source_lost" if flight.source == name else "target_lost")
        lost = [vm for vm in world.now().vms_by_node[name] if vm.state in RUNS]
        for vm in lost:
            self._crash(vm, by)
        waiting = [vm.name for vm in lost if vm.clustered and vm.priority > 0]
        if waiting:
            self._crashed |= dict.fromkeys(waiting, False)
            world.in_background(self._restart_later(waiting))

    def _crash(self, vm: VirtualMachine, by: Doer) -> None:
        world = self._world
        world.put_vm(vm.name, state="failed", backup=False)
        world.witness.saw("vm_crashed", vm=vm.name, node=vm.node, by=by)
        if vm.backup:
            world.witness.saw("backup_ended", vm=vm.name, outcome="failed")

    def part_from(self, name: str) -> None:
        """The node is out of sight and its VMs run on: none of them gets away, and none gets there any more."""
        for flight in list(self._world.flights.values()):
            if flight.switched and name in (flight.source, flight.target):
                self._world.end_flight(flight, "done")
            elif name in (flight.source, flight.target):
                self._world.end_flight(flight, "failed" if flight.source == name else "target_lost")

    def take_over(self, name: str) -> None:
        """What the node owned and does not run goes to nodes that are there."""
        world = self._world
        self.rehome_volumes()
        for vm_name in [vm.name for vm in world.now().vms_by_node[name] if vm.state in ("off", "saved")]:
            vm = world.now().vm_by_name[vm_name]
            if vm.node == name and vm.clustered and not self._disk_is_awaited(vm):
                target = self._best_node(vm, role_refusal)
                if target is not None:
                    world.hands.give_vm(vm, target, "cluster")
        for role in world.now().roles:
            if role.node == name and (host := self._host_of_roles()) is not None:
                world.hands.give_role(role, host, "cluster")

    def _disk_is_awaited(self, vm: VirtualMachine) -> bool:
        """Whether a VM that will be started again takes the disk along, and with it this VM (R11)."""
        others = (other for disk in vm.volumes for other in self._world.now().vms_by_disk.get(disk, ()))
        return any(other.name in self._crashed for other in others)

    def _host_of_roles(self) -> str | None:
        """A node that takes VMs, else a paused one; of these that with the fewest roles."""
        seen = self._world.now()
        hosts = [role.node for role in seen.roles]
        there = [
            (node.state != "up", hosts.count(node.name), i, node.name)
            for i, node in enumerate(seen.nodes)
            if node.state in MEMBER
        ]
        return min(there)[-1] if there else None

    # ------------------------------------------------------------------ volumes

    def rehome_volumes(self) -> None:
        """Volumes whose owner is not there go to a node that is and that reaches them; failing that, offline."""
        world = self._world
        for volume in world.now().volumes:
            if world.now().node_by_name[volume.owner].state in MEMBER and volume.name not in self._state_before:
                continue
            if any(vm.node == volume.owner and vm.state in RUNS for vm in world.now().vms_by_disk.get(volume.name, ())):
                continue  # its owner is isolated and runs a VM on it
            owner = self._new_owner(volume)
            if owner is None:
                self._take_offline(volume)
                continue
            world.hands.give_volume(volume.name, owner, "cluster")
            if volume.name in self._state_before:
                state = self._state_before.pop(volume.name)
                world.put_volume(volume.name, state=state)
                world.witness.saw("volume_state_changed", volume=volume.name, state=state, reason="an owner is back")

    def _take_offline(self, volume: Volume) -> None:
        if volume.name in self._state_before or volume.state in ("offline", "failed"):
            return
        self._state_before[volume.name] = volume.state
        self._world.put_volume(volume.name, state="offline")
        self._world.witness.saw("volume_state_changed", volume=volume.name, state="offline", reason="no owner is left")

    def _new_owner(self, volume: Volume) -> str | None:
        """Where a VM runs on the disk, else a node that takes VMs, else a paused one; of these the least burdened."""
        seen = self._world.now()
        owned = [v.owner for v in seen.volumes]
        users = [vm.node for vm in seen.vms_by_disk.get(volume.name, ()) if vm.state in RUNS]
        fitting = [
            (node.name not in users, node.state != "up", owned.count(node.name), i, node.name)
            for i, node in enumerate(seen.nodes)
            if node.state in MEMBER and (not volume.reachable_from or node.name in volume.reachable_from)
        ]
        return min(fitting)[-1] if fitting else None

    def set_volume_state(self, name: str, state: VolumeState) -> None:
        """Something else decides: a volume that comes online needs an owner that is there."""
        self._state_before.pop(name, None)
        self._world.put_volume(name, state=state)
        self._world.witness.saw("volume_state_changed", volume=name, state=state, reason="fault")
        self.rehome_volumes()

    # ------------------------------------------------------------------ VMs

    def leave_to_others(self, name: str) -> None:
        """Somebody else takes care of this VM."""
        self._crashed.pop(name, None)

    async def _restart_later(self, names: list[str]) -> None:
        await self._world.clock.sleep(RESTART_AFTER_S)
        self._crashed |= {name: True for name in names if name in self._crashed}
        self._restart()

    def something_changed(self) -> None:
        """Try again soon, when everything that changes at this instant has changed."""
        if not self._asked and any(self._crashed.values()):
            self._asked = True
            asyncio.get_running_loop().call_soon(self._restart)

    def _restart(self) -> None:
        """Start what waits, most important first, where it fits."""
        waiting = [self._world.now().vm_by_name[name] for name, its_time in self._crashed.items() if its_time]
        self._asked = True  # what is started here is no reason to try again
        for vm in sorted(waiting, key=lambda vm: (-vm.priority, vm.name)):
            target = self._best_node(vm, start_refusal) if vm.state == "failed" else None
            if target is not None:
                self._world.hands.start(vm, target, "cluster")
            if target is not None or vm.state != "failed":
                del self._crashed[vm.name]
        self._asked = False

    def _best_node(self, vm: VirtualMachine, refusal: Refusal) -> str | None:
        """Of the nodes against which nothing stands a preferred owner, else where there is most room."""
        seen = self._world.now()
        rank = {name: i for i, name in enumerate(vm.preferred_owners)}
        fitting = [
            (rank.get(node.name, len(rank)), -room_mib(seen, node), i, node.name)
            for i, node in enumerate(seen.nodes)
            if refusal(seen, vm, node.name) is None
        ]
        return min(fitting)[-1] if fitting else None
