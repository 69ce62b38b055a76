"""Where bars stand on the page: in per cent of a width that the reader may change, so that only time is stretched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil

from shunter.commands.page.turns import Turns, percent, turns_of
from shunter.flows.failover_summary import LANE, drawn_restarts, lanes_of
from shunter.flows.migration_bars import FILLS, bar_colours, went_wrong
from shunter.flows.rolling_picture import MOST_BARS_OF_THEIR_OWN
from shunter.flows.rolling_summary import rows_of_run
from shunter.flows.spoken import duration
from shunter.flows.svg import FONT_PX, printable, width_of_px
from shunter.flows.timeline_frame import MOST_HIGH_ROWS, axis_label, axis_ticks, end_told, hour_label, rows_of
from shunter.topology.plan import Move, NodeMemory, Plan

ROW_PX, BAR_PX, HEAD_PX, FOOT_PX = 28, 20, 34, 22
NARROWEST_PX, WIDEST_PX, READABLE_PX, LABELLED_PX, TICK_PX = 720, 6000, 40, 26, 90
MOST_TICKS_ON_PAPER = 8
WIDEST_NAME_PX = 150
LOW_ROW_PX = (20, 13)
THIN_SHARE = 0.6
OVERVIEW_PX = 480
"""Of a rolling run all is seen at once, as far as that can be."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A migration on the row of one of its nodes. `kind`: its class, by colour or by direction."""

    move: int
    colour: int
    kind: str
    wrong: bool
    left: str
    width: str
    y_px: int
    label: str


@dataclass(frozen=True, slots=True)
class Tick:
    left: str
    label: str
    minor: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """`width_px`: at which most bars can be told apart, or where that is too wide, at which all is seen."""

    nodes: tuple[tuple[str, int], ...]
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    end: Tick | None
    bound: Tick | None
    width_px: int
    height_px: int
    names_px: int

    row_px: int = ROW_PX
    bar_px: int = BAR_PX
    """Of a migration."""
    head_px: int = HEAD_PX
    rolling: Turns | None = None

    @property
    def foot_px(self) -> int:
        """Where the rows end."""
        return self.head_px + self.row_px * len(self.nodes)

    @property
    def name_px(self) -> int:
        """How far below the top of its row a name stands."""
        return self.row_px // 2 + 4


