"""If this node were lost now, could each of its VMs restart elsewhere? By real placement, for each node (I3).

A greedy packing decides nearly always; what it cannot decide goes to a solver whose work is limited. What is not
decided within these limits is called that, and never "no".
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from shunter.topology.loss.packing import everybody, fast
from shunter.topology.loss.problem import Losses, Problem
from shunter.topology.loss.solver import solve
from shunter.topology.model import Cluster, Node, Value

MOST_WORK = 6.0
MOST_WORK_ON_A_NODE = 1.0


class Loss(Value):
    """`ok` None: not decided within the limits of the search. `unplaced`: the VMs that would not restart.

    Of these as few as can be, of the highest priority first; `fewest` false: perhaps it could be fewer.
    """

    node: str
    ok: bool | None
    unplaced: tuple[str, ...] = ()
    fewest: bool = Field(default=True, exclude=True)


def losses(cluster: Cluster, progress: Callable[[int, int], None] = lambda _, __: None) -> tuple[Loss, ...]:
    """For each node that is up, and each paused one that holds VMs, what its loss would mean.

    `progress` is told how many of how many are decided.
    """
    of = Losses(cluster)
    nodes = [node.name for node in cluster.nodes if node.state == "up" or _paused_with_vms(cluster, node)]
    found: dict[str, Loss] = {}
    hard: list[str] = []
    for name in nodes:
        found[name], decided = _fast(name, of.of(name))
        if not decided:
            hard.append(name)
        progress(len(found) - len(hard), len(nodes))
    for i, name in enumerate(hard, 1):
        found[name] = _exact(name, of.of(name), min(MOST_WORK_ON_A_NODE, MOST_WORK / len(hard)))
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
