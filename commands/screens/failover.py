"""A failover on the screen: which VMs restart where and in which order, and what is then no longer protected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.table import Table
from rich.text import Text

from shunter.commands.screens.timeline import axis
from shunter.commands.screens.words import Signs, clock, count, listed, memory, sentence
from shunter.flows.failover_summary import cover_told, uncovered
from shunter.flows.spoken import duration, natural
from shunter.topology.plan import Move, Plan

MOST_LISTED = 60
MOST_ROWS = 40
ROUNDED_S = 1e-6


@dataclass(frozen=True, slots=True)
class FailoverParts:
    """`memory_mib`: by VM, where known."""

    plan: Plan
    signs: Signs
    memory_mib: Mapping[str, int]

    def restarts(self) -> Table:
        """In the order in which they begin, or as they happened; of very many the first, and how many more."""
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", expand=False)
        table.add_column("#", justify="right", style="dim", no_wrap=True)
        table.add_column("VM", overflow="ellipsis", no_wrap=True, min_width=6)
        table.add_column("lost with", overflow="ellipsis", no_wrap=True, min_width=6)
        executed = self.plan.executed
        table.add_column("node" if executed else "restarts on", overflow="ellipsis", no_wrap=True, min_width=6)
        if self.memory_mib:
            table.add_column("memory", justify="right", no_wrap=True)
        if executed:
            table.add_column("at", justify="right", no_wrap=True)
            table.add_column("what happened", overflow="fold")
        else:
            table.add_column("begins", justify="right", no_wrap=True)
            table.add_column("up by", justify="right", no_wrap=True)
            table.add_column("why there", overflow="fold", style="dim")
        for number, move in enumerate(self.plan.moves[:MOST_LISTED], 1):
            table.add_row(*self._row(number, move))
        return table

    def more(self) -> str:
        left = len(self.plan.moves) - MOST_LISTED
        return f"… and {count(left, 'more VM')}, by priority; --json and --html hold them all." if left > 0 else ""

    def _row(self, number: int, move: Move) -> list[Text]:
        cells = [
            Text(str(number)),
            self.signs.text(move.vm, "bold"),
            self.signs.text(move.source),
            self.signs.text(move.target, "bold"),
        ]
        if self.memory_mib:
            cells.append(Text(memory(self.memory_mib[move.vm]) if move.vm in self.memory_mib else ""))
        if not self.plan.executed:
            return [*cells, Text(clock(move.start_s)), Text(clock(move.end_s)), self.signs.text(move.why)]
        if move.outcome == "done":
            return [*cells, Text(clock(move.end_s)), self.signs.text(f"{self.signs.done} {move.why}", "green")]
        told = f"{self.signs.wrong} {move.outcome}: {move.reason or 'no reason was given'}"
        return [*cells, Text(clock(move.end_s)), self.signs.text(told, "bold red")]

    # -------------------------------------------------------------- over time

    def timeline(self, width: int) -> list[Text]:
        """A row for each node that takes VMs, which fills as they come up."""
        nodes = sorted({move.target for move in self.plan.moves}, key=natural)
        if not nodes:
            return []
        shown = nodes[:MOST_ROWS]
        label = min(max(cell_len(self.signs.plain(node)) for node in shown), max(width // 5, 8))
        all_of = Counter(move.target for move in self.plan.moves)
        figures = max(len(_figures(all_of[node])) for node in shown)
        room = max(width - label - figures - 4, 10)
        lines = []
        for node in shown:
            line = Text(set_cell_size(self.signs.plain(node), label) + "  ")
            line.append_text(Text(self._filling(node, room), style="green"))
            line.append(f"  {_figures(all_of[node])}", style="dim")
            lines.append(line)
        lines += axis(self.plan.makespan_s, room, label + 2, self.signs)
        legend = f"{self.signs.empty} starting  {self.signs.coming} some up  {self.signs.full} all of the node's up"
        lines.append(Text(" " * (label + 2) + legend, style="dim"))
        if len(nodes) > len(shown):
            lines.append(Text(f"{count(len(nodes) - len(shown), 'more node')} not drawn; --svg draws them all", "dim"))
        return lines

    def _filling(self, node: str, room: int) -> str:
        moves = [move for move in self.plan.moves if move.target == node]
        cells = ""
        for column in range(1, room + 1):
            at_s = column / room * self.plan.makespan_s
            up = sum(move.end_s <= at_s + ROUNDED_S for move in moves)
            if up:
                cells += self.signs.full if up == len(moves) else self.signs.coming
            else:
                cells += self.signs.empty if any(move.start_s < at_s for move in moves) else " "
        return cells

    # -------------------------------------------------------------- afterwards

    def unprotected(self) -> Iterator[Text]:
        """For each further loss that would not be survived, which VMs would stay down."""
        for loss in uncovered(self.plan):
            line = Text(f"{self.signs.warning} ", style="yellow")
            line.append_text(self.signs.text(f"{loss.node} as well: ", "bold"))
            if loss.ok is None:
                line.append_text(self.signs.text("not decided within the limits of the search"))
            else:
                most = "" if loss.fewest else "up to "
                told = f"{most}{count(len(loss.unplaced), 'VM')} would not restart: {listed(loss.unplaced, most=12)}"
                line.append_text(self.signs.text(told))
            yield line

    def figures(self) -> str:
        plan = self.plan
        cover = cover_told(plan)
        if plan.executed and not any(move.outcome == "done" for move in plan.moves):
            return sentence(_capital(cover))
        if plan.executed:
            return sentence(f"The last of them ran after {duration(plan.makespan_s)}", _capital(cover))
        if not plan.moves:
            return sentence(f"Afterwards {cover}")
        first_s = plan.moves[0].start_s
        begins = f"first restart after {duration(first_s)}" if first_s else "restarts begin at once"
        return sentence(f"Forecast: {begins}, the last one up after {duration(plan.makespan_s)}", f"Afterwards {cover}")


def _figures(number: int) -> str:
    return count(number, "VM")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
