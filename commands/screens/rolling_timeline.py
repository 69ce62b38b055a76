"""The turns of a rolling run as text: a row for each node, as wide as the terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from shunter.commands.screens.timeline import WRONG_STYLE, axis, bar
from shunter.commands.screens.words import Signs, count
from shunter.flows.rolling_summary import Turn, rows_of_run, turns
from shunter.flows.timeline_frame import hour_label
from shunter.topology.plan import Move, Plan

STYLES = {
    "emptied": "#111111 on #e69f00",
    "away": "#ffffff on #59636e",
    "failed": WRONG_STYLE,
    "back": "#111111 on #26b38c",
    "moves": "dim",
    "": "",
}
MOST_ROWS = 64


def rolling_timeline(plan: Plan, *, width: int, signs: Signs, colour: bool, nodes_in_all: int = 0) -> list[Text]:
    """Lines of at most `width` cells; readable without colours."""
    if not plan.maintenance:
        return []
    nodes = rows_of_run(plan)
    shown = nodes[:MOST_ROWS]
    label = min(max(cell_len(signs.plain(node)) for node in shown), max(width // 5, 8))
    room = width - label - 2
    total_s = max([plan.makespan_s, 0.1, *(m.end_s for m in plan.moves), *(m.end_s for m in plan.maintenance)])
    turn_of = {turn.node: turn for turn in turns(plan)}
    moves_of: dict[str, list[Move]] = defaultdict(list)
    for move in plan.moves:
        moves_of[move.source].append(move)
        moves_of[move.target].append(move)
    left_out = {left.node for left in plan.untouched}
    lines = []
    for node in shown:
        cells = _cells(turn_of.get(node), moves_of[node], room / total_s, room)
        line = Text(set_cell_size(signs.plain(node), label) + "  ")
        row = _row(cells, turn_of.get(node), signs, colour)
        if node in left_out and not moves_of[node]:
            row = Text(f"{signs.wrong} left out", style="bold red" if colour else "")
        lines.append(line.append_text(row))
    lines += axis(total_s, room, label + 2, signs, label=lambda at_s: hour_label(at_s, total_s))
    lines += _legend(plan, label + 2, width, signs, colour)
    if len(nodes) > len(shown):
        left = count(len(nodes) - len(shown), "more node")
        lines.append(Text(f"{left} not drawn; --svg draws them all", style="dim"))
    if nodes_in_all > len(nodes):
        lines.append(Text(f"{count(nodes_in_all - len(nodes), 'other node')} without a part in it", style="dim"))
    return lines


def _cells(turn: Turn | None, moves: Sequence[Move], cells_per_s: float, room: int) -> list[str]:
    """What is drawn in each cell: later kinds over earlier ones, maintenance over all."""
    cells = [""] * room

    def put(kind: str, from_s: float, to_s: float) -> None:
        begin = min(round(from_s * cells_per_s), room - 1)
        for at in range(begin, min(max(round(to_s * cells_per_s), begin + 1), room)):
            cells[at] = kind

    for move in moves:
        if turn is None or not _of_the_turn(move, turn):
            put("moves", move.start_s, move.end_s)
    if turn is None:
        return cells
    own = turn.maintenance
    if own.start_s > turn.emptied_from_s:
        put("emptied", turn.emptied_from_s, own.start_s)
    if turn.filled_until_s is not None and own.outcome in (None, "done"):
        put("back", own.end_s, turn.filled_until_s)
    if own.outcome != "skipped":
        put("failed" if own.outcome == "failed" else "away", own.start_s, own.end_s)
    return cells


def _of_the_turn(move: Move, turn: Turn) -> bool:
    own = turn.maintenance
    leaves = move.source == own.node and move.start_s < own.start_s
    return leaves or (turn.filled_until_s is not None and own.end_s <= move.start_s <= turn.filled_until_s)


def _row(cells: Sequence[str], turn: Turn | None, signs: Signs, colour: bool) -> Text:
    row = Text()
    for kind, run in groupby(cells):
        width = len(list(run))
        if not kind and row.cell_len + width == len(cells):
            break
        style = STYLES[kind] if colour or kind == "moves" else ""
        row.append(_drawn(kind, width, turn, signs, colour), style=style)
    return row


def _drawn(kind: str, width: int, turn: Turn | None, signs: Signs, colour: bool) -> str:
    if kind in ("away", "failed") and turn is not None:
        own = turn.maintenance
        sign = signs.wrong if own.outcome == "failed" else signs.done if own.outcome == "done" else ""
        return bar(f"{sign} {_short(own.end_s - own.start_s)}".strip(), sign, width, signs, colour)
    if kind == "moves":
        return signs.dot * width
    if colour or not kind:
        return " " * width
    return (signs.empty if kind == "emptied" else signs.coming) * width


def _short(seconds: float) -> str:
    return f"{round(seconds / 60)} min" if seconds >= 60 else f"{round(seconds)} s"


def _legend(plan: Plan, indent: int, width: int, signs: Signs, colour: bool) -> list[Text]:
    entries = [("emptied", signs.empty, "being emptied"), ("away", f"{signs.bar_begin}{signs.bar_end}", "maintenance")]
    entries.append(("back", signs.coming, "back, takes VMs"))
    entries.append(("moves", signs.dot, "other moves"))
    if any(each.outcome == "failed" for each in plan.maintenance):
        entries.insert(2, ("failed", signs.wrong, "failed"))
    line = Text(" " * indent)
    for kind, sign, label in entries:
        swatch = "  " if colour and kind != "moves" else sign
        if line.cell_len + cell_len(swatch) + 1 + len(label) > width:
            break
        line.append(swatch, style=STYLES[kind] if colour else "").append(f" {label}   ", style="dim")
    line.rstrip()
    return [line]
