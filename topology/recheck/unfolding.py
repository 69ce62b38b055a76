"""A rolling plan in the order in which things happen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from shunter.topology.plan import Maintenance, Move, Plan, RoleMove, UnderWay, VolumeMove
from shunter.topology.recheck.violation import EPSILON_S

Kind = Literal["arrives", "comes back", "changes", "goes", "has arrived", "is paused", "leaves"]
Happening = tuple[float, Kind, Move | RoleMove | VolumeMove | Maintenance | UnderWay]
"""When, what, and to what: a move arrives or leaves, a node is paused, goes or comes back, a role or volume changes."""


def unfolded(plan: Plan) -> Iterator[list[Happening]]:
    """What happens, all of one instant together; first that which happens at the start.

    Times that differ by rounding alone are one instant. In it what ends comes first, then what changes at once, then
    the nodes that go, then what begins.
    """
    keyed: list[tuple[float, Happening]] = []
    for move in plan.moves:
        keyed.append((move.end_s - EPSILON_S, (move.end_s, "arrives", move)))
        keyed.append((move.start_s, (move.start_s, "leaves", move)))
    changes: list[RoleMove | VolumeMove] = [*plan.role_moves, *plan.volume_moves]
    keyed += [(change.start_s - EPSILON_S / 2, (change.start_s, "changes", change)) for change in changes]
    for turn in plan.maintenance:
        keyed.append((turn.end_s - EPSILON_S, (turn.end_s, "comes back", turn)))
        keyed.append((turn.start_s - EPSILON_S / 4, (turn.start_s, "goes", turn)))
        keyed.append((turn.paused_s, (turn.paused_s, "is paused", turn)))
    keyed += [(other.end_s - EPSILON_S, (other.end_s, "has arrived", other)) for other in plan.under_way]
    now_s = 0.0
    together: list[Happening] = []
    for _, happening in sorted(keyed, key=lambda entry: entry[0]):
        if happening[0] > now_s + EPSILON_S:
            yield together
            now_s, together = happening[0], []
        together.append(happening)
    yield together
