"""Rolling maintenance: every node is emptied, maintained, proven to be back, and only then counted on again (I3–I6).

The plan is a forecast, not a script. Each turn of the loop begins with a fresh look, from which the same decision that
made the forecast says which VM starts now and which node leaves. Where the world is no longer as planned (a node fails,
VMs come and go), order and number of nodes at once are planned anew, and what is under way goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from shunter.clusters.port import ClusterPort, Failed, Unreachable
from shunter.engine.audience import Audience, Waiting
from shunter.engine.control import Control
from shunter.engine.crew import Crew
from shunter.engine.holds import Holds
from shunter.engine.lives import Lives
from shunter.engine.looking import LOOK_AGAIN_S, look
from shunter.engine.maintenance import Action, Hooks, Reboot, call
from shunter.engine.migrate import StartMigration, run_here
from shunter.engine.pausing import Pausing
from shunter.engine.rest import Rest
from shunter.engine.rolling_report import rolling_report
from shunter.engine.turn import Turn
from shunter.topology.model import Cluster, Node, VirtualMachine
from shunter.topology.plan import Plan
from shunter.topology.preflight import with_requirements
from shunter.topology.rolling import RollingPolicy, forecast
from shunter.topology.rolling.fleet import Fitness, Fleet, Phase
from shunter.topology.rolling.planning import Planner
from shunter.topology.rolling.policy import not_together
from shunter.topology.rolling.reserve import Reserve
from shunter.topology.rolling.strategy import Deciding, Leave, Start, Strategy

PATIENCE_S = 1800.0
"""How long the run waits when nothing of its own is under way and nothing may begin: for others' migrations, backups,
storage that is rebuilt, the operator's word to go on apart."""

DECIDE_AGAIN_S = 60.0
MOST_COURSES_ANEW = 4
MOST_OCCUPIED = 5


@dataclass(frozen=True, slots=True)
class Budget:
    """`failed_nodes`: how many more may fail before no further node is begun. `retries`: of a node whose maintenance
    failed and that is up all the same. `stop_after_s`: no node is begun later, counted from the start of the run.
    """

    failed_nodes: int = 0
    retries: int = 0
    stop_after_s: float | None = None


async def maintain(
    cluster: ClusterPort,
    nodes: Sequence[str] = (),
    policy: RollingPolicy | None = None,
    *,
    holds: Holds,
    audience: Audience,
    start: StartMigration = run_here,
    control: Control | None = None,
    action: Action | None = None,
    hooks: Hooks | None = None,
    budget: Budget | None = None,
    planned: tuple[Plan, Strategy] | None = None,
) -> Plan:
    """Take these nodes (none: all) through their maintenance; return the report, or the plan itself (`executed` false)
    when a finding forbids the run or no node can be maintained.

    `planned`: what `forecast` says of the cluster as it stands, where that is known already.
    `control`: asked to stop, nothing new begins; what is away is brought back. Cancelling it does the same, and then
    CancelledError is raised. Raises RequestError (unknown node): nothing was touched; and Unreachable, which says what
    had been touched.
    """
    policy = policy or RollingPolicy()
    seen = await cluster.look()
    found, strategy = planned or forecast(seen, nodes, policy)
    plan = with_requirements(seen, found)
    started_s = cluster.clock.now_s()
    audience.planned(plan, started_s)
    if plan.errors or not plan.maintenance:
        return plan
    run = _Rolling(
        cluster,
        plan,
        strategy,
        policy,
        holds,
        audience,
        start,
        control or Control(),
        action or Reboot(),
        hooks or Hooks(),
        budget or Budget(),
        seen,
        started_s,
    )
    return await run.carry_out()


