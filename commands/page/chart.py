"""Where bars stand on the page: in per cent of a width that the reader may change, so that only time is stretched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil

from shunter.flows.migration_bars import FILLS, bar_colours
from shunter.flows.svg import FONT_PX, printable, width_of_px
from shunter.flows.timeline_frame import axis_label, axis_ticks, rows_of
from shunter.topology.plan import Move, NodeMemory, Plan

ROW_PX, BAR_PX, HEAD_PX, FOOT_PX = 28, 20, 34, 22
NARROWEST_PX, WIDEST_PX, READABLE_PX, LABELLED_PX, TICK_PX = 720, 6000, 40, 26, 90
MOST_TICKS_ON_PAPER = 8
WIDEST_NAME_PX = 150


@dataclass(frozen=True, slots=True)
class Bar:
    """A migration on the row of one of its nodes."""

    move: int
    colour: int
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
    """`width_px`: at which most bars can be told apart."""

    nodes: tuple[tuple[str, int], ...]
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    end: Tick
    bound: Tick | None
    width_px: int
    height_px: int
    names_px: int

    row_px: int = ROW_PX
    bar_px: int = BAR_PX
    head_px: int = HEAD_PX

    @property
    def foot_px(self) -> int:
        """Where the rows end."""
        return self.head_px + self.row_px * len(self.nodes)


def chart(plan: Plan) -> Chart | None:
    """None where nothing moves live."""
    if not plan.moves:
        return None
    total_s = max([plan.makespan_s, plan.lower_bound_s, 1.0, *(move.end_s for move in plan.moves)]) * 1.01
    rows = {node: HEAD_PX + ROW_PX * i for i, node in enumerate(rows_of(plan.moves))}
    width_px = _width_px(plan.moves, total_s)
    end = "end" if plan.executed else "forecast end"
    bound = _tick(plan.lower_bound_s, total_s, "lower bound") if plan.lower_bound_s > 0 else None
    if bound is not None and abs(plan.makespan_s - plan.lower_bound_s) < total_s / NARROWEST_PX:
        end, bound = f"lower bound = {end}", None
    return Chart(
        nodes=tuple(rows.items()),
        bars=tuple(_bars(plan.moves, rows, total_s)),
        ticks=_ticks(total_s, width_px),
        end=_tick(plan.makespan_s, total_s, end),
        bound=bound,
        width_px=width_px,
        height_px=HEAD_PX + ROW_PX * len(rows) + FOOT_PX,
        names_px=ceil(min(WIDEST_NAME_PX, max(width_of_px(printable(node), FONT_PX) for node in rows))) + 12,
    )


def _width_px(moves: Sequence[Move], total_s: float) -> int:
    """Wide enough to read three bars of four, where that is not too wide."""
    lasting_s = sorted(move.end_s - move.start_s for move in moves)[len(moves) // 4]
    return round(min(WIDEST_PX, max(NARROWEST_PX, READABLE_PX * total_s / max(lasting_s, 0.001))))


def _bars(moves: Sequence[Move], rows: dict[str, int], total_s: float) -> list[Bar]:
    found = []
    for i, (move, colour) in enumerate(zip(moves, bar_colours(moves, len(FILLS)), strict=True)):
        share = max(move.end_s - move.start_s, 0.0) / total_s
        wrong = move.outcome not in (None, "done")
        for node, other in ((move.source, f"→ {move.target}"), (move.target, f"← {move.source}")):
            label = f"{'✗ ' if wrong else ''}{move.vm} {other}" if share * 2 * WIDEST_PX > LABELLED_PX else ""
            y_px = rows[node] + (ROW_PX - BAR_PX) // 2
            found.append(Bar(i, colour, wrong, _percent(move.start_s / total_s), _percent(share), y_px, label))
    return found


def _ticks(total_s: float, width_px: int) -> tuple[Tick, ...]:
    marks = axis_ticks(total_s, max(MOST_TICKS_ON_PAPER, width_px // TICK_PX))
    each = ceil(len(marks) / MOST_TICKS_ON_PAPER)
    return tuple(Tick(_percent(at_s / total_s), label, i % each > 0) for i, (at_s, label) in enumerate(marks))


def _tick(at_s: float, total_s: float, what: str) -> Tick:
    exact = f"{at_s:.1f} s" if total_s < 120 else axis_label(at_s, total_s)
    return Tick(_percent(at_s / total_s), f"{what} {exact}", minor=False)


def _percent(share: float) -> str:
    return f"{100 * max(share, 0.0):.3f}".rstrip("0").rstrip(".") + "%"


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
        return _percent(mib / largest_mib)

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
