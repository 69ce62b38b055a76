"""The nodes' turns of a rolling run: on each row being emptied, maintenance, and coming back to take VMs again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape

from shunter.flows.migration_bars import bars, thin_bars
from shunter.flows.rolling_summary import Turn, turns
from shunter.flows.spoken import count, duration, memory
from shunter.flows.svg import FONT_PX, printable, tag, width_of_px, written
from shunter.flows.timeline_frame import LEGEND_PX, MARGIN_PX, Frame
from shunter.topology.plan import Maintenance, Plan

MOST_BARS_OF_THEIR_OWN = 150
SWATCH_PX = 14

ROLLING_STYLE = """
.emptied { fill: #e69f00; fill-opacity: .22; } .filled { fill: #009e73; fill-opacity: .22; } .back { fill: #009e73; }
.away { fill: #59636e; } .said { fill: #fff; } .failed { fill: #d55e00; }
.left { fill: #56b4e9; shape-rendering: crispEdges; } .zero { stroke: #d55e00; stroke-width: 1.5; }
.leaves { stroke: #b87f00; fill: none; } .comes { stroke: #009e73; fill: none; }
@media (prefers-color-scheme: dark) {
.emptied, .filled { fill-opacity: .38; }
.away { fill: #7d8590; } .said { fill: #0d1117; } .leaves { stroke: #e69f00; } .comes { stroke: #2bbd93; }
.zero { stroke: #ff7b1c; }
}
"""


def rolling_bars(plan: Plan, frame: Frame) -> Iterator[str]:
    """The legend, the turns, and the migrations on them: of very many thin ones without names."""
    yield from _legend(plan, frame)
    for turn in turns(plan):
        yield from _turn(turn, frame)
    yield from (thin_bars if _many(plan) else bars)(plan.moves, frame)
    for untouched in plan.untouched:
        if not any(untouched.node in (move.source, move.target) for move in plan.moves):
            y_px = frame.y_px(untouched.node) + frame.row_px / 2 + 4
            yield written(frame.left_px + 6, y_px, "✗ not maintained", "alarm", title=printable(untouched.reason))


def turn_told(turn: Turn) -> list[str]:
    """What a reader may want to know of a node's turn, a line each."""
    own = turn.maintenance
    told = [
        f"{own.node}: {_how(own)}",
        f"{count(turn.moves_off, 'move')} off it from {duration(turn.emptied_from_s)} on",
        f"maintenance from {duration(own.start_s)} to {duration(own.end_s)} ({duration(own.end_s - own.start_s)})",
    ]
    if own.left_mib is not None:
        told.append(f"meanwhile at the least {memory(own.left_mib)} left over")
    return [*told, own.reason] if own.reason else told


def _how(own: Maintenance) -> str:
    return {"done": "maintained", "failed": "failed", "skipped": "skipped", None: "to be maintained"}[own.outcome]


def _many(plan: Plan) -> bool:
    return len(plan.moves) > MOST_BARS_OF_THEIR_OWN


def _turn(turn: Turn, frame: Frame) -> Iterable[str]:
    own = turn.maintenance
    y_px, height_px = frame.y_px(own.node) + 1, frame.row_px - 2
    x_px, end_px = frame.x_px(own.start_s), frame.x_px(own.end_s)
    emptied_px = frame.x_px(turn.emptied_from_s)
    parts = [f"<title>{escape(chr(10).join(printable(line) for line in turn_told(turn)))}</title>"]
    parts.append(
        tag("rect", class_="emptied", x=emptied_px, y=y_px, width=max(x_px - emptied_px, 0.0), height=height_px)
    )
    if own.outcome != "skipped":
        kind = "failed" if own.outcome == "failed" else "away"
        width_px = max(end_px - x_px, 2.0)
        parts.append(tag("rect", class_=kind, x=x_px, y=frame.bar_y_px(own.node), width=width_px, height=frame.bar_px))
        label = _label(own, width_px - 8)
        if label:
            y = frame.bar_y_px(own.node) + frame.bar_px / 2 + 4
            small = 10 if frame.bar_px < FONT_PX + 2 else None
            parts.append(tag("text", label, class_="said", x=x_px + 5, y=y, font_size=small))
    if own.outcome in (None, "done"):
        parts.append(tag("rect", class_="back", x=end_px, y=y_px, width=2.5, height=height_px))
        if turn.filled_until_s is not None:
            width_px = max(frame.x_px(turn.filled_until_s) - end_px, 0.0)
            parts.append(tag("rect", class_="filled", x=end_px, y=y_px, width=width_px, height=height_px))
    yield f"<g>{''.join(parts)}</g>"


def _label(own: Maintenance, room_px: float) -> str:
    """As much as fits: whether it worked, and how long it takes."""
    sign = {"done": "✓ ", "failed": "✗ "}.get(own.outcome or "", "")
    took = duration(own.end_s - own.start_s)
    for label in (f"{sign}maintenance {took}", f"{sign}{took}", sign.strip()):
        if width_of_px(label, FONT_PX) <= room_px:
            return label
    return ""


def _legend(plan: Plan, frame: Frame) -> Iterable[str]:
    if not frame.nodes:
        return
    entries = [("emptied", "being emptied"), ("away", "maintenance"), ("filled", "back, takes VMs")]
    if any(each.outcome == "failed" for each in plan.maintenance):
        entries.append(("failed", "maintenance failed"))
    if _many(plan):
        entries += [("leaves", "VMs leave"), ("comes", "VMs come")]
    x_px, y_px = float(MARGIN_PX), 24 + LEGEND_PX - 6
    for kind, label in entries:
        width_px = SWATCH_PX + 6 + width_of_px(label, FONT_PX)
        if x_px + width_px > frame.right_px:
            return
        if kind in ("leaves", "comes"):
            yield tag("path", class_=kind, stroke_width=6, d=f"M{x_px:g} {y_px - 4}h{SWATCH_PX}")
        else:
            yield tag("rect", class_=kind, x=x_px, y=y_px - 10, width=SWATCH_PX, height=12)
        yield written(x_px + SWATCH_PX + 5, y_px, label, "faint")
        x_px += width_px + 14
