"""Reads the plan of a node's return again: who goes back is who the policy wants back, and nobody else moves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.plan import Plan
from shunter.topology.recheck.homecoming import once_resumed
from shunter.topology.recheck.of_plan import check_plan
from shunter.topology.recheck.violation import Violation
from shunter.topology.recheck.waiting import legs_of


def check_resume(
    cluster: Cluster,
    plan: Plan,
    failback: Literal["none", "preferred", "as-before"],
    homes: Mapping[str, str] | None = None,
) -> tuple[Violation, ...]:
    """What is wrong with this plan to resume its node in this cluster; empty where it is sound.

    `homes`: VM → node where it was, for `as-before`. Checked is what `check_plan` checks, with the node taking VMs; and
    that exactly those move, once each, or are said to stay, that the policy wants elsewhere.
    """
    if plan.kind != "resume" or plan.node not in cluster.node_by_name:
        return (Violation(0.0, "I8", str(plan.node), f"is the node of a plan of kind {plan.kind}"),)
    found = check_plan(cluster, plan, ())
    return (*found, *_policy(once_resumed(cluster, plan), plan, failback, homes or {}))


def _policy(cluster: Cluster, plan: Plan, failback: str, homes: Mapping[str, str]) -> Iterator[Violation]:
    legs = legs_of(plan)
    staying = {stays.vm: {verdict.target for verdict in stays.verdicts} for stays in plan.unplaced}
    for vm in cluster.vms:
        belongs = _belongs(cluster, plan, vm, failback, homes)
        goes = [move.target for move in legs.get(vm.name, ())]
        wanted = belongs not in ("", vm.node)
        if goes and (not wanted or goes != [belongs]):
            message = f"goes to {' and '.join(goes)}; {failback} wants it on {belongs or 'no node in particular'}"
            yield Violation(0.0, "R16", vm.name, message)
        if vm.name in staying and not (wanted and staying[vm.name] == {belongs}):
            yield Violation(0.0, "R16", vm.name, "is said to stay, and nothing wants it elsewhere")
        free = vm.holds_memory and vm.clustered and all(move.vm != vm.name for move in cluster.migrations)
        if wanted and free and not goes and vm.name not in staying:
            yield Violation(0.0, "R16", vm.name, f"{failback} wants it on {belongs}; the plan does not speak of it")
    yield from _along(cluster, plan)


def _belongs(cluster: Cluster, plan: Plan, vm: VirtualMachine, failback: str, homes: Mapping[str, str]) -> str:
    """The node that the policy wants the VM on; empty where it wants nothing."""
    if failback == "preferred":
        there = [owner for owner in vm.preferred_owners if cluster.node_by_name[owner].state == "up"]
        return there[0] if there and there[0] == plan.node else ""
    home = homes.get(vm.name, "") if failback == "as-before" else ""
    return home if home in cluster.node_by_name else ""


def _along(cluster: Cluster, plan: Plan) -> Iterator[Violation]:
    """What does not run and what is a disk moves only with a VM that does (R11)."""
    going = {name for move in plan.moves for name in cluster.vm_by_name[move.vm].volumes}
    for role_move in plan.role_moves:
        vm = cluster.vm_by_name.get(role_move.name)
        if vm is None or not going & set(vm.volumes):
            yield Violation(role_move.start_s, "R16", role_move.name, "moves, and goes along with nobody")
    for volume_move in plan.volume_moves:
        if volume_move.volume not in going or cluster.volume_by_name[volume_move.volume].kind != "disk":
            yield Violation(volume_move.start_s, "R16", volume_move.volume, "moves, and goes along with nobody")
