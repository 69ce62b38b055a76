"""One night, one report: what a run reports that went on with one that had died or was stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from shunter.clusters.port import MigrationRecord
from shunter.topology.plan import Finding, Maintenance, Move, Plan


class EarlierTurn(NamedTuple):
    """Of a node that an earlier run has maintained. Seconds are the cluster's clock."""

    paused_s: float
    started_s: float
    ended_s: float


class Earlier(NamedTuple):
    """The runs that this one goes on with: `runs`, their names, in order; `began_s`, when the first began, by the
    cluster's clock.
    """

    runs: tuple[str, ...]
    began_s: float
    turns: Mapping[str, EarlierTurn]


def one_report(report: Plan, earlier: Earlier, began_s: float, log: Sequence[MigrationRecord]) -> Plan:
    """The report of the whole night: its seconds count from the beginning of the first run. `began_s`: of the last one.

    What the earlier runs moved is what the cluster's own log tells.
    """
    later_s = began_s - earlier.began_s
    before = [
        each for each in log if each.by == "us" and earlier.began_s <= each.started_s and each.ended_s < began_s + 1e-6
    ]
    counted = {(move.vm, round(move.start_s + began_s, 3)) for move in report.moves}
    moves = [_moved(each, earlier.began_s) for each in before if (each.vm, round(each.started_s, 3)) not in counted]
    here = {turn.node for turn in report.maintenance}
    turns = [
        Maintenance(
            node=node,
            paused_s=turn.paused_s - earlier.began_s,
            start_s=turn.started_s - earlier.began_s,
            end_s=turn.ended_s - earlier.began_s,
            outcome="done",
        )
        for node, turn in earlier.turns.items()
        if node not in here
    ]
    shifted = _later(report, later_s)
    named = Finding(
        rule="R16",
        severity="info",
        subject=f"cluster {report.cluster}",
        message=f"this run goes on with {', '.join(earlier.runs)}; its report tells the whole night",
        remedy="nothing",
    )
    return shifted.model_copy(
        update={
            "moves": tuple(sorted([*moves, *shifted.moves], key=lambda move: (move.start_s, move.vm))),
            "maintenance": tuple(sorted([*turns, *shifted.maintenance], key=lambda turn: turn.start_s)),
            "findings": (named, *shifted.findings),
        }
    )


def _moved(record: MigrationRecord, began_s: float) -> Move:
    return Move(
        vm=record.vm,
        source=record.source,
        target=record.target,
        start_s=record.started_s - began_s,
        end_s=record.ended_s - began_s,
        why="moved by an earlier run of this night",
        outcome=record.outcome if record.outcome in ("done", "cancelled") else "failed",
    )


def _later(report: Plan, by_s: float) -> Plan:
    """The same, of a run that began so much earlier."""
    starts = {
        name: tuple(each.model_copy(update={"start_s": each.start_s + by_s}) for each in getattr(report, name))
        for name in ("role_moves", "volume_moves")
    }
    return report.model_copy(
        update={
            "moves": tuple(
                move.model_copy(update={"start_s": move.start_s + by_s, "end_s": move.end_s + by_s})
                for move in report.moves
            ),
            "maintenance": tuple(
                turn.model_copy(
                    update={
                        "paused_s": turn.paused_s + by_s,
                        "start_s": turn.start_s + by_s,
                        "end_s": turn.end_s + by_s,
                    }
                )
                for turn in report.maintenance
            ),
            "makespan_s": report.makespan_s + by_s,
            **starts,
        }
    )
