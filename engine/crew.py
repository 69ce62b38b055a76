"""The migrations of a run that are under way, and what those that are over have taught."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from operator import attrgetter

from shunter.clusters.port import ClusterPort
from shunter.engine.audience import Audience
from shunter.engine.care import Care
from shunter.engine.dispatch import HOLD_AGAIN_S, MOST_ATTEMPTS, MOST_REFUSALS, lesson
from shunter.engine.holds import Holds
from shunter.engine.lives import Lives
from shunter.engine.migrate import Errand, StartMigration
from shunter.statemachines.migration import MIGRATION, Event, Migration, State
from shunter.topology.changes import changed
from shunter.topology.model import Cluster, MigrationUnderWay
from shunter.topology.placement import wanted_move
from shunter.topology.plan import Verdict

what_migrations_leave = attrgetter(*(name for name in Cluster.model_fields if name not in ("vms", "migrations")))
"""Of a cluster all but what a migration under way changes."""
FORGIVEN_AFTER_S = 1800.0
"""What failed between a VM and a node may be tried once more after so long."""


@dataclass(slots=True, eq=False)
class Crew:
    """Each migration holds its two nodes and is carried out by `start`.

    `ended`: set whenever one has ended. `errands`: those that reached the cluster, in order of their end. `tried`:
    verdicts learnt, by (VM, node).
    """

    cluster: ClusterPort
    holds: Holds
    lives: Lives
    audience: Audience
    care: Care
    start: StartMigration
    ended: asyncio.Event
    errands: list[Errand] = field(default_factory=list)
    tried: dict[tuple[str, str], Verdict] = field(default_factory=dict)
    running: dict[asyncio.Task[None], Errand] = field(default_factory=dict)
    last_event_s: float = 0.0
    _tried_s: dict[tuple[str, str], float] = field(default_factory=dict)
    _attempts: Counter[str] = field(default_factory=Counter)
    _refusals: Counter[str] = field(default_factory=Counter)
    _lost: dict[str, Errand] = field(default_factory=dict)
    _held_elsewhere: dict[str, float] = field(default_factory=dict)

    async def send(
        self, seen: Cluster, vm: str, target: str, emptied: tuple[str, ...], promised: Mapping[str, str]
    ) -> bool:
        """Begin to move a VM; False where another run holds one of the two nodes, which is then asked again soon."""
        move = wanted_move(seen, vm, target)
        hold = await self.holds.try_hold((move.source, target))
        if hold is None:
            await self._leave_aside(move.source, target)
            return False
        self.lives.take_in(seen.vm_by_name[vm])
        migration = Migration(
            vm=vm,
            source=move.source,
            target=target,
            attempt=self._attempts[vm] + 1,
            source_offloads=seen.node_by_name[move.source].tcp_offload,
            target_offloads=seen.node_by_name[target].tcp_offload,
        )
        self.lives.step(MIGRATION, migration, Event.ENQUEUE)
        errand = Errand(
            migration=migration,
            estimate_s=move.duration_s,
            emptied=emptied,
            cluster=self.cluster,
            hold=hold,
            lives=self.lives,
            audience=self.audience,
            care=self.care,
            promised=promised,
        )
        task = asyncio.create_task(self._carry_out(errand))
        task.add_done_callback(lambda _: self.ended.set())
        self.running[task] = errand
        return True

    async def _carry_out(self, errand: Errand) -> None:
        try:
            await self.start(errand)
        finally:
            await errand.hold.release()

    async def _leave_aside(self, *nodes: str) -> None:
        """Of two nodes that cannot be held together, pass over the one that another run holds."""
        until_s = self.cluster.clock.now_s() + HOLD_AGAIN_S
        held = []
        for node in nodes:
            alone = await self.holds.try_hold((node,))
            if alone is None:
                held.append(node)
            else:
                await alone.release()
        self._held_elsewhere |= dict.fromkeys(held or nodes, until_s)

    # -------------------------------------------------------------- what is over

    def conclude(self) -> None:
        """Draw the consequences of the migrations that are over."""
        for task in [task for task in self.running if task.done()]:
            errand = self.running.pop(task)
            self.last_event_s = self.cluster.clock.now_s()
            if errand.asked_s is not None and errand.migration.state is not State.WAITING:
                self.errands.append(errand)
            self._learn(errand)
            task.result()

    def find_the_lost(self, seen: Cluster) -> None:
        for name, errand in list(self._lost.items()):
            if errand.is_found(seen):
                del self._lost[name]
                self.last_event_s = self.cluster.clock.now_s()
                self._learn(errand)

    def _learn(self, errand: Errand) -> None:
        migration, now_s = errand.migration, self.cluster.clock.now_s()
        match migration.state:
            case State.WAITING:
                self.lives.step(MIGRATION, migration, Event.CANCEL, "postponed; a fresh decision follows")
                self._held_elsewhere |= dict.fromkeys(errand.nodes, now_s + HOLD_AGAIN_S)
            case State.CANCELLED if errand.asked_s is None:
                pass  # it was held back
            case State.REFUSED | State.ROLLED_BACK | State.CANCELLED:
                (self._refusals if migration.state is State.REFUSED else self._attempts)[migration.vm] += 1
                about = migration.vm, migration.target
                self.tried[about], self._tried_s[about] = lesson(errand), now_s
            case State.LOST_SIGHT:
                self._lost[migration.vm] = errand

    async def hold_back(self) -> None:
        """What has not been asked of the cluster yet is not asked."""
        await asyncio.gather(*(errand.call_off() for errand in self.running.values() if errand.asked_s is None))

    async def call_off(self) -> None:
        await asyncio.gather(*(errand.call_off() for errand in self.running.values()))

    # -------------------------------------------------------------- questions

    def in_hand(self) -> set[str]:
        """VMs that are moving, or of which nobody knows where they are."""
        return {errand.migration.vm for errand in self.running.values()} | self._lost.keys()

    def is_all_that_changed(self, before: Cluster, after: Cluster) -> bool:
        """Whether two looks differ by nothing but migrations that are under way here."""
        targets = {errand.migration.vm: errand.migration.target for errand in self.running.values()}
        vms = changed(before.vms, after.vms)
        return (
            vms is not None
            and all(new in (old, old.model_copy(update={"node": targets.get(old.name)})) for old, new in vms)
            and what_migrations_leave(before) == what_migrations_leave(after)
            and _of_others(before, targets) == _of_others(after, targets)
        )

    def given_up(self) -> set[str]:
        """VMs that were tried often enough."""
        return {
            *(vm for vm, times in self._attempts.items() if times >= MOST_ATTEMPTS),
            *(vm for vm, times in self._refusals.items() if times >= MOST_REFUSALS),
        }

    def forbidden(self) -> set[tuple[str, str]]:
        """(VM, node) that failed lately."""
        since_s = self.cluster.clock.now_s() - FORGIVEN_AFTER_S
        return {about for about, at_s in self._tried_s.items() if at_s > since_s}

    def busy(self, seen: Cluster) -> set[str]:
        """Nodes in a migration, whoever started it, and those that another run holds."""
        if self._held_elsewhere:
            now_s = self.cluster.clock.now_s()
            self._held_elsewhere = {node: until_s for node, until_s in self._held_elsewhere.items() if until_s > now_s}
        busy = {node for migration in seen.migrations for node in (migration.source, migration.target)}
        return busy.union(self._held_elsewhere, *(errand.nodes for errand in self.running.values()))

    def asked_again_in_s(self) -> float | None:
        """When a node that another run holds will be asked for again."""
        if not self._held_elsewhere:
            return None
        now_s = self.cluster.clock.now_s()
        return min(self._held_elsewhere.values()) - now_s


def _of_others(seen: Cluster, ours: Collection[str]) -> list[MigrationUnderWay]:
    return [migration for migration in seen.migrations if migration.vm not in ours]
