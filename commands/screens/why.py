"""Whether a VM may go to a node, on the screen: the answer first, then every reason with what would help."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from shunter.commands.screens.plan import SEVERITIES
from shunter.commands.screens.words import Signs, memory, sentence, signs_of
from shunter.flows.spoken import duration
from shunter.topology.plan import Finding
from shunter.topology.why import Answer


@dataclass(frozen=True, slots=True)
class WhyScreen:
    """`memory_mib`: of the VM."""

    answer: Answer
    console: Console
    memory_mib: int

    @property
    def signs(self) -> Signs:
        return signs_of(self.console)

    def print(self) -> None:
        """All of it."""
        answer, signs = self.answer, self.signs
        sign, style = (signs.done, "bold green") if answer.ok else (signs.wrong, "bold red")
        if answer.first:
            sign, style = signs.warning, "bold yellow"
        self._say(Text(f"{sign} ", style=style).append_text(signs.text(answer.message, style)))
        if answer.ok and answer.duration_s is not None:
            self._say(self._indented(signs.text(self._cost(answer.duration_s, answer.downtime_ms or 0), "dim"), 2))
        for reason in answer.verdicts:
            line = Text(f"{reason.rule} ", style="red").append_text(signs.text(reason.reason))
            self._say(self._indented(line, 2))
            self._say(self._indented(signs.text(f"→ {reason.remedy}", "green"), 6))
        if answer.first:
            self._title("What would make it possible")
            for number, step in enumerate(answer.first, 1):
                line = Text(f"{number} ", style="dim").append_text(signs.text(step.vm, "bold"))
                self._say(self._indented(line.append_text(signs.text(f" {step.source} → {step.target}")), 2))
        if answer.contradiction:
            self._title("Moving others does not help either; these do not go together")
            for demand in answer.contradiction:
                self._say(self._indented(signs.text(f"{signs.dot} {demand}"), 2))
        if answer.findings:
            self._title("Worth knowing")
            for found in answer.findings:
                self._finding(found)

    def _cost(self, duration_s: float, downtime_ms: int) -> str:
        return sentence(
            f"{memory(self.memory_mib)}, about {duration(duration_s)}; the VM stands still for {downtime_ms} ms"
        )

    def _finding(self, found: Finding) -> None:
        signs = {"error": self.signs.wrong, "warning": self.signs.warning, "info": self.signs.remark}
        line = Text(f"{signs[found.severity]} {found.rule} ", style=SEVERITIES[found.severity])
        self._say(self._indented(line.append_text(self.signs.text(found.message)), 2))
        self._say(self._indented(self.signs.text(f"→ {found.remedy}", "dim"), 6))

    def _title(self, title: str) -> None:
        self._say(Text())
        self._say(Text(title, style="bold"))

    def _indented(self, text: Text, left: int) -> Text:
        """Wrapped to the width, every line indented alike."""
        lines = text.wrap(self.console, max(self.console.width - left, 20))
        return Text("\n").join(Text(" " * left) + line for line in lines)

    def _say(self, what: Text) -> None:
        self.console.print(what, highlight=False)
