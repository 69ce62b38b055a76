"""Restarts as bars on the rows of the nodes that take them, side by side where several VMs start at once."""

from __future__ import annotations

from collections.abc import Iterable

from shunter.flows.failover_summary import lanes_of
from shunter.flows.migration_bars import FILLS, bar, bar_colours
from shunter.flows.timeline_frame import Frame
from shunter.topology.plan import Plan


def restart_bars(plan: Plan, frame: Frame) -> Iterable[str]:
    _, lanes = lanes_of(plan.moves)
    for move, lane, colour in zip(plan.moves, lanes, bar_colours(plan.moves, len(FILLS)), strict=True):
        yield bar(move, lane, f"← {move.source}", frame, FILLS[colour])
