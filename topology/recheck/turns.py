"""Which node has its turn when in a rolling plan, and whether everything keeps away from it meanwhile (I5, R16)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from shunter.topology.model import Cluster
from shunter.topology.plan import Maintenance, Move, Plan, RoleMove, VolumeMove
from shunter.topology.recheck.violation import EPSILON_S, Violation


def asked_once(cluster: Cluster, plan: Plan, nodes: Collection[str]) -> Iterator[Violation]:
    """Every node that was asked for (none: all) has its turn or stays untouched, once; a node that stays says why."""
    asked = set(nodes) or set(cluster.node_by_name)
    named = Counter([turn.node for turn in plan.maintenance] + [stays.node for stays in plan.untouched])
    for name in sorted(asked | named.keys()):
        if name not in asked:
            yield Violation(0.0, "R16", name, "nobody asked for its maintenance")
        elif not named[name]:
            yield Violation(0.0, "R16", name, "is to be maintained; nothing says what becomes of it")
        elif named[name] > 1:
            yield Violation(0.0, "R16", name, f"is named {named[name]} times among the maintained and the untouched")
    for entry in plan.untouched:
        if not entry.reason or not entry.remedy:
            yield Violation(0.0, "R16", entry.node, "stays untouched, and its reason or its remedy is missing")


def in_order(plan: Plan) -> Iterator[Violation]:
    """A node is paused, then goes, then comes back, and its maintenance takes time."""
    for turn in plan.maintenance:
        if not 0 <= turn.paused_s <= turn.start_s + EPSILON_S or turn.end_s <= turn.start_s:
            message = f"is paused at {turn.paused_s:g} s, goes at {turn.start_s:g} s, is back at {turn.end_s:g} s"
            yield Violation(turn.start_s, "R16", turn.node, message)


def kept_clear(plan: Plan) -> Iterator[Violation]:
    """Nothing goes to a node from its pause until it is back, and nothing comes from it while it is away."""
    turns: dict[str, list[Maintenance]] = {}
    for turn in plan.maintenance:
        turns.setdefault(turn.node, []).append(turn)
    for move in plan.moves:
        for turn in turns.get(move.target, ()):
            yield from _arrives(move, move.vm, (move.start_s, move.end_s), turn)
        for turn in turns.get(move.source, ()):
            if move.start_s < turn.end_s - EPSILON_S and move.end_s > turn.start_s + EPSILON_S:
                at_s = max(move.start_s, turn.start_s)
                yield Violation(at_s, "I5", move.vm, f"moves from {turn.node} during its maintenance")
    changes: list[RoleMove | VolumeMove] = [*plan.role_moves, *plan.volume_moves]
    for change in changes:
        name = change.name if isinstance(change, RoleMove) else change.volume
        for turn in turns.get(change.target, ()):
            yield from _arrives(change, name, (change.start_s, change.start_s), turn)
        for turn in turns.get(change.source, ()):
            if turn.start_s + EPSILON_S < change.start_s < turn.end_s - EPSILON_S:
                yield Violation(change.start_s, "I5", name, f"leaves {turn.node} during its maintenance")


def _arrives(
    move: Move | RoleMove | VolumeMove, name: str, span_s: tuple[float, float], turn: Maintenance
) -> Iterator[Violation]:
    start_s, end_s = span_s
    if start_s >= turn.end_s - EPSILON_S:
        return
    at_once = not isinstance(move, Move)
    if end_s > turn.start_s + EPSILON_S or (at_once and end_s >= turn.start_s - EPSILON_S):
        yield Violation(max(start_s, turn.start_s), "I5", name, f"goes to {turn.node} during its maintenance")
    elif end_s > turn.paused_s + EPSILON_S or (at_once and end_s >= turn.paused_s - EPSILON_S):
        yield Violation(max(start_s, turn.paused_s), "R16", name, f"goes to {turn.node} after its pause")
