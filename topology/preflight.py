"""The pre-flight: is this cluster fit for live migration, and what could it lose. Touches nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from shunter.topology.loss import Loss, losses
from shunter.topology.model import Cluster, Value
from shunter.topology.plan import Finding, Plan
from shunter.topology.requirements import OF_EVERY_RUN, findings
from shunter.topology.requirements.differing import about, listed


class Check(Value):
    """What was found. `ok`: nothing stands against a run. `survives_loss`: node by node, if it were lost now."""

    kind: Literal["check"] = "check"
    cluster: str
    ok: bool
    findings: tuple[Finding, ...] = ()
    survives_loss: tuple[Loss, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def to_json(self, indent: int | None = 2) -> str:
        return self.model_dump_json(indent=indent)


def check(
    cluster: Cluster,
    progress: Callable[[int, int], None] = lambda _, __: None,
    *,
    taken_over: Mapping[str, Sequence[str]] | None = None,
) -> Check:
    """All rules that can be seen beforehand, and what the loss of each node would mean.

    `progress` is told of how many nodes of how many the loss is decided. `taken_over`: field → the nodes of which the
    cluster file does not say it, and that were given what it says of others.
    """
    found, lost = (*findings(cluster), *_of_what_is_taken_over(cluster, taken_over or {})), losses(cluster, progress)
    grave = [finding for finding in found if finding.severity == "error"]
    warnings = [finding for finding in found if finding.severity == "warning"]
    infos = [finding for finding in found if finding.severity == "info"]
    return Check(
        cluster=cluster.name,
        ok=not grave,
        findings=(*grave, *of_losses(cluster, lost), *warnings, *infos),
        survives_loss=lost,
    )


def _of_what_is_taken_over(cluster: Cluster, taken_over: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    fields: dict[tuple[str, ...], list[str]] = {}
    for field, nodes in taken_over.items():
        fields.setdefault(tuple(nodes), []).append(field)
    for nodes, names in fields.items():
        yield Finding(
            rule="R02",
            severity="info",
            subject=about(cluster, nodes),
            message=f"{listed(names, 64)}: not given for {listed(nodes)}, and taken from the nodes that give it",
            remedy="nothing, if that is so; else give it for each node",
        )


def with_requirements(cluster: Cluster, plan: Plan) -> Plan:
    """The plan, its findings preceded by those that concern every run on this cluster; an error refuses it.

    Of what is said VM by VM only what concerns VMs of this plan. The return of a node that moves no VM rests on none of
    it.
    """
    if plan.kind == "resume" and not (plan.moves or plan.unplaced):
        return plan
    known = {(finding.rule, finding.subject) for finding in plan.findings}
    ours = {f"vm {name}" for name in _vms_of(plan)}
    first = tuple(
        finding
        for finding in findings(cluster, OF_EVERY_RUN)
        if (finding.rule, finding.subject) not in known
        and (finding.severity == "error" or not finding.subject.startswith("vm ") or finding.subject in ours)
    )
    refused = any(finding.severity == "error" for finding in first)
    return plan.model_copy(update={"findings": (*first, *plan.findings), "ok": plan.ok and not refused})


def about_to_be_mended(plan: Plan) -> Plan:
    """The plan as a run begins with it: where only volumes that a backup left in redirected I/O stand against it, the
    run restores direct I/O first (R18).
    """
    if any(finding.rule != "R18" for finding in plan.errors):
        return plan
    findings = tuple(
        finding
        if finding.severity != "error"
        else finding.model_copy(
            update={
                "severity": "warning",
                "message": f"{finding.message}; the run restores direct I/O before it begins",
            }
        )
        for finding in plan.findings
    )
    return plan.model_copy(update={"findings": findings})


def _vms_of(plan: Plan) -> Iterator[str]:
    yield from (move.vm for move in plan.moves)
    yield from (move.name for move in plan.role_moves)
    yield from (stays.vm for stays in plan.unplaced)


def of_losses(cluster: Cluster, found: Sequence[Loss]) -> Iterable[Finding]:
    """One finding for all nodes whose loss is not covered. Where no other node is up, that is said already."""
    up = [node.name for node in cluster.nodes if node.state == "up"]
    refuge = [loss for loss in found if any(name != loss.node for name in up)]
    fatal = [loss for loss in refuge if loss.ok is False]
    open_ = [loss.node for loss in refuge if loss.ok is None]
    if fatal:
        what = f"{fatal[0].node} were lost, {listed(fatal[0].unplaced)} would not restart"
        if len(fatal) > 1:
            worst = ", ".join(f"{loss.node} ({_count(loss)})" for loss in fatal)
            what = f"one of these nodes were lost, not all of its VMs would restart: {worst}"
        yield Finding(
            rule="I3",
            severity="warning",
            subject=about(cluster, [loss.node for loss in fatal]),
            message=f"if {what}",
            remedy="free memory or add a node; a VM that no other node may take needs more possible owners, switches "
            "or storage connections",
        )
    if open_:
        yield Finding(
            rule="I3",
            severity="warning",
            subject=about(cluster, open_),
            message=f"whether all VMs of {listed(open_, 64)} would restart if it were lost was not decided within the "
            "limits of the search",
            remedy="free some memory: where it is less tight, it is decided quickly",
        )


def _count(loss: Loss) -> str:
    return f"{'' if loss.fewest else 'up to '}{len(loss.unplaced)} VM{'s' if len(loss.unplaced) != 1 else ''}"
