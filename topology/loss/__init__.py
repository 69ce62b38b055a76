"""If this node were lost now, could each of its VMs restart elsewhere? By real placement, for each node (I3).

A greedy packing decides nearly always; what it cannot decide goes to a solver whose work is limited. What is not
decided within these limits is called that, and never "no".
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from shunter.topology.loss.packing import everybody, fast
from shunter.topology.loss.problem import Losses, Problem
from shunter.topology.loss.solver import solve
from shunter.topology.model import Cluster, Node
from shunter.topology.plan import Loss

__all__ = ["Loss", "losses"]

MOST_WORK = 6.0
MOST_WORK_ON_A_NODE = 1.0


def losses(
    cluster: Cluster,
    progress: Callable[[int, int], None] = lambda _, __: None,
    most_work: float | None = None,
    among: Collection[str] | None = None,
) -> tuple[Loss, ...]:
    """For each node that is up, and each paused one that holds VMs, what its loss would mean.

    `progress` is told how many of how many are decided. `most_work`: the limit of what the solver does for all of them
    together (None: the usual one). `among`: of these nodes only.
    """
    of, most_work = Losses(cluster), MOST_WORK if most_work is None else most_work
    nodes = [
        node.name
        for node in cluster.nodes
        if (node.state == "up" or _paused_with_vms(cluster, node)) and (among is None or node.name in among)
    ]
    found: dict[str, Loss] = {}
    hard: list[str] = []
    for name in nodes:
        found[name], decided = _fast(name, of.of(name))
        if not decided:
            hard.append(name)
        progress(len(found) - len(hard), len(nodes))
    for i, name in enumerate(hard, 1):
        found[name] = _exact(name, of.of(name), min(MOST_WORK_ON_A_NODE, most_work / len(hard)))
        progress(len(nodes) - len(hard) + i, len(nodes))
    return tuple(found[name] for name in nodes)


def _paused_with_vms(cluster: Cluster, node: Node) -> bool:
    return node.state == "paused" and any(vm.holds_memory for vm in cluster.vms_by_node[node.name])


def _fast(node: str, problem: Problem) -> tuple[Loss, bool]:
    """What greedy packings and bounds tell, and whether that is all there is to know."""
    packing, bound = fast(problem)
    loss = Loss(node=node, ok=packing.counts == everybody(problem), unplaced=packing.left)
    return loss, packing.counts >= bound


def _exact(node: str, problem: Problem, work: float) -> Loss:
    wanted, (packing, bound) = everybody(problem), fast(problem)
    answer = solve(problem, packing, work)
    if answer.counts == wanted:
        return Loss(node=node, ok=True)
    if min(bound, answer.at_most) < wanted:
        return Loss(node=node, ok=False, unplaced=answer.left, fewest=answer.counts >= answer.at_most)
    return Loss(node=node, ok=None)
