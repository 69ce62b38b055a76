"""A rolling run on the screen: the nodes in their order, those left out, and the other ways to do it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from shunter.commands.screens.words import Signs, listed, memory
from shunter.flows.rolling_summary import Turn, least_left_mib, left_out_alike, turns
from shunter.flows.spoken import duration
from shunter.flows.timeline_frame import axis_label
from shunter.topology.plan import Plan

OUTCOMES = {"done": ("done", "green"), "failed": ("failed", "bold red"), "skipped": ("skipped", "yellow")}


@dataclass(frozen=True, slots=True)
class RollingParts:
    plan: Plan
    signs: Signs

    def nodes(self) -> Table:
        """In the order of their start; heads of two lines, so that all fits 80 columns."""
        table = _table()
        table.add_column("\nnode", overflow="ellipsis", no_wrap=True, min_width=6)
        heads = ["emptied\nfrom", "maintenance\nfrom", "\nto", "moves\noff it"]
        heads += ["least\nleft over"] if self._left_known else []
        for head in heads:
            table.add_column(head, justify="right", no_wrap=True)
        if self.plan.executed:
            table.add_column("\noutcome", overflow="fold")
        for turn in turns(self.plan):
            table.add_row(*self._turn(turn))
        return table

    def _turn(self, turn: Turn) -> list[Text]:
        own = turn.maintenance
        cells = [
            self.signs.text(turn.node, "bold"),
            *(Text(axis_label(at_s, self.plan.makespan_s)) for at_s in (turn.emptied_from_s, own.start_s, own.end_s)),
            Text(str(turn.moves_off)),
        ]
        cells += [self._left(own.left_mib)] if self._left_known else []
        if own.outcome is None:
            return [*cells, Text()] if self.plan.executed else cells
        word, style = OUTCOMES[own.outcome]
        sign = self.signs.done if own.outcome == "done" else self.signs.wrong
        told = f"{word}: {own.reason}" if own.reason else word
        return [*cells, self.signs.text(f"{sign} {told}", style)]

    @property
    def _left_known(self) -> bool:
        """Of a report it is not."""
        return least_left_mib(self.plan) is not None

    def _left(self, mib: int | None) -> Text:
        if mib is None:
            return Text()
        return self.signs.text(memory(mib), "bold red" if mib < 0 else "")

    def left_out(self) -> Iterator[tuple[Text, str]]:
        """Nodes with the reason, and what would help."""
        for nodes, reason, remedy in left_out_alike(self.plan):
            line = Text().append(f"{self.signs.wrong} ", style="bold red")
            line.append_text(self.signs.text(listed(nodes, most=12), "bold"))
            yield line.append_text(self.signs.text(f": {reason}")), remedy

    def alternatives(self) -> Table:
        """The one that was chosen is marked."""
        table = _table()
        table.add_column("")
        table.add_column("\nway", overflow="ellipsis", no_wrap=True, min_width=8)
        for head in ("\ntakes", "\nmoves", "moves\na VM", "nodes\nat once", "least\nleft over"):
            table.add_column(head, justify="right", no_wrap=True)
        for way in self.plan.alternatives:
            table.add_row(
                Text(self.signs.arrow if way.chosen else "", style="green"),
                self.signs.text(way.name, "bold green" if way.chosen else ""),
                Text(duration(way.makespan_s)),
                Text(str(way.moves)),
                Text(f"{way.moves_per_vm:.2f}"),
                Text(str(way.parallel)),
                self._left(way.left_mib),
            )
        return table


def _table() -> Table:
    return Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", expand=False)
