"""One rolling run as it goes on: who begins now, what came of it, and what is waited for.

Each turn of the loop begins with a fresh look, from which the same decision that made the forecast says which VM starts
now and which node leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shunter.clusters.port import ClusterPort, Failed, Unreachable
from shunter.engine.audience import Audience, Waiting
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
from shunter.engine.rest import Rest
from shunter.engine.rolling_backups import AwaitedNodes
from shunter.engine.rolling_failback import GoingBack
from shunter.engine.rolling_fleet import Standing
from shunter.engine.rolling_order import FirstInOrder
from shunter.engine.rolling_report import rolling_report
from shunter.engine.turn import BROKEN, Turn
from shunter.statemachines.node import State
from shunter.topology.model import Cluster
from shunter.topology.placement import Placement
from shunter.topology.plan import Plan
from shunter.topology.quorum import members
from shunter.topology.rolling import RollingPolicy
from shunter.topology.rolling.failback import way_back
from shunter.topology.rolling.fleet import Fleet, Phase
from shunter.topology.rolling.policy import not_together, partners_of
from shunter.topology.rolling.reserve import Reserve
from shunter.topology.rolling.strategy import Deciding, Leave, Start, Strategy

PATIENCE_S = 1800.0
"""How long the run waits when nothing of its own is under way and nothing may begin: for others' migrations, backups,
storage that is rebuilt, the operator's word to go on apart."""

DECIDE_AGAIN_S = 60.0
MOST_OCCUPIED = 6
OCCUPIED_AGAIN_S = 30.0
"""A node that was not empty after all is tried again after so long, then after twice as long, and so on."""
RESUME_AGAIN_S = 300.0


@dataclass(frozen=True, slots=True)
class Budget:
    """`failed_nodes`: how many more may fail before no further node is begun. `retries`: of a node whose maintenance
    failed and that is up all the same. `stop_after_s`: no node is begun later, counted from the start of the run.
    """

    failed_nodes: int = 0
    retries: int = 0
    stop_after_s: float | None = None


