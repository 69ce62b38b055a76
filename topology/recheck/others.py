"""Migrations that others had under way when a plan was made, and that are over when it needs their nodes."""

from __future__ import annotations

from collections.abc import Iterator

from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.recheck.violation import EPSILON_S, Violation


def after_others(cluster: Cluster, plan: Plan) -> Iterator[Violation]:
    """The plan knows of every migration that others have under way, and begins nothing at its nodes before its end."""
    told = {(other.vm, other.source, other.target) for other in plan.under_way}
    for migration in cluster.migrations:
        if (migration.vm, migration.source, migration.target) not in told:
            yield Violation(0.0, "R15", migration.vm, "is migrating already, and the plan does not know it")
    if len(told) > len(cluster.migrations):
        yield Violation(0.0, "R15", cluster.name, "the plan knows of migrations under way that there are not")
    for other in plan.under_way:
        for move in plan.moves:
            if {move.source, move.target} & {other.source, other.target} and move.start_s < other.end_s - EPSILON_S:
                message = f"moves while {other.vm} is still on its way from {other.source} to {other.target}"
                yield Violation(move.start_s, "R15", move.vm, message)


def once_arrived(cluster: Cluster, plan: Plan) -> Cluster:
    """The cluster as the plan finds it where it needs what they hold."""
    at = {other.vm: other.target for other in plan.under_way}
    vms = tuple(vm.model_copy(update={"node": at[vm.name]}) if vm.name in at else vm for vm in cluster.vms)
    left = tuple(migration for migration in cluster.migrations if migration.vm not in at)
    return Cluster.model_construct(**{**dict(cluster), "vms": vms, "migrations": left})
