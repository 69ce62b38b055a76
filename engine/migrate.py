"""One live migration, driven through its lifecycle: fresh look → check → prepare → copy → switch → settle → verify.

What a call answers is a hint. Where the VM is, is decided by looking (R01); after a lost answer there is nothing but
looking until the VM is found, or the deadline ends the search.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from shunter.clusters.port import ClusterPort, Failed, MigrationSeen, OutcomeUnknown, Phase, Refused, Unreachable
from shunter.engine.audience import Audience, Progress
from shunter.engine.care import Care
from shunter.engine.followers import Followers, followers
from shunter.engine.holds import Hold
from shunter.engine.lives import Lives
from shunter.engine.looking import until_change
from shunter.statemachines import vm as vm_life
from shunter.statemachines.migration import MIGRATION, Event, Migration, State
from shunter.topology.eligibility import verdicts
from shunter.topology.model import Cluster
from shunter.topology.ordering import riders
from shunter.topology.plan import Verdict

SECOND_LOOK_S = 10.0

ONWARD = {
    State.PREPARING: Event.PREPARED,
    State.UNLOADING_OFFLOAD: Event.OFFLOAD_UNLOADED,
    State.COPYING: Event.SWITCH_BEGAN,
    State.SWITCHING: Event.SWITCHED_OVER,
}
REACHED = {
    Phase.PREPARING: (State.PREPARING,),
    Phase.UNLOADING_OFFLOAD: (State.PREPARING, State.UNLOADING_OFFLOAD),
    Phase.COPYING: (State.PREPARING, State.UNLOADING_OFFLOAD, State.COPYING),
    Phase.SWITCHING: (State.PREPARING, State.UNLOADING_OFFLOAD, State.COPYING, State.SWITCHING),
    Phase.SETTLING: (State.PREPARING, State.UNLOADING_OFFLOAD, State.COPYING, State.SWITCHING, State.SETTLING),
}


@dataclass(slots=True, eq=False)
class Errand:
    """One migration, ready to be run: both of its nodes are held. `estimate_s`: how long it should take. `care`: what
    the run heeds; a VM that has drifted may be refreshed before it moves.

    `promised`: where other VMs of the run will go (VM → node), for the rules that keep VMs together.
    `passing`: the VM will move on from this target.

    After `run`: `why` says in words what stood against it, if anything; `asked_s` is when the cluster was asked (its
    clock), None if it never was; `refusals` are the check's verdicts; `came_along` is what followed the VM (R11).
    """

    migration: Migration
    estimate_s: float
    emptied: tuple[str, ...]
    cluster: ClusterPort
    hold: Hold
    lives: Lives
    audience: Audience
    care: Care
    promised: Mapping[str, str] = field(default_factory=dict)
    passing: bool = False
    why: str = ""
    asked_s: float | None = None
    ended_s: float | None = None
    refusals: tuple[Verdict, ...] = ()
    came_along: Followers = field(default_factory=Followers)
    _called_off: bool = field(default=False, init=False)
    _checked: Cluster = field(init=False)

    @property
    def label(self) -> str:
        return self.migration.label

    @property
    def nodes(self) -> tuple[str, str]:
        return (self.migration.source, self.migration.target)

    async def run(self) -> Migration:
        """Carry the migration out. It ends in a resting state, in WAITING (postponed), or in LOST_SIGHT."""
        self._step(Event.CHECK)
        if await self._is_still_right():
            await self.care.drift.refresh(self._checked.vm_by_name[self.migration.vm])
            await self._ask()
        if self.migration.state in REACHED[Phase.SETTLING]:
            await self._follow()
        if not MIGRATION.resting(self.migration.state) and self.migration.state is not State.WAITING:
            await self._find()
        self.ended_s = self.cluster.clock.now_s()
        return self.migration

    async def call_off(self) -> None:
        """Ask the cluster to cancel; where it is too late, the migration simply finishes."""
        self._called_off = True
        if self.migration.state in REACHED[Phase.COPYING]:
            await self._order_off()

    async def _order_off(self) -> None:
        self._called_off = True
        try:
            await self.cluster.cancel_migration(self.migration.vm)
        except (Refused, Failed, OutcomeUnknown) as error:
            self.why = f"could not be called off: {error}"

    def is_found(self, seen: Cluster) -> bool:
        """After sight of it was lost: whether a later look tells how it ended, as it does once nothing is under way."""
        if self._may_be_under_way(seen):
            return False
        self._conclude(seen)
        self.ended_s = self.cluster.clock.now_s()
        return True

    def look_back(self, seen: Cluster) -> None:
        """What followed the VM, where only a look after this errand found it on its target."""
        vm = seen.vm_by_name[self.migration.vm]
        if self.migration.state is State.LOST_SIGHT and vm.node == self.migration.target:
            self.came_along = followers(self._checked, seen, vm.name, vm.node)

    # -------------------------------------------------------------- check

    async def _is_still_right(self) -> bool:
        try:
            async with self.cluster.clock.timeout(self._deadline_s()):
                not_ours = await self.hold.why_not_ours()
                looked = await self.cluster.look()
        except (TimeoutError, Unreachable) as error:
            self._step(Event.POSTPONE, f"no fresh look: {error or 'it took too long'}")
            return False
        self._checked = seen = self.care.as_decided_on(looked)
        self.lives.observe_vm(seen.vm_by_name[self.migration.vm], self.lives.vms[self.migration.vm])
        if not_ours:
            self._step(Event.POSTPONE, not_ours)
        elif busy := self._busy_elsewhere(seen):
            self._step(Event.POSTPONE, f"{busy} is in another migration")
        elif seen.node_by_name[self.migration.source].state == "isolated":
            self._step(Event.POSTPONE, f"{self.migration.source} is isolated")
        elif waits_for := self.care.why_nothing_moves(looked):
            self._step(Event.POSTPONE, waits_for)
        elif self._called_off:
            self._step(Event.CANCEL, "stopped before it began")
        else:
            self.refusals = self._against(seen)
            if self.refusals:
                self._step(Event.REFUSE, "; ".join(verdict.reason for verdict in self.refusals))
        return self.migration.state is State.CHECKING

    def _busy_elsewhere(self, seen: Cluster) -> str | None:
        return next(
            (node for m in seen.migrations for node in (m.source, m.target) if node in self.nodes),
            None,
        )

    def _against(self, seen: Cluster) -> tuple[Verdict, ...]:
        migration = self.migration
        vm = seen.vm_by_name[migration.vm]
        if vm.node != migration.source or not vm.holds_memory:
            reason, remedy = f"{vm.name} is {vm.state} on {vm.node} now", "nothing; a fresh plan sees it"
            return (Verdict(target=migration.target, rule="I2", reason=reason, remedy=remedy),)
        promised = {**self.promised, **dict.fromkeys(riders(seen, vm.name), migration.target)}
        found = verdicts(seen, vm, migration.target, emptied=self.emptied, promised=promised, passing=self.passing)
        free_mib = seen.free_mib(migration.target)
        if free_mib >= vm.memory_mib:
            return found
        reason = f"{vm.name} needs {vm.memory_mib} MiB, {free_mib} MiB are free on {migration.target} now"
        remedy = f"free {vm.memory_mib - free_mib} MiB more on {migration.target}"
        return (*found, Verdict(target=migration.target, rule="I3", reason=reason, remedy=remedy))

    # -------------------------------------------------------------- ask and follow

    async def _ask(self) -> None:
        migration = self.migration
        self._step(Event.PREPARE)
        self.lives.step(vm_life.VM, self.lives.vms[migration.vm], vm_life.Event.MIGRATE, f"to {migration.target}")
        self.care.backups.migration_begins(migration.vm)
        self.asked_s = self.cluster.clock.now_s()
        try:
            async with self.cluster.clock.timeout(self._deadline_s()):
                await self.cluster.start_migration(migration.vm, migration.target)
        except Refused as error:
            self.why = str(error)
            self._step(Event.POSTPONE if error.busy else Event.REFUSE, self.why)
            self.lives.observe_vm(self._checked.vm_by_name[migration.vm], self.lives.vms[migration.vm])
        except (OutcomeUnknown, TimeoutError) as error:
            self._lose_sight(str(error) or "no answer to the order")
        except Failed as error:
            self.why = str(error)

    async def _follow(self) -> None:
        """Watch the phases go by. No progress within a state's deadline: call it off, and look."""
        loop = asyncio.get_running_loop()
        try:
            async with self.cluster.clock.timeout(self._deadline_s()) as limit:
                async for seen in self.cluster.follow_migration(self.migration.vm):
                    before = self.migration.state
                    self._observe(seen)
                    if self.migration.state is not before:
                        limit.reschedule(loop.time() + self.cluster.clock.loop_s(self._deadline_s()))
        except TimeoutError:
            self.why = f"stood in {self.migration.state} past its deadline"
            await self.call_off()
            self._lose_sight(self.why)
        except (OutcomeUnknown, Unreachable) as error:
            self._lose_sight(str(error))
        except (Failed, Refused) as error:
            self.why = str(error)

    def _observe(self, seen: MigrationSeen) -> None:
        """Pass through every state up to the phase that was seen: observations may skip some."""
        self._go_on_to(seen.phase)
        if seen.phase is Phase.COPYING:
            self.audience.progressed(Progress(self.migration.vm, *self.nodes, seen.at_s, seen.percent, self.estimate_s))

    def _go_on_to(self, phase: Phase) -> None:
        last = REACHED[phase][-1]
        while self.migration.state in REACHED[phase] and self.migration.state is not last:
            self._step(ONWARD[self.migration.state])

    # -------------------------------------------------------------- verify by looking

    async def _find(self) -> None:
        """Look until the VM is found where a migration can leave it, or the deadline ends the search.

        One that is still seen under way then has had its time, as one that is followed has: it is called off.
        """
        deadline = MIGRATION.states[State.LOST_SIGHT].deadline
        assert deadline is not None  # noqa: S101  the table says so
        clock = self.cluster.clock
        # an order whose answer was lost may still be on its way to the cluster
        sure_s = clock.now_s() + (SECOND_LOOK_S if self.migration.state is State.LOST_SIGHT else 0.0)
        seen = await self._look_until(clock.awake_s() + deadline.after_s(self.estimate_s), sure_s)
        if seen is not None and self._is_under_way(seen):
            await self._order_off()
            seen = await self._look_until(clock.awake_s() + deadline.after_s(0.0), sure_s)
        if seen is not None and not self._may_be_under_way(seen):
            self._conclude(seen)
        elif self.migration.state is not State.LOST_SIGHT:
            self._lose_sight("no look could tell where it is")

    async def _look_until(self, until_s: float, sure_s: float) -> Cluster | None:
        """The look that tells where the VM is, or the last one by then; None where the cluster was out of reach.
        `until_s`: of the time in which this process was awake.
        """
        clock = self.cluster.clock
        seen: Cluster | None = None
        while True:
            try:
                seen = await self.cluster.look()
            except Unreachable:
                seen = None
                if clock.awake_s() >= until_s:
                    return None
                await clock.sleep(SECOND_LOOK_S)
                continue
            if not self._may_be_under_way(seen):
                if seen.vm_by_name[self.migration.vm].node == self.migration.target or clock.now_s() >= sure_s:
                    return seen
                await until_change(self.cluster, seen, sure_s - clock.now_s())
            elif clock.awake_s() >= until_s:
                return seen
            else:
                await until_change(self.cluster, seen, until_s - clock.awake_s())

    def _may_be_under_way(self, seen: Cluster) -> bool:
        """Whether the VM is on its way, unless it has reached the target and somebody else moves it on from there."""
        ours = seen.vm_by_name[self.migration.vm].node != self.migration.target or self._is_under_way(seen)
        return ours and any(migration.vm == self.migration.vm for migration in seen.migrations)

    def _is_under_way(self, seen: Cluster) -> bool:
        """Whether a look shows this migration itself, and not one of the VM that somebody else has started."""
        vm, by = self.migration.vm, "us"
        return any((m.vm, m.source, m.target, m.by) == (vm, *self.nodes, by) for m in seen.migrations)

    def _conclude(self, seen: Cluster) -> None:
        migration = self.migration
        vm = seen.vm_by_name[migration.vm]
        if vm.node == migration.target and vm.holds_memory:
            self._go_on_to(Phase.SETTLING)
            self._step(Event.SEEN_ON_TARGET, "a look found it there")
            self.care.backups.migration_moved(vm.name, seen)
            self.came_along = followers(self._checked, seen, vm.name, vm.node)
            if migration.state is State.RESTORING_OFFLOAD:
                self._step(Event.OFFLOAD_RESTORED)
        elif vm.node == migration.source and vm.holds_memory:
            event = Event.SEEN_CANCELLED if self._called_off else Event.SEEN_ON_SOURCE
            self.why = self.why or ("called off" if self._called_off else "the cluster took it back to its source")
            self._step(event, self.why)
        else:
            self._step(Event.SEEN_ELSEWHERE, f"{vm.state} on {vm.node}")
        self.lives.observe_vm(vm, self.lives.vms[vm.name])

    def _lose_sight(self, why: str) -> None:
        self.why = why
        self._step(Event.ANSWER_LOST, why)
        self.lives.step(vm_life.VM, self.lives.vms[self.migration.vm], vm_life.Event.ANSWER_LOST, why)

    # -------------------------------------------------------------- small things

    def _step(self, event: Event, reason: str = "") -> None:
        self.lives.step(MIGRATION, self.migration, event, reason)

    def _deadline_s(self) -> float:
        """How long the migration may stay in the present state."""
        deadline = MIGRATION.states[self.migration.state].deadline
        assert deadline is not None, self.migration.state  # noqa: S101  every state awaited in has one
        return deadline.after_s(self.estimate_s)


StartMigration = Callable[[Errand], Awaitable[Migration]]


async def run_here(errand: Errand) -> Migration:
    """Start a migration in the caller's own event loop."""
    return await errand.run()
