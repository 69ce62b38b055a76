"""One rolling run as it goes on: turn by turn of its loop, until nothing is left to do.

Each turn of the loop begins with a fresh look, from which the same decision that made the forecast says which VM starts
now and which node leaves.
"""

from __future__ import annotations

import asyncio
from dataclasses import InitVar, dataclass, field

from shunter.clusters.port import ClusterPort, Failed, Unreachable
from shunter.engine.audience import Audience
from shunter.engine.care import Care
from shunter.engine.control import Control
from shunter.engine.crew import Crew
from shunter.engine.holds import Holds
from shunter.engine.lives import Lives
from shunter.engine.looking import LOOK_AGAIN_S, look, to_its_end
from shunter.engine.maintenance import Action, Hooks
from shunter.engine.making_room import MakingRoom
from shunter.engine.migrate import StartMigration
from shunter.engine.pausing import Pausing
from shunter.engine.replanning import Replanning
from shunter.engine.rolling_backups import AwaitedNodes
from shunter.engine.rolling_beginning import Beginning
from shunter.engine.rolling_failback import GoingBack
from shunter.engine.rolling_fleet import Standing
from shunter.engine.rolling_order import FirstInOrder
from shunter.engine.rolling_pauses import PausedForNothing
from shunter.engine.rolling_report import rolling_report
from shunter.engine.rolling_turns import Turns
from shunter.engine.rolling_waiting import Patience
from shunter.statemachines.migration import MIGRATION, Event
from shunter.statemachines.migration import State as MigrationState
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.rolling import RollingPolicy
from shunter.topology.rolling.strategy import Strategy


@dataclass(frozen=True, slots=True)
class Budget:
    """`failed_nodes`: how many more may fail before no further node is begun. `retries`: of a node whose maintenance
    failed and that is up all the same. `warn_after_s`: people are told that the run still goes on. `stop_after_s`: no
    node is begun that would not be back by then. Both count from when the run was due, else from its start.
    """

    failed_nodes: int = 0
    retries: int = 0
    warn_after_s: float | None = None
    stop_after_s: float | None = None


