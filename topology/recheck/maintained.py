"""Holds the nodes' turns in the report of a rolling maintenance against the witness log."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from shunter.topology.model import Cluster
from shunter.topology.plan import Maintenance, Plan
from shunter.topology.recheck.turns import asked_once
from shunter.topology.recheck.violation import Violation
from shunter.topology.recheck.world import Event

SAME_TIME_S = 1e-3


@dataclass(slots=True)
class Comings:
    """(node, when) of reboots, by anybody and by us, and of returns, in order, on the clock of the report."""

    reboots: list[tuple[str, float]] = field(default_factory=list)
    reboots_by_us: list[tuple[str, float]] = field(default_factory=list)
    returns: list[tuple[str, float]] = field(default_factory=list)

    def note(self, event: Event, at_s: float) -> None:
        """Take from the log's next event what is to be remembered of it."""
        if event["what"] == "node_up":
            self.returns.append((event["node"], at_s))
        elif event["what"] == "node_rebooted":
            self.reboots.append((event["node"], at_s))
            if event["by"] == "us":
                self.reboots_by_us.append((event["node"], at_s))


def turns_agree(cluster: Cluster, report: Plan, nodes: Collection[str], comings: Comings) -> Iterator[Violation]:
    """Every node that was asked for (none: all) is accounted for, and its turn is as the log tells it.

    Whose doing the reboot was is not asked of a turn that is done: an operator may have done it.
    """
    for found in asked_once(cluster, report, nodes):
        yield Violation(found.at_s, "report", found.subject, found.message)
    turns = {turn.node: turn for turn in report.maintenance} if report.executed else {}
    for turn in turns.values():
        yield from _ended(turn)
        if turn.outcome == "done":
            yield from _was_done(turn, comings)
    for node, at_s in comings.reboots_by_us:
        turn_of = turns.get(node)
        if turn_of is None:
            yield Violation(at_s, "report", node, "we rebooted it, and the report has no turn of it")
        elif turn_of.outcome == "skipped":
            yield Violation(at_s, "report", node, "we rebooted it, and the report calls it skipped")
        elif not turn_of.start_s - SAME_TIME_S <= at_s <= turn_of.end_s + SAME_TIME_S:
            message = f"we rebooted it at {at_s:g} s; its turn in the report is {_span(turn_of)}"
            yield Violation(at_s, "report", node, message)
    undone = [turn.node for turn in report.maintenance if report.executed and turn.outcome != "done"]
    undone += [stays.node for stays in report.untouched]
    if report.ok and undone:
        yield Violation(
            report.makespan_s, "report", ", ".join(undone), "the report calls itself ok though it is not done"
        )


def _ended(turn: Maintenance) -> Iterator[Violation]:
    if turn.outcome is None:
        yield Violation(turn.end_s, "report", turn.node, "the report does not say how its turn ended")
    elif turn.outcome != "done" and not turn.reason:
        yield Violation(turn.end_s, "report", turn.node, f"its turn is {turn.outcome}; the report does not say why")
    if not turn.paused_s <= turn.start_s + SAME_TIME_S <= turn.end_s + 2 * SAME_TIME_S:
        message = f"is paused at {turn.paused_s:g} s, and its turn is {_span(turn)}"
        yield Violation(turn.start_s, "report", turn.node, message)


def _was_done(turn: Maintenance, comings: Comings) -> Iterator[Violation]:
    went = [s for node, s in comings.reboots if node == turn.node and turn.start_s - SAME_TIME_S <= s]
    came = [s for node, s in comings.returns if node == turn.node and s <= turn.end_s + SAME_TIME_S]
    if not any(went_s <= came_s for went_s in went for came_s in came):
        message = f"is called done, and the log has no reboot and return of it {_span(turn)}"
        yield Violation(turn.end_s, "report", turn.node, message)


def _span(turn: Maintenance) -> str:
    return f"from {turn.start_s:g} s to {turn.end_s:g} s"
