"""A run as plain lines, for logs and for terminals that cannot redraw."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from shunter.commands.screens.failover_lines import FailoverLines
from shunter.commands.screens.live import ended_line
from shunter.commands.screens.rolling_live import is_late
from shunter.commands.screens.rolling_view import NodeTurn, RollingView, Where, what_holds_up
from shunter.commands.screens.run_view import RunView, parts_of
from shunter.commands.screens.words import clock, count, listed, signs_of
from shunter.engine.audience import Progress, Waiting
from shunter.flows.spoken import duration
from shunter.statemachines.lifecycle import Step
from shunter.statemachines.migration import State
from shunter.topology.plan import Finding, Plan


class Lines:
    """An audience that says what changes, a line each, with the time since the start of the run."""

    def __init__(self, view: RunView, console: Console) -> None:
        self.view, self.console = view, console
        self._said = 0
        self._where: dict[str, Where] = {}
        self._late: set[str] = set()
        self._held_up = ""
        self._failover: FailoverLines | None = None

    def planned(self, plan: Plan, at_s: float) -> None:
        self.view.planned(plan, at_s)
        if self.view.failover is not None:
            self._failover = FailoverLines(plan, self.view.failover)
            self.say(self._failover.planned())
            return
        moves = f"{count(len(plan.moves), 'live migration')} planned, forecast {duration(plan.makespan_s)}"
        if plan.kind == "resume" and not plan.moves:
            moves = "no VM is to move"
        if self.view.rolling is None:
            stays = f", {len(plan.unplaced)} must stay" if plan.unplaced else ""
            self.say(f"{moves}{stays}")
        else:
            left_out = self.view.rolling.left_out
            told = f", {listed(left_out)} left out" if left_out else ""
            self.say(f"{count(len(plan.maintenance), 'node')} and {moves}{told}")

    def stepped(self, step: Step) -> None:
        self.view.stepped(step)
        if self._failover is not None:
            for told in self._failover.stepped(step, signs_of(self.console)):
                self.say(told)
        rolling = self.view.rolling
        if step.lifecycle == "node":
            if rolling is None or step.subject.removeprefix("node ") not in rolling.turns:
                state = step.target.replace("_", " ")
                self.say(f"{step.subject}: {state}" + (f" ({step.reason})" if step.reason else ""))
        elif step.lifecycle == "migration" and step.target == State.PREPARING:
            vm, _, _ = parts_of(step.subject)
            how_long = f"about {duration(self.view.running[vm].estimate_s)}"
            self.say(f"{step.subject} begins, {how_long if self._failover is None else 'to make room'}")
        elif step.target == State.LOST_SIGHT and step.lifecycle != "vm":
            self.say(f"{step.subject}: lost sight ({step.reason}); looking where it is")
        elif len(self.view.ended) > self._said:
            self._said = len(self.view.ended)
            line = ended_line(self.view.ended[-1], signs_of(self.console))
            what = "moved" if rolling is None else "moves made"
            so_far = f" ({self.view.done} of {self.view.in_all} {what})" if self._failover is None else ""
            self.say(line.append(so_far))
        if rolling is not None:
            self._say_turns(rolling)

    def progressed(self, progress: Progress) -> None:
        self.view.progressed(progress)
        if self.view.rolling is not None:
            self._say_late(self.view.rolling)

    def waiting(self, waiting: tuple[Waiting, ...]) -> None:
        self.view.waiting(waiting)
        if self._failover is not None:
            for line in self._failover.waiting(self.view.zero_s):
                self.say(line)
        if self.view.rolling is not None:
            self._say_late(self.view.rolling)
        held_up = what_holds_up(waiting)
        if held_up != self._held_up:
            self._held_up = held_up
            if held_up:
                self.say(f"nothing new begins: {held_up}")

    def warned(self, finding: Finding, at_s: float) -> None:
        self.view.warned(finding, at_s)
        self.say(f"{signs_of(self.console).warning} {finding.message}")

    def say(self, what: str | Text) -> None:
        """One line, never wrapped: what reads it may be a program."""
        signs = signs_of(self.console)
        text = signs.text(what) if isinstance(what, str) else what
        line = Text(f"[{clock(self.view.elapsed_s):>5}] ", style="dim") + text
        self.console.print(line, highlight=False, soft_wrap=True)

    # -------------------------------------------------------------- nodes in their turns

    def _say_turns(self, rolling: RollingView) -> None:
        """Each node that came somewhere else than it was when this was said last."""
        for turn in rolling.turns.values():
            if turn.where is self._where.get(turn.node, Where.WAITING):
                continue
            self._where[turn.node] = turn.where
            self._late.discard(turn.node)
            self.say(self._told(rolling, turn))

    def _told(self, rolling: RollingView, turn: NodeTurn) -> str:
        signs = signs_of(self.console)
        match turn.where:
            case Where.AWAY:
                return f"node {turn.node}: {turn.where}, about {duration(turn.planned_s)}"
            case Where.DONE:
                done = f"{rolling.done} of {count(len(rolling.turns), 'node')} done"
                return f"{signs.done} node {turn.node}: {turn.where} ({done}, end about {self._end()})"
            case Where.FAILED:
                why = turn.remark or turn.gone or f"it is {turn.seen.replace('_', ' ')}"
                return f"{signs.wrong} node {turn.node}: {turn.where}: {why}"
            case _:
                return f"node {turn.node}: {turn.where}"

    def _say_late(self, rolling: RollingView) -> None:
        for turn in rolling.away:
            if turn.node not in self._late and is_late(turn, self.view.elapsed_s):
                self._late.add(turn.node)
                self.say(
                    f"node {turn.node}: in maintenance for longer than the planned {duration(turn.planned_s)}; "
                    f"waiting for it (end about {self._end()})"
                )

    def _end(self) -> str:
        return clock(self.view.forecast_end_s)
