"""The report: what really happened, with the times of the cluster's own log, and what stays and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from shunter.clusters.port import MigrationRecord
from shunter.engine.holds import Denied
from shunter.engine.migrate import Errand
from shunter.statemachines.migration import State
from shunter.topology.eligibility import verdicts
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.plan import Move, Outcome, Plan, Unplaced, Verdict

OUTCOMES: dict[State, Outcome] = {
    State.DONE: "done",
    State.ROLLED_BACK: "failed",
    State.OVERTAKEN: "failed",
    State.REFUSED: "refused",
    State.CANCELLED: "cancelled",
    State.LOST_SIGHT: "lost_sight",
}


def moves(errands: Iterable[Errand], log: Sequence[MigrationRecord], plan: Plan, started_s: float) -> tuple[Move, ...]:
    """One move for each order that the cluster was given, in order of time; seconds count from `started_s`."""
    planned = {move.vm: move for move in plan.moves}
    unused: dict[str, list[MigrationRecord]] = {}
    for record in log:
        if record.by == "us":
            unused.setdefault(record.vm, []).append(record)
    found = []
    # an order that was lost on its way left no record: the last order that can have made a record did
    for errand in sorted(errands, key=_asked_s, reverse=True):
        migration = errand.migration
        # what the cluster refused has no record; one that fits is of another order
        made = unused.get(migration.vm, []) if migration.state is not State.REFUSED else []
        fitting = next((record for record in reversed(made) if _made(errand, record)), None)
        outcome = OUTCOMES[migration.state]
        start_s, end_s = _asked_s(errand), errand.ended_s or _asked_s(errand)
        if fitting is not None:
            made.remove(fitting)
            start_s, end_s = fitting.started_s, fitting.ended_s
            outcome = fitting.outcome if fitting.outcome in ("done", "cancelled") else "failed"
        elif any(_made(errand, other) for other in log if other.by != "us"):
            # the VM is there, but somebody else brought it; our order was lost on its way
            outcome = "failed" if outcome == "done" else outcome
        expected = planned.get(migration.vm)
        chosen_before = expected is not None and expected.target == migration.target
        found.append(
            Move(
                vm=migration.vm,
                source=migration.source,
                target=migration.target,
                start_s=start_s - started_s,
                end_s=end_s - started_s,
                why=expected.why if expected and chosen_before else f"attempt {migration.attempt}: planned anew",
                outcome=outcome,
                estimate_s=errand.estimate_s,
                reason=errand.why or None,
            )
        )
    return tuple(sorted(found, key=lambda move: (move.start_s, move.vm)))


def _asked_s(errand: Errand) -> float:
    assert errand.asked_s is not None, errand.label  # noqa: S101  only errands that reached the cluster are kept
    return errand.asked_s


def _made(errand: Errand, record: MigrationRecord) -> bool:
    """Whether this record can be of this errand."""
    migration = errand.migration
    same = (record.vm, record.source, record.target) == (migration.vm, migration.source, migration.target)
    return same and record.started_s >= _asked_s(errand) - 1e-6


class Why(NamedTuple):
    """Why a VM stays that no rule holds."""

    reason: str
    rule: str = "R16"
    remedy: str = "run it again"


def why_denied(denied: Denied) -> Why | None:
    """Where nodes could not be had, that is why; None where all could."""
    return Why(str(denied), "I1", "wait until they can be had, then run it again") if denied.why else None


def unplaced(
    seen: Cluster,
    staying: Iterable[VirtualMachine],
    emptied: Sequence[str],
    *,
    known: Mapping[str, Sequence[Verdict]],
    why: Callable[[VirtualMachine], Why],
) -> tuple[Unplaced, ...]:
    """What stays on the emptied nodes, with a reason for each other node; `why` is asked where no rule forbids it."""
    return tuple(
        Unplaced(
            vm=vm.name,
            node=vm.node,
            verdicts=tuple(
                verdict
                for node in seen.nodes
                if node.name != vm.node
                for verdict in _reasons(seen, vm, node.name, emptied, known.get(vm.name, ()))
                or [Verdict(target=node.name, **why(vm)._asdict())]
            ),
        )
        for vm in staying
    )


def _reasons(
    seen: Cluster, vm: VirtualMachine, node: str, emptied: Sequence[str], known: Sequence[Verdict]
) -> Sequence[Verdict]:
    said = [verdict for verdict in known if verdict.target == node]
    return said or verdicts(seen, vm, node, emptied=emptied)
