"""The timeline as text: a row for each node, a bar for each migration, as wide as the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from shunter.commands.screens.words import Signs, count
from shunter.flows.migration_bars import bar_colours
from shunter.flows.timeline_frame import axis_ticks, rows_of
from shunter.topology.plan import Move, Plan

# orange, sky blue, bluish green, yellow, blue, reddish purple (Okabe and Ito), with black or white on them
STYLES = (
    "#111111 on #e69f00",
    "#111111 on #56b4e9",
    "#111111 on #26b38c",
    "#111111 on #f0e442",
    "#ffffff on #0072b2",
    "#111111 on #cc79a7",
)
WRONG_STYLE = "bold #ffffff on #b3341f"
MOST_ROWS = 40


def timeline(plan: Plan, *, width: int, signs: Signs, colour: bool, nodes_in_all: int = 0) -> list[Text]:
    """Lines of at most `width` cells. Bars carry the VM's name, else its number in the table of moves."""
    if not plan.moves:
        return []
    nodes = rows_of(plan.moves)
    shown = nodes[:MOST_ROWS]
    label = min(max(cell_len(signs.plain(node)) for node in shown), max(width // 5, 8))
    room = width - label - 2
    total_s = max([plan.makespan_s, 0.1, *(move.end_s for move in plan.moves)])
    colours = bar_colours(plan.moves, len(STYLES))
    lines = []
    for node in shown:
        line = Text(set_cell_size(signs.plain(node), label) + "  ")
        line.append_text(_row(node, plan.moves, colours, total_s=total_s, room=room, signs=signs, colour=colour))
        lines.append(line)
    lines += axis(total_s, room, label + 2, signs)
    left = len(nodes) - len(shown)
    if left:
        lines.append(Text(f"{count(left, 'more node')} not drawn; --svg draws them all", style="dim"))
    if nodes_in_all > len(nodes):
        lines.append(Text(f"{count(nodes_in_all - len(nodes), 'other node')} without a migration", style="dim"))
    return lines


def _row(
    node: str, moves: Sequence[Move], colours: Sequence[int], *, total_s: float, room: int, signs: Signs, colour: bool
) -> Text:
    """Bars never overlap: each begins after the one before it, however short they are."""
    row = Text()
    for number, (move, tint) in enumerate(zip(moves, colours, strict=True), 1):
        if node not in (move.source, move.target):
            continue
        begin = max(round(move.start_s / total_s * room), row.cell_len)
        end = min(max(round(move.end_s / total_s * room), begin + 1), room)
        if end <= begin:
            continue
        row.append(" " * (begin - row.cell_len))
        wrong = move.outcome not in (None, "done")
        label = f"{signs.wrong}{move.vm}" if wrong else move.vm
        text = bar(signs.plain(label), str(number), end - begin, signs, colour)
        row.append(text, style=(WRONG_STYLE if wrong else STYLES[tint]) if colour else "")
    return row


def bar(name: str, number: str, width: int, signs: Signs, colour: bool) -> str:
    """A bar of exactly that many cells, with as much of a label as fits."""
    if colour:
        # the last cell stays free, so that bars of one colour do not run together
        inside = next((label for label in (f" {name} ", name + " ", f"{number} ") if cell_len(label) <= width), "")
        return set_cell_size(inside, width)
    if width == 1:
        return signs.sliver
    room = width - 2
    inside = next((label for label in (name, number) if cell_len(label) <= room), "")
    return signs.bar_begin + inside + signs.bar_inside * (room - cell_len(inside)) + signs.bar_end


def axis(
    total_s: float, room: int, indent: int, signs: Signs, *, label: Callable[[float], str] | None = None
) -> list[Text]:
    """Ticks below the rows; a label that would run into the next one is left out."""
    line = ""
    for at_s, said in axis_ticks(total_s, max(2, room // 10), label):
        column = round(at_s / total_s * room)
        if len(line) <= column and column + len(said) <= room:
            line += " " * (column - len(line)) + said + " "
    return [Text(" " * indent + signs.plain(line).rstrip(), style="dim")]
