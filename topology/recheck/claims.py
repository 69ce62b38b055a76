"""What a plan says without playing it: whether what it names is there, and whether its reasons are complete."""

from __future__ import annotations

import re
from collections.abc import Iterator

from shunter.topology.model import Cluster
from shunter.topology.plan import Move, Plan, RoleMove, Unplaced, VolumeMove
from shunter.topology.recheck.violation import Violation

RULE = re.compile(r"R(0[1-9]|1\d|2[01])|I[1-8]")


def unknown_names(cluster: Cluster, plan: Plan) -> Iterator[Violation]:
    """Every VM, role, volume and node of the plan that the cluster does not have."""
    roles = {role.name for role in cluster.roles} | set(cluster.vm_by_name)
    named: list[tuple[str, str, bool]] = [
        *(("VM", m.vm, m.vm in cluster.vm_by_name) for m in plan.moves),
        *(("VM or role", m.name, m.name in roles) for m in plan.role_moves),
        *(("volume", m.volume, m.volume in cluster.volume_by_name) for m in plan.volume_moves),
        *(("VM", u.vm, u.vm in cluster.vm_by_name) for u in plan.unplaced),
    ]
    changes: list[Move | RoleMove | VolumeMove] = [*plan.moves, *plan.role_moves, *plan.volume_moves]
    ends = [end for change in changes for end in (change.source, change.target)]
    ends += [turn.node for turn in plan.maintenance] + [stays.node for stays in plan.untouched]
    named += [("node", end, end in cluster.node_by_name) for end in ends]
    for kind, name, known in named:
        if not known:
            yield Violation(0.0, "I2", name, f"the cluster has no {kind} of this name")


def missing_reasons(cluster: Cluster, stays: Unplaced, is_on: str) -> Iterator[Violation]:
    """Where an unplaced VM lacks a verdict for another node, or a verdict lacks rule, reason or remedy (I2)."""
    if stays.node != is_on:
        yield Violation(0.0, "I2", stays.vm, f"it is on {is_on}, not on {stays.node}")
    asked = {verdict.target for verdict in stays.verdicts}
    silent = [node.name for node in cluster.nodes if node.name != is_on and node.name not in asked]
    if silent:
        yield Violation(0.0, "I2", stays.vm, f"nothing says why it cannot go to {', '.join(silent)}")
    for verdict in stays.verdicts:
        if not RULE.fullmatch(verdict.rule) or not verdict.reason or not verdict.remedy:
            message = f"the verdict on {verdict.target} lacks rule, reason or remedy"
            yield Violation(0.0, "I2", stays.vm, message)
