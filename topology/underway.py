"""Migrations that others have under way when something is planned: they end when their estimates say, at their targets.

A node takes part in one migration at a time (R15), so that nothing else begins at their nodes until then.
"""

from __future__ import annotations

from shunter.topology.estimate import estimate
from shunter.topology.model import Cluster
from shunter.topology.plan import Finding, UnderWay


def under_way(cluster: Cluster) -> tuple[UnderWay, ...]:
    """With the end that their estimates say, from the beginning on: how far they are is not known (R12)."""
    found = []
    for migration in cluster.migrations:
        vm = cluster.vm_by_name[migration.vm]
        expected = estimate(cluster, vm, migration.target) if vm.node != migration.target else None
        end_s = expected.duration_s if expected else 0.0
        found.append(UnderWay(vm=vm.name, source=migration.source, target=migration.target, end_s=end_s))
    return tuple(found)


def waits_for(migrations: tuple[UnderWay, ...]) -> tuple[Finding, ...]:
    """What is to be said of them."""
    return tuple(
        Finding(
            rule="R15",
            severity="info",
            subject=f"vm {each.vm}",
            message=f"{each.vm} is migrating {each.source} → {each.target} already: nothing else begins on these nodes "
            f"before it has arrived, in about {each.end_s:.0f} s",
            remedy="nothing; a run waits for it",
        )
        for each in migrations
    )


def arrived(cluster: Cluster) -> Cluster:
    """The same once they are all over, and well."""
    if not cluster.migrations:
        return cluster
    after = cluster.with_vms_on(cluster.heading)
    return Cluster.model_construct(**{**dict(after), "migrations": ()})


def busy_until_s(migrations: tuple[UnderWay, ...]) -> dict[str, float]:
    """Node → when the last of them is over in which it takes part."""
    busy: dict[str, float] = {}
    for each in migrations:
        for node in (each.source, each.target):
            busy[node] = max(busy.get(node, 0.0), each.end_s)
    return busy
