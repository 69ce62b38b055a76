"""A run as plain lines, for logs and for terminals that cannot redraw."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from shunter.commands.screens.live import ended_line
from shunter.commands.screens.run_view import RunView, parts_of
from shunter.commands.screens.words import clock, count, signs_of
from shunter.engine.audience import Progress, Waiting
from shunter.flows.spoken import duration
from shunter.statemachines.lifecycle import Step
from shunter.statemachines.migration import State
from shunter.topology.plan import Plan


class Lines:
    """An audience that says what changes, a line each, with the time since the start of the run."""

    def __init__(self, view: RunView, console: Console) -> None:
        self.view, self.console = view, console
        self._said = 0

    def planned(self, plan: Plan, at_s: float) -> None:
        self.view.planned(plan, at_s)
        stays = f", {len(plan.unplaced)} must stay" if plan.unplaced else ""
        self.say(f"{count(len(plan.moves), 'live migration')} planned, forecast {duration(plan.makespan_s)}{stays}")

    def stepped(self, step: Step) -> None:
        self.view.stepped(step)
        if step.lifecycle == "node":
            self.say(f"{step.subject}: {step.target}" + (f" ({step.reason})" if step.reason else ""))
        elif step.lifecycle == "migration" and step.target == State.PREPARING:
            vm, _, _ = parts_of(step.subject)
            self.say(f"{step.subject} begins, about {duration(self.view.running[vm].estimate_s)}")
        elif step.target == State.LOST_SIGHT and step.lifecycle != "vm":
            self.say(f"{step.subject}: lost sight ({step.reason}); looking where it is")
        elif len(self.view.ended) > self._said:
            self._said = len(self.view.ended)
            line = ended_line(self.view.ended[-1], signs_of(self.console))
            self.say(line.append(f" ({self.view.done} of {self.view.in_all} moved)"))

    def progressed(self, progress: Progress) -> None:
        self.view.progressed(progress)

    def waiting(self, waiting: tuple[Waiting, ...]) -> None:
        self.view.waiting(waiting)

    def say(self, what: str | Text) -> None:
        """One line, never wrapped: what reads it may be a program."""
        signs = signs_of(self.console)
        text = signs.text(what) if isinstance(what, str) else what
        line = Text(f"[{clock(self.view.elapsed_s):>5}] ", style="dim") + text
        self.console.print(line, highlight=False, soft_wrap=True)