@dataclass(slots=True, eq=False)
class Rolling:
    """One run. `refused`: nodes that have no turn any more, and why; `failed`: those whose turn failed; `trouble`: what
    a hook of the run raised.
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
    goes_on: bool = False
    done: set[str] = field(default_factory=set)
    lives: Lives = field(init=False)
    care: Care = field(init=False)
    awaited: AwaitedNodes = field(init=False)
    pausing: Pausing = field(init=False)
    crew: Crew = field(init=False)
    going_back: GoingBack | None = None
    turns: list[Turn] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    trouble: str = ""
    replanning: Replanning = field(init=False)
    standing: Standing = field(init=False)
    making_room: MakingRoom = field(init=False)
    first: FirstInOrder = field(init=False)
    _not_together: Mapping[str, frozenset[str]] = field(init=False)
    _partners: Mapping[str, frozenset[str]] = field(init=False)
    _away: dict[asyncio.Task[None], Turn] = field(default_factory=dict)
    _hooked: set[str] = field(default_factory=set)
    _tries: dict[str, int] = field(default_factory=dict)
    _reserve: Reserve | None = None
    _again: dict[str, str] = field(default_factory=dict)
    _occupied: dict[str, int] = field(default_factory=dict)
    _not_before_s: dict[str, float] = field(default_factory=dict)
    _resumed_s: dict[str, float] = field(default_factory=dict)
    _waits_since_s: float = 0.0
    _one_volume: asyncio.Lock = field(default_factory=asyncio.Lock)
    _decided: tuple[frozenset[str], object, float] = (frozenset(), None, 0.0)
    _asked: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.lives = Lives(self.before, (), self.cluster.clock, self.audience)
        self.care = Care(self.policy.precautions, self.cluster, self.lives)
        self.awaited = AwaitedNodes(self)
        self.strategy = self.awaited.last_in(self.strategy)
        self.pausing = Pausing(self.cluster, self.lives)
        self.crew = Crew(self.cluster, self.holds, self.lives, self.audience, self.care, self.start)
        self.standing = Standing(self)
        self.replanning = Replanning(self)
        self._not_together = not_together(self.before, self.policy)
        self.making_room = MakingRoom(self)
        self.first = FirstInOrder(self)
        self._partners = partners_of(self.before, self.policy)
        ours = self.done | set(self.wanted) if self.goes_on else set(self.wanted)
        self.pausing.ours += [
            node.name
            for node in self.before.nodes
            if node.name in ours and node.state == "paused" and node.paused_by == "us"
        ]

    @property
    def away(self) -> tuple[Turn, ...]:
        """The turns under way."""
        return tuple(self._away.values())

    @property
    def wanted(self) -> tuple[str, ...]:
        """The nodes that are to have their turn: those of the plan, and those that wait for a backup."""
        return (*(turn.node for turn in self.plan.maintenance), *self.awaited.all)

    def pending(self) -> list[str]:
        over = self.done | self.failed.keys() | self.refused.keys() | self.control.skipped | self.nodes_away()
        return [node for node in self.wanted if node not in over]

    def nodes_away(self) -> set[str]:
        """Those in their turn, and those that failed in it and are to be tried again: until then they are not back."""
        return {*(turn.node for turn in self._away.values()), *self._again}

    def was_begun(self, node: str) -> bool:
        """Whether its maintenance was."""
        return any(turn.node == node and turn.started_s is not None for turn in self.turns)

    async def carry_out(self) -> Plan:
        """Until nothing is left to do, or nothing can be done any more; the report."""
        cancelled: asyncio.CancelledError | None = None
        try:
            cancelled = await self._go_through()
        except Failed as error:
            self.trouble = str(error)
            self.refused.update(dict.fromkeys(self.pending(), self.trouble))
        except Unreachable as error:
            raise Unreachable(f"{error}. {self._touched()}") from error
        finally:
            if self._asked is not None:
                self._asked.cancel()
            await asyncio.gather(*self._away, *self.crew.running, return_exceptions=True)
        report = await to_its_end(self._finish())
        if cancelled is not None:
            raise cancelled
        return report

    async def _go_through(self) -> asyncio.CancelledError | None:
        """Turn by turn; what it was cancelled with meanwhile, if it was."""
        clock, name = self.cluster.clock, self.plan.cluster
        cancelled: asyncio.CancelledError | None = None
        await self.hooks.call(self.hooks.before_run, name, "before the run on", clock)
        self._waits_since_s = self.crew.last_event_s = clock.now_s()
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
            await self.hooks.call(self.hooks.after_run, name, "after the run on", clock)
        return cancelled

    async def _finish(self) -> Plan:
        self.failed |= self._again
        self._again.clear()
        try:
            await self._give_back()
            seen = await look(self.cluster)
            log = await self.cluster.migration_log()
        except Unreachable as error:
            raise Unreachable(f"{error}. {self._touched()}") from error
        self.lives.observe(seen)
        self.audience.waiting(())
        return rolling_report(self, seen, log)

    def _touched(self) -> str:
        paused = ", ".join(self.pausing.ours) or "nothing"
        return f"Until then this run had paused {paused} and maintained {', '.join(sorted(self.done)) or 'nothing'}"

    async def _give_back(self) -> None:
        """Nodes that we paused and whose maintenance never began take VMs again (I8)."""
        for name in self._to_give_back():
            await self.pausing.resume(name)

    async def _resume_who_has_no_turn(self) -> None:
        """Skipped, refused, or failed before its maintenance began: it takes VMs again, and at once."""
        now_s = self.cluster.clock.now_s()
        for name in self._to_give_back():
            if name not in self.pending() and now_s >= self._resumed_s.get(name, now_s):
                self._resumed_s[name] = now_s + RESUME_AGAIN_S
                await self.pausing.resume(name)

    def _to_give_back(self) -> list[str]:
        """Paused by us for nothing any more. What was paused before this run stays so, unless this one goes on."""
        return [
            name
            for name in self.pausing.ours
            if self.lives.nodes[name].state in (State.PAUSED, State.DRAINED)
            and (self.goes_on or self.before.node_by_name[name].state != "paused")
            and name not in self.nodes_away()
            and (name in self.done or not self.was_begun(name))
        ]

    # -------------------------------------------------------------- one turn of the loop

    async def _turn(self) -> bool:
        """True when it was the last."""
        looked = await look(self.cluster)
        self.lives.observe(looked)
        self.crew.find_the_lost(looked)
        if not self.control.asked:
            looked = await self.care.attend(looked)
        seen = self.care.as_decided_on(looked)
        if self.control.asked or self.control.held:
            await self.crew.hold_back()
        if self.control.asked and self.control.running == "cancel":
            await self.crew.call_off()
        await self._resume_who_has_no_turn()
        waits = self._why_nothing_begins(seen)
        if not waits:
            await self._begin(seen)
        if not (self.crew.running or self._away):
            if not waits and self.replanning.is_there_another_way(seen):
                return False
            if self.control.asked or not self._is_anything_left() or not self.is_worth_waiting(seen):
                return True
        self.audience.waiting(self._who_waits(seen, waits))
        await self._next_event(looked)
        return False

    def _is_anything_left(self) -> bool:
        return bool(self.pending() or self._again) or (self.going_back is not None and not self.going_back.is_over)

    async def _next_event(self, seen: Cluster) -> None:
        now_s = self.cluster.clock.now_s()
        waits_s = [self.crew.asked_again_in_s() or LOOK_AGAIN_S * 12, self.care.changes_in_s() or PATIENCE_S]
        waits_s += [at_s - now_s for node, at_s in self._not_before_s.items() if at_s > now_s]
        waits_s += [late_s - now_s for turn in self._away.values() if (late_s := self.replanning.late_s(turn)) > now_s]
        change = asyncio.create_task(self.cluster.wait_for_change(seen, max(min(waits_s), 0.01)))
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(self.control.wait())
        events = {change, self._asked, *self.crew.running, *self._away}
        try:
            await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not change.done():
                change.cancel()
        if change.done() and not change.cancelled() and (error := change.exception()) is not None:
            if not isinstance(error, Unreachable):
                raise error
            await self.cluster.clock.sleep(LOOK_AGAIN_S)
        self.crew.conclude()
        for task in [task for task in self._away if task.done()]:
            turn = self._away.pop(task)
            self._waits_since_s = self.cluster.clock.now_s()
            task.result()
            self._after(turn)

    def _after(self, turn: Turn) -> None:
        """Draw the consequences of a node's turn."""
        node = turn.node
        match turn.ended:
            case "done":
                self.done.add(node)
            case "occupied":
                times = self._occupied[node] = self._occupied.get(node, 0) + 1
                self._not_before_s[node] = self.cluster.clock.now_s() + OCCUPIED_AGAIN_S * 2 ** (times - 1)
                if times >= MOST_OCCUPIED:
                    (self.failed if self.was_begun(node) else self.refused)[node] = turn.why
                elif self.was_begun(node):
                    self._again[node] = turn.why
            case "failed":
                self._tries[node] = self._tries.get(node, 0) + 1
                is_there = self.lives.nodes[node].state in (State.UP, State.PAUSED, State.DRAINED)
                if self._tries[node] > self.budget.retries or not is_there:
                    self.failed[node] = turn.why
                    self.replanning.is_due = True
                elif self.lives.nodes[node].state is not State.UP:
                    self._again[node] = turn.why
            case "called off":
                if self.was_begun(node):
                    self._again[node] = turn.why

    # -------------------------------------------------------------- what begins

    def _why_nothing_begins(self, seen: Cluster) -> str:
        """Empty where something may begin."""
        if self.control.asked:
            return "the run was asked to stop"
        if self.control.held:
            return "the operator holds the run"
        if len(self.failed) > self.budget.failed_nodes:
            return f"{', '.join(self.failed)} failed, and no more may fail"
        if not members(seen):
            return "no node is a member: the cluster has lost its quorum"
        return self.care.why_nothing_moves(seen)

    def _held_back(self, seen: Cluster, node: str) -> str:
        """Why the maintenance of a node must not begin although it was its turn; empty where it may."""
        if node in self.control.skipped:
            return f"{node} was skipped on request"
        if seen.storage_jobs:
            return f"storage is being rebuilt ({', '.join(job.name for job in seen.storage_jobs)})"
        return self._why_nothing_begins(seen)

    async def _begin(self, seen: Cluster) -> None:
        """Let everything begin that may."""
        self.replanning.is_due |= self.awaited.join(seen)
        self._refuse_late()
        if not self._is_something_free(seen):
            return
        fleet = self.standing.fleet(seen)
        self._try_again(seen)
        if await self.making_room.is_under_way(seen, fleet):
            return
        if not self.pending() and not self.nodes_away():
            await self._go_back(seen, fleet)
            return
        self.replanning.where_due(seen)
        deciding = self.deciding(fleet)
        while (action := deciding.next()) is not None:
            if isinstance(action, Leave):
                fleet.leave(action.node)
                if not seen.storage_jobs and await self._may_drain(action.node):
                    self._leave(seen, action.node, [*deciding.pending()[:1], *deciding.active()])
            elif await self._may_drain(action.source):
                start = self.replanning.as_planned(action, fleet, deciding)
                fleet.begin(start.vm, start.target)
                await self._send(seen, start, fleet)
            else:
                fleet.phase[action.source] = Phase.STAYING
            if self.control.asked or self.control.held:
                break
        self._decided = frozenset(self.crew.busy(seen)), self._decided[1], self._decided[2]

    def deciding(self, fleet: Fleet) -> Deciding:
        """A node that is to be tried later, or that is kept by something, does not leave now."""
        now_s = self.cluster.clock.now_s()
        for name, phase in tuple(fleet.phase.items()):
            if phase is not Phase.PENDING or fleet.on[name]:
                continue
            if self._not_before_s.get(name, 0.0) > now_s or self.is_kept(fleet.cluster, name):
                fleet.phase[name] = Phase.OUT
        self._reserve = Reserve(fleet, self.plan.reserve_nodes, self._reserve)
        return Deciding(fleet, self._reserve, self.strategy, self._not_together, self.first.awaited())

    def is_kept(self, seen: Cluster, node: str) -> bool:
        """By partners that were lost, or by a volume whose backup would break if its owner changed."""
        return bool(self.partners_lost(seen, node) or self.awaited.keep_volume_of(seen, node))

    def partners_lost(self, seen: Cluster, node: str) -> list[str]:
        """Of those that must not be away together with it, the ones that were lost since the run was planned."""
        lost = {name for name in self._partners[node] if seen.node_by_name[name].state not in ("up", "paused")}
        return sorted(lost - self.nodes_away())

    def is_put_off(self, node: str) -> bool:
        """Whether it was not empty after all, and is to be tried later."""
        return self._not_before_s.get(node, 0.0) > self.cluster.clock.now_s()

    async def _go_back(self, seen: Cluster, fleet: Fleet) -> None:
        """After the last turn: what the policy wants moved then."""
        if self.policy.failback == "none" or not self.done:
            return
        if self.going_back is None:
            if self.crew.running or self.crew.in_hand():
                return
            self.going_back = GoingBack(self.crew, self.plan.reserve_nodes)
            placement = way_back(seen, self.before, self.policy, self.plan.reserve_nodes)
            self.going_back.want(seen, placement or Placement(), self._promised_back())
        await self.going_back.begin(seen, fleet)

    def _promised_back(self) -> dict[str, str]:
        """The VMs that the plan takes back to where they were."""
        if self.policy.failback != "as_it_was":
            return {}
        last_s = max((turn.end_s for turn in self.plan.maintenance), default=0.0)
        return {move.vm: move.target for move in self.plan.moves if move.start_s >= last_s}

    def _is_something_free(self, seen: Cluster) -> bool:
        """Whether anything may be possible that was not when it was decided last: while no node became free and no
        phase changed, hardly anything is; it is decided again after a while all the same.
        """
        busy = frozenset(self.crew.busy(seen))
        now_s = self.cluster.clock.now_s()
        standing = (
            self.standing.phases(seen),
            [node for node, at_s in self._not_before_s.items() if at_s > now_s],
            seen.volumes,
            bool(seen.storage_jobs),
        )
        last_busy, last_standing, decided_s = self._decided
        is_idle = not (self.crew.running or self._away)
        if is_idle or not busy >= last_busy or standing != last_standing or now_s >= decided_s + DECIDE_AGAIN_S:
            self._decided = busy, standing, now_s
            return True
        self._decided = busy, standing, decided_s
        return False

    def _try_again(self, seen: Cluster) -> None:
        """Nodes whose maintenance failed, before any other node has its turn."""
        for node in tuple(self._again):
            if node in self.control.skipped:
                self.failed[node] = self._again.pop(node)
            elif not seen.storage_jobs and self.cluster.clock.now_s() >= self._not_before_s.get(node, 0.0):
                del self._again[node]
                self._leave(seen, node, self.pending())

    def _leave(self, seen: Cluster, node: str, soonest: Sequence[str]) -> None:
        """`soonest`: the nodes that go after it, the next one first."""
        planned = {move.name: move.target for move in self.plan.role_moves if move.source == node}
        soon = dict.fromkeys((*self.nodes_away(), *(name for name in soonest if name != node)))
        rest = Rest(
            self.cluster,
            self.lives,
            (node,),
            0,
            self.crew.tried,
            planned,
            self.care,
            avoided=tuple(soon),
            one_volume=self._one_volume,
        )
        turn = Turn(
            node,
            self.cluster,
            self.lives,
            self.pausing,
            self.holds,
            self.audience,
            rest,
            self.action,
            self.hooks,
            self.policy.maintenance_s,
            seen,
            self._held_back,
        )
        self.turns.append(turn)
        self._away[asyncio.create_task(turn.run())] = turn

    async def _send(self, seen: Cluster, action: Start, fleet: Fleet) -> None:
        """What must be together follows, what does not run when its node's turn comes."""
        together = {action.vm: action.target}
        for rule in seen.rules_by_vm.get(action.vm, ()):
            if rule.kind.startswith("same") and not rule.soft:
                here = (name for name in rule.vms if seen.vm_by_name[name].node == action.source)
                together |= {name: action.target for name in here if name not in fleet.heading}
        away = tuple(turn.node for turn in self._away.values())
        await self.crew.send(seen, action.vm, action.target, away, together)

    async def _may_drain(self, node: str) -> bool:
        """Whether the hook before a node lets it be touched; asked once."""
        if node in self._hooked:
            return node not in self.refused
        self._hooked.add(node)
        try:
            await self.hooks.call(self.hooks.before_node, node, "before", self.cluster.clock)
        except Failed as error:
            self.refused[node] = str(error)
        return node not in self.refused

    def _refuse_late(self) -> None:
        """No node is begun that would not be back in time."""
        begun_s = self.cluster.clock.now_s() - self.started_s
        limits = [self.policy.window_s, self.budget.stop_after_s]
        window_s = min((limit for limit in limits if limit is not None), default=None)
        if window_s is None or begun_s + self.policy.maintenance_s <= window_s:
            return
        for node in self.pending():
            self.refused[node] = f"{node} would not be back within the window of {window_s:g} s"

    # -------------------------------------------------------------- waiting

    def is_worth_waiting(self, seen: Cluster) -> bool:
        """Whether something that is in the way may still pass."""
        if self.control.held:
            return True
        if len(self.failed) > self.budget.failed_nodes:
            return False
        pending = [*self.pending(), *self._again]
        if self.awaited.are_worth_waiting_for(seen, pending):
            return True
        if self.care.direct_io.left(seen):
            return self.care.direct_io.is_worth_waiting(seen)
        waited_s = self.cluster.clock.now_s() - max(self._waits_since_s, self.crew.last_event_s)
        passing = (
            bool(seen.migrations)
            or bool(seen.storage_jobs)
            or self.crew.asked_again_in_s() is not None
            or any(at_s > self.cluster.clock.now_s() for node, at_s in self._not_before_s.items() if node in pending)
            or any(node.state not in ("up", "paused") for node in seen.nodes if self._was_there(node.name))
            or bool(self.crew.forbidden())
            or self._is_cut_off(seen, pending)
        )
        return passing and waited_s < PATIENCE_S

    def _is_cut_off(self, seen: Cluster, nodes: Sequence[str]) -> bool:
        """Whether a VM on these nodes cannot move because its volume went offline during the run."""
        gone = {volume.name for volume in seen.volumes if volume.state in BROKEN}
        gone -= {volume.name for volume in self.before.volumes if volume.state in BROKEN}
        return any(gone.intersection(vm.volumes) for node in nodes for vm in seen.vms_by_node[node] if vm.holds_memory)

    def _was_there(self, node: str) -> bool:
        return self.before.node_by_name[node].state in ("up", "paused") and node not in self.failed

    def _who_waits(self, seen: Cluster, why: str) -> tuple[Waiting, ...]:
        until_s = max(self._waits_since_s, self.crew.last_event_s) + PATIENCE_S
        found = [Waiting("the run", f"begins nothing: {why}", until_s)] if why else []
        if first := self.first.waits_for():
            found.append(Waiting("other nodes", f"leave only once {first} has left, which is to go first", until_s))
        for turn in self._away.values():
            state = self.lives.nodes[turn.node].state.replace("_", " ")
            found.append(Waiting(f"node {turn.node}", f"is {state}", until_s))
        return (*found, *self.awaited.waiting(seen, self.pending()))
