"""Who owns the volumes of a simulated cluster, who reaches them, and why their I/O takes the long way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunter.clusters.simulated.rules import MEMBER, RUNS
from shunter.topology.model import Volume, VolumeState

if TYPE_CHECKING:
    from shunter.clusters.simulated.cluster import SimulatedCluster


class Volumes:
    """Each volume has an owner that is there and has a path to it; where there is none, it is offline (I7)."""

    def __init__(self, world: SimulatedCluster) -> None:
        self._world = world
        self._state_before: dict[str, VolumeState] = {}
        """Of volumes that are offline because no node that reaches them is there."""
        self._lost_paths: dict[str, set[str]] = {}
        self._reached_before: dict[str, tuple[str, ...]] = {}
        """Of volumes to which a node has lost its path, who reached them before."""

    # ------------------------------------------------------------------ owners

    def rehome(self) -> None:
        """Volumes whose owner is not there go to a node that is and that reaches them; failing that, offline."""
        world = self._world
        for volume in world.now().volumes:
            if self._is_served(volume) and volume.name not in self._state_before:
                continue
            if any(vm.node == volume.owner and vm.state in RUNS for vm in world.now().vms_by_disk.get(volume.name, ())):
                continue  # its owner is isolated and runs a VM on it
            owner = self._new_owner(volume)
            if owner is None:
                self._take_offline(volume)
                continue
            world.hands.give_volume(volume.name, owner, "cluster")
            if volume.name in self._state_before:
                self._enter(volume.name, self._state_before.pop(volume.name), "an owner is back")

    def _is_served(self, volume: Volume) -> bool:
        is_there = self._world.now().node_by_name[volume.owner].state in MEMBER
        return is_there and volume.owner not in self._lost_paths.get(volume.name, ())

    def _take_offline(self, volume: Volume) -> None:
        if volume.name in self._state_before or volume.state in ("offline", "failed"):
            return
        self._state_before[volume.name] = volume.state
        self._enter(volume.name, "offline", "no owner is left")

    def _new_owner(self, volume: Volume) -> str | None:
        """Where a VM runs on the disk, else a node that takes VMs, else a paused one; of these the least burdened."""
        seen = self._world.now()
        owned = [v.owner for v in seen.volumes]
        users = [vm.node for vm in seen.vms_by_disk.get(volume.name, ()) if vm.state in RUNS]
        lost = self._lost_paths.get(volume.name, ())
        fitting = [
            (node.name not in users, node.state != "up", owned.count(node.name), i, node.name)
            for i, node in enumerate(seen.nodes)
            if node.state in MEMBER
            and node.name not in lost
            and (not volume.reachable_from or node.name in volume.reachable_from)
        ]
        return min(fitting)[-1] if fitting else None

    # ------------------------------------------------------------------ states

    def set_state(self, name: str, state: VolumeState) -> None:
        """Something else decides: a volume that comes online needs an owner that is there."""
        self._state_before.pop(name, None)
        self._enter(name, state, "fault")
        self.rehome()

    def redirect(self, name: str, state: VolumeState, reason: str) -> None:
        """A backup begins, ends or leaves the volume as it is; while that is offline, for later."""
        if name in self._state_before:
            self._state_before[name] = state
        else:
            self._enter(name, state, reason)

    def state_in_reach(self, name: str) -> VolumeState:
        """The volume's state; of one that is offline for want of an owner, the state that it will have again."""
        return self._state_before.get(name, self._world.now().volume_by_name[name].state)

    def _enter(self, name: str, state: VolumeState, reason: str) -> None:
        world = self._world
        world.put_volume(name, state=state)
        about = {"reachable_from": world.now().volume_by_name[name].reachable_from} if name in self._lost_paths else {}
        world.witness.saw("volume_state_changed", volume=name, state=state, reason=reason, **about)

    # ------------------------------------------------------------------ paths

    def lose_path(self, name: str, node: str) -> None:
        """The node reaches a Cluster Shared Volume over the network only, through its owner: what runs there runs on.

        Without effect on a disk, which has no such way, and on a node that did not reach the volume.
        """
        volume = self._world.now().volume_by_name[name]
        lost = self._lost_paths.get(name, set())
        reached = volume.reachable_from or tuple(each.name for each in self._world.now().nodes)
        if volume.kind != "csv" or node not in reached or node in lost:
            return
        self._lost_paths[name] = lost
        if not lost:
            self._reached_before[name] = volume.reachable_from
        lost.add(node)
        self._now_reach(name, tuple(each for each in reached if each != node))
        state: VolumeState = "redirected_no_path" if volume.state == "online" else volume.state
        self._enter(name, state, f"{node} has no path to it")
        self.rehome()

    def regain_path(self, name: str, node: str) -> None:
        lost = self._lost_paths.get(name, set())
        if node not in lost:
            return
        lost.discard(node)
        volume, before = self._world.now().volume_by_name[name], self._reached_before[name]
        reach = before or tuple(each.name for each in self._world.now().nodes)
        self._now_reach(name, tuple(each for each in reach if each not in lost) if lost else before)
        if not lost and self._state_before.get(name) == "redirected_no_path":
            self._state_before[name] = "online"
        state: VolumeState = "online" if not lost and volume.state == "redirected_no_path" else volume.state
        self._enter(name, state, f"{node} has its path again")
        self.rehome()

    def _now_reach(self, name: str, nodes: tuple[str, ...]) -> None:
        """Nodes that reach the volume, none: all. Where the last one has lost its path, the volume is offline soon."""
        if nodes or not self._lost_paths[name]:
            self._world.put_volume(name, reachable_from=nodes)
