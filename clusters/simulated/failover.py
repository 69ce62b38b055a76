"""What a simulated cluster does by itself when it loses a node, and when one comes back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from shunter.clusters.simulated.rules import RUNS, room_mib, start_refusal
from shunter.topology.model import VirtualMachine, Volume, VolumeState

if TYPE_CHECKING:
    from shunter.clusters.simulated.cluster import SimulatedCluster

RESTART_AFTER_S = 30.0
MEMBER = ("up", "paused")


class Failover:
    """Gives volumes of a lost node another owner at once, and starts its VMs elsewhere after a while.

    What fits nowhere stays failed where it was, and is tried again whenever something changes. VMs that are off or
    saved, and roles that are not VMs, stay with the lost node.
    """

    def __init__(self, world: SimulatedCluster) -> None:
        self._world = world
        self._crashed: dict[str, bool] = {}
        """VMs to start again; whether their time has come."""
        self._state_before: dict[str, VolumeState] = {}
        """Of volumes that are offline because no node that reaches them is there."""
        self._asked = False

    # ------------------------------------------------------------------ nodes go and come

    def lose_node(self, name: str) -> None:
        """The node stops: its migrations end, what ran there is lost, its volumes get another owner."""
        world = self._world
        if world.now().node_by_name[name].state == "down":
            return
        world.put_node(name, state="down", paused_by=None)
        world.witness.saw("node_down", node=name, by="fault")
        for flight in list(world.flights.values()):
            if flight.switched and name in (flight.source, flight.target):
                world.end_flight(flight, "done")  # the VM runs on the target, whatever becomes of that now
            elif name in (flight.source, flight.target):
                world.end_flight(flight, "source_lost" if flight.source == name else "target_lost")
        lost = [vm for vm in world.now().vms_by_node[name] if vm.state in RUNS]
        for vm in lost:
            self._crash(vm)
        self.rehome_volumes()
        self._count_votes()
        if lost:
            world.in_background(self._restart_later([vm.name for vm in lost if vm.clustered and vm.priority > 0]))

    def _crash(self, vm: VirtualMachine) -> None:
        world = self._world
        world.put_vm(vm.name, state="failed", backup=False)
        world.witness.saw("vm_crashed", vm=vm.name, node=vm.node, by="fault")
        if vm.backup:
            world.witness.saw("backup_ended", vm=vm.name, outcome="failed")

    def _count_votes(self) -> None:
        """Every node's vote counts, whether the node is there or not: a static majority, as in 2008 R2."""
        nodes, witness = self._world.now().nodes, int(self._world.now().witness)
        votes = witness + sum(node.votes for node in nodes)
        there = witness + sum(node.votes for node in nodes if node.state in MEMBER)
        if 2 * there <= votes:
            self._world.witness.saw("quorum_lost", votes=there, of=votes)

    def bring_back(self, name: str) -> None:
        """The node is up again, and empty."""
        if self._world.now().node_by_name[name].state != "down":
            return
        self._world.put_node(name, state="up", paused_by=None)
        self._world.witness.saw("node_up", node=name, by="fault")
        self.rehome_volumes()

    # ------------------------------------------------------------------ volumes

    def rehome_volumes(self) -> None:
        """Volumes whose owner is not there go to a node that is and that reaches them; failing that, offline."""
        world = self._world
        for volume in world.now().volumes:
            if world.now().node_by_name[volume.owner].state in MEMBER and volume.name not in self._state_before:
                continue
            owner = self._new_owner(volume)
            if owner is None:
                self._take_offline(volume)
                continue
            world.own(volume.name, owner, "cluster")
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

    async def _restart_later(self, names: list[str]) -> None:
        self._crashed |= dict.fromkeys(names, False)
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
            target = self._refuge(vm) if vm.state == "failed" else None
            if target is not None:
                self._world.start(vm, target, "cluster")
            if target is not None or vm.state != "failed":
                del self._crashed[vm.name]
        self._asked = False

    def _refuge(self, vm: VirtualMachine) -> str | None:
        """A preferred owner, else where there is most room."""
        seen = self._world.now()
        rank = {name: i for i, name in enumerate(vm.preferred_owners)}
        fitting = [
            (rank.get(node.name, len(rank)), -room_mib(seen, node), i, node.name)
            for i, node in enumerate(seen.nodes)
            if start_refusal(seen, vm, node.name) is None
        ]
        return min(fitting)[-1] if fitting else None
