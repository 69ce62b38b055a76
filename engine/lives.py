"""The subjects of a run and their lifecycles: the only place where an observed cluster becomes events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from shunter.clusters.clock import Clock
from shunter.engine.audience import Audience
from shunter.engine.incidents import Incidents
from shunter.statemachines import node, vm, volume
from shunter.statemachines.lifecycle import E, Lifecycle, S, Subject
from shunter.topology.changes import changed
from shunter.topology.model import Cluster, NodeState, VirtualMachine, VmState, VolumeState

Name = TypeVar("Name", bound=str)

SEEN_VM: dict[VmState, tuple[vm.State, vm.Event]] = {
    "running": (vm.State.RUNNING, vm.Event.SEEN_RUNNING),
    "paused": (vm.State.PAUSED, vm.Event.SEEN_PAUSED),
    "off": (vm.State.OFF, vm.Event.SEEN_OFF),
    "saved": (vm.State.SAVED, vm.Event.SEEN_SAVED),
    "failed": (vm.State.FAILED, vm.Event.SEEN_FAILED),
}
SEEN_VOLUME: dict[VolumeState, tuple[volume.State, volume.Event]] = {
    "online": (volume.State.ONLINE, volume.Event.SEEN_ONLINE),
    "redirected_backup": (volume.State.REDIRECTED_BACKUP, volume.Event.SEEN_REDIRECTED_BACKUP),
    "redirected_stuck": (volume.State.REDIRECTED_STUCK, volume.Event.SEEN_REDIRECTED_STUCK),
    "redirected_no_path": (volume.State.REDIRECTED_NO_PATH, volume.Event.SEEN_REDIRECTED_NO_PATH),
    "redirected_by_design": (volume.State.REDIRECTED_BY_DESIGN, volume.Event.SEEN_REDIRECTED_BY_DESIGN),
    "redirected_by_user": (volume.State.REDIRECTED_BY_USER, volume.Event.SEEN_REDIRECTED_BY_USER),
    "maintenance": (volume.State.MAINTENANCE, volume.Event.SEEN_MAINTENANCE),
    "offline": (volume.State.OFFLINE, volume.Event.SEEN_OFFLINE),
    "failed": (volume.State.FAILED, volume.Event.SEEN_FAILED),
}
SEEN_NODE: dict[NodeState, node.State] = {
    "up": node.State.UP,
    "paused": node.State.PAUSED,
    "down": node.State.DOWN,
    "joining": node.State.DOWN,
    "isolated": node.State.ISOLATED,
    "quarantined": node.State.DOWN,
}
VM_IN_HAND = (vm.State.MIGRATING, vm.State.CHANGING_NODE, vm.State.STARTING, vm.State.LOST_SIGHT)
NODE_PAUSED = (node.State.PAUSED, node.State.DRAINING, node.State.DRAINED)
NODE_IN_HAND = (node.State.PAUSING, node.State.RESUMING, node.State.LOST_SIGHT)
VOLUME_IN_HAND = (*volume.IN_HAND, volume.State.LOST_SIGHT)
NODE_IN_TURN = (node.State.IN_MAINTENANCE, node.State.REJOINING)


class Lives:
    """Nodes, volumes and the VMs a run has to do with. Every step is told to the audience."""

    def __init__(self, cluster: Cluster, vms: Iterable[str], clock: Clock, audience: Audience) -> None:
        self._clock, self._audience = clock, audience
        self.vms = {name: vm.VmLife(name) for name in vms}
        self.nodes = {n.name: node.NodeLife(n.name) for n in cluster.nodes}
        self.volumes = {v.name: volume.VolumeLife(v.name) for v in cluster.volumes}
        self.incidents = Incidents()
        self._told = False
        self._seen: Cluster | None = None
        self._unobserved: dict[str, None] = {}
        self.observe(cluster)
        self._told = True

    def take_in(self, seen: VirtualMachine) -> None:
        """Know this VM from now on, too, if it came to our nodes during the run."""
        if seen.name not in self.vms:
            self.vms[seen.name] = vm.VmLife(seen.name)
            self._unobserved[seen.name] = None
            self.observe_vm(seen, self.vms[seen.name])

    def step(self, lifecycle: Lifecycle[S, E], subject: Subject[S], event: E, reason: str = "") -> None:
        """Move the subject and tell the audience. Raises IllegalMove."""
        step = lifecycle.move(subject, event, at_s=self._clock.now_s(), reason=reason)
        if self._told:
            self._audience.stepped(step)

    def observe(self, seen: Cluster) -> None:
        """Bring every subject that is in nobody's hands in line with what a look has shown."""
        if self._seen is not None and self._seen.nodes is not seen.nodes:
            away = [name for name, life in self.nodes.items() if life.state in NODE_IN_TURN]
            self.incidents.note(self._seen, seen, self._clock.now_s(), away)
        for name in self._vms_to_observe(seen):
            if self.vms[name].state in VM_IN_HAND:
                self._unobserved[name] = None
            else:
                self.observe_vm(seen.vm_by_name[name], self.vms[name])
                self._unobserved.pop(name, None)
        for seen_node in seen.nodes:
            life = self.nodes[seen_node.name]
            if life.state is not SEEN_NODE[seen_node.state]:
                self.observe_node(seen_node.state, life)
        for seen_volume in seen.volumes:
            if self.volumes[seen_volume.name].state not in VOLUME_IN_HAND:
                self.observe_volume(seen_volume.state, self.volumes[seen_volume.name])

    def _vms_to_observe(self, seen: Cluster) -> Iterable[str]:
        """Those that are not as they were when last observed. What is the same object is the same."""
        others = changed(self._seen.vms, seen.vms) if self._seen is not None else None
        self._seen = seen
        if others is None:
            return tuple(self.vms)
        found = self._unobserved | {new.name: None for _, new in others if new.name in self.vms}
        return tuple(found)

    def observe_vm(self, seen: VirtualMachine, life: vm.VmLife, reason: str = "") -> None:
        """`reason`: what is known beyond the node on which it is as it is."""
        state, event = SEEN_VM[seen.state]
        if life.state is not state:
            self.step(vm.VM, life, event, f"on {seen.node}" + (f": {reason}" if reason else ""))

    def observe_node(self, seen: NodeState, life: node.NodeLife) -> None:
        if life.state in NODE_IN_TURN:
            return  # whoever takes it through its maintenance says when that is over
        if seen == "paused":
            if life.state not in NODE_PAUSED and life.state not in NODE_IN_HAND:
                self.step(node.NODE, life, node.Event.SEEN_PAUSED)
        elif seen == "up":
            if life.state is not node.State.UP and life.state not in NODE_IN_HAND:
                self.step(node.NODE, life, node.Event.SEEN_UP)
        elif seen == "isolated":
            if life.state is not node.State.ISOLATED:
                self.step(node.NODE, life, node.Event.SEEN_ISOLATED)
        elif life.state is not node.State.DOWN:
            self.step(node.NODE, life, node.Event.SEEN_DOWN, seen)

    def observe_volume(self, seen: VolumeState, life: volume.VolumeLife, reason: str = "") -> None:
        state, event = SEEN_VOLUME[seen]
        if life.state is not state:
            self.step(volume.VOLUME, life, event, reason)
