"""A rolling run in figures: each node's turn, how many were away at once, what was left over, and all that in a line.

Of values alone; what draws and what writes reads it here, so that they say the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from shunter.flows.spoken import count, duration, memory, natural, together
from shunter.topology.plan import Alternative, Maintenance, Move, Plan, Untouched

MOST_NAMED = 4


@dataclass(frozen=True, slots=True)
class Turn:
    """A node's turn with what belongs to it.

    `emptied_from_s`: the first move off the node before its maintenance, or when it was paused if none was needed.
    `filled_until_s`: the end of the last move onto it after its maintenance; None if there was none.
    """

    maintenance: Maintenance
    emptied_from_s: float
    moves_off: int
    filled_until_s: float | None

    @property
    def node(self) -> str:
        return self.maintenance.node


def turns(plan: Plan) -> list[Turn]:
    """In the order of their start."""
    off: dict[str, list[Move]] = {}
    onto: dict[str, list[Move]] = {}
    for move in plan.moves:
        off.setdefault(move.source, []).append(move)
        onto.setdefault(move.target, []).append(move)
    return [
        _turn(each, off.get(each.node, ()), onto.get(each.node, ()))
        for each in sorted(plan.maintenance, key=lambda m: (m.start_s, m.end_s, natural(m.node)))
    ]


def _turn(maintenance: Maintenance, off: Sequence[Move], onto: Sequence[Move]) -> Turn:
    before = [move for move in off if move.start_s < maintenance.start_s]
    filled = [move.end_s for move in onto if move.start_s >= maintenance.end_s]
    return Turn(
        maintenance,
        emptied_from_s=min([maintenance.paused_s, *(move.start_s for move in before)]),
        moves_off=sum(move.outcome in (None, "done") for move in before),
        filled_until_s=max(filled, default=None),
    )


def rows_of_run(plan: Plan) -> list[str]:
    """Every node that the run is about: those maintained in the order of their start, untouched ones, then others."""
    maintained = [turn.node for turn in turns(plan)]
    untouched = sorted((left.node for left in plan.untouched), key=natural)
    others = sorted({node for move in plan.moves for node in (move.source, move.target)}, key=natural)
    return list(dict.fromkeys([*maintained, *untouched, *others]))


def away_at_once(plan: Plan) -> int:
    """The most nodes under maintenance at one instant; one that ends as another starts makes way for it."""
    ends = [(each.end_s, 0) for each in plan.maintenance if each.end_s > each.start_s]
    starts = [(each.start_s, 1) for each in plan.maintenance if each.end_s > each.start_s]
    away = most = 0
    for _, begins in sorted(ends + starts):
        away += 1 if begins else -1
        most = max(most, away)
    return most


def least_left_mib(plan: Plan) -> int | None:
    return min((each.left_mib for each in plan.maintenance if each.left_mib is not None), default=None)


def left_steps(plan: Plan) -> list[tuple[float, float, int]]:
    """(from s, to s, MiB) of what was left over at least, while any node was away or about to be.

    While several are away, each one's figure bounds the instant from below: the largest is the closest, and at the
    worst instant of all they agree.
    """
    known = [each for each in plan.maintenance if each.left_mib is not None and each.end_s > each.paused_s]
    cuts = sorted({at_s for each in known for at_s in (each.paused_s, each.end_s)})
    steps: list[tuple[float, float, int]] = []
    for from_s, to_s in pairwise(cuts):
        left = [each.left_mib for each in known if each.paused_s <= from_s and to_s <= each.end_s]
        mib = max((mib for mib in left if mib is not None), default=None)
        if mib is None:
            continue
        goes_on = bool(steps) and steps[-1][1:] == (from_s, mib)
        steps.append((steps.pop()[0] if goes_on else from_s, to_s, mib))
    return steps


def chosen(plan: Plan) -> Alternative | None:
    return next((each for each in plan.alternatives if each.chosen), None)


def moves_per_vm(plan: Plan) -> float:
    """By the number of VMs that the alternatives were counted for; without any, of the VMs that move at all."""
    made = moves_made(plan)
    counted = chosen(plan)
    if counted is not None and counted.moves_per_vm > 0:
        return made / (counted.moves / counted.moves_per_vm)
    return made / max(len({move.vm for move in plan.moves}), 1)


def moves_made(plan: Plan) -> int:
    return sum(move.outcome == "done" for move in plan.moves) if plan.executed else len(plan.moves)


def rolling_headline(plan: Plan) -> str:
    """One sentence: how many nodes in what time, at what price and how close; which were not."""
    if plan.errors and not plan.executed:
        return f"Refused, nothing was touched: {'; '.join(found.message for found in plan.errors)}."
    told = _figures(plan) or ", ".join(_lacking(plan)) or "no node is to be maintained"
    return f"{_beginning(plan)}: {told}."


def _beginning(plan: Plan) -> str:
    some = any(each.outcome in (None, "done") for each in plan.maintenance)
    if not plan.executed:
        return "Planned" if some or plan.ok else "Nothing is planned"
    if plan.interrupted:
        return "Interrupted"
    return "Done" if plan.ok else "Partly done" if some else "Not done"


def _figures(plan: Plan) -> str:
    done = [each for each in plan.maintenance if each.outcome in (None, "done")]
    if not done:
        return ""
    asked = {each.node for each in plan.maintenance} | {left.node for left in plan.untouched}
    nodes = count(len(done), "node") if len(done) == len(asked) else f"{len(done)} of {count(len(asked), 'node')}"
    made = moves_made(plan)
    each = f" ({moves_per_vm(plan):.2f} a VM)" if made else ""
    lacking = ", ".join(_lacking(plan))
    parts = [
        f"{nodes}{' maintained' if plan.executed else ''} in {duration(plan.makespan_s)}"
        f"{f' ({lacking})' if lacking else ''}",
        f"{count(made, 'move')}{each}",
    ]
    at_once = away_at_once(plan)
    if len(plan.maintenance) > 1 and at_once:
        parts.append(f"up to {at_once} nodes away at once" if at_once > 1 else "one node away at a time")
    left_mib = least_left_mib(plan)
    if left_mib is not None:
        parts.append(f"{memory(-left_mib)} too little at the worst" if left_mib < 0 else _left(left_mib))
    return ", ".join(parts)


def _left(mib: int) -> str:
    return f"at least {memory(mib)} left over" if mib else "nothing left over at the least"


def not_done(plan: Plan) -> dict[str, str]:
    """Nodes that failed, were skipped or are left out, with the word for it."""
    ended = {each.node: each.outcome for each in plan.maintenance if each.outcome in ("failed", "skipped")}
    left_out = {left.node: "left out" for left in sorted(plan.untouched, key=lambda left: natural(left.node))}
    return left_out | {node: str(outcome) for node, outcome in ended.items()}


def left_out_alike(plan: Plan) -> list[tuple[tuple[str, ...], str, str]]:
    """(nodes, reason, remedy) of nodes left out; those whose reasons differ in their name alone stand together."""
    alike: dict[tuple[str, str], list[Untouched]] = {}
    for left in sorted(plan.untouched, key=lambda left: natural(left.node)):
        alike.setdefault((_general(left, left.reason), _general(left, left.remedy)), []).append(left)
    return [
        (tuple(left.node for left in group), *general)
        if len(group) > 1
        else ((group[0].node,), group[0].reason, group[0].remedy)
        for general, group in alike.items()
    ]


def _general(left: Untouched, text: str) -> str:
    return re.sub(rf"(?<![\w-]){re.escape(left.node)}(?![\w-])", "the node", text) if left.node else text


def troubles_told(plan: Plan) -> list[tuple[tuple[str, ...], str]]:
    """(nodes, what to do about them, or at least what is known) of nodes that are not done."""
    left_out = {left.node for left in plan.untouched}
    failed = [each for each in plan.maintenance if each.outcome in ("failed", "skipped") and each.node not in left_out]
    told = [((each.node,), each.reason or str(each.outcome)) for each in failed]
    return told + [(nodes, remedy) for nodes, _, remedy in left_out_alike(plan)]


def _lacking(plan: Plan) -> list[str]:
    """The same in words, and the VMs that nobody knows the whereabouts of."""
    found = not_done(plan)
    said = []
    for outcome in ("failed", "skipped", "left out"):
        nodes = [node for node, how in found.items() if how == outcome]
        if nodes:
            said.append(f"{_some(nodes)} {outcome}")
    lost = list(dict.fromkeys(move.vm for move in plan.in_doubt))
    return [*said, f"what became of {_some(lost)} is unknown"] if lost else said


def _some(names: Sequence[str]) -> str:
    if len(names) <= MOST_NAMED:
        return together(names)
    return together([*names[: MOST_NAMED - 1], f"{len(names) - MOST_NAMED + 1} more"])
