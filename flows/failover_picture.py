"""Restarts as bars on the rows of the nodes that take them, side by side where several VMs start at once."""

from __future__ import annotations

from collections.abc import Iterable

from shunter.flows.failover_summary import drawn_restarts, lanes_of
from shunter.flows.migration_bars import FILLS, bar, bar_colours
from shunter.flows.timeline_frame import Frame
from shunter.topology.plan import Plan


def restart_bars(plan: Plan, frame: Frame) -> Iterable[str]:
    """Of a report each from the beginning of the run until the VM ran."""
    drawn = drawn_restarts(plan)
    _, lanes = lanes_of(drawn)
    colours = bar_colours(plan.moves, len(FILLS))
    for move, shape, lane, colour in zip(plan.moves, drawn, lanes, colours, strict=True):
        yield bar(shape, lane, f"← {move.source}", frame, FILLS[colour], told=move)
