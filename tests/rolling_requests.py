"""Clusters to maintain, plans of it that are rechecked, and what one asks of them."""

from __future__ import annotations

from typing import Any

from building import cluster, vm

from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.recheck import check_plan
from shunter.topology.rolling import RollingPolicy, plan_rolling

MAINTENANCE_S = 600.0


def planned(of: Cluster, nodes: tuple[str, ...] = (), **policy: Any) -> Plan:
    """A plan that the recheck finds nothing wrong with."""
    plan = plan_rolling(of, nodes, RollingPolicy(**{"maintenance_s": MAINTENANCE_S, **policy}))
    assert check_plan(of, plan, nodes) == ()
    return plan


def filled(nodes: int = 4, each: int = 6, memory_mib: int = 4096, **fields: Any) -> Cluster:
    """Nodes of 64 GiB with so many VMs each."""
    vms = [vm(f"vm-{n}-{i}", f"N{n}", memory_mib) for n in range(1, nodes + 1) for i in range(each)]
    return cluster(nodes, vms, **fields)


def turns(plan: Plan) -> list[str]:
    return [turn.node for turn in plan.maintenance]


def most_away(plan: Plan) -> int:
    return max(sum(o.start_s <= t.start_s < o.end_s for o in plan.maintenance) for t in plan.maintenance)


def moves_of(plan: Plan, name: str) -> list[str]:
    return [move.target for move in plan.moves if move.vm == name]
