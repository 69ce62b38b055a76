"""What a repair leaves out of order, and whether it says so."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from shunter.topology.plan import Plan
from shunter.topology.recheck.replay import Replay
from shunter.topology.recheck.standing import Disorder, disorders
from shunter.topology.recheck.violation import Violation


def left_in_disorder(plan: Plan, start: Replay, end: Replay, at_s: float) -> Iterator[Violation]:
    """What is out of order at the end of the repair, and new, or not said, or denied.

    Said: one of the VMs in question is unplaced, or a finding that is more than information names it, its node or its
    rule. A plan that calls itself ok leaves nothing.
    """
    before = list(disorders(start.cluster, start.runs_on, start.used_mib))
    known = {(entry.rule, entry.subject, entry.vms) for entry in before if entry.rule != "I3"}
    was_full = {entry.subject for entry in before if entry.rule == "I3"}
    after = list(disorders(end.cluster, end.runs_on, end.used_mib))
    said = {stays.vm for stays in plan.unplaced}
    for entry in after:
        is_new = entry.subject not in was_full if entry.rule == "I3" else not _was(entry, known)
        if is_new:
            yield Violation(at_s, entry.rule, entry.subject, f"brought out of order by the repair: {entry.message}")
        elif plan.ok:
            yield Violation(at_s, entry.rule, entry.subject, f"the plan calls itself ok, and {entry.message}")
        elif not (entry.vms & said or _told(plan, entry)):
            yield Violation(at_s, entry.rule, entry.subject, f"stays out of order unsaid: {entry.message}")
    yield from _unplaced_though_in_order(said, after, at_s)


def _was(entry: Disorder, known: Collection[tuple[str, str, frozenset[str]]]) -> bool:
    """A VM that goes from one wrong node to another is as wrong as before, whatever is wrong there."""
    alone = len(entry.vms) == 1
    return any(
        entry.vms == vms and (subject == entry.subject or alone) and (rule == entry.rule or alone)
        for rule, subject, vms in known
    )


def _told(plan: Plan, entry: Disorder) -> bool:
    names = {entry.subject, *entry.vms}
    return any(
        finding.severity != "info" and (finding.subject in names or finding.subject.partition(" ")[2] in names)
        for finding in plan.findings
    )


def _unplaced_though_in_order(said: Collection[str], after: Collection[Disorder], at_s: float) -> Iterator[Violation]:
    out_of_order = {vm for entry in after for vm in entry.vms}
    for name in said:
        if name not in out_of_order:
            yield Violation(at_s, "I2", name, "is named as unplaced, and stands where it may")
