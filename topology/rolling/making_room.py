"""Room for one node to leave where the VMs stand so that it cannot: others move first, as few as the solver finds.

A run sends each VM to where there is room at that moment. What nobody foresaw (migrations that took longer, VMs that
came, or that the cluster itself moved) can leave the memory that is free in pieces that are too small: for the last
VMs of a node, or for those of one more node once it is away. An evacuation of that node alone would have others make
room, in an order that is valid live; so does this.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from shunter.topology.capacity import survives_loss
from shunter.topology.exact import MOST_LITERALS, Mover, Question
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.placement import Placement, Problem
from shunter.topology.reasons import Tried
from shunter.topology.reserve import first_failure
from shunter.topology.units import units_at_home
from shunter.topology.ways import solutions


def room_for_leaving(
    cluster: Cluster, node: str, reserve_nodes: int, in_hand: Collection[str], tried: Tried
) -> Placement | None:
    """Moves after which nothing runs on the node and the reserve is kept without it; None where none were found.

    `in_hand`: VMs that cannot be moved now. `tried`: by (VM, node), where one cannot go.
    """
    staying = {vm: cluster.vm_by_name[vm].node for vm in in_hand}
    problem = Problem(cluster, _leaving(cluster, node), (node,), staying, tried)
    leavers = [Mover(unit, tuple(problem.fit_nodes(unit)), must=True) for unit in problem.units]
    if any(vm.name in staying for unit in problem.units for vm in unit.vms) or not all(m.options for m in leavers):
        return None
    most = max(0, MOST_LITERALS // max(1, len(problem.nodes)) - len(leavers))
    helpers = list(_helpers(problem, staying))[:most]
    question = Question(cluster, [*leavers, *helpers], (node,), staying, reserve_nodes)
    for answer, way in solutions(question):
        if not answer.found or answer.left:
            return None
        if way is None:
            continue
        at_once = problem.settled(answer.targets, way)
        names = [vm for vm, _ in way.steps]
        one_by_one = replace(way, after={vm: frozenset(names[:i]) for i, vm in enumerate(names)})
        for placement in (at_once, problem.settled(answer.targets, one_by_one)):
            if _keeps(cluster, node, reserve_nodes, placement):
                return placement
    return None


def _keeps(cluster: Cluster, node: str, reserve_nodes: int, placement: Placement) -> bool:
    """Whether the reserve is kept: as long as they move with the node in service, and then without it."""
    if first_failure(cluster, reserve_nodes, placement) is not None:
        return False
    return survives_loss(cluster, reserve_nodes, placed=placement.ends, emptied=(node,)).ok is True


def _leaving(cluster: Cluster, node: str) -> list[VirtualMachine]:
    """What runs on the node, and what must go along."""
    units = units_at_home(cluster, [vm for vm in cluster.vms_by_node[node] if vm.clustered])
    return [vm for unit in units if unit.live for vm in unit.vms]


def _helpers(problem: Problem, staying: Collection[str]) -> Iterator[Mover]:
    """Who may make room: first those on the nodes that have most already."""
    cluster = problem.cluster
    for node in sorted(problem.nodes, key=lambda name: (-problem.free_mib[name], name)):
        vms = [vm for vm in cluster.vms_by_node[node] if vm.clustered and vm.name not in staying]
        for unit in units_at_home(cluster, vms):
            options = tuple(problem.fit_nodes(unit)) if unit.live else ()
            if options:
                yield Mover(unit, options, must=False)
