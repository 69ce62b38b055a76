"""How much memory is left over while nodes are away, step by step; the line at 0 is where the reserve ends."""

from __future__ import annotations

from collections.abc import Iterator

from shunter.flows.rolling_summary import left_steps
from shunter.flows.spoken import GIB_MIB, memory
from shunter.flows.svg import FONT_PX, fitted, tag, width_of_px, written
from shunter.flows.timeline_frame import MARGIN_PX, Frame
from shunter.topology.plan import Plan

HEAD_PX, PLOT_PX, FOOT_PX, LABEL_PX = 36, 60, 16, 20
LEGEND = "Memory left over at the least while nodes are away, once the VMs of one more node had been restarted"


def left_height_px(plan: Plan) -> int:
    rolling = plan.kind == "rolling_maintenance"
    return HEAD_PX + PLOT_PX + FOOT_PX if rolling and left_steps(plan) else 0


def left_panel(plan: Plan, frame: Frame, top_px: int) -> Iterator[str]:
    """SVG elements from `top_px` on, on the same axis of time as the rows above."""
    if not left_height_px(plan):
        return
    steps = left_steps(plan)
    highest, lowest = max(0, *(mib for *_, mib in steps)), min(0, *(mib for *_, mib in steps))
    span = max(highest - lowest, 1)

    def y_px(mib: int) -> float:
        return top_px + HEAD_PX + (highest - mib) / span * PLOT_PX

    yield written(MARGIN_PX, top_px + 18, fitted(LEGEND, frame.width_px - 2 * MARGIN_PX), "faint", title=LEGEND)
    for begin_s, end_s, mib in steps:
        x_px, upper_px, lower_px = frame.x_px(begin_s), min(y_px(mib), y_px(0)), max(y_px(mib), y_px(0))
        told = f"{frame.exact(begin_s)} to {frame.exact(end_s)}: at least {memory(mib)} left over"
        kind = "left" if mib >= 0 else "failed"
        width_px, height_px = max(frame.x_px(end_s) - x_px, 0.5), max(lower_px - upper_px, 1.0)
        yield tag("rect", "", told, class_=kind, x=x_px, y=upper_px, width=width_px, height=height_px)
    zero_px = y_px(0)
    yield tag("line", class_="zero", x1=frame.left_px, x2=frame.right_px, y1=zero_px, y2=zero_px)
    yield written(frame.left_px - 6, zero_px + 4, "0", "faint", anchor="end")
    if highest:
        yield written(frame.left_px - 6, y_px(highest) + 8, axis_memory(highest), "faint", anchor="end")
    begin_s, end_s, mib = min(steps, key=lambda step: step[2])
    label = f"least {memory(mib)}"
    half_px = width_of_px(label, FONT_PX) / 2
    middle_px = (frame.x_px(begin_s) + frame.x_px(end_s)) / 2
    middle_px = min(max(middle_px, frame.left_px + half_px), frame.right_px - half_px)
    if frame.x_px(end_s) - frame.x_px(begin_s) > 2 * half_px + 8 and zero_px - y_px(mib) > LABEL_PX:
        yield tag("text", label, fill="#111", x=middle_px, y=y_px(mib) + 15, text_anchor="middle")
    else:
        kind = "alarm" if mib < 0 else "ink"
        yield written(middle_px, min(y_px(mib), zero_px) - 4, label, kind, anchor="middle")


def axis_memory(mib: int) -> str:
    """For the axis, where there is little room: three digits or so."""
    if mib >= 1000 * GIB_MIB:
        return f"{mib / GIB_MIB / 1024:.1f} TiB"
    return memory(mib) if mib < 100 * GIB_MIB else f"{mib / GIB_MIB:.0f} GiB"