def chart(plan: Plan) -> Chart | None:
    """None where nothing moves live and nothing is maintained."""
    if not plan.moves and not plan.maintenance:
        return None
    rolling = plan.kind == "rolling_maintenance"
    ends_s = chain((move.end_s for move in plan.moves), (each.end_s for each in plan.maintenance))
    total_s = max([plan.makespan_s, plan.lower_bound_s, 1.0, *ends_s]) * 1.01
    failover = plan.kind == "failover"
    moves = drawn_restarts(plan) if failover else plan.moves
    names = rows_of_run(plan) if rolling else lanes_of(moves)[0] if failover else rows_of(moves)
    row_px, bar_px = (ROW_PX, BAR_PX) if len(names) <= MOST_HIGH_ROWS or not (rolling or failover) else LOW_ROW_PX
    rows = {node: HEAD_PX + row_px * i for i, node in enumerate(names)}
    thin = rolling and len(plan.moves) > MOST_BARS_OF_THEIR_OWN
    move_px = round(bar_px * THIN_SHARE) if thin else bar_px
    width_px = OVERVIEW_PX if rolling else _width_px(moves, total_s)
    end = end_told(plan)
    label = (lambda at_s: hour_label(at_s, total_s)) if rolling else None
    bound = _tick(plan, plan.lower_bound_s, total_s, "lower bound") if plan.lower_bound_s > 0 else None
    if bound is not None and abs(plan.makespan_s - plan.lower_bound_s) < total_s / NARROWEST_PX:
        end, bound = f"lower bound = {end}", None
    turned = turns_of(plan, rows, total_s, row_px=row_px, bar_px=bar_px) if rolling else None
    named = {row: "" if failover and LANE in row else row for row in rows}
    beside = [*named.values(), *([turned.highest] if turned else [])]
    return Chart(
        nodes=tuple((named[row], y_px) for row, y_px in rows.items()),
        bars=tuple(
            _restarts(moves, rows, total_s, inset_px=(row_px - move_px) // 2)
            if failover
            else _bars(moves, rows, total_s, inset_px=(row_px - move_px) // 2, thin=thin)
        ),
        ticks=_ticks(total_s, width_px, label),
        end=_tick(plan, plan.makespan_s, total_s, end) if plan.makespan_s or not failover else None,
        bound=bound,
        width_px=width_px,
        height_px=HEAD_PX + row_px * len(rows) + FOOT_PX + (turned.height_px if turned else 0),
        names_px=ceil(min(WIDEST_NAME_PX, max(width_of_px(printable(name), FONT_PX) for name in beside))) + 12,
        row_px=row_px,
        bar_px=move_px,
        rolling=turned,
    )


def _width_px(moves: Sequence[Move], total_s: float) -> int:
    """Wide enough to read three bars of four, where that is not too wide."""
    lasting_s = sorted(move.end_s - move.start_s for move in moves)[len(moves) // 4]
    return round(min(WIDEST_PX, max(NARROWEST_PX, READABLE_PX * total_s / max(lasting_s, 0.001))))


def _bars(moves: Sequence[Move], rows: dict[str, int], total_s: float, *, inset_px: int, thin: bool) -> list[Bar]:
    """Thin ones have no names, and their colour says whether VMs leave or come."""
    found = []
    for i, (move, colour) in enumerate(zip(moves, bar_colours(moves, len(FILLS)), strict=True)):
        share = max(move.end_s - move.start_s, 0.0) / total_s
        wrong = went_wrong(move)
        readable = not thin and share * 2 * WIDEST_PX > LABELLED_PX
        for node, other, way in (
            (move.source, f"→ {move.target}", "leaves"),
            (move.target, f"← {move.source}", "comes"),
        ):
            label = f"{'✗ ' if wrong else ''}{move.vm} {other}" if readable else ""
            kind = way if thin else f"c{colour}"
            y_px = rows[node] + inset_px
            found.append(Bar(i, colour, kind, wrong, percent(move.start_s / total_s), percent(share), y_px, label))
    return found


def _restarts(moves: Sequence[Move], rows: dict[str, int], total_s: float, *, inset_px: int) -> list[Bar]:
    """Each on a lane of the node that takes the VM."""
    found = []
    for i, (move, lane, colour) in enumerate(
        zip(moves, lanes_of(moves)[1], bar_colours(moves, len(FILLS)), strict=True)
    ):
        share, wrong = max(move.end_s - move.start_s, 0.0) / total_s, went_wrong(move)
        label = f"{'✗ ' if wrong else ''}{move.vm} ← {move.source}"
        place = percent(move.start_s / total_s), percent(share), rows[lane] + inset_px
        found.append(Bar(i, colour, f"c{colour}", wrong, *place, label))
    return found


def _ticks(total_s: float, width_px: int, said: Callable[[float], str] | None) -> tuple[Tick, ...]:
    marks = axis_ticks(total_s, max(MOST_TICKS_ON_PAPER, width_px // TICK_PX), said)
    each = ceil(len(marks) / MOST_TICKS_ON_PAPER)
    return tuple(Tick(percent(at_s / total_s), label, i % each > 0) for i, (at_s, label) in enumerate(marks))


def _tick(plan: Plan, at_s: float, total_s: float, what: str) -> Tick:
    exact = f"{at_s:.1f} s" if total_s < 120 else axis_label(at_s, total_s)
    if plan.kind == "rolling_maintenance":
        exact = duration(at_s)
    return Tick(percent(at_s / total_s), f"{what} {exact}", minor=False)


@dataclass(frozen=True, slots=True)
class MemoryBar:
    """The memory of one node, drawn in per cent of the largest. `state`: within the line, beyond it, beyond all."""

    node: NodeMemory
    whole: str
    before: str
    after: str
    line: str
    state: str
    free_mib: int


def memory_bars(memory: Sequence[NodeMemory]) -> list[MemoryBar]:
    largest_mib = max([1, *chain.from_iterable((n.for_vms_mib, n.before_mib, n.after_mib) for n in memory)])

    def width(mib: int) -> str:
        return percent(mib / largest_mib)

    return [
        MemoryBar(
            node=node,
            whole=width(node.for_vms_mib),
            before=width(node.before_mib),
            after=width(node.after_mib),
            line="" if node.line_mib is None else width(node.line_mib),
            state=_state(node),
            free_mib=node.for_vms_mib - node.after_mib,
        )
        for node in memory
    ]


def _state(node: NodeMemory) -> str:
    if node.after_mib > node.for_vms_mib:
        return "over"
    return "beyond" if node.line_mib is not None and node.after_mib > node.line_mib else "within"