@dataclass(slots=True, eq=False)
class Rolling:
    """One run, and the parts that it consists of. `done`: nodes that an earlier run has maintained, where this one
    `goes_on` with it. `left_paused`: nodes that others have left paused on purpose. `trouble`: what a hook of the run
    raised. `counts_from_s`: from when its window and its budget count. `wanted`: the nodes that are to have their turn:
    those of the plan, and those that wait for a backup.
    `woken`: set by what ends of its own, so that the loop goes on.
    """

    cluster: ClusterPort
    plan: Plan
    strategy: Strategy
    policy: RollingPolicy
    holds: Holds
    audience: Audience
    start: StartMigration
    control: Control
    action: Action
    hooks: Hooks
    budget: Budget
    before: Cluster
    started_s: float
    counts_from_s: float
    goes_on: bool
    done: InitVar[frozenset[str]]
    left_paused: InitVar[frozenset[str]]
    trouble: str = ""
    lives: Lives = field(init=False)
    care: Care = field(init=False)
    awaited: AwaitedNodes = field(init=False)
    wanted: tuple[str, ...] = field(init=False)
    pausing: Pausing = field(init=False)
    crew: Crew = field(init=False)
    turns: Turns = field(init=False)
    beginning: Beginning = field(init=False)
    paused_for_nothing: PausedForNothing = field(init=False)
    standing: Standing = field(init=False)
    replanning: Replanning = field(init=False)
    making_room: MakingRoom = field(init=False)
    first: FirstInOrder = field(init=False)
    going_back: GoingBack = field(init=False)
    patience: Patience = field(init=False)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    _asked: asyncio.Task[None] | None = None

    def __post_init__(self, done: frozenset[str], left_paused: frozenset[str]) -> None:
        self.lives = Lives(self.before, (), self.cluster.clock, self.audience)
        self.care = Care(self.policy.precautions, self.cluster, self.lives)
        self.awaited = AwaitedNodes(self)
        self.wanted = (*(turn.node for turn in self.plan.maintenance), *self.awaited.all)
        self.strategy = self.awaited.last_in(self.strategy)
        self.pausing = Pausing(self.cluster, self.lives)
        self.crew = Crew(self.cluster, self.holds, self.lives, self.audience, self.care, self.start, self.woken)
        self.turns = Turns(self, done)
        self.beginning = Beginning(self)
        self.paused_for_nothing = PausedForNothing(self)
        self.standing = Standing(self)
        self.replanning = Replanning(self)
        self.making_room = MakingRoom(self)
        self.first = FirstInOrder(self)
        self.going_back = GoingBack(self)
        self.patience = Patience(self)
        ours = (done | set(self.wanted) if self.goes_on else set(self.wanted)) - left_paused
        self.pausing.ours += [
            node.name
            for node in self.before.nodes
            if node.name in ours and node.state == "paused" and node.paused_by == "us"
        ]

    @property
    def is_idle(self) -> bool:
        """Whether nothing of its own is under way."""
        return not (self.crew.running or self.turns.tasks)

    @property
    def is_budget_spent(self) -> bool:
        """Whether more nodes have failed than may."""
        return len(self.turns.failed) > self.budget.failed_nodes

    async def carry_out(self) -> Plan:
        """Until nothing is left to do, or nothing can be done any more; the report."""
        cancelled: asyncio.CancelledError | None = None
        try:
            cancelled = await self._go_through()
        except Failed as error:
            self.trouble = str(error)
            self.turns.refused.update(dict.fromkeys(self.turns.pending(), self.trouble))
        except Unreachable as error:
            raise Unreachable(f"{error}. {self._touched()}") from error
        finally:
            if self._asked is not None:
                self._asked.cancel()
            await asyncio.gather(*self.turns.tasks, *self.crew.running, return_exceptions=True)
        report = await to_its_end(self._finish())
        if cancelled is not None:
            raise cancelled
        return report

    async def _go_through(self) -> asyncio.CancelledError | None:
        """Turn by turn; what it was cancelled with meanwhile, if it was."""
        name = self.plan.cluster
        cancelled: asyncio.CancelledError | None = None
        await self.hooks.call(self.hooks.before_run, name, "before the run on")
        self.patience.since_s = self.crew.last_event_s = self.cluster.clock.now_s()
        while True:
            try:
                if await self._turn():
                    break
            except asyncio.CancelledError as error:
                if cancelled is not None:
                    raise
                cancelled = error
                self.control.request(running=self.control.running)
        if not self.control.asked:
            await self.hooks.call(self.hooks.after_run, name, "after the run on")
        return cancelled

    async def _finish(self) -> Plan:
        self.turns.give_up()
        try:
            await self.paused_for_nothing.give_back()
            seen = await look(self.cluster)
            log = await self.cluster.migration_log()
        except Unreachable as error:
            raise Unreachable(f"{error}. {self._touched()}") from error
        self.lives.observe(seen)
        self.audience.waiting(())
        return rolling_report(self, seen, log)

    def _touched(self) -> str:
        paused = ", ".join(self.pausing.ours) or "nothing"
        done = ", ".join(sorted(self.turns.done)) or "nothing"
        return f"Until then this run had paused {paused} and maintained {done}"

    # -------------------------------------------------------------- one turn of the loop

    async def _turn(self) -> bool:
        """True when it was the last."""
        looked = await look(self.cluster)
        self.lives.observe(looked)
        self.crew.find_the_lost(looked)
        if not self.control.asked:
            looked = await self.care.attend(looked)
        seen = self.care.as_decided_on(looked)
        self.patience.warn_when_late(seen)
        if self.control.asked or self.control.held:
            await self.crew.hold_back()
        if self.control.asked and self.control.running == "cancel":
            await self.crew.call_off()
        await self.paused_for_nothing.give_back_at_once()
        waits = self.beginning.why_nothing_begins(seen)
        if not waits:
            await self.beginning.begin(seen)
        if self.is_idle:
            if not waits and self.replanning.is_there_another_way(seen):
                return False
            is_anything_left = self.turns.left() or self.going_back.is_under_way
            if self.control.asked or not is_anything_left or not self.patience.is_worth_waiting(seen):
                return True
        self.audience.waiting(self.patience.waiting(seen, waits))
        await self._next_event(looked)
        return False

    async def _next_event(self, seen: Cluster) -> None:
        """Until the cluster has changed, something of the run's own has ended, or something is asked of it."""
        change = asyncio.create_task(self._news(seen, self.patience.changes_in_s()))
        change.add_done_callback(self._wake)
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(self.control.wait())
            self._asked.add_done_callback(self._wake)
        try:
            await self.woken.wait()
        finally:
            change.remove_done_callback(self._wake)
            if not change.done():
                change.cancel()
        if change.done() and not change.cancelled() and (error := change.exception()) is not None:
            if not isinstance(error, Unreachable):
                raise error
            await self.cluster.clock.sleep(LOOK_AGAIN_S)
        self.woken.clear()
        for errand in self.crew.conclude():
            if errand.migration.state is MigrationState.WAITING:
                self.lives.step(MIGRATION, errand.migration, Event.CANCEL, "postponed; a fresh decision follows")
        self.turns.conclude()

    async def _news(self, seen: Cluster, within_s: float) -> None:
        """Until the cluster has changed otherwise than by the run's own migrations, whose end wakes it anyway."""
        until_s = self.cluster.clock.now_s() + within_s
        while (left_s := until_s - self.cluster.clock.now_s()) > 0:
            await self.cluster.wait_for_change(seen, left_s)
            before, seen = seen, await self.cluster.look()
            if not self.crew.is_all_that_changed(before, seen):
                return

    def _wake(self, _: asyncio.Task[None]) -> None:
        self.woken.set()
