"""The nodes of a rolling run while it goes on: a row each where there is room, else only those under way."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from shunter.commands.screens.rolling_view import UNDER_WAY, NodeTurn, RollingView, Where
from shunter.commands.screens.words import Signs, clock, count, listed

STYLES = {
    Where.WAITING: "dim",
    Where.EMPTYING: "#e69f00",
    Where.AWAY: "bold",
    Where.REJOINING: "#56b4e9",
    Where.DONE: "green",
    Where.FAILED: "bold red",
}
LEAST_ROWS, NARROW = 4, 72


def node_rows(view: RollingView, now_s: float, width: int, most: int, signs: Signs) -> list[RenderableType]:
    """Rows of at most `width` cells; at most so many, but never less than four."""
    turns, most = list(view.turns.values()), max(most, LEAST_ROWS)
    left_out = [_left_out(view, signs)] if view.left_out else []
    if len(turns) + len(left_out) <= most:
        return [_table(view, turns, now_s, width, signs), *left_out]
    first = view.at(Where.FAILED, *UNDER_WAY)
    waiting, done = view.at(Where.WAITING), view.at(Where.DONE)
    counted = [_counted("waiting for their turn", waiting, signs)] if waiting else []
    counted += [_counted("done", done, signs)] if done else []
    room = max(most - len(counted) - len(left_out), 1)
    shown = first if len(first) <= room else first[: room - 1]
    rows: list[RenderableType] = [_table(view, shown, now_s, width, signs)] if shown else []
    if len(first) > len(shown):
        rows.append(Text(f"and {count(len(first) - len(shown), 'more node')} under way or failed", style="dim"))
    for line in [*counted, *left_out]:
        line.truncate(width, overflow="ellipsis")
    return [*rows, *counted, *left_out]


def rows_needed(view: RollingView) -> int:
    """For a row each."""
    return len(view.turns) + bool(view.left_out)


def where_line(view: RollingView, turn: NodeTurn, now_s: float) -> str:
    """What there is to say of a node beside its name and where it is."""
    match turn.where:
        case Where.WAITING if view.held_up:
            told = ""
        case Where.WAITING:
            followed = view.waits_for(turn)
            late_s = view.lateness_s(now_s)[turn.node]
            from_s = max(turn.planned_emptied_s + late_s, now_s)
            told = f"from about {clock(from_s)}" + (f", after {followed.node}" if followed else "")
        case Where.EMPTYING:
            told = f"since {clock(turn.since_s)}, {turn.moved_off} of {count(turn.moves_off, 'VM')} moved off"
        case Where.AWAY:
            been_s = now_s - turn.since_s
            planned = (
                f"of about {clock(turn.planned_s)}"
                if not is_late(turn, now_s)
                else f"instead of {clock(turn.planned_s)}"
            )
            told = f"since {clock(turn.since_s)}, {clock(been_s)} {planned}"
        case Where.REJOINING:
            told = f"since {clock(turn.since_s)}"
        case _:
            told = f"at {clock(turn.since_s)}"
    return ": ".join(filter(None, [told, turn.remark or turn.gone]))


def is_late(turn: NodeTurn, now_s: float) -> bool:
    """Whether its maintenance takes clearly longer than planned."""
    return turn.where is Where.AWAY and now_s - turn.since_s > turn.planned_s + max(5.0, 0.05 * turn.planned_s)


def _table(view: RollingView, turns: Sequence[NodeTurn], now_s: float, width: int, signs: Signs) -> Table:
    cells = max(min(width // 9, 16), 4)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True, overflow="ellipsis", min_width=min(width // 6, 6), max_width=max(width // 6, 8))
    table.add_column(no_wrap=True, min_width=max(len(where) for where in Where) if width >= NARROW else None)
    table.add_column(no_wrap=True, width=cells)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for turn in turns:
        late = is_late(turn, now_s)
        table.add_row(
            signs.text(turn.node, "bold"),
            Text(turn.where, style=STYLES[turn.where]),
            bar(_share(turn, now_s), cells, signs) if turn.where in UNDER_WAY else Text(),
            signs.text(where_line(view, turn, now_s), "yellow" if late or turn.gone or turn.remark else "dim"),
        )
    return table


def _share(turn: NodeTurn, now_s: float) -> float:
    match turn.where:
        case Where.EMPTYING:
            return turn.moved_off / max(turn.moves_off, 1)
        case Where.AWAY:
            return (now_s - turn.since_s) / max(turn.planned_s, 1.0)
        case _:
            return 1.0


def bar(share: float, width: int, signs: Signs) -> Text:
    """How much of the whole is done; `share`: from 0 to 1."""
    full = round(min(max(share, 0.0), 1.0) * width)
    return Text(signs.full * full, style="#56b4e9") + Text(signs.empty * (width - full), style="dim")


def _counted(what: str, turns: Sequence[NodeTurn], signs: Signs) -> Text:
    return signs.text(f"{what}: {listed([turn.node for turn in turns])}", "dim")


def _left_out(view: RollingView, signs: Signs) -> Text:
    return signs.text(f"left out: {listed(view.left_out)}", "yellow")
