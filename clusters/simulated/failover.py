"""What a simulated cluster does by itself for a node that it has lost: volumes, roles and VMs go to others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunter.clusters.simulated import backups
from shunter.clusters.simulated.rules import MEMBER, RUNS, role_refusal, room_mib, start_refusal
from shunter.clusters.simulated.witness import Doer
from shunter.topology.model import Cluster, VirtualMachine

if TYPE_CHECKING:
    from shunter.clusters.simulated.cluster import SimulatedCluster

RESTART_AFTER_S = 30.0
RETRY_AFTER_S = 20.0
"""After a start that failed."""
BUSY_FOR_S = (1.0, 3.0)
"""So long a node is busy with a start before it begins the next."""
FAILURES_WITHIN_S = 6 * 3600.0
"""So many starts of a VM may fail within this time as there are other nodes; then the cluster gives it up."""
SAME_TIME_S = 1e-3

Refusal = Callable[[Cluster, VirtualMachine, str], str | None]


@dataclass(slots=True, eq=False)
class _Restart:
    """`due_s`: not before that; `failed_on`: nodes on which it has failed."""

    due_s: float
    failed_on: set[str] = field(default_factory=set)


class Failover:
    """Gives volumes and roles of a lost node to others at once, and starts its VMs elsewhere after a while.

    A VM that fits nowhere stays failed where it was, and is tried again whenever something changes. One that fails
    again and again is given up: it stays failed until somebody starts it.
    """

    def __init__(self, world: SimulatedCluster, *, seed: int) -> None:
        self._world, self._seed = world, seed
        self._waiting: dict[str, _Restart] = {}
        """VMs to start again."""
        self._node_is_free_s: dict[str, float] = {}
        self._failures_s: dict[str, list[float]] = {}
        self._starts = 0
        self._wakes: set[float] = set()
        self._asked = False

    def go_on(self) -> None:
        """With the restarts that were pending when this cluster began."""
        self._queue(vm.name for vm in self._world.now().vms if vm.restart_pending and _is_restarted(vm))

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
        self._queue(vm.name for vm in lost if _is_restarted(vm))

    def _queue(self, names: Iterable[str]) -> None:
        """These VMs are started elsewhere after a while."""
        due_s = self._world.clock.now_s() + RESTART_AFTER_S
        for name in names:
            self._waiting[name] = _Restart(due_s)
            self._wake_at(due_s)

    def _crash(self, vm: VirtualMachine, by: Doer) -> None:
        world = self._world
        world.put_vm(vm.name, state="failed", backup=False, restart_pending=_is_restarted(vm))
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
        backups.owner_is_lost(world, name)
        world.volumes.rehome()
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
        return any(other.name in self._waiting for other in others)

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

    # ------------------------------------------------------------------ VMs

    def leave_to_others(self, name: str) -> None:
        """Somebody else takes care of this VM."""
        self._waiting.pop(name, None)

    def something_changed(self) -> None:
        """Try again soon, when everything that changes at this instant has changed."""
        if not self._asked and self._due():
            self._asked = True
            asyncio.get_running_loop().call_soon(self._restart)

    def _due(self) -> list[str]:
        now_s = self._world.clock.now_s()
        return [name for name, restart in self._waiting.items() if restart.due_s <= now_s + SAME_TIME_S]

    def _wake_at(self, at_s: float) -> None:
        if at_s not in self._wakes:
            self._wakes.add(at_s)
            self._world.in_background(self._wake(at_s))

    async def _wake(self, at_s: float) -> None:
        await self._world.clock.sleep(at_s - self._world.clock.now_s())
        self._wakes.discard(at_s)
        self._restart()

    def _restart(self) -> None:
        """Start what waits, most important first, where it fits; on each node one after the other."""
        world = self._world
        waiting = [world.now().vm_by_name[name] for name in self._due()]
        self._asked = True  # what is started here is no reason to try again
        for vm in sorted(waiting, key=lambda vm: (-vm.priority, vm.name)):
            if vm.state != "failed":
                self.leave_to_others(vm.name)
                continue
            target = self._best_node(vm, start_refusal, self._waiting[vm.name].failed_on)
            self._show(vm.name, is_pending=target is not None)
            if target is None:
                continue
            free_s = self._node_is_free_s.get(target, 0.0)
            if free_s > world.clock.now_s() + SAME_TIME_S:
                self._wake_at(free_s)
            else:
                self._start(vm, target)
        self._asked = False

    def _start(self, vm: VirtualMachine, target: str) -> None:
        """One that fails is tried on another node after a while, until the cluster gives up (FailoverThreshold)."""
        world, restart = self._world, self._waiting[vm.name]
        now_s = world.clock.now_s()
        self._starts += 1
        took_s = random.Random(f"{self._seed}/start/{vm.name}/{self._starts}").uniform(*BUSY_FOR_S)
        self._node_is_free_s[target] = now_s + took_s
        if world.starts.start(vm, target, "cluster") is None:
            self.leave_to_others(vm.name)
            return
        restart.failed_on.add(target)
        failures_s = self._failures_s.setdefault(vm.name, [])
        failures_s.append(now_s)
        lately = sum(at_s > now_s - FAILURES_WITHIN_S for at_s in failures_s)
        if lately >= max(1, len(world.now().nodes) - 1):
            self.leave_to_others(vm.name)
        else:
            restart.due_s = now_s + RETRY_AFTER_S
            self._wake_at(restart.due_s)
            self._show(vm.name, is_pending=True)

    def _show(self, name: str, *, is_pending: bool) -> None:
        """Whether the VM is about to be started, or waits for something to change."""
        if self._world.now().vm_by_name[name].restart_pending is not is_pending:
            self._world.put_vm(name, restart_pending=is_pending)

    def _best_node(self, vm: VirtualMachine, refusal: Refusal, failed_on: Collection[str] = ()) -> str | None:
        """Of the nodes against which nothing stands one where it has not failed; of these a preferred owner, else where
        there is most room.
        """
        seen = self._world.now()
        rank = {name: i for i, name in enumerate(vm.preferred_owners)}
        fitting = [
            (node.name in failed_on, rank.get(node.name, len(rank)), -room_mib(seen, node), i, node.name)
            for i, node in enumerate(seen.nodes)
            if refusal(seen, vm, node.name) is None
        ]
        return min(fitting)[-1] if fitting else None


def _is_restarted(vm: VirtualMachine) -> bool:
    return vm.clustered and vm.priority > 0
