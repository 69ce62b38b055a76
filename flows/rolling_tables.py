"""The tables of a rolling run in words: the nodes in their order, those left out, the other ways to do it."""

from __future__ import annotations

from shunter.flows.marked import Marked, bold
from shunter.flows.rolling_summary import turns
from shunter.flows.spoken import duration, memory
from shunter.topology.plan import Plan

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]

HOW_IT_ENDED = {"done": "done", "failed": bold("failed"), "skipped": "skipped", None: ""}


def nodes_table(plan: Plan) -> Table:
    """Columns and rows; what is known of a report alone is left out of a plan, and the other way round."""
    found = turns(plan)
    columns: dict[str, list[str]] = {
        "node": [turn.node for turn in found],
        "emptied from": [duration(turn.emptied_from_s) for turn in found],
        "maintenance from": [duration(turn.maintenance.start_s) for turn in found],
        "to": [duration(turn.maintenance.end_s) for turn in found],
        "moves off it": [str(turn.moves_off) for turn in found],
        "least left over": [_memory(turn.maintenance.left_mib) for turn in found],
        "outcome": [HOW_IT_ENDED[turn.maintenance.outcome] for turn in found],
        "why": [turn.maintenance.reason or "" for turn in found],
    }
    telling = {name: cells for name, cells in columns.items() if any(cells)}
    return tuple(telling), list(zip(*telling.values(), strict=True))


def untouched_table(plan: Plan) -> Table:
    return ("node", "why not", "what to do"), [(left.node, left.reason, left.remedy) for left in plan.untouched]


def alternatives_table(plan: Plan) -> Table:
    columns = ("", "takes", "moves", "moves a VM", "nodes at once", "least left over")
    return columns, [
        (
            Marked(f"{bold(way.name)} (chosen)") if way.chosen else way.name,
            duration(way.makespan_s),
            str(way.moves),
            f"{way.moves_per_vm:.2f}",
            str(way.parallel),
            _memory(way.left_mib),
        )
        for way in plan.alternatives
    ]


def _memory(mib: int | None) -> str:
    if mib is None:
        return ""
    return bold(memory(mib)) if mib < 0 else memory(mib)
