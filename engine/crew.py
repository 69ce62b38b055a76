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
from shunter.engine.holds import HOLD_AGAIN_S, Denial, Denied, Hold, Holds
from shunter.engine.lives import Lives
from shunter.engine.migrate import Errand, StartMigration
from shunter.statemachines.migration import MIGRATION, Event, Migration, State
from shunter.topology.changes import changed
from shunter.topology.model import Cluster, MigrationUnderWay
from shunter.topology.placement import wanted_move
from shunter.topology.plan import Verdict

what_migrations_leave = attrgetter(*(name for name in Cluster.model_fields if name not in ("vms", "migrations")))
"""Of a cluster all but what a migration under way changes."""
MOST_ATTEMPTS = 3
MOST_REFUSALS = 6
POSTPONED_S = 3.0
FORGIVEN_AFTER_S = 1800.0
"""What failed between a VM and a node may be tried once more after so long."""
DENIED_LATELY_S = 30.0


@dataclass(slots=True, eq=False)
class Crew:
    """Each migration holds its two nodes and is carried out by `start`.

    `ended`: set whenever one has ended. `errands`: those that reached the cluster, in order of their end. `tried`:
    verdicts learnt, by (VM, node). `last_event_s`: when one ended last, or was found again.
    """

    cluster: ClusterPort
    holds: Holds
    lives: Lives
    audience: Audience
    care: Care
    start: StartMigration
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    errands: list[Errand] = field(default_factory=list)
    tried: dict[tuple[str, str], Verdict] = field(default_factory=dict)
    running: dict[asyncio.Task[None], Errand] = field(default_factory=dict)
    last_event_s: float = 0.0
    _tried_s: dict[tuple[str, str], float] = field(default_factory=dict)
    _attempts: Counter[str] = field(default_factory=Counter)
    _refusals: Counter[str] = field(default_factory=Counter)
    _lost: dict[str, Errand] = field(default_factory=dict)
    _postponed: dict[str, float] = field(default_factory=dict)
    _denials: dict[str, _Denial] = field(default_factory=dict)

    # -------------------------------------------------------------- beginning

    async def send(
        self, seen: Cluster, vm: str, target: str, emptied: tuple[str, ...], promised: Mapping[str, str]
    ) -> bool:
        """Begin to move a VM; False where another run holds one of the two nodes."""
        move = wanted_move(seen, vm, target)
        hold = await self.hold(move.source, target)
        if hold is not None:
            self.begin(hold, self.enqueue(seen, vm, target), move.duration_s, emptied, promised)
        return hold is not None

    def enqueue(self, seen: Cluster, vm: str, target: str) -> Migration:
        """A migration that is to begin, now or later."""
        source = seen.vm_by_name[vm].node
        self.lives.take_in(seen.vm_by_name[vm])
        migration = Migration(
            vm=vm,
            source=source,
            target=target,
            attempt=self._attempts[vm] + 1,
            source_offloads=seen.node_by_name[source].tcp_offload,
            target_offloads=seen.node_by_name[target].tcp_offload,
        )
        self.lives.step(MIGRATION, migration, Event.ENQUEUE)
        return migration

    async def hold(self, source: str, target: str) -> Hold | None:
        """Both nodes; None where one of them cannot be had: that one is passed over, and asked for again soon."""
        hold = await self.holds.try_hold((source, target))
        now_at = asyncio.get_running_loop().time()
        why = hold.why if isinstance(hold, Denied) else {}
        for node in (source, target):
            if node not in why:
                self._denials.pop(node, None)
        for node, denial in why.items():
            before = self._denials.get(node)
            since_at = before.since_at if before is not None else now_at
            self._denials[node] = _Denial(denial, since_at, now_at + HOLD_AGAIN_S)
        return None if isinstance(hold, Denied) else hold

    def begin(
        self,
        hold: Hold,
        migration: Migration,
        estimate_s: float,
        emptied: tuple[str, ...],
        promised: Mapping[str, str],
        *,
        passing: bool = False,
    ) -> None:
        """The rest of the arguments: as in Errand."""
        errand = Errand(
            migration=migration,
            estimate_s=estimate_s,
            emptied=emptied,
            cluster=self.cluster,
            hold=hold,
            lives=self.lives,
            audience=self.audience,
            care=self.care,
            promised=promised,
            passing=passing,
        )
        task = asyncio.create_task(self._carry_out(errand))
        task.add_done_callback(lambda _: self.ended.set())
        self.running[task] = errand

    async def _carry_out(self, errand: Errand) -> None:
        try:
            await self.start(errand)
        finally:
            await errand.hold.release()

    # -------------------------------------------------------------- what is over

    def conclude(self) -> list[Errand]:
        """The migrations that are over, whose consequences have been drawn. One in WAITING was put off."""
        over = []
        for task in [task for task in self.running if task.done()]:
            errand = self.running.pop(task)
            self.last_event_s = self.cluster.clock.now_s()
            if errand.asked_s is not None and errand.migration.state is not State.WAITING:
                self.errands.append(errand)
            self._learn(errand)
            over.append(errand)
            task.result()
        return over

    def find_the_lost(self, seen: Cluster) -> list[Errand]:
        """Those that were out of sight and that this look has found."""
        found = [errand for errand in self._lost.values() if errand.is_found(seen)]
        for errand in found:
            del self._lost[errand.migration.vm]
            self.last_event_s = self.cluster.clock.now_s()
            self._learn(errand)
        return found

    def _learn(self, errand: Errand) -> None:
        migration = errand.migration
        match migration.state:
            case State.WAITING:
                self._postponed |= dict.fromkeys(errand.nodes, self.cluster.clock.now_s() + POSTPONED_S)
            case State.CANCELLED if errand.asked_s is None:
                pass  # it was held back
            case State.REFUSED | State.ROLLED_BACK | State.CANCELLED:
                (self._refusals if migration.state is State.REFUSED else self._attempts)[migration.vm] += 1
                about = migration.vm, migration.target
                self.tried[about], self._tried_s[about] = lesson(errand), self.cluster.clock.now_s()
            case State.LOST_SIGHT:
                self._lost[migration.vm] = errand

    def forgive(self, vm: str, node: str) -> None:
        """What failed between them may be tried once more."""
        self.tried.pop((vm, node), None)
        self._tried_s.pop((vm, node), None)

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

    def heading(self) -> dict[str, str]:
        """Where those go that are moving (VM → node)."""
        return {errand.migration.vm: errand.migration.target for errand in self.running.values()}

    @property
    def tries(self) -> int:
        """How often a migration was refused or failed."""
        return self._attempts.total() + self._refusals.total()

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
        """Nodes in a migration, whoever started it, those that cannot be had now, and those that nobody reaches."""
        return self.moving(seen).union(self._passed_over(), self.denied_now(), isolated(seen))

    def moving(self, seen: Cluster) -> set[str]:
        """Nodes in a migration, whoever started it."""
        moving = {node for migration in seen.migrations for node in (migration.source, migration.target)}
        return moving.union(*(errand.nodes for errand in self.running.values()))

    def _passed_over(self) -> Collection[str]:
        """Nodes at which a migration was put off, not long ago."""
        now_s = self.cluster.clock.now_s()
        self._postponed = {node: until_s for node, until_s in self._postponed.items() if until_s > now_s}
        return self._postponed.keys()

    def denied_now(self) -> dict[str, Denial]:
        """Nodes that could not be had when they were asked for last, which was not long ago; and why not."""
        now_at = asyncio.get_running_loop().time()
        return {node: each.why for node, each in self._denials.items() if each.again_at > now_at}

    def denied(self) -> Denied:
        """The same, of a while ago too: whatever stands in the way of what has not moved."""
        since_at = asyncio.get_running_loop().time() - DENIED_LATELY_S
        return Denied({node: each.why for node, each in self._denials.items() if each.again_at > since_at})

    def denied_for_s(self) -> float | None:
        """How long nodes have been asked for in vain, in seconds of this machine; None where none is now."""
        denied = self.denied().why
        if not denied:
            return None
        return asyncio.get_running_loop().time() - min(self._denials[node].since_at for node in denied)

    def ask_again(self) -> None:
        """Whatever could not be had may be free now."""
        self._postponed.clear()
        for each in self._denials.values():
            each.again_at = min(each.again_at, asyncio.get_running_loop().time())

    def asked_again_in_s(self) -> float | None:
        """When a node that could not be had will be asked for again."""
        clock, now_at = self.cluster.clock, asyncio.get_running_loop().time()
        waits_s = [self._postponed[node] - clock.now_s() for node in self._passed_over()]
        waits_s += [(self._denials[node].again_at - now_at) * clock.speed for node in self.denied_now()]
        return min(waits_s, default=None)


@dataclass(slots=True)
class _Denial:
    """Of a node. Times are the event loop's: `since_at`, asked for in vain; `again_at`, asked for again."""

    why: Denial
    since_at: float
    again_at: float


def isolated(seen: Cluster) -> set[str]:
    """Nodes whose VMs run on and cannot be moved: soon they are either back, or declared down."""
    return {node.name for node in seen.nodes if node.state == "isolated"}


def lesson(errand: Errand) -> Verdict:
    """What a migration that came to nothing teaches of its target: the check's verdict, or what the cluster said."""
    if errand.refusals:
        return errand.refusals[0]
    migration = errand.migration
    ended = "was refused" if migration.state is State.REFUSED else "failed"
    return Verdict(
        target=migration.target,
        rule="R01",
        reason=f"attempt {migration.attempt} {ended}: {errand.why}",
        remedy=f"look into the event logs of {migration.source} and {migration.target}",
    )


def _of_others(seen: Cluster, ours: Collection[str]) -> list[MigrationUnderWay]:
    return [migration for migration in seen.migrations if migration.vm not in ours]
