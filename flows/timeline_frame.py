"""Where seconds and nodes are on the paper: the rows, the axis of time, and the marks on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from math import ceil

from shunter.flows.failover_summary import LANE, drawn_restarts, lanes_of
from shunter.flows.rolling_summary import not_done, rows_of_run
from shunter.flows.spoken import duration, natural
from shunter.flows.svg import FONT_PX, fitted, printable, tag, width_of_px, written
from shunter.topology.plan import Move, Plan

MARGIN_PX, LABEL_INDENT_PX, LEGEND_PX = 12, 4, 46
MOST_HIGH_ROWS = 24
LEAST_LEFT_PX = 70
LANES_PX = ((MOST_HIGH_ROWS, 26, 20), (300, 15, 12), (10**9, 5, 4))
"""Of restarts: up to so many lanes, the height of each and of a bar in it."""
TICK_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


def axis_ticks(total_s: float, at_most: int, label: Callable[[float], str] | None = None) -> list[tuple[float, str]]:
    """(seconds, label) of evenly spaced ticks from 0 on, at most that many, in units that suit."""
    label = label or (lambda at_s: axis_label(at_s, total_s))
    step_s = next((step for step in TICK_STEPS_S if total_s / step <= at_most), None)
    if step_s is None:
        days = -(-total_s // (TICK_STEPS_S[-1] * at_most))
        step_s = int(days) * TICK_STEPS_S[-1]
    return [(float(at), label(at)) for at in range(0, int(total_s) + 1, step_s)]


def axis_label(seconds: float, total_s: float) -> str:
    """Seconds where the whole is short ("45 s"), else min:s ("2:45") or h:min:s ("1:02:45")."""
    whole = round(seconds)
    if total_s < 120:
        return f"{whole} s"
    if total_s < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def hour_label(seconds: float, total_s: float) -> str:
    """For runs of hours: "0", "45 min", "1 h", "1 h 30", "26 h"; shorter ones as ever."""
    if total_s < 3600:
        return axis_label(seconds, total_s)
    hours, minutes = divmod(round(seconds) // 60, 60)
    if not hours:
        return f"{minutes} min" if minutes else "0"
    return f"{hours} h {minutes:02d}" if minutes else f"{hours} h"


def rows_of(moves: Iterable[Move]) -> list[str]:
    """The nodes that take part: sources first, then targets, each in the order of their numbers."""
    moves = list(moves)
    sources = {move.source for move in moves}
    targets = {move.target for move in moves} - sources
    return [*sorted(sources, key=natural), *sorted(targets, key=natural)]


@dataclass(frozen=True, slots=True)
class Frame:
    """Where seconds and nodes are on the paper. Of very many nodes the rows are lower."""

    width_px: int
    left_px: int
    top_px: int
    total_s: float
    nodes: tuple[str, ...]
    row_px: int = 30
    bar_px: int = 22
    rolling: bool = False
    troubled: frozenset[str] = frozenset()
    lanes: bool = False
    """Of restarts: a node may have several rows, of which the first is named."""

    @classmethod
    def of(cls, plan: Plan, width_px: int) -> Frame:
        rolling, failover = plan.kind == "rolling_maintenance", plan.kind == "failover"
        nodes = tuple(
            rows_of_run(plan) if rolling else lanes_of(drawn_restarts(plan))[0] if failover else rows_of(plan.moves)
        )
        widest_px = max((width_of_px(printable(node), FONT_PX) for node in nodes), default=0.0)
        left_px = MARGIN_PX + LABEL_INDENT_PX + ceil(min(widest_px, width_px / 5)) + 10
        ends_s = chain((move.end_s for move in plan.moves), (each.end_s for each in plan.maintenance))
        total_s = max([plan.makespan_s, plan.lower_bound_s, 1.0, *ends_s])
        if failover:
            row_px, bar_px = next(size for most, *size in LANES_PX if len(nodes) <= most)
            return cls(width_px, left_px, 58 if nodes else 36, total_s, nodes, row_px, bar_px, lanes=True)
        if not rolling:
            return cls(width_px, left_px, 58 if nodes else 36, total_s, nodes)
        row_px, bar_px = (26, 18) if len(nodes) <= MOST_HIGH_ROWS else (17, 11)
        top_px = 58 + LEGEND_PX if nodes else 36
        left_px = max(left_px, LEAST_LEFT_PX)
        return cls(width_px, left_px, top_px, total_s, nodes, row_px, bar_px, rolling, frozenset(not_done(plan)))

    @property
    def right_px(self) -> int:
        return self.width_px - MARGIN_PX - 18

    @property
    def bottom_px(self) -> int:
        return self.top_px + self.row_px * len(self.nodes)

    def x_px(self, at_s: float) -> float:
        return self.left_px + max(at_s, 0.0) / self.total_s * (self.right_px - self.left_px)

    def y_px(self, node: str) -> int:
        return self.top_px + self.row_px * self.nodes.index(node)

    def bar_y_px(self, node: str) -> float:
        return self.y_px(node) + (self.row_px - self.bar_px) / 2

    def label(self, at_s: float) -> str:
        return hour_label(at_s, self.total_s) if self.rolling else axis_label(at_s, self.total_s)

    def exact(self, seconds: float) -> str:
        if self.rolling:
            return duration(seconds)
        return f"{seconds:.1f} s" if self.total_s < 120 else axis_label(seconds, self.total_s)


def rows(frame: Frame) -> Iterable[str]:
    width_px, height_px = frame.width_px - 2 * MARGIN_PX, frame.row_px
    for i, node in enumerate(frame.nodes):
        y_px = frame.y_px(node)
        if i % 2 == 0:
            yield tag("rect", class_="row", x=MARGIN_PX, y=y_px, width=width_px, height=height_px)
        kind = "alarm" if node in frame.troubled else "ink"
        if frame.lanes and LANE in node:
            continue
        label = fitted(node, frame.left_px - MARGIN_PX - LABEL_INDENT_PX - 10)
        yield written(MARGIN_PX + LABEL_INDENT_PX, y_px + height_px / 2 + 4, label, kind, title=node)


def axis(frame: Frame) -> Iterable[str]:
    if not frame.nodes:
        return
    at_most = max(2, (frame.right_px - frame.left_px) // 70)
    for at_s, label in axis_ticks(frame.total_s, at_most, frame.label):
        x_px = frame.x_px(at_s)
        yield tag("line", class_="line", x1=x_px, x2=x_px, y1=frame.top_px, y2=frame.bottom_px + 4)
        yield written(x_px, frame.bottom_px + 18, label, "faint", anchor="middle")


def marks(plan: Plan, frame: Frame) -> Iterable[str]:
    """The end, and what no schedule can beat; one line where they coincide."""
    if not frame.nodes:
        return
    if plan.kind == "failover" and not plan.makespan_s:
        return
    end = end_told(plan)
    end_label = f"{end} {frame.exact(plan.makespan_s)}"
    bound_label = f"lower bound {frame.exact(plan.lower_bound_s)}"
    apart_px = abs(frame.x_px(plan.makespan_s) - frame.x_px(plan.lower_bound_s))
    if apart_px < 3:
        yield from _mark(frame, plan.makespan_s, f"{end_label} = lower bound", "", 14)
        return
    yield from _mark(frame, plan.makespan_s, end_label, "", 14)
    higher = 0 if apart_px > width_of_px(end_label, FONT_PX) + 12 else -13
    if plan.lower_bound_s > 0:
        yield from _mark(frame, plan.lower_bound_s, bound_label, "5 4", 14 - higher if higher else 14)


def end_told(plan: Plan) -> str:
    """What the mark at the end of the plan says."""
    if not plan.executed:
        return "forecast end"
    return "last one up" if plan.kind == "failover" else "end"


def _mark(frame: Frame, at_s: float, label: str, dashes: str, rise_px: int) -> Iterable[str]:
    x_px = frame.x_px(at_s)
    yield tag(
        "line",
        class_="mark",
        x1=x_px,
        x2=x_px,
        y1=frame.top_px - 8,
        y2=frame.bottom_px + 4,
        stroke_width=1.5,
        stroke_dasharray=dashes or None,
    )
    on_the_left = x_px - width_of_px(label, FONT_PX) > frame.left_px
    yield written(x_px, frame.top_px - rise_px + 2, label, "ink", anchor="end" if on_the_left else "start")
