"""A simulated Hyper-V cluster: the port's verbs, its own rules, its own log. It can say no, and things go wrong in it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any, TextIO, TypeVar

from shunter.clusters.clock import Clock
from shunter.clusters.port import MigrationRecord, MigrationSeen, OutcomeUnknown, Phase, Refused
from shunter.clusters.simulated import troubles
from shunter.clusters.simulated.copying import course
from shunter.clusters.simulated.faults import Fault
from shunter.clusters.simulated.flight import Flight
from shunter.clusters.simulated.rules import migration_refusal, placement_refusal
from shunter.clusters.simulated.witness import Witness
from shunter.topology.model import Actor, Cluster, MigrationUnderWay, Node, Value, VirtualMachine, Volume

V = TypeVar("V", bound=Value)


class SimulatedCluster:
    """Starts from a snapshot and lives on in the clock's time.

    `noise` 0.3: a migration takes up to 30 % more or less than undisturbed, drawn from the seed. `faults`: what goes
    wrong. `log`: the witness log is written there, too. Must be made inside a running event loop.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        clock: Clock,
        seed: int = 0,
        noise: float = 0.0,
        faults: Sequence[Fault] = (),
        log: TextIO | None = None,
    ) -> None:
        self._clock, self._seed, self._noise = clock, seed, noise
        self._begun = cluster
        self._nodes = {node.name: node for node in cluster.nodes}
        self._vms = {vm.name: vm for vm in cluster.vms}
        self._volumes = {volume.name: volume for volume in cluster.volumes}
        self._roles = {role.name: role for role in cluster.roles}
        self._snapshot: Cluster | None = None
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._records: list[MigrationRecord] = []
        self._attempts: dict[str, int] = {}
        self.flights: dict[str, Flight] = {}
        self.crashed: list[str] = []
        self.pending = [fault for fault in faults if fault.when is not None]
        self.witness = Witness(cluster, clock, log)
        for migration in cluster.migrations:
            self.take_off(self._vms[migration.vm], migration.target, migration.by)
        for fault in sorted((f for f in faults if f.at_s is not None), key=lambda fault: fault.at_s or 0.0):
            self.in_background(troubles.at_its_time(self, fault))

    @property
    def clock(self) -> Clock:
        return self._clock

    # ------------------------------------------------------------------ looking

    def now(self) -> Cluster:
        """The snapshot of this instant: the same object as long as nothing changes."""
        if self._snapshot is None:
            self._snapshot = Cluster.model_construct(
                **{
                    **dict(self._begun),
                    "nodes": tuple(self._nodes.values()),
                    "vms": tuple(self._vms.values()),
                    "volumes": tuple(self._volumes.values()),
                    "roles": tuple(self._roles.values()),
                    "migrations": tuple(
                        MigrationUnderWay.model_construct(vm=f.vm, source=f.source, target=f.target, by=f.by)
                        for f in self.flights.values()
                    ),
                }
            )
        return self._snapshot

    async def look(self) -> Cluster:
        await asyncio.sleep(0)
        return self.now()

    async def wait_for_change(self, seen: Cluster, within_s: float) -> None:
        await asyncio.sleep(0)
        if seen is not self._snapshot:
            return
        changed = self._changed
        try:
            async with asyncio.timeout(self._clock.loop_s(within_s)):
                await changed.wait()
        except TimeoutError:
            return

    async def migration_log(self) -> tuple[MigrationRecord, ...]:
        await asyncio.sleep(0)
        return tuple(self._records)

    # ------------------------------------------------------------------ nodes

    async def pause_node(self, node: str) -> None:
        await self._answering("node", node, lambda: self._pause(node))

    def _pause(self, name: str) -> None:
        node = self._node(name)
        if node.state not in ("up", "paused"):
            raise Refused(f"{name} is {node.state} and cannot be paused")
        if node.state == "up":
            self.put_node(name, state="paused", paused_by="us")
            self.witness.saw("node_paused", node=name, by="us")

    async def resume_node(self, node: str) -> None:
        await self._answering("node", node, lambda: self._resume(node))

    def _resume(self, name: str) -> None:
        node = self._node(name)
        if node.state not in ("up", "paused"):
            raise Refused(f"{name} is {node.state} and cannot be resumed")
        if node.state == "paused":
            self.put_node(name, state="up", paused_by=None)
            self.witness.saw("node_resumed", node=name, by="us")

    # ------------------------------------------------------------------ live migrations

    async def start_migration(self, vm: str, target: str) -> None:
        await asyncio.sleep(0)
        refusal = migration_refusal(self.now(), self._vms.get(vm), target)
        if refusal is not None:
            source = self._vms[vm].node if vm in self._vms else None
            self.witness.saw("migration_refused", vm=vm, source=source, target=target, reason=str(refusal))
            raise refusal
        lost = self._next_fault("answer_lost", vm=vm, source=self._vms[vm].node, target=target)
        if lost is not None and not lost.moved:
            raise OutcomeUnknown(f"no answer to the order to move {vm} to {target}")
        flight = self.take_off(self._vms[vm], target, "us")
        if lost is not None:
            flight.sight_is_lost = True
            if random.Random(f"{self._seed}/{vm}/{target}").random() < 0.5:
                raise OutcomeUnknown(f"no answer to the order to move {vm} to {target}")

    def take_off(self, vm: VirtualMachine, target: str, by: Actor) -> Flight:
        """Begin a migration that nothing stands against."""
        attempt = self._attempts[vm.name] = self._attempts.get(vm.name, 0) + 1
        rng = random.Random(f"{self._seed}/{vm.name}/{attempt}")
        stretch = 1.0 + self._noise * rng.uniform(-1.0, 1.0)
        about = {"vm": vm.name, "source": vm.node, "target": target}
        slow = self._next_fault("migration_slow", **about)
        fails = self._next_fault("migration_fails", **about)
        phases = course(self.now(), vm, self._nodes[target], stretch * (slow.factor if slow else 1.0))
        if phases is None:
            raise Refused(f"no network joins {vm.node} and {target}")
        started_s = self.witness.saw("migration_started", **about, memory_mib=vm.memory_mib, by=by)
        flight = Flight(
            vm.name, vm.node, target, by, started_s, self._clock, phases, fails.fraction if fails is not None else None
        )
        self.flights[vm.name] = flight
        self.touch()
        self.in_background(self._fly(flight))
        return flight

    async def _fly(self, flight: Flight) -> None:
        outcome = await flight.fly(lambda: self._switch(flight))
        del self.flights[flight.vm]
        vm = self._vms[flight.vm]
        node = None if vm.state == "failed" else vm.node
        ended_s = self.witness.saw(
            "migration_ended",
            vm=flight.vm,
            source=flight.source,
            target=flight.target,
            by=flight.by,
            outcome=outcome,
            node=node,
        )
        self._records.append(
            MigrationRecord(
                flight.vm, flight.source, flight.target, flight.by, flight.started_s, ended_s, outcome, node
            )
        )
        self.touch()
        flight.land()

    def _switch(self, flight: Flight) -> None:
        """The instant at which the target owns the running VM; what shares a disk with it comes along (R11)."""
        vm = self._vms[flight.vm]
        disks = [name for name in vm.volumes if self._volumes[name].kind == "disk"]
        self.put_vm(vm.name, node=flight.target)
        for disk in disks:
            for other in list(self._vms.values()):
                if disk in other.volumes and other.name != vm.name and other.node == flight.source:
                    self._give_role(other.name, flight.target)
            self.own(disk, flight.target)

    async def follow_migration(self, vm: str) -> AsyncIterator[MigrationSeen]:
        flight = self.flights.get(vm)
        if flight is None:
            await asyncio.sleep(0)
            return
        async for seen in flight.follow():
            if flight.sight_is_lost and seen.phase is not Phase.PREPARING:
                raise OutcomeUnknown(f"the connection was lost while {vm} was moving to {flight.target}")
            yield seen

    async def cancel_migration(self, vm: str) -> None:
        await asyncio.sleep(0)
        flight = self.flights.get(vm)
        if flight is None:
            raise Refused(f"{vm} is in no migration")
        if not flight.can_be_cancelled:
            raise Refused(f"{vm} is already switching over to {flight.target}: too late to cancel")
        flight.end("cancelled")
        await flight.landed.wait()

    # ------------------------------------------------------------------ roles and volumes

    async def move_role(self, name: str, target: str) -> None:
        await asyncio.sleep(0)
        node = self._node(target)
        if node.state != "up":
            raise Refused(f"{target} is {node.state}")
        vm = self._vms.get(name)
        if vm is None and name not in self._roles:
            raise Refused(f"there is no role {name}")
        if vm is None:
            role = self._roles[name]
            if role.node != target:
                self._roles[name] = role.model_copy(update={"node": target})
                self.touch()
                self.witness.saw("role_moved", name=name, source=role.node, target=target)
            return
        if vm.state in ("running", "paused") or not vm.clustered:
            raise Refused(f"{name} is {vm.state}: it would be stopped" if vm.clustered else f"{name} is not clustered")
        reason = self._off_vm_refusal(vm, target)
        if reason is not None:
            raise Refused(reason)
        self._give_role(name, target)

    def _off_vm_refusal(self, vm: VirtualMachine, target: str) -> str | None:
        here, there = self._nodes[vm.node].processor, self._nodes[target].processor
        fits = here is None or there is None or here == there or vm.state != "saved"
        if not fits and here is not None and there is not None:
            fits = here.manufacturer.lower() == there.manufacturer.lower() and vm.processor_compatibility
        if not fits:
            return f"the saved state of {vm.name} does not fit the processor of {target}"
        for name in vm.volumes:
            if self._volumes[name].kind != "disk":
                continue
            for other in self._vms.values():
                if name in other.volumes and other.state in ("running", "paused") and other.node != target:
                    return f"disk {name} is in use by {other.name} on {other.node}"
        return placement_refusal(self.now(), vm, target)

    def _give_role(self, name: str, target: str) -> None:
        vm = self._vms[name]
        if vm.node == target:
            return
        self.put_vm(name, node=target)
        self.witness.saw("role_moved", name=name, source=vm.node, target=target)
        for disk in vm.volumes:
            if self._volumes[disk].kind == "disk":
                self.own(disk, target)

    async def move_volume(self, volume: str, target: str) -> None:
        await self._answering("volume", volume, lambda: self._move_volume(volume, target))

    def _move_volume(self, name: str, target: str) -> None:
        volume, node = self._volumes.get(name), self._node(target)
        if volume is None:
            raise Refused(f"there is no volume {name}")
        if node.state != "up":
            raise Refused(f"{target} is {node.state}")
        if volume.state in ("offline", "failed"):
            raise Refused(f"{name} is {volume.state}")
        if volume.reachable_from and target not in volume.reachable_from:
            raise Refused(f"{target} cannot reach {name}")
        for vm in self._vms.values():
            if volume.kind == "disk" and name in vm.volumes and vm.node != target and vm.state in ("running", "paused"):
                raise Refused(f"{name} is in use by {vm.name} on {vm.node}")
        self.own(name, target)

    # ------------------------------------------------------------------ the world's own hands

    def own(self, name: str, target: str) -> None:
        volume = self._volumes[name]
        if volume.owner != target:
            self._volumes[name] = volume.model_copy(update={"owner": target})
            self.touch()
            self.witness.saw("volume_owner_changed", volume=name, source=volume.owner, target=target)

    def put_vm(self, name: str, **fields: Any) -> VirtualMachine:
        self._vms[name] = self._vms[name].model_copy(update=fields)
        self.touch()
        return self._vms[name]

    def put_node(self, name: str, **fields: Any) -> Node:
        self._nodes[name] = self._nodes[name].model_copy(update=fields)
        self.touch()
        return self._nodes[name]

    def put_volume(self, name: str, **fields: Any) -> Volume:
        self._volumes[name] = self._volumes[name].model_copy(update=fields)
        self.touch()
        return self._volumes[name]

    def touch(self) -> None:
        """Something is no longer as it was."""
        self._snapshot = None
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def in_background(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End what goes on in the background."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _node(self, name: str) -> Node:
        if name not in self._nodes:
            raise Refused(f"there is no node {name}")
        return self._nodes[name]

    async def _answering(self, kind: str, name: str, act: Any) -> None:
        """Act and answer; a fault may swallow the answer, with or without the act."""
        await asyncio.sleep(0)
        lost = self._next_fault("answer_lost", **{kind: name})
        if lost is None or lost.moved:
            act()
        if lost is not None:
            raise OutcomeUnknown(f"no answer from the cluster about {kind} {name}")

    def _next_fault(self, do: str, **about: str) -> Fault | None:
        """The first pending fault of this kind that matches; it happens once."""
        for fault in self.pending:
            assert fault.when is not None  # noqa: S101  only such faults are pending
            wanted = fault.when.model_dump(exclude_none=True)
            if fault.do == do and wanted.items() <= about.items():
                self.pending.remove(fault)
                troubles.note(self, fault)
                return fault
        return None
