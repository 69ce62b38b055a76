"""What is known of a run while it goes on: an audience of the engine that screens read. No drawing, no I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from shunter.commands.screens.rolling_view import RollingView
from shunter.engine.audience import Progress, Waiting
from shunter.flows.restarts_seen import RestartsSeen
from shunter.statemachines.lifecycle import Step
from shunter.statemachines.migration import MIGRATION, State
from shunter.statemachines.node import State as NodeState
from shunter.topology.pairing import Wanted
from shunter.topology.plan import Finding, Plan
from shunter.topology.timeline import schedule

QUEUED = frozenset({State.PLANNED, State.WAITING})
TROUBLE = frozenset({State.REFUSED, State.ROLLED_BACK, State.OVERTAKEN, State.LOST_SIGHT})
LEAST_PERCENT_TO_TRUST = 15.0
RECALCULATED_EVERY_S = 1.0


@dataclass(slots=True)
class Mover:
    """One migration, as far as it is. Times are the cluster's clock."""

    vm: str
    source: str
    target: str
    state: State
    since_s: float
    estimate_s: float
    percent: float = 0.0
    copying_since_s: float | None = None
    copied_at_s: float | None = None

    def left_s(self, now_s: float) -> float:
        """By the estimate at first, by the speed of the copying once that says something."""
        by_estimate_s = max(self.estimate_s - (now_s - self.since_s), 0.0)
        if self.copying_since_s is None or self.copied_at_s is None or self.percent < LEAST_PERCENT_TO_TRUST:
            return by_estimate_s
        copying_s = (self.copied_at_s - self.copying_since_s) * 100.0 / self.percent
        settling_s = 1.0
        return max(self.copying_since_s + copying_s + settling_s - now_s, 0.0)


@dataclass(frozen=True, slots=True)
class Ended:
    """A migration that is over. `took_s` None: it was never begun."""

    vm: str
    source: str
    target: str
    state: State
    took_s: float
    reason: str


