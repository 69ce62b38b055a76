"""The turns of a rolling run on the page, and the memory left over below them, in per cent of the chart's width."""

from __future__ import annotations

from dataclasses import dataclass

from shunter.flows.left_picture import LEGEND, axis_memory
from shunter.flows.rolling_picture import turn_told
from shunter.flows.rolling_summary import (
    Turn,
    away_at_once,
    least_left_mib,
    left_steps,
    moves_made,
    moves_per_vm,
    turns,
)
from shunter.flows.spoken import duration, memory
from shunter.topology.plan import Plan

PLOT_PX, PLOT_HEAD_PX, PLOT_FOOT_PX = 70, 30, 8


@dataclass(frozen=True, slots=True)
class Span:
    """One stretch of a node's turn; `turn` is the row of the table that tells of it."""

    turn: int
    kind: str
    left: str
    width: str
    y_px: int
    height_px: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """What is left over for a while; `told` when somebody points at it."""

    kind: str
    left: str
    width: str
    y_px: float
    height_px: float
    told: str


@dataclass(frozen=True, slots=True)
class Turns:
    """`told`: of each turn, all that is known. Heights count from the end of the axis on."""

    found: tuple[tuple[Turn, list[str]], ...]
    spans: tuple[Span, ...]
    steps: tuple[Step, ...]
    at_once: int
    made: int
    per_vm: float
    least_mib: int | None
    highest: str
    zero_px: float
    height_px: int
    legend: str = LEGEND


def turns_of(plan: Plan, rows: dict[str, int], total_s: float, *, row_px: int, bar_px: int) -> Turns:
    """`rows`: where each node's row begins."""
    found = turns(plan)
    spans: list[Span] = []
    for i, turn in enumerate(found):
        spans += _spans(i, turn, rows[turn.node], total_s, (row_px, bar_px))
    left = left_steps(plan)
    highest, lowest = max([0, *(mib for *_, mib in left)]), min([0, *(mib for *_, mib in left)])
    px_per_mib = PLOT_PX / max(highest - lowest, 1)
    zero_px = PLOT_HEAD_PX + highest * px_per_mib
    steps = [
        Step(
            kind="left" if mib >= 0 else "lacking",
            left=percent(from_s / total_s),
            width=percent((to_s - from_s) / total_s),
            y_px=zero_px - max(mib, 0) * px_per_mib,
            height_px=max(abs(mib) * px_per_mib, 1.0),
            told=f"{duration(from_s)} to {duration(to_s)}: at least {memory(mib)} left over",
        )
        for from_s, to_s, mib in left
    ]
    return Turns(
        found=tuple((turn, turn_told(turn)) for turn in found),
        spans=tuple(spans),
        steps=tuple(steps),
        at_once=away_at_once(plan),
        made=moves_made(plan),
        per_vm=moves_per_vm(plan),
        least_mib=least_left_mib(plan),
        highest=axis_memory(highest),
        zero_px=zero_px,
        height_px=PLOT_HEAD_PX + PLOT_PX + PLOT_FOOT_PX if steps else 0,
    )


def _spans(i: int, turn: Turn, top_px: int, total_s: float, high_px: tuple[int, int]) -> list[Span]:
    row_px, bar_px = high_px
    own = turn.maintenance

    def span(kind: str, from_s: float, to_s: float, label: str = "") -> Span:
        tall = kind in ("emptied", "filled")
        y_px, height_px = (top_px + 1, row_px - 2) if tall else (top_px + (row_px - bar_px) // 2, bar_px)
        width = percent(max(to_s - from_s, 0.0) / total_s)
        return Span(i, kind, percent(from_s / total_s), width, y_px, height_px, label)

    spans = [span("emptied", turn.emptied_from_s, own.start_s)]
    if turn.filled_until_s is not None and own.outcome in (None, "done"):
        spans.append(span("filled", own.end_s, turn.filled_until_s))
    if own.outcome != "skipped":
        sign = {"done": "✓ ", "failed": "✗ "}.get(own.outcome or "", "")
        label = f"{sign}{duration(own.end_s - own.start_s)}"
        spans.append(span("broken" if own.outcome == "failed" else "away", own.start_s, own.end_s, label))
    return spans


def percent(share: float) -> str:
    return f"{100 * max(share, 0.0):.3f}".rstrip("0").rstrip(".") + "%"
