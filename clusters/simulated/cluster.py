"""A simulated Hyper-V cluster: the port's verbs, its own rules, its own log. It says no, and things go wrong in it."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Literal, TextIO

from shunter.clusters.clock import Clock
from shunter.clusters.port import MigrationRecord, MigrationSeen, OutcomeUnknown, Phase, Refused
from shunter.clusters.simulated import backups, mending, troubles
from shunter.clusters.simulated.balancing import Balancer
from shunter.clusters.simulated.copying import course
from shunter.clusters.simulated.failover import Failover
from shunter.clusters.simulated.faults import OF_MIGRATIONS, OF_VOLUMES, Fault
from shunter.clusters.simulated.flight import MOST_GLIMPSES, Flight, Outcome
from shunter.clusters.simulated.hands import Hands
from shunter.clusters.simulated.making import altered
from shunter.clusters.simulated.news import News
from shunter.clusters.simulated.presence import Presence
from shunter.clusters.simulated.rules import MEMBER, RUNS, migration_refusal, role_refusal, volume_refusal
from shunter.clusters.simulated.snapshots import Snapshots
from shunter.clusters.simulated.starts import Starts
from shunter.clusters.simulated.storage_jobs import StorageJobs
from shunter.clusters.simulated.volumes import Volumes
from shunter.clusters.simulated.witness import Witness
from shunter.topology.errors import RequestError
from shunter.topology.model import Actor, Cluster, Node, VirtualMachine


class SimulatedCluster:
    """Starts from a snapshot and lives on in the clock's time.

    `noise` 0.3: a migration takes up to 30 % more or less than undisturbed, drawn from the seed. `faults`: what goes
    wrong. `log`: the witness log is written there, too. `reboot_s`: how long a node is away that reboots;
    `reboot_noise`: as `noise`, for that. `balances`: nodes that have come back are given VMs by the cluster itself.
    `most_glimpses`: so often is a migration seen copying at most; one is enough where nobody watches.
    Must be made inside a running event loop. Raises RequestError (a noise that is not at least 0 and below 1, a reboot
    that takes no time).
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
        reboot_s: float = 600.0,
        reboot_noise: float = 0.0,
        balances: bool = False,
        most_glimpses: int = MOST_GLIMPSES,
    ) -> None:
        if not 0 <= noise < 1:
            raise RequestError(f"noise {noise:g}: must be at least 0 and below 1")
        if not 0 <= reboot_noise < 1:
            raise RequestError(f"reboot_noise {reboot_noise:g}: must be at least 0 and below 1")
        if not 0 < reboot_s < math.inf:
            raise RequestError(f"reboot_s {reboot_s:g}: must be above 0 and finite")
        self._clock, self._seed, self._noise, self._most_glimpses = clock, seed, noise, most_glimpses
        self._snapshots = Snapshots(cluster)
        self._nodes = {node.name: node for node in cluster.nodes}
        self._vms = {vm.name: vm for vm in cluster.vms}
        self._volumes = {volume.name: volume for volume in cluster.volumes}
        self._roles = {role.name: role for role in cluster.roles}
        self._changed = News()
        self._node_changed = {node.name: News() for node in cluster.nodes}
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._records: list[MigrationRecord] = []
        self._attempts: dict[str, int] = {}
        self.flights: dict[str, Flight] = {}
        self.hands = Hands(self)
        self.starts = Starts(self, seed=seed)
        self.volumes = Volumes(self)
        self.failover = Failover(self, seed=seed)
        self.presence = Presence(self, reboot_s=reboot_s, reboot_noise=reboot_noise, seed=seed)
        self.balancer = Balancer(self, seed=seed, is_on=balances)
        self.postponed: dict[str, list[Fault]] = {}
        self._pending = [fault for fault in faults if fault.when is not None]
        self.witness = Witness(cluster, clock, log)
        self.storage_jobs = StorageJobs(self, cluster.storage_jobs)
        self.failover.go_on()
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
        return self._snapshots.last or self._snapshots.take(
            self._nodes.values(),
            self._vms,
            self._volumes.values(),
            self._roles.values(),
            migrations=[flight.under_way for flight in self.flights.values()],
            storage_jobs=self.storage_jobs.now(),
        )

    async def look(self) -> Cluster:
        await asyncio.sleep(0)
        return self.now()

    async def wait_for_change(self, seen: Cluster, within_s: float, node: str | None = None) -> None:
        if node is None:
            is_as_seen, news = seen is self._snapshots.last, self._changed
        else:
            is_as_seen, news = seen.node_by_name[node] is self._nodes[node], self._node_changed[node]
        if is_as_seen:
            await news.wait(self._clock.loop_s(within_s))
        else:
            await asyncio.sleep(0)

    async def migration_log(self) -> tuple[MigrationRecord, ...]:
        await asyncio.sleep(0)
        return tuple(self._records)

    # ------------------------------------------------------------------ nodes

    async def pause_node(self, node: str) -> None:
        await self._answering("node", node, lambda: self._pause(node))

    def _pause(self, name: str) -> None:
        node = self._node(name)
        if node.state not in MEMBER:
            raise Refused(f"{name} is {node.state} and cannot be paused")
        if node.state == "up":
            self.put_node(name, state="paused", paused_by="us")
            self.witness.saw("node_paused", node=name, by="us")

    async def resume_node(self, node: str) -> None:
        await self._answering("node", node, lambda: self._resume(node))

    def _resume(self, name: str) -> None:
        node = self._node(name)
        if node.state not in MEMBER:
            raise Refused(f"{name} is {node.state} and cannot be resumed")
        if node.state == "paused":
            self.put_node(name, state="up", paused_by=None)
            self.witness.saw("node_resumed", node=name, by="us")
            self.balancer.node_takes_vms(name)

    async def reboot_node(self, node: str) -> None:
        await self._answering("node", node, lambda: self.presence.reboot(self._node(node).name))

    async def booted_s(self, node: str) -> float | None:
        await asyncio.sleep(0)
        return self.presence.booted_s(self._node(node).name)

    # ------------------------------------------------------------------ live migrations

    async def start_migration(self, vm: str, target: str) -> None:
        await asyncio.sleep(0)
        refusal = migration_refusal(self.now(), vm, target)
        if refusal is not None:
            self.note_refusal(vm, target, refusal, "us")
            raise refusal
        moving = self._vms[vm]
        lost = self.next_fault(("answer_lost",), vm=vm, source=moving.node, target=target)
        if lost is None:
            self.take_off(moving, target, "us")
            return
        chance = random.Random(f"{self._seed}/answer/{vm}/{target}/{self._attempts.get(vm, 0)}")
        no_answer = OutcomeUnknown(f"no answer to the order to move {vm} to {target}")
        if not lost.moved and chance.random() < 0.5:
            raise no_answer
        flight = self.take_off(moving, target, "us", fails_at=None if lost.moved else chance.random())
        flight.sight_is_lost = True
        if not lost.moved or chance.random() < 0.5:
            raise no_answer

    def note_refusal(self, vm: str, target: str, refusal: Refused, by: Actor) -> None:
        source = self._vms[vm].node if vm in self._vms else None
        self.witness.saw("migration_refused", vm=vm, source=source, target=target, reason=str(refusal), by=by)

    def take_off(
        self,
        vm: VirtualMachine,
        target: str,
        by: Actor,
        *,
        fails_at: float | Literal["as planned"] | None = "as planned",
    ) -> Flight:
        """Begin a migration that nothing stands against. `fails_at`: at that fraction of the copying."""
        attempt = self._attempts[vm.name] = self._attempts.get(vm.name, 0) + 1
        stretch = 1.0 + self._noise * random.Random(f"{self._seed}/{vm.name}/{attempt}").uniform(-1.0, 1.0)
        about = {"vm": vm.name, "source": vm.node, "target": target}
        slow = self.next_fault(("migration_slow",), **about)
        if fails_at == "as planned":
            fails = self.next_fault(("migration_fails",), **about)
            fails_at = fails.fraction if fails is not None else None
        phases = course(self.now(), vm, self._nodes[target], stretch * (slow.factor if slow else 1.0))
        if phases is None:
            raise RequestError(f"no network joins {vm.node} and {target}, between which {vm.name} is said to move")
        flight = Flight(
            vm=vm.name,
            source=vm.node,
            target=target,
            by=by,
            started_s=self.witness.saw("migration_started", **about, memory_mib=vm.memory_mib, by=by),
            clock=self._clock,
            course=phases,
            fails_at=fails_at,
            most_glimpses=self._most_glimpses,
        )
        self.flights[vm.name] = flight
        self.touch()
        self.in_background(self._fly(flight))
        while (fault := self.next_fault(None, **about)) is not None:
            troubles.happen(self, fault)
        return flight

    async def _fly(self, flight: Flight) -> None:
        outcome = await flight.fly(lambda: self.put_vm(flight.vm, node=flight.target))
        if outcome is not None:
            self.end_flight(flight, outcome)

    def end_flight(self, flight: Flight, outcome: Outcome) -> None:
        """The migration is over, now. What shares a disk with the VM follows it."""
        del self.flights[flight.vm]
        vm = self._vms[flight.vm]
        node = None if outcome == "source_lost" else vm.node
        about = {"vm": flight.vm, "source": flight.source, "target": flight.target}
        ended_s = self.witness.saw("migration_ended", **about, by=flight.by, outcome=outcome, node=node)
        self._records.append(
            MigrationRecord(
                **about, by=flight.by, started_s=flight.started_s, ended_s=ended_s, outcome=outcome, node=node
            )
        )
        if outcome == "done":
            backups.vm_has_moved(self, flight.vm)
        if outcome == "done" and self._nodes[flight.target].state in MEMBER:
            self.hands.carry_disks(vm, flight.source, flight.target, flight.by)
        flight.end()
        self.touch()
        troubles.after_flight(self, flight.vm)

    async def follow_migration(self, vm: str) -> AsyncIterator[MigrationSeen]:
        await asyncio.sleep(0)
        flight = self.flights.get(vm)
        if flight is None:
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
        self.end_flight(flight, "cancelled")

    # ------------------------------------------------------------------ roles and volumes

    async def move_role(self, name: str, target: str) -> None:
        await self._answering("vm", name, lambda: self._move_role(name, target))

    def _move_role(self, name: str, target: str) -> None:
        node = self._node(target)
        vm, role = self._vms.get(name), self._roles.get(name)
        if vm is not None:
            if vm.node == target and vm.state not in RUNS:
                return
            reason = role_refusal(self.now(), vm, target)
            if reason is not None:
                raise Refused(reason)
            self.hands.give_vm(vm, target, "us")
        elif role is None:
            raise Refused(f"there is no role {name}")
        elif role.node != target:
            if node.state != "up":
                raise Refused(f"{target} is {node.state}")
            self.hands.give_role(role, target, "us")

    async def move_volume(self, volume: str, target: str) -> None:
        await self._answering("volume", volume, lambda: self._move_volume(volume, target))

    def _move_volume(self, name: str, target: str) -> None:
        self._node(target)
        if name not in self._volumes:
            raise Refused(f"there is no volume {name}")
        if self._volumes[name].owner == target:
            return
        reason = volume_refusal(self.now(), name, target)
        if reason is not None:
            raise Refused(reason)
        self.hands.give_volume(name, target, "us")

    async def start_vm(self, vm: str, node: str) -> None:
        await self._answering("vm", vm, lambda: mending.start_vm(self, vm, self._node(node).name))

    async def restore_direct_io(self, volume: str) -> None:
        await self._answering("volume", volume, lambda: mending.restore_direct_io(self, volume))

    async def refresh_configuration(self, vm: str) -> None:
        await self._answering("vm", vm, lambda: mending.refresh_configuration(self, vm))

    # ------------------------------------------------------------------ what is so from now on

    def put_vm(self, name: str, **fields: Any) -> None:
        self._vms[name] = altered(self._vms[name], **fields)
        self.touch()

    def put_node(self, name: str, **fields: Any) -> None:
        self._nodes[name] = altered(self._nodes[name], **fields)
        self.touch()
        self._node_changed[name].tell()

    def put_role(self, name: str, **fields: Any) -> None:
        self._roles[name] = altered(self._roles[name], **fields)
        self.touch()

    def put_volume(self, name: str, **fields: Any) -> None:
        self._volumes[name] = altered(self._volumes[name], **fields)
        self.touch()

    def touch(self) -> None:
        """Something is no longer as it was."""
        self._snapshots.something_changed()
        self._changed.tell()
        self.failover.something_changed()

    def in_background(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks[task] = None
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled():
            task.result()

    async def close(self) -> None:
        """End what goes on in the background."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _node(self, name: str) -> Node:
        if name not in self._nodes:
            raise Refused(f"there is no node {name}")
        return self._nodes[name]

    async def _answering(self, kind: str, name: str, act: Callable[[], None]) -> None:
        """Act and answer; a fault may swallow the answer, with or without the act."""
        await asyncio.sleep(0)
        lost = self.next_fault(("answer_lost",), **{kind: name})
        if lost is None or lost.moved:
            act()
        if lost is not None:
            raise OutcomeUnknown(f"no answer from the cluster about {kind} {name}")

    def next_fault(self, do: Sequence[str] | None, **about: str) -> Fault | None:
        """The first pending fault that matches, of these kinds or (None) of those that leave migrations alone."""
        for fault in self._pending:
            assert fault.when is not None  # noqa: S101  only such faults are pending
            of_kind = fault.do in do if do is not None else fault.do not in OF_MIGRATIONS
            if fault.do in OF_VOLUMES and fault.node not in (None, about.get("owner")):
                continue
            if of_kind and fault.when.names.items() <= about.items():
                if not fault.lasting:
                    self._pending.remove(fault)
                troubles.note(self, fault)
                return fault
        return None
