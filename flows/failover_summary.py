"""A failover in a few words: what restarts and when, what does not, what is then no longer protected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from shunter.flows.spoken import count, duration, natural, together
from shunter.topology.plan import Loss, Move, Plan
from shunter.topology.requirements.differing import listed

RESTART_OUTCOMES = {
    "done": "runs",
    "failed": "did not come up",
    "refused": "refused",
    "cancelled": "called off",
    "lost_sight": "unknown: look whether it runs",
    None: "",
}
DRAWN = "Each bar ends when the VM ran on that node, and begins with this run. Dashed: a start that came to nothing."
LEAST_SHARE = 0.03
"""Of the whole: a start that came to nothing is over in a moment, and is to be seen all the same."""
LANE = "\0"
"""Between a node and the number of its lane: no name holds it."""


def failover_headline(plan: Plan, nodes: Sequence[str]) -> str:
    """One sentence. `nodes`: those that are lost."""
    without = f"Without {together(nodes)}" if nodes else "After the loss"
    if plan.errors and not plan.executed:
        why = "; ".join(found.message for found in plan.errors)
        no_majority = any(found.rule == "I6" for found in plan.errors)
        return f"{without} nothing runs: {why}." if no_majority else f"Refused, nothing was touched: {why}."
    within = f" within {duration(plan.makespan_s)}" if up_again(plan) else ""
    told = [f"{restarted(plan)}{within}", *_left(plan)]
    beginning = "Interrupted. " if plan.interrupted else ""
    return f"{beginning}{without}: {'; '.join(told)}."


def up_again(plan: Plan) -> int:
    """How many VMs restart, or run again."""
    return len({move.vm for move in plan.moves if not plan.executed or move.outcome == "done"})


def restarted(plan: Plan) -> str:
    """ "3 VMs restart", of a report "1 VM runs again"."""
    number = up_again(plan)
    if not number:
        nothing = "nothing runs again" if plan.executed else "nothing restarts"
        return nothing if plan.unplaced else "nothing has to restart"
    what = ("runs again" if number == 1 else "run again") if plan.executed else "restarts" if number == 1 else "restart"
    return f"{count(number, 'VM')} {what}"


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


def restarts_table(plan: Plan) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns and rows of what happened, for a report."""
    rows: list[tuple[str, ...]] = [
        (
            move.vm,
            move.source,
            move.target,
            duration(move.end_s),
            happened(move),
        )
        for move in plan.moves
    ]
    return ("VM", "lost with", "node", "at", "what happened"), rows


def happened(move: Move) -> str:
    """How the VM came to run, or what the start came to."""
    if move.outcome == "done":
        return move.why
    return f"{RESTART_OUTCOMES[move.outcome]}{f': {move.reason}' if move.reason else ''}"


def drawn_restarts(plan: Plan) -> tuple[Move, ...]:
    """What a picture shows: of a plan the restarts; of a report how long it took until each VM ran."""
    if not plan.executed:
        return plan.moves
    least_s = LEAST_SHARE * max((move.end_s for move in plan.moves), default=0.0)

    def drawn(move: Move) -> Move:
        begins_s = 0.0 if move.outcome == "done" else max(0.0, min(move.start_s, move.end_s - least_s))
        return move.model_copy(update={"start_s": begins_s})

    return tuple(drawn(move) for move in plan.moves)


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
