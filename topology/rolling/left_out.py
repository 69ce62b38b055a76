"""Nodes whose turn would not come, and what keeps them: found by the forecast, and said before the first move."""

from __future__ import annotations

from shunter.topology.model import Cluster
from shunter.topology.plan import Unplaced, Untouched
from shunter.topology.rolling.course import Course
from shunter.topology.rolling.hindrances import no_room
from shunter.topology.rolling.policy import RollingPolicy


def left_out(
    cluster: Cluster, course: Course, policy: RollingPolicy, reserve_nodes: int
) -> tuple[list[Untouched], list[Unplaced]]:
    """Nodes whose turn never came, and the VMs that kept them."""
    untouched: list[Untouched] = []
    unplaced: list[Unplaced] = []
    out_of_time = policy.window_s is not None and course.total_s + policy.maintenance_s > policy.window_s
    for name in course.undone:
        if out_of_time:
            reason = f"{name} would not be back before the window of {policy.window_s:g} s ends"
            remedy = "give a longer window, or start another run for the nodes that are left"
            untouched.append(Untouched(node=name, reason=reason, remedy=remedy))
            continue
        kept = f"with a reserve of {reserve_nodes}" if reserve_nodes else "even without a reserve"
        reason = f"no way was found to empty {name} {kept}"
        remedy = "try another order (--first, --parallel 1), leave out nodes, free memory, or add a node"
        if course.decided:
            reason = f"{name} cannot be emptied {kept}: in no order do all nodes find room for their VMs"
            remedy = "free memory, add a node, leave out nodes, or lower the reserve (--reserve-nodes)"
        untouched.append(Untouched(node=name, reason=reason, remedy=remedy))
        unplaced += [no_room(cluster, vm, kept) for vm in cluster.vms_by_node[name] if vm.holds_memory]
    return untouched, unplaced


def of_stuck(node: str, what: str) -> Untouched:
    """A node that could be emptied of what runs on it, but for something else."""
    return Untouched(
        node=node,
        reason=f"{what} finds no other node where it may be when {node} leaves",
        remedy=f"move {what} by hand, or loosen its rules or possible owners",
    )
