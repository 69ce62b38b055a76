"""Who moves more than once, and who waits for whom, in a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import networkx as nx

from shunter.topology.plan import Move, Plan
from shunter.topology.recheck.violation import EPSILON_S, Violation


def legs_of(plan: Plan) -> Mapping[str, Sequence[Move]]:
    """The moves of each VM, in order of time. More than one: it makes a detour."""
    legs: dict[str, list[Move]] = {}
    for move in sorted(plan.moves, key=lambda move: move.start_s):
        legs.setdefault(move.vm, []).append(move)
    return legs


def detours(plan: Plan) -> Iterator[Violation]:
    """A VM that moves again goes on from where it has arrived, and every leg but the last says where it leads (I2)."""
    for vm, legs in legs_of(plan).items():
        for leg, onward in pairwise(legs):
            if onward.start_s < leg.end_s - EPSILON_S:
                yield Violation(onward.start_s, "I2", vm, "it moves on before it has arrived")
            if onward.source != leg.target:
                yield Violation(onward.start_s, "I2", vm, f"it is on {leg.target} by then, not on {onward.source}")
            if legs[-1].target not in leg.why:
                message = f"it moves {len(legs)} times, and its move to {leg.target} does not say why"
                yield Violation(leg.start_s, "I2", vm, message)
        if len(legs) > 1 and legs[-1].target == legs[0].source and not legs[-1].why:
            yield Violation(legs[-1].start_s, "I2", vm, f"it returns to {legs[0].source}, and nothing says why")


def waits(plan: Plan) -> Iterator[Violation]:
    """Whoever waits starts when those it waits for have arrived (I3); nobody waits for strangers or in a circle.

    In a rolling plan who has made room may have to move again, whoever is on the way to that room.
    """
    legs = legs_of(plan)
    for move in plan.moves:
        for other in move.after or ():
            if other == move.vm:
                yield Violation(move.start_s, "I3", move.vm, "it waits for itself")
            elif other not in legs:
                yield Violation(move.start_s, "I3", move.vm, f"it waits for {other}, which the plan does not move")
            elif not _over(legs[other], move, move.start_s if plan.kind == "rolling_maintenance" else move.end_s):
                yield Violation(move.start_s, "I3", move.vm, f"it starts before the move of {other} is over")
    for circle in _circles(plan, legs):
        yield Violation(0.0, "I3", circle[0], f"waits for itself in the end: {' after '.join([*circle, circle[0]])}")


def _over(legs: Sequence[Move], move: Move, until_s: float) -> bool:
    """Whether the other has moved by then and is not on its way; what it does from `until_s` on is its affair."""
    before = [leg for leg in legs if leg.start_s < until_s - EPSILON_S]
    return bool(before) and all(leg.end_s <= move.start_s + EPSILON_S for leg in before)


def _circles(plan: Plan, legs: Mapping[str, Sequence[Move]]) -> Iterator[list[str]]:
    """Among those that move once: whoever makes a detour may wait for another and the other for its next leg."""
    waiting: nx.DiGraph[str] = nx.DiGraph()
    for move in plan.moves:
        others = (other for other in move.after or () if other != move.vm)
        waiting.add_edges_from((move.vm, other) for other in others if len(legs.get(other, ())) == 1)
    for group in nx.strongly_connected_components(waiting):
        if len(group) > 1:
            yield [one for one, _ in nx.find_cycle(waiting.subgraph(group))]
