"""The memory of every node before and after, with the line up to which it may be filled while the reserve is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

from shunter.flows.svg import FONT_PX, fitted, tag, width_of_px, written
from shunter.topology.plan import NodeMemory

ROW_PX, BAR_PX, MARGIN_PX, HEAD_PX = 24, 14, 12, 34
MOST_ROWS = 64
FIGURES_PX = 190


def memory_rows(memory: Sequence[NodeMemory]) -> list[NodeMemory]:
    """Those that are shown: all; of very many nodes those whose memory changes."""
    if len(memory) <= MOST_ROWS:
        return list(memory)
    return [node for node in memory if node.before_mib != node.after_mib or node.emptied][:MOST_ROWS]


def memory_height_px(memory: Sequence[NodeMemory]) -> int:
    rows = memory_rows(memory)
    return HEAD_PX + ROW_PX * len(rows) + 10 if rows else 0


def memory_panel(memory: Sequence[NodeMemory], top_px: int, width_px: int) -> Iterator[str]:
    """SVG elements from `top_px` on."""
    rows = memory_rows(memory)
    if not rows:
        return
    legend = "Memory of VMs: outlined before, filled after"
    if any(node.line_mib is not None for node in rows):
        legend += "; the line: as far as nodes may be filled while the reserve is kept"
    yield written(MARGIN_PX, top_px + 18, fitted(legend, width_px - 2 * MARGIN_PX), "faint", title=legend)
    widest_px = max(width_of_px(node.node, FONT_PX) for node in rows)
    left_px = MARGIN_PX + 4 + ceil(min(widest_px, width_px / 5)) + 10
    right_px = width_px - MARGIN_PX - FIGURES_PX
    largest_mib = max([1, *(max(n.for_vms_mib, n.before_mib, n.after_mib) for n in rows)])

    def x_px(mib: int) -> float:
        return left_px + mib / largest_mib * (right_px - left_px)

    for i, node in enumerate(rows):
        y_px = top_px + HEAD_PX + ROW_PX * i
        yield written(
            MARGIN_PX + 4, y_px + 12, fitted(node.node, left_px - MARGIN_PX - 14), "ink", title=_tooltip(node)
        )
        whole = {"y": y_px, "height": BAR_PX}
        yield tag("rect", class_="row", x=left_px, width=x_px(node.for_vms_mib) - left_px, **whole)
        over = node.after_mib > (node.for_vms_mib if node.line_mib is None else node.line_mib)
        fill = "#d55e00" if node.after_mib > node.for_vms_mib else "#e69f00" if over else "#56b4e9"
        yield tag("rect", "", _tooltip(node), x=left_px, width=x_px(node.after_mib) - left_px, fill=fill, **whole)
        yield tag("rect", class_="was", x=left_px, width=x_px(node.before_mib) - left_px, fill="none", **whole)
        if node.line_mib is not None:
            x = x_px(node.line_mib)
            yield tag("line", class_="mark", x1=x, x2=x, y1=y_px - 3, y2=y_px + BAR_PX + 3, stroke_dasharray="3 2")
        yield written(right_px + 8, y_px + 12, _figures(node), "faint")


def _figures(node: NodeMemory) -> str:
    before, after, room = (_gib(mib) for mib in (node.before_mib, node.after_mib, node.for_vms_mib))
    return f"{before} → {after} of {room} GiB" if before != after else f"{after} of {room} GiB"


def _gib(mib: int) -> str:
    return f"{mib / 1024:.1f}".removesuffix(".0")


def _tooltip(node: NodeMemory) -> str:
    lines = [f"{node.node}{' (to be emptied)' if node.emptied else ''}", f"before {node.before_mib} MiB"]
    lines += [f"after {node.after_mib} MiB", f"for VMs {node.for_vms_mib} MiB"]
    if node.line_mib is not None:
        lines.append(f"the reserve is kept up to {node.line_mib} MiB")
    return "\n".join(lines)
