"""The timeline of a plan or report as a picture: self-contained SVG, a row for each node, a bar for each migration.

No scripts, no outside resources; every name is escaped. The colours are those of Okabe and Ito (2008), which people
with any kind of colour blindness tell apart; vermilion is kept for what went wrong.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from xml.sax.saxutils import escape, quoteattr

from shunter.flows.memory_picture import memory_height_px, memory_panel
from shunter.flows.svg import FONT_PX, fitted, printable, tag, width_of_px, written
from shunter.topology.plan import Move, Plan

# (fill, text on it): orange, sky blue, bluish green, yellow, blue, reddish purple
FILLS = (
    ("#e69f00", "#111"),
    ("#56b4e9", "#111"),
    ("#009e73", "#111"),
    ("#f0e442", "#111"),
    ("#0072b2", "#fff"),
    ("#cc79a7", "#111"),
)
ROW_PX, BAR_PX, MARGIN_PX, LABEL_INDENT_PX = 30, 22, 12, 4
TICK_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
MOST_STAYING_SHOWN = 12

STYLE = """
svg { font: 12px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
.paper { fill: #fff; } .ink { fill: #1f2328; } .faint { fill: #59636e; } .line { stroke: #d1d9e0; }
.row { fill: #f6f8fa; } .edge { stroke: #fff; } .mark { stroke: #1f2328; } .wrong { stroke: #d55e00; }
.alarm { fill: #b34700; } .was { stroke: #59636e; }
.title { font-size: 14px; font-weight: 600; }
@media (prefers-color-scheme: dark) {
.paper { fill: #0d1117; } .ink { fill: #f0f6fc; } .faint { fill: #9198a1; } .line { stroke: #3d444d; }
.row { fill: #151b23; } .edge { stroke: #0d1117; } .mark { stroke: #f0f6fc; } .wrong { stroke: #ff7b1c; }
.alarm { fill: #ff9a4d; } .was { stroke: #9198a1; }
}
"""


def timeline_svg(plan: Plan, *, width_px: int = 960) -> str:
    """The picture as a document of its own. A migration shows on the rows of both its nodes, in one colour."""
    frame = _Frame.of(plan, max(width_px, 320))
    below = _below(plan)
    memory_px = frame.bottom_px + (26 if plan.moves else 0) + 20 * len(below)
    height_px = memory_px + memory_height_px(plan.memory) + MARGIN_PX
    parts = [
        tag("rect", class_="paper", width=frame.width_px, height=height_px),
        written(MARGIN_PX, 24, fitted(_headline(plan), frame.width_px - 2 * MARGIN_PX, 14), "ink title"),
        *_rows(frame),
        *_axis(frame),
        *_bars(plan, frame),
        *_marks(plan, frame),
    ]
    y_px = frame.bottom_px + (40 if plan.moves else 14)
    for line, kind in below:
        parts.append(written(MARGIN_PX, y_px, fitted(line, frame.width_px - 2 * MARGIN_PX), kind, title=line))
        y_px += 20
    parts += memory_panel(plan.memory, memory_px, frame.width_px)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{frame.width_px}" height="{height_px}" '
        f'viewBox="0 0 {frame.width_px} {height_px}" role="img" aria-label={quoteattr(printable(_headline(plan)))}>'
        f"<style>{STYLE}</style>{''.join(parts)}</svg>\n"
    )


def axis_ticks(total_s: float, at_most: int) -> list[tuple[float, str]]:
    """(seconds, label) of evenly spaced ticks from 0 on, at most that many, in units that suit."""
    step_s = next((step for step in TICK_STEPS_S if total_s / step <= at_most), None)
    if step_s is None:
        days = -(-total_s // (TICK_STEPS_S[-1] * at_most))
        step_s = int(days) * TICK_STEPS_S[-1]
    return [(float(at), axis_label(at, total_s)) for at in range(0, int(total_s) + 1, step_s)]


def axis_label(seconds: float, total_s: float) -> str:
    """Seconds where the whole is short ("45 s"), else min:s ("2:45") or h:min:s ("1:02:45")."""
    whole = round(seconds)
    if total_s < 120:
        return f"{whole} s"
    if total_s < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def bar_colours(moves: Sequence[Move], colours: int) -> list[int]:
    """A colour for each migration, so that neighbours on a row differ wherever that is possible."""
    last: dict[str, int] = {}
    used: Counter[int] = Counter()
    chosen = []
    for move in moves:
        taken = {last.get(move.source), last.get(move.target)}
        colour = min(range(colours), key=lambda c: (c in taken, used[c], c))
        last[move.source] = last[move.target] = colour
        used[colour] += 1
        chosen.append(colour)
    return chosen


def rows_of(moves: Iterable[Move]) -> list[str]:
    """The nodes that take part: sources first, then targets, each in the order of their numbers."""
    moves = list(moves)
    sources = {move.source for move in moves}
    targets = {move.target for move in moves} - sources
    return [*sorted(sources, key=_natural), *sorted(targets, key=_natural)]


# ---------------------------------------------------------------------- layout


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where seconds and nodes are on the paper."""

    width_px: int
    left_px: int
    top_px: int
    total_s: float
    nodes: tuple[str, ...]

    @classmethod
    def of(cls, plan: Plan, width_px: int) -> _Frame:
        nodes = tuple(rows_of(plan.moves))
        widest_px = max((width_of_px(printable(node), FONT_PX) for node in nodes), default=0.0)
        left_px = MARGIN_PX + LABEL_INDENT_PX + ceil(min(widest_px, width_px / 5)) + 10
        total_s = max([plan.makespan_s, plan.lower_bound_s, 1.0, *(move.end_s for move in plan.moves)])
        return cls(width_px, left_px, 58 if nodes else 36, total_s, nodes)

    @property
    def right_px(self) -> int:
        return self.width_px - MARGIN_PX - 18

    @property
    def bottom_px(self) -> int:
        return self.top_px + ROW_PX * len(self.nodes)

    def x_px(self, at_s: float) -> float:
        return self.left_px + max(at_s, 0.0) / self.total_s * (self.right_px - self.left_px)

    def y_px(self, node: str) -> int:
        return self.top_px + ROW_PX * self.nodes.index(node)


def _rows(frame: _Frame) -> Iterable[str]:
    for i, node in enumerate(frame.nodes):
        y_px = frame.y_px(node)
        if i % 2 == 0:
            yield tag("rect", class_="row", x=MARGIN_PX, y=y_px, width=frame.width_px - 2 * MARGIN_PX, height=ROW_PX)
        label = fitted(node, frame.left_px - MARGIN_PX - LABEL_INDENT_PX - 10)
        yield written(MARGIN_PX + LABEL_INDENT_PX, y_px + ROW_PX / 2 + 4, label, "ink", title=node)


def _axis(frame: _Frame) -> Iterable[str]:
    if not frame.nodes:
        return
    at_most = max(2, (frame.right_px - frame.left_px) // 70)
    for at_s, label in axis_ticks(frame.total_s, at_most):
        x_px = frame.x_px(at_s)
        yield tag("line", class_="line", x1=x_px, x2=x_px, y1=frame.top_px, y2=frame.bottom_px + 4)
        yield written(x_px, frame.bottom_px + 18, label, "faint", anchor="middle")


def _bars(plan: Plan, frame: _Frame) -> Iterable[str]:
    for move, colour in zip(plan.moves, bar_colours(plan.moves, len(FILLS)), strict=True):
        fill, ink = FILLS[colour]
        x_px = frame.x_px(move.start_s)
        width_px = max(frame.x_px(move.end_s) - x_px, 1.5)
        wrong = move.outcome not in (None, "done")
        for node, other in ((move.source, f"→ {move.target}"), (move.target, f"← {move.source}")):
            y_px = frame.y_px(node) + (ROW_PX - BAR_PX) / 2
            parts = [
                f"<title>{escape(_tooltip(move))}</title>",
                tag(
                    "rect",
                    class_="wrong" if wrong else "edge",
                    x=x_px,
                    y=y_px,
                    width=width_px,
                    height=BAR_PX,
                    rx=min(4.0, width_px / 2),
                    fill=fill,
                    fill_opacity=0.35 if wrong else None,
                    stroke_width=2 if wrong else 1,
                    stroke_dasharray="4 3" if wrong else None,
                ),
            ]
            inside = _bar_label(move, other, width_px - 8, wrong)
            if inside:
                kind = {"class_": "ink"} if wrong else {"fill": ink}
                parts.append(tag("text", inside, x=x_px + 5, y=y_px + BAR_PX / 2 + 4, **kind))
            yield f"<g>{''.join(parts)}</g>"


def _bar_label(move: Move, other: str, room_px: float, wrong: bool) -> str:
    """As much of "web-1 → N3" as fits: both, the VM alone, its beginning, or nothing."""
    name = f"✗ {move.vm}" if wrong else move.vm
    whole = printable(f"{name} {other}")
    if width_of_px(whole, FONT_PX) <= room_px:
        return whole
    label = fitted(name, room_px)
    return label if len(label) >= min(4, len(name)) else ""


def _tooltip(move: Move) -> str:
    lines = [
        f"{move.vm}: {move.source} → {move.target}",
        f"{move.start_s:.1f} s to {move.end_s:.1f} s ({move.end_s - move.start_s:.1f} s)",
    ]
    if move.outcome:
        lines.append(f"{move.outcome.replace('_', ' ')}" + (f": {move.reason}" if move.reason else ""))
    if move.estimate_s is not None:
        lines.append(f"expected {move.estimate_s:.1f} s")
    if move.why:
        lines.append(move.why)
    return "\n".join(printable(line) for line in lines)


def _marks(plan: Plan, frame: _Frame) -> Iterable[str]:
    """The end, and what no schedule can beat; one line where they coincide."""
    if not frame.nodes:
        return
    end = "end" if plan.executed else "forecast end"
    end_label = f"{end} {_exact(plan.makespan_s, frame.total_s)}"
    bound_label = f"lower bound {_exact(plan.lower_bound_s, frame.total_s)}"
    apart_px = abs(frame.x_px(plan.makespan_s) - frame.x_px(plan.lower_bound_s))
    if apart_px < 3:
        yield from _mark(frame, plan.makespan_s, f"{end_label} = lower bound", "", 14)
        return
    yield from _mark(frame, plan.makespan_s, end_label, "", 14)
    higher = 0 if apart_px > width_of_px(end_label, FONT_PX) + 12 else -13
    if plan.lower_bound_s > 0:
        yield from _mark(frame, plan.lower_bound_s, bound_label, "5 4", 14 - higher if higher else 14)


def _mark(frame: _Frame, at_s: float, label: str, dashes: str, rise_px: int) -> Iterable[str]:
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


def _exact(seconds: float, total_s: float) -> str:
    return f"{seconds:.1f} s" if total_s < 120 else axis_label(seconds, total_s)


# ---------------------------------------------------------------------- words


def _headline(plan: Plan) -> str:
    what = plan.kind.replace("_", " ").capitalize()
    how = "as it went" if plan.executed else "as planned"
    count = (
        f"{len(plan.moves)} live migration{'' if len(plan.moves) == 1 else 's'}" if plan.moves else "nothing moves live"
    )
    stays = f", {len(plan.unplaced)} stay" if plan.unplaced else ""
    return f"{what} of {plan.cluster}, {how}: {count}{stays}"


def _below(plan: Plan) -> list[tuple[str, str]]:
    """Lines below the chart: what went along, and what stays and why. (text, class)"""
    lines = []
    handed = [*(move.name for move in plan.role_moves), *(move.volume for move in plan.volume_moves)]
    if handed:
        lines.append((f"Handed over without a migration: {', '.join(handed)}", "faint"))
    for vm in plan.unplaced[:MOST_STAYING_SHOWN]:
        first = vm.verdicts[0] if vm.verdicts else None
        why = f": {first.rule} {first.reason}" if first else ""
        more = f" (and {len(vm.verdicts) - 1} more)" if len(vm.verdicts) > 1 else ""
        lines.append((f"✗ {vm.vm} stays on {vm.node}{why}{more}", "alarm"))
    if len(plan.unplaced) > MOST_STAYING_SHOWN:
        lines.append((f"… and {len(plan.unplaced) - MOST_STAYING_SHOWN} more stay", "alarm"))
    return lines


def _natural(name: str) -> list[tuple[int, int, str]]:
    """N2 comes before N10."""
    return [
        (0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part.casefold())
        for part in re.split(r"([0-9]+)", name)
        if part
    ]
