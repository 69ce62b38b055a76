"""A failover in a few words: what restarts and when, what does not, what is then no longer protected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from shunter.flows.spoken import count, duration, natural, together
from shunter.topology.plan import Loss, Move, Plan
from shunter.topology.requirements.differing import listed

LANE = "\0"
"""Between a node and the number of its lane: no name holds it."""


def failover_headline(plan: Plan, nodes: Sequence[str]) -> str:
    """One sentence. `nodes`: those that are lost."""
    without = f"Without {together(nodes)}" if nodes else "After the loss"
    if plan.errors and not plan.executed:
        why = "; ".join(found.message for found in plan.errors)
        no_majority = any(found.rule == "I6" for found in plan.errors)
        return f"{without} nothing runs: {why}." if no_majority else f"Refused, nothing was touched: {why}."
    restarted = [move for move in plan.moves if not plan.executed or move.outcome == "done"]
    told = [_restarted(plan, len({move.vm for move in restarted})), *_left(plan)]
    beginning = "Interrupted. " if plan.interrupted else ""
    return f"{beginning}{without}: {'; '.join(told)}."


def _restarted(plan: Plan, number: int) -> str:
    if not number:
        nothing = "nothing runs again" if plan.executed else "nothing restarts"
        return nothing if plan.unplaced else "nothing has to restart"
    what = ("runs again" if number == 1 else "run again") if plan.executed else "restarts" if number == 1 else "restart"
    return f"{count(number, 'VM')} {what} within {duration(plan.makespan_s)}"


def _left(plan: Plan) -> Iterator[str]:
    down, unwanted = waiting(plan), not_wanted(plan)
    if down:
        yield f"{listed(down, 6)} {'does' if len(down) == 1 else 'do'} not"
    if unwanted:
        yield f"{listed(unwanted, 6)} of priority 0 {'is' if len(unwanted) == 1 else 'are'} not started"


def not_wanted(plan: Plan) -> list[str]:
    """VMs of priority 0, which the cluster does not start after a failover."""
    told = {found.subject for found in plan.findings if found.severity == "info" and "priority 0" in found.message}
    return [stays.vm for stays in plan.unplaced if f"vm {stays.vm}" in told]


def waiting(plan: Plan) -> list[str]:
    """VMs that should run and do not restart."""
    unwanted = set(not_wanted(plan))
    return [stays.vm for stays in plan.unplaced if stays.vm not in unwanted]


def uncovered(plan: Plan) -> list[Loss]:
    """The nodes whose loss, on top of it, would not be survived, or perhaps not."""
    return [loss for loss in plan.survives_loss if not loss.ok]


def uncovered_table(plan: Plan) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns and rows."""
    fates = {False: "not all restart", None: "not decided"}
    rows: list[tuple[str, ...]] = [
        (loss.node, fates[loss.ok], listed(loss.unplaced)) for loss in uncovered(plan) if loss.ok is not True
    ]
    return ("if this node were lost as well", "its VMs", "would not restart"), rows


def cover_told(plan: Plan) -> str:
    """What is protected afterwards, in half a sentence."""
    if not plan.survives_loss:
        return "no other node is left to be lost"
    left = uncovered(plan)
    if not left:
        return "the loss of any one further node stays covered"
    if len(left) == len(plan.survives_loss):
        return "the loss of a further node is not covered"
    return f"the loss of {listed([loss.node for loss in left], 8)} as well is not covered"


def lanes_of(moves: Sequence[Move]) -> tuple[list[str], list[str]]:
    """The lanes in which restarts stand beside each other on their targets, and the lane of each move.

    On a node several VMs start at once: each bar goes to the first lane of its target that is free by then.
    """
    busy_until_s: dict[str, list[float]] = {}
    lane_of = []
    for move in sorted(moves, key=lambda move: move.start_s):
        ends = busy_until_s.setdefault(move.target, [])
        lane = next((i for i, end_s in enumerate(ends) if end_s <= move.start_s), len(ends))
        ends[lane:] = [move.end_s, *ends[lane + 1 :]]
        lane_of.append((move, lane))
    names = [_lane(node, i) for node in sorted(busy_until_s, key=natural) for i in range(len(busy_until_s[node]))]
    of: Mapping[int, str] = {id(move): _lane(move.target, lane) for move, lane in lane_of}
    return names, [of[id(move)] for move in moves]


def _lane(node: str, number: int) -> str:
    return f"{node}{LANE}{number}" if number else node
