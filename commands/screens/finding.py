"""A finding on the screen: how grave it is, whom it is about, what is so and what to do."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from shunter.commands.screens.plan import SEVERITIES
from shunter.commands.screens.words import Signs, signs_of
from shunter.topology.plan import Severity
from shunter.topology.requirements.grouping import Group

MOST_LINES = 4
MOST_NAMED = 6


def print_finding(group: Group, console: Console) -> None:
    signs = signs_of(console)
    line = Text().append(f"{sign_of(group.severity, signs)} {group.rule} ", style=SEVERITIES[group.severity])
    line.append_text(signs.text(f"{group.about(MOST_NAMED)}: ", "bold"))
    line.append_text(signs.text(group.message, "dim" if group.severity == "info" else ""))
    console.print(indented(line, 2, console), highlight=False)
    if group.severity != "info":
        console.print(indented(signs.text(f"→ {group.remedy}", "dim"), 6, console), highlight=False)


def sign_of(severity: Severity, signs: Signs) -> str:
    return {"error": signs.wrong, "warning": signs.warning, "info": signs.remark}[severity]


def indented(text: Text, left: int, console: Console) -> Text:
    """Wrapped to the width, every line indented alike; what is too long ends with a sign that it goes on."""
    width = max(console.width - left, 40)
    lines = list(text.wrap(console, width))
    if len(lines) > MOST_LINES:
        more = f" {signs_of(console).ellipsis} (whole with --json)"
        lines = lines[:MOST_LINES]
        lines[-1].truncate(width - len(more))
        lines[-1].append(more, style="dim")
    return Text("\n").join(Text(" " * left) + line for line in lines)