@dataclass(slots=True)
class RunView:
    """`real_s`: a clock of seconds, for the time between two messages; `speed`: of the cluster's clock against it.

    `rolling`: the nodes' turns, of a rolling run; `failover`: the VMs that are to run again. `stopping`: it was asked
    to stop, so that nothing new begins.
    """

    real_s: Callable[[], float]
    speed: float = 1.0
    plan: Plan | None = None
    zero_s: float = 0.0
    running: dict[str, Mover] = field(default_factory=dict)
    queued: dict[str, Mover] = field(default_factory=dict)
    ended: list[Ended] = field(default_factory=list)
    node_states: dict[str, NodeState] = field(default_factory=dict)
    rolling: RollingView | None = None
    failover: RestartsSeen | None = None
    stopping: bool = False
    waits: tuple[Waiting, ...] = ()
    warnings: list[Finding] = field(default_factory=list)
    _estimates_s: dict[tuple[str, str], float] = field(default_factory=dict)
    _heard: tuple[float, float] | None = None
    _forecast: tuple[float, float] | None = None

    # -------------------------------------------------------------- what the engine tells

    def planned(self, plan: Plan, at_s: float) -> None:
        self.plan, self.zero_s = plan, at_s
        self._estimates_s = {(move.vm, move.target): move.end_s - move.start_s for move in plan.moves}
        self.rolling = RollingView(plan) if plan.kind == "rolling_maintenance" else None
        self.failover = RestartsSeen() if plan.kind == "failover" else None
        if self.failover is not None:
            self.failover.planned(plan, at_s)
        self._hear(at_s)

    def stepped(self, step: Step) -> None:
        self._hear(step.at_s)
        if self.failover is not None:
            self.failover.stepped(step)
        if step.lifecycle == "node":
            node, state = step.subject.removeprefix("node "), NodeState(step.target)
            self.node_states[node] = state
            if self.rolling is not None:
                at_s = step.at_s - self.zero_s
                self.rolling.node_stepped(node, NodeState(step.source), state, at_s, step.reason)
        elif step.lifecycle == "migration":
            self._migration_stepped(step)

    def progressed(self, progress: Progress) -> None:
        self._hear(progress.at_s)
        mover = self.running.get(progress.vm)
        if mover is None:
            return
        mover.estimate_s = progress.estimate_s
        self._estimates_s[progress.vm, progress.target] = progress.estimate_s
        if mover.copying_since_s is None:
            mover.copying_since_s = progress.at_s
        mover.percent, mover.copied_at_s = progress.percent, progress.at_s

    def waiting(self, waiting: tuple[Waiting, ...]) -> None:
        if self.failover is not None:
            self.failover.waiting(waiting)
        self.waits = waiting if self.rolling is None else self.rolling.waiting(waiting)

    def warned(self, finding: Finding, at_s: float) -> None:
        self._hear(at_s)
        self.warnings.append(finding)

    def _migration_stepped(self, step: Step) -> None:
        vm, source, target = parts_of(step.subject)
        state = State(step.target)
        mover = self.running.get(vm) or self.queued.get(vm)
        if mover is None or (mover.source, mover.target) != (source, target):
            mover = Mover(vm, source, target, state, step.at_s, self._estimate_s(vm, target))
        begun = self.running.pop(vm, None) is not None
        self.queued.pop(vm, None)
        mover.state = state
        if state in QUEUED:
            self.queued[vm] = mover
        elif not MIGRATION.resting(state):
            if not begun:
                mover.since_s = step.at_s
                if self.rolling is not None:
                    self.rolling.move_begun(source, step.at_s - self.zero_s)
            self.running[vm] = mover
        elif begun or state is not State.CANCELLED:
            self.ended.append(Ended(vm, source, target, state, step.at_s - mover.since_s, step.reason))
            if self.rolling is not None and begun:
                self.rolling.move_over(source, step.at_s - self.zero_s, done=state is State.DONE)

    def _estimate_s(self, vm: str, target: str) -> float:
        """Another target than planned takes about as long."""
        same_vm = (estimate for (name, _), estimate in self._estimates_s.items() if name == vm)
        return self._estimates_s.get((vm, target)) or next(same_vm, 0.0)

    def _hear(self, at_s: float) -> None:
        if self._heard is None or at_s >= self._heard[0]:
            self._heard = (at_s, self.real_s())

    # -------------------------------------------------------------- what screens ask

    @property
    def now_s(self) -> float:
        """The cluster's clock."""
        if self._heard is None:
            return 0.0
        at_s, real_s = self._heard
        return at_s + (self.real_s() - real_s) * self.speed

    @property
    def elapsed_s(self) -> float:
        return self.now_s - self.zero_s

    @property
    def done(self) -> int:
        return sum(end.state is State.DONE for end in self.ended)

    @property
    def in_all(self) -> int:
        """How many VMs are to move live, as far as is known now; of a rolling run, in which a VM may move more than
        once, how many moves there are.
        """
        if self.rolling is not None:
            return max(len(self.rolling.plan.moves), self.done + len(self.running) + len(self.queued))
        planned = {move.vm for move in self.plan.moves} if self.plan else set[str]()
        return len(planned | set(self.running) | set(self.queued) | {end.vm for end in self.ended})

    @property
    def troubles(self) -> list[Ended]:
        return [end for end in self.ended if end.state in TROUBLE]

    @property
    def forecast_end_s(self) -> float:
        """When the last migration should end, in seconds of the run, by what is left to do now; of a rolling run, when
        all nodes should be back.
        """
        now_s = self.now_s
        if self.rolling is not None:
            moves_end_s = max((mover.left_s(now_s) for mover in self.running.values()), default=-self.elapsed_s)
            return self.rolling.end_s(self.elapsed_s, self.elapsed_s + moves_end_s, asked_to_stop=self.stopping)
        if self._forecast is not None and now_s - self._forecast[0] < RECALCULATED_EVERY_S * self.speed:
            return max(self._forecast[1], self.elapsed_s if self.running else 0.0)
        busy_until_s: dict[str, float] = {}
        for mover in self.running.values():
            for node in (mover.source, mover.target):
                busy_until_s[node] = max(busy_until_s.get(node, 0.0), mover.left_s(now_s))
        wanted = [Wanted(m.vm, m.source, m.target, m.estimate_s) for m in self.queued.values()]
        ends = [end_s for _, end_s, _ in schedule(wanted, busy_until_s)]
        left_s = max([*ends, *busy_until_s.values()], default=0.0)
        self._forecast = (now_s, self.elapsed_s + left_s)
        return self._forecast[1]


def parts_of(label: str) -> tuple[str, str, str]:
    """VM, source and target of a migration's label, "web-1: N1 → N3"."""
    vm, _, nodes = label.rpartition(": ")
    source, _, target = nodes.partition(" → ")
    return vm, source, target
