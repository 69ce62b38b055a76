"""The pre-flight on the screen: what stands against a run, what to know, what the loss of a node would mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from shunter.commands.screens.finding import MOST_NAMED, indented, print_finding
from shunter.commands.screens.words import Signs, count, listed, signs_of
from shunter.flows.markdown import check_headline
from shunter.topology.loss import Loss
from shunter.topology.plan import Severity
from shunter.topology.preflight import Check
from shunter.topology.requirements.grouping import grouped

TITLES: dict[Severity, str] = {"error": "Stands against every run", "warning": "Worth knowing", "info": "As it is now"}


@dataclass(frozen=True, slots=True)
class CheckScreen:
    check: Check
    console: Console

    @property
    def signs(self) -> Signs:
        return signs_of(self.console)

    def print(self) -> None:
        """All of it; very long messages are cut, and --json has them whole."""
        groups = grouped(self.check.findings)
        for severity, title in TITLES.items():
            if any(group.severity == severity for group in groups):
                self._title(title)
                for group in groups:
                    if group.severity == severity:
                        print_finding(group, self.console)
        if self.check.survives_loss:
            self._title("If one node were lost now")
            self._losses()
        self._say(Text())
        sign, style = (self.signs.done, "bold green") if self.check.ok else (self.signs.wrong, "bold red")
        line = Text(f"{sign} ", style=style).append_text(self.signs.text(check_headline(self.check), style))
        self._say(line)

    def _losses(self) -> None:
        covered = [loss.node for loss in self.check.survives_loss if loss.ok]
        for loss in self.check.survives_loss:
            if loss.ok is None:
                self._loss(self.signs.warning, "yellow", loss.node, "not decided within the limits of the search")
            elif not loss.ok:
                self._loss(self.signs.wrong, "red", loss.node, self._would_not_restart(loss))
        if covered:
            self._loss(self.signs.done, "green", self._all_of(covered), "every VM would restart elsewhere")

    def _loss(self, sign: str, style: str, nodes: str, what: str) -> None:
        line = Text().append(f"{sign} ", style=style)
        line.append_text(self.signs.text(f"{nodes}: ", "bold"))
        line.append_text(self.signs.text(what))
        self._say(indented(line, 2, self.console))

    def _would_not_restart(self, loss: Loss) -> str:
        few = "" if loss.fewest else "perhaps fewer: "
        names = listed(loss.unplaced, MOST_NAMED)
        if len(loss.unplaced) <= MOST_NAMED:
            return f"{few}{names} would not restart"
        return f"{few}{count(len(loss.unplaced), 'VM')} would not restart ({names})"

    def _all_of(self, nodes: Sequence[str]) -> str:
        in_all = len(self.check.survives_loss)
        if len(nodes) == in_all > MOST_NAMED:
            return f"each of {in_all} nodes"
        return f"the other {len(nodes)}" if in_all > len(nodes) > MOST_NAMED else listed(nodes)

    # -------------------------------------------------------------- small things

    def _title(self, title: str) -> None:
        self._say(Text())
        self._say(Text(title, style="bold"))

    def _say(self, what: Text) -> None:
        self.console.print(what, highlight=False)