@dataclass(slots=True, eq=False)
class _Rolling:
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
    lives: Lives = field(init=False)
    pausing: Pausing = field(init=False)
    crew: Crew = field(init=False)
    turns: list[Turn] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    """Nodes that have no turn any more, and why."""
    _away: dict[asyncio.Task[None], Turn] = field(default_factory=dict)
    _hooked: set[str] = field(default_factory=set)
    _tries: dict[str, int] = field(default_factory=dict)
    _occupied: dict[str, int] = field(default_factory=dict)
    _fitness: tuple[object, Fitness] | None = None
    _waits_since_s: float = 0.0
    _decided: tuple[frozenset[str], object, float] = (frozenset(), None, 0.0)

    def __post_init__(self) -> None:
        self.lives = Lives(self.before, (), self.cluster.clock, self.audience)
        self.pausing = Pausing(self.cluster, self.lives)
        self.crew = Crew(self.cluster, self.holds, self.lives, self.audience, self.start)

    @property
    def wanted(self) -> tuple[str, ...]:
        return tuple(turn.node for turn in self.plan.maintenance)

    async def carry_out(self) -> Plan:
        cancelled: asyncio.CancelledError | None = None
        self._waits_since_s = self.crew.last_event_s = self.cluster.clock.now_s()
        try:
            await call(self.hooks.before_run, self.plan.cluster, "before the run on")
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
                await call(self.hooks.after_run, self.plan.cluster, "after the run on")
        except Failed as error:
            self.refused.update(dict.fromkeys(self._pending(), str(error)))
        except Unreachable as error:
            raise Unreachable(f"{error}. {self._touched()}") from error
        finally:
            await asyncio.gather(*self._away, *self.crew.running, return_exceptions=True)
        await self._give_back()
        seen = await look(self.cluster)
        self.lives.observe(seen)
        self.audience.waiting(())
        if cancelled is not None:
            raise cancelled
        return rolling_report(self, seen, await self.cluster.migration_log())

    def _touched(self) -> str:
        paused = ", ".join(self.pausing.ours) or "nothing"
        return f"Until then this run had paused {paused} and maintained {', '.join(sorted(self.done)) or 'nothing'}"

    async def _give_back(self) -> None:
        """Nodes that we paused and whose maintenance never began take VMs again (I8)."""
        begun = {turn.node for turn in self.turns if turn.started_s is not None and turn.ended != "called off"}
        for name in tuple(self.pausing.ours):
            if name not in begun:
                await self.pausing.resume(name)

    # -------------------------------------------------------------- one turn of the loop

    async def _turn(self) -> bool:
        """True when it was the last."""
        seen = await look(self.cluster)
        self.lives.observe(seen)
        self.crew.find_the_lost(seen)
        if self.control.asked:
            for turn in self._away.values():
                turn.called_off = True
            if self.control.running == "cancel":
                await self.crew.call_off()
        waits = self._why_nothing_begins(seen)
        unlocked = False if waits else await self._begin(seen)
        if unlocked:
            return False
        under_way = bool(self.crew.running or self._away)
        if not under_way and (self.control.asked or not self._pending() or not self._worth_waiting(seen)):
            return True
        self.audience.waiting(self._who_waits(waits))
        await self._next_event(seen)
        return False

    async def _next_event(self, seen: Cluster) -> None:
        within_s = self.crew.asked_again_in_s() or LOOK_AGAIN_S * 12
        change = asyncio.create_task(self.cluster.wait_for_change(seen, max(within_s, 0.01)))
        asked = asyncio.create_task(self.control.wait())
        try:
            await asyncio.wait({change, asked, *self.crew.running, *self._away}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
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
            await self._after(turn)

    async def _after(self, turn: Turn) -> None:
        """Draw the consequences of a node's turn."""
        node = turn.node
        match turn.ended:
            case "done":
                self.done.add(node)
            case "occupied":
                self._occupied[node] = self._occupied.get(node, 0) + 1
                if self._occupied[node] >= MOST_OCCUPIED:
                    self.refused[node] = turn.why
            case "failed":
                self._tries[node] = self._tries.get(node, 0) + 1
                seen = await look(self.cluster)
                if self._tries[node] <= self.budget.retries and seen.node_by_name[node].state in ("up", "paused"):
                    return
                self.failed[node] = turn.why
                self._plan_anew(seen)
            case "called off":
                pass

    # -------------------------------------------------------------- what begins

    def _why_nothing_begins(self, seen: Cluster) -> str:
        """Empty where something may begin."""
        if self.control.asked:
            return "the run was asked to stop"
        if self.control.held:
            return "the operator holds the run"
        if len(self.failed) > self.budget.failed_nodes:
            return f"{', '.join(self.failed)} failed, and no more may fail"
        stuck = [volume.name for volume in seen.volumes if volume.state == "redirected_stuck"]
        if stuck:
            return f"{', '.join(stuck)} is left in redirected I/O by a backup (R18)"
        return ""

    async def _begin(self, seen: Cluster) -> bool:
        """Let everything begin that may; True where one more node was let go to nodes that are not done."""
        self._refuse_late()
        if not self._is_something_free(seen):
            return False
        fleet = self._fleet(seen)
        deciding = Deciding(
            fleet,
            Reserve(fleet, self.plan.reserve_nodes),
            self.strategy,
            not_with=not_together(self.before, self.policy),
        )
        while (action := deciding.next()) is not None:
            if isinstance(action, Leave):
                fleet.leave(action.node)
                if not seen.storage_jobs:
                    await self._leave(seen, action.node, deciding)
            elif await self._may_drain(action.source):
                fleet.begin(action.vm, action.target)
                await self._send(seen, action, fleet)
            else:
                fleet.phase[action.source] = Phase.STAYING
            if self.control.asked or self.control.held:
                return False
        if self.crew.running or self._away or seen.migrations or self.crew.asked_again_in_s() or seen.storage_jobs:
            return False
        node = deciding.unlock()
        if node is None:
            return False
        others = tuple(name for name in self.strategy.order if name != node)
        self.strategy = replace(self.strategy, order=(node, *others), seeds=self.strategy.seeds + 1)
        return True

    def _is_something_free(self, seen: Cluster) -> bool:
        """Whether anything may be possible that was not when it was decided last: while no node became free, no phase
        changed and no VM came or went, nothing is.
        """
        if not (self.crew.running or self._away):
            return True
        busy = frozenset(self.crew.busy(seen))
        standing = (
            self._phases(seen),
            self._occupied.copy(),
            len(seen.vms),
            sum(vm.holds_memory for vm in seen.vms),
            seen.volumes,
        )
        last_busy, last_standing, decided_s = self._decided
        now_s = self.cluster.clock.now_s()
        if busy >= last_busy and standing == last_standing and now_s < decided_s + DECIDE_AGAIN_S:
            self._decided = busy, standing, decided_s
            return False
        self._decided = busy, standing, now_s
        return True

    async def _leave(self, seen: Cluster, node: str, deciding: Deciding) -> None:
        if not await self._may_drain(node):
            return
        planned = {move.name: move.target for move in self.plan.role_moves if move.source == node}
        soon = {name for name in deciding.active() if name != node} | self._nodes_away()
        rest = Rest(self.cluster, self.lives, (node,), 0, self.crew.tried, planned, avoided=soon)
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
        )
        self.turns.append(turn)
        self._away[asyncio.create_task(turn.run())] = turn

    async def _send(self, seen: Cluster, action: Start, fleet: Fleet) -> None:
        together = {action.vm: action.target}
        for rule in seen.rules_by_vm.get(action.vm, ()):
            if rule.kind.startswith("same") and not rule.soft:
                together |= {name: action.target for name in rule.vms if fleet.place.get(name) == action.source}
        away = tuple(turn.node for turn in self._away.values())
        await self.crew.send(seen, action.vm, action.target, away, together)

    async def _may_drain(self, node: str) -> bool:
        """Whether the hook before a node lets it be touched; asked once."""
        if node in self._hooked:
            return node not in self.refused
        self._hooked.add(node)
        try:
            await call(self.hooks.before_node, node, "before")
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
        for node in self._pending():
            self.refused[node] = f"{node} would not be back within the window of {window_s:g} s"

    # -------------------------------------------------------------- the world as numbers

    def _pending(self) -> list[str]:
        over = self.done | self.failed.keys() | self.refused.keys() | self.control.skipped | self._nodes_away()
        return [node for node in self.wanted if node not in over]

    def _nodes_away(self) -> set[str]:
        return {turn.node for turn in self._away.values()}

    def _fleet(self, seen: Cluster) -> Fleet:
        fleet = Fleet(seen, self._phases(seen), self._fitness_of(seen))
        for errand in self.crew.running.values():
            vm, target = errand.migration.vm, errand.migration.target
            if vm not in fleet.heading and fleet.place.get(vm, target) != target:
                fleet.begin(vm, target)
        fleet.busy |= self.crew.busy(seen)
        return fleet

    def _phases(self, seen: Cluster) -> dict[str, Phase]:
        away, pending = self._nodes_away(), set(self._pending())
        return {node.name: self._phase(node, away, pending) for node in seen.nodes}

    def _phase(self, node: Node, away: set[str], pending: set[str]) -> Phase:
        if node.name in away:
            return Phase.AWAY
        if node.state not in ("up", "paused"):
            return Phase.OUT
        if node.name in pending:
            return Phase.PENDING
        if node.state == "paused":
            return Phase.OUT
        return Phase.DONE if node.name in self.done else Phase.STAYING

    def _fitness_of(self, seen: Cluster) -> Fitness:
        """Where VMs may go, less what cannot move now and what failed lately."""
        known = (
            tuple((vm.name, vm.state, vm.clustered, vm.possible_owners, vm.volumes) for vm in seen.vms),
            tuple((volume.name, volume.state, volume.reachable_from) for volume in seen.volumes),
        )
        if self._fitness is None or self._fitness[0] != known:
            self._fitness = known, Fitness(seen)
        held = {vm.name for vm in seen.vms if vm.backup} | self.crew.in_hand() | self.crew.given_up()
        return _Fewer(self._fitness[1], held, self.crew.forbidden())

    def _plan_anew(self, seen: Cluster) -> None:
        """The order and number of nodes for what is left, from how the cluster stands now."""
        left = self._pending()
        if left:
            policy = self.policy.model_copy(update={"reserve_nodes": self.plan.reserve_nodes, "window_s": None})
            course = Planner(seen, tuple(left), policy).best(self.plan.reserve_nodes, most_courses=MOST_COURSES_ANEW)
            if not course.undone:
                self.strategy = course.strategy

    # -------------------------------------------------------------- waiting

    def _worth_waiting(self, seen: Cluster) -> bool:
        """Whether something that is in the way may still pass."""
        if self.control.held:
            return True
        if len(self.failed) > self.budget.failed_nodes:
            return False
        waited_s = self.cluster.clock.now_s() - max(self._waits_since_s, self.crew.last_event_s)
        passing = (
            bool(seen.migrations)
            or bool(seen.storage_jobs)
            or self.crew.asked_again_in_s() is not None
            or any(vm.backup and vm.node in self._pending() for vm in seen.vms)
            or any(volume.state == "redirected_stuck" for volume in seen.volumes)
            or any(seen.node_by_name[node].state not in ("up", "paused") for node in self._pending())
            or bool(self.crew.tried)
        )
        return passing and waited_s < PATIENCE_S

    def _who_waits(self, why: str) -> tuple[Waiting, ...]:
        until_s = max(self._waits_since_s, self.crew.last_event_s) + PATIENCE_S
        found = [Waiting("the run", f"begins nothing: {why}", until_s)] if why else []
        for turn in self._away.values():
            state = self.lives.nodes[turn.node].state.replace("_", " ")
            found.append(Waiting(f"node {turn.node}", f"is {state}", until_s))
        return tuple(found)


class _Fewer(Fitness):
    """The same, without VMs that are held and pairs that are forbidden."""

    def __init__(self, fitness: Fitness, held: set[str], forbidden: set[tuple[str, str]]) -> None:
        self.cluster, self._all = fitness.cluster, fitness
        self._held, self._forbidden = held, forbidden
        self._tried = {vm for vm, _ in forbidden}

    def of(self, vm: str) -> frozenset[str]:
        if vm in self._held:
            return frozenset()
        fit = self._all.of(vm)
        return fit if vm not in self._tried else frozenset(n for n in fit if (vm, n) not in self._forbidden)

    def duration_s(self, vm: VirtualMachine, source: str, target: str) -> float | None:
        return self._all.duration_s(vm, source, target)
