"""A watch on the terminal: a line for each occurrence and, where the terminal can redraw, how the cluster stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from shunter.commands.screens.finding import sign_of
from shunter.commands.screens.plan import SEVERITIES
from shunter.commands.screens.redrawn import Redrawn
from shunter.commands.screens.rolling_live import bar
from shunter.commands.screens.words import Signs, count, memory, signs_of
from shunter.engine.watch import Glance
from shunter.flows.watch_document import numbers, watch_headline
from shunter.topology.model import Cluster, Node
from shunter.topology.watching.condition import Occurrence, Standing
from shunter.topology.watching.report import Watch

FRAMES_PER_S = 2
MOST_STANDING = 6
LEAST_NODES = 3
NODE_STYLES = {"up": "green", "paused": "yellow", "joining": "yellow"}

Stamp = Callable[[float], str]
"""When something happened (the cluster's seconds), as it is shown."""


class WatchLines:
    """A watcher that says each occurrence in one line, which is never wrapped: what reads it may be a program.

    `begins`: that the first look is done is said, too.
    """

    def __init__(self, console: Console, stamp: Stamp, *, begins: bool = False) -> None:
        self.console, self.stamp, self._begins = console, stamp, begins

    def occurred(self, occurrence: Occurrence) -> None:
        signs = signs_of(self.console)
        line = Text(f"[{self.stamp(occurrence.at_s):>8}] ", style="dim")
        line.append(f"{occurrence.severity:7} ", style=SEVERITIES[occurrence.severity])
        line.append_text(signs.text(f"{occurrence.what}: ", "bold"))
        line.append_text(signs.text(_said(occurrence)))
        self.console.print(line, highlight=False, soft_wrap=True)

    def looked(self, glance: Glance) -> None:
        if self._begins:
            self._begins = False
            name = signs_of(self.console).plain(glance.cluster.name)
            line = f"[{self.stamp(glance.at_s):>8}] looks at {name} from now on; Ctrl-C ends it"
            self.console.print(Text(line, style="dim"), highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        self.console.print(signs_of(self.console).text(text, "dim"), highlight=False, soft_wrap=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...


class WatchScreen(Redrawn):
    """A watcher for terminals: what happens stays above, how things stand is redrawn below."""

    def __init__(self, console: Console, stamp: Stamp) -> None:
        super().__init__(console, frames_per_s=FRAMES_PER_S)
        self.stamp = stamp
        self.glance: Glance | None = None
        self._began = self._looked = ""

    def occurred(self, occurrence: Occurrence) -> None:
        signs = signs_of(self.console)
        style = "dim" if occurrence.severity == "info" else SEVERITIES[occurrence.severity]
        line = Text(f"{self.stamp(occurrence.at_s)} ", style="dim")
        line.append(f"{sign_of(occurrence.severity, signs)} ", style=SEVERITIES[occurrence.severity])
        line.append_text(signs.text(occurrence.message, style))
        self.console.print(line, highlight=False)
        if occurrence.severity != "info":
            self.console.print(signs.text(f"           → {occurrence.remedy}", "dim"), highlight=False)

    def looked(self, glance: Glance) -> None:
        self._looked = self.stamp(glance.at_s)
        self._began = self._began or self._looked
        self.glance = glance

    def note(self, text: str) -> None:
        self.console.print(signs_of(self.console).text(text, "bold yellow"), highlight=False)

    def frame(self) -> RenderableType:
        """How things stand, within the height of the terminal."""
        signs = signs_of(self.console)
        if self.glance is None:
            return Text("looking at the cluster", style="dim")
        glance, width = self.glance, self.console.width
        head = signs.text(glance.cluster.name, "bold")
        head.append("   ").append_text(signs.text(numbers(glance.cluster)))
        if glance.reachable:
            head.append(f"   watched since {self._began}, looked at {self._looked}", style="dim")
        else:
            head.append("   out of reach, as it was seen last", style="bold red")
        head.truncate(width, overflow="ellipsis")
        lines: list[RenderableType] = [Text(), head]
        wrong = [each for each in glance.standing if each.severity != "info"]
        room = max(self.console.height - 5 - min(len(wrong), MOST_STANDING), LEAST_NODES)
        lines.append(nodes_table(glance.cluster, room, width, signs))
        lines += [_standing_line(each, width, signs) for each in wrong[:MOST_STANDING]]
        if len(wrong) > MOST_STANDING:
            lines.append(Text(f"and {len(wrong) - MOST_STANDING} more", style="dim"))
        if not wrong:
            lines.append(Text(f"{signs.done} nothing is wrong", style="green"))
        return Group(*lines)


def nodes_table(cluster: Cluster, most: int, width: int, signs: Signs) -> RenderableType:
    """Those that are not up first, then those that have least room; of the others how many there are."""
    order = sorted(cluster.nodes, key=lambda node: (node.state == "up", cluster.free_mib(node.name) / node.for_vms_mib))
    shown = order if len(order) <= most else order[: most - 1]
    if len(order) <= most:
        shown = list(cluster.nodes)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    for justify in ("left", "left", "right", "left", "right"):
        table.add_column(no_wrap=True, overflow="ellipsis", justify=justify)
    cells = max(min(width // 4, 30), 6)
    for node in shown:
        table.add_row(*_row(cluster, node, cells, signs))
    left = len(order) - len(shown)
    return Group(table, Text(f"and {count(left, 'more node')}, all of them up", style="dim")) if left else table


def _row(cluster: Cluster, node: Node, cells: int, signs: Signs) -> Sequence[Text]:
    running = sum(vm.holds_memory for vm in cluster.vms_by_node[node.name])
    used = cluster.used_mib[node.name]
    state = f"{node.state} (ours)" if node.paused_by == "us" else node.state
    return (
        signs.text(node.name, "bold"),
        Text(state, style=NODE_STYLES.get(node.state, "bold red")),
        Text(count(running, "VM")),
        bar(min(used / node.for_vms_mib, 1.0), cells, signs),
        Text(f"{memory(used)} of {memory(node.for_vms_mib)}", style="dim"),
    )


def _standing_line(standing: Standing, width: int, signs: Signs) -> Text:
    line = Text(f"{sign_of(standing.severity, signs)} ", style=SEVERITIES[standing.severity])
    line.append_text(signs.text(standing.message))
    if standing.flapping:
        line.append("  changes again and again", style="yellow")
    line.truncate(width, overflow="ellipsis")
    return line


def _said(occurrence: Occurrence) -> str:
    remedy = "" if occurrence.remedy == "nothing" or occurrence.severity == "info" else f" → {occurrence.remedy}"
    return f"{occurrence.subject}: {occurrence.message}{remedy}"


def print_end(watched: Watch, console: Console) -> None:
    """What is left when a watch is over."""
    signs = signs_of(console)
    if watched.standing:
        console.print(Text("\nAs it is now", style="bold"))
    for standing in watched.standing:
        console.print(_standing_line(standing, max(console.width, 40), signs), highlight=False)
    sign, style = (signs.done, "bold green") if watched.ok else (signs.wrong, "bold red")
    console.print(
        Text(f"\n{sign} ", style=style).append_text(signs.text(watch_headline(watched), style)), highlight=False
    )
