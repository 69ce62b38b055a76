"""Migrations as bars: on the rows of both nodes, in one colour, with what is known of them as a tooltip.

The colours are those of Okabe and Ito (2008), which people with any kind of colour blindness tell apart; vermilion is
kept for what went wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

from shunter.flows.svg import FONT_PX, fitted, printable, tag, width_of_px
from shunter.flows.timeline_frame import Frame
from shunter.topology.plan import Move

# (fill, text on it): orange, sky blue, bluish green, yellow, blue, reddish purple
FILLS = (
    ("#e69f00", "#111"),
    ("#56b4e9", "#111"),
    ("#009e73", "#111"),
    ("#f0e442", "#111"),
    ("#0072b2", "#fff"),
    ("#cc79a7", "#111"),
)


LEAST_LABELLED_PX = 11
"""A lower bar has no room for a name."""


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


def bars(moves: Sequence[Move], frame: Frame) -> Iterable[str]:
    """Each a group of its own on both rows, with a label as far as that fits and a tooltip."""
    for move, colour in zip(moves, bar_colours(moves, len(FILLS)), strict=True):
        yield from _both(move, frame, FILLS[colour])


def thin_bars(moves: Sequence[Move], frame: Frame) -> Iterable[str]:
    """For thousands: what leaves a node and what comes to it in one shape each; what went wrong as ever."""
    for kind in ("leaves", "comes"):
        by_node: dict[str, list[str]] = {}
        for move in moves:
            if not went_wrong(move):
                by_node.setdefault(move.source if kind == "leaves" else move.target, []).append(_drawn(move, frame))
        for node, lines in by_node.items():
            middle_px = frame.bar_y_px(node) + frame.bar_px / 2
            at = f"translate(0 {middle_px:g})"
            yield tag("path", class_=kind, transform=at, stroke_width=frame.bar_px * 0.55, d="".join(lines))
    for move in moves:
        if went_wrong(move):
            yield from _both(move, frame, FILLS[0])


def went_wrong(move: Move) -> bool:
    return move.outcome not in (None, "done")


def _drawn(move: Move, frame: Frame) -> str:
    x_px = frame.x_px(move.start_s)
    return f"M{x_px:.1f} 0h{max(frame.x_px(move.end_s) - x_px - 0.3, 0.5):.1f}"


def _both(move: Move, frame: Frame, colours: tuple[str, str]) -> Iterable[str]:
    for node, other in ((move.source, f"→ {move.target}"), (move.target, f"← {move.source}")):
        yield bar(move, node, other, frame, colours)


def bar(move: Move, row: str, other: str, frame: Frame, colours: tuple[str, str], *, told: Move | None = None) -> str:
    """One bar on one row, labelled with the VM and as far as it fits with the `other` end.

    `told`: what its tooltip tells of, if that is not what is drawn.
    """
    fill, ink = colours
    x_px, y_px = frame.x_px(move.start_s), frame.bar_y_px(row)
    width_px = max(frame.x_px(move.end_s) - x_px, 1.5)
    wrong = went_wrong(move)
    parts = [
        f"<title>{escape(_tooltip(told or move))}</title>",
        tag(
            "rect",
            class_="wrong" if wrong else "edge",
            x=x_px,
            y=y_px,
            width=width_px,
            height=frame.bar_px,
            rx=min(4.0, width_px / 2),
            fill=fill,
            fill_opacity=0.35 if wrong else None,
            stroke_width=2 if wrong else 1,
            stroke_dasharray="4 3" if wrong else None,
        ),
    ]
    inside = _bar_label(move, other, width_px - 8, wrong) if frame.bar_px >= LEAST_LABELLED_PX else ""
    if inside:
        kind = {"class_": "ink"} if wrong else {"fill": ink}
        parts.append(tag("text", inside, x=x_px + 5, y=y_px + frame.bar_px / 2 + 4, **kind))
    return f"<g>{''.join(parts)}</g>"


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
