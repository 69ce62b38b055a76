"""The timeline of a plan or report as a picture: self-contained SVG, a row for each node, a bar for each migration.

No scripts, no outside resources; every name is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from xml.sax.saxutils import quoteattr

from shunter.flows import timeline_frame
from shunter.flows.failover_picture import restart_bars
from shunter.flows.failover_summary import DRAWN, restarted
from shunter.flows.left_picture import left_height_px, left_panel
from shunter.flows.memory_picture import memory_height_px, memory_panel
from shunter.flows.migration_bars import bars
from shunter.flows.rolling_picture import ROLLING_STYLE, rolling_bars
from shunter.flows.rolling_summary import not_done, rolling_headline
from shunter.flows.spoken import count
from shunter.flows.svg import fitted, printable, tag, written
from shunter.flows.timeline_frame import MARGIN_PX, Frame
from shunter.topology.plan import Plan

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
    frame = Frame.of(plan, max(width_px, 320))
    below = _below(plan)
    left_px = frame.bottom_px + (26 if frame.nodes else 0)
    below_px = left_px + left_height_px(plan)
    memory_px = below_px + 20 * len(below)
    height_px = memory_px + memory_height_px(plan.memory) + MARGIN_PX
    parts = [
        tag("rect", class_="paper", width=frame.width_px, height=height_px),
        written(MARGIN_PX, 24, fitted(_headline(plan), frame.width_px - 2 * MARGIN_PX, 14), "ink title"),
        *_subtitle(plan, frame),
        *timeline_frame.rows(frame),
        *timeline_frame.axis(frame),
        *_bars(plan, frame),
        *timeline_frame.marks(plan, frame),
        *left_panel(plan, frame, left_px),
    ]
    y_px = below_px + 14
    for line, kind in below:
        parts.append(written(MARGIN_PX, y_px, fitted(line, frame.width_px - 2 * MARGIN_PX), kind, title=line))
        y_px += 20
    parts += memory_panel(plan.memory, memory_px, frame.width_px)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{frame.width_px}" height="{height_px}" '
        f'viewBox="0 0 {frame.width_px} {height_px}" role="img" aria-label={quoteattr(printable(_headline(plan)))}>'
        f"<style>{STYLE}{ROLLING_STYLE if frame.rolling else ''}</style>{''.join(parts)}</svg>\n"
    )


def _bars(plan: Plan, frame: Frame) -> Iterable[str]:
    if plan.kind == "failover":
        return restart_bars(plan, frame)
    return rolling_bars(plan, frame) if frame.rolling else bars(plan.moves, frame)


def _headline(plan: Plan) -> str:
    what = plan.kind.replace("_", " ").capitalize()
    how = "as it went" if plan.executed else "as planned"
    if plan.kind == "rolling_maintenance":
        return f"{what} of {plan.cluster}, {how}"
    if plan.kind == "failover":
        down = f", {len(plan.unplaced)} stay{'s' if len(plan.unplaced) == 1 else ''} down" if plan.unplaced else ""
        return f"{what} on {plan.cluster}, {how}: {restarted(plan)}{down}"
    moves = count(len(plan.moves), "live migration") if plan.moves else "nothing moves live"
    stays = f", {len(plan.unplaced)} stay" if plan.unplaced else ""
    return f"{what} of {plan.cluster}, {how}: {moves}{stays}"


def _subtitle(plan: Plan, frame: Frame) -> Iterator[str]:
    if frame.rolling:
        told = rolling_headline(plan)
        yield written(MARGIN_PX, 44, fitted(told, frame.width_px - 2 * MARGIN_PX), "ink", title=told)


def _below(plan: Plan) -> list[tuple[str, str]]:
    """Lines below the chart: what went along, and what stays and why. (text, class)"""
    lines = []
    failover = plan.kind == "failover"
    handed = [*(move.name for move in plan.role_moves), *(move.volume for move in plan.volume_moves)]
    if failover and plan.executed and plan.moves:
        lines.append((DRAWN, "faint"))
    if handed:
        lines.append((f"Handed over without a migration: {', '.join(handed)}", "faint"))
    lines += [(line, "alarm") for line in _not_maintained(plan)]
    for vm in plan.unplaced[:MOST_STAYING_SHOWN]:
        first = vm.verdicts[0] if vm.verdicts else None
        why = f": {first.rule} {first.reason}" if first else ""
        more = f" (and {len(vm.verdicts) - 1} more)" if len(vm.verdicts) > 1 else ""
        stays = f"{vm.vm} of {vm.node} does not restart" if failover else f"{vm.vm} stays on {vm.node}"
        lines.append((f"✗ {stays}{why}{more}", "alarm"))
    if len(plan.unplaced) > MOST_STAYING_SHOWN:
        more_stay = "more do not" if failover else "more stay"
        lines.append((f"… and {len(plan.unplaced) - MOST_STAYING_SHOWN} {more_stay}", "alarm"))
    return lines


def _not_maintained(plan: Plan) -> list[str]:
    """Nodes of a rolling run that failed or were left out, and why."""
    why = {each.node: each.reason or "" for each in plan.maintenance} | {
        left.node: left.reason for left in plan.untouched
    }
    lines = [f"✗ {node} {how}{f': {why[node]}' if why[node] else ''}" for node, how in not_done(plan).items()]
    if len(lines) > MOST_STAYING_SHOWN:
        lines[MOST_STAYING_SHOWN:] = [f"… and {len(lines) - MOST_STAYING_SHOWN} more nodes"]
    return lines
