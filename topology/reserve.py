"""Whether the reserve is kept at every instant of a placement's moves (I3)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from shunter.topology.capacity import Survival, survives_loss
from shunter.topology.model import Cluster
from shunter.topology.placement import Placement, wanted_move
from shunter.topology.timeline import schedule


def first_failure(
    cluster: Cluster,
    reserve_nodes: int,
    placement: Placement,
    *,
    promised: Mapping[str, str] | None = None,
    emptied: Collection[str] = (),
) -> Survival | None:
    """The first loss that could not be absorbed while these moves are made; None where the reserve is kept.

    `promised`: moves decided elsewhere (VM → node), taken as done.
    """
    survivals = _along(cluster, reserve_nodes, placement, dict(promised or {}), emptied)
    return next((survival for survival in survivals if not survival.ok), None)


def _along(
    cluster: Cluster, reserve_nodes: int, placement: Placement, promised: dict[str, str], emptied: Collection[str]
) -> Iterator[Survival]:
    """At every instant that could be worse than those before; where VMs only leave emptied nodes, that is the end."""
    live = {vm: to for vm, to in placement.targets.items() if cluster.vm_by_name[vm].holds_memory}
    if reserve_nodes and any(cluster.vm_by_name[vm].node not in emptied for vm in live):
        after, order = placement.after, placement.order
        planned = schedule(wanted_move(cluster, vm, to, after.get(vm, ()), order.get(vm)) for vm, to in live.items())
        for now_s in sorted({at_s for start_s, end_s, _ in planned for at_s in (start_s, end_s)}):
            done = {move.vm: move.target for _, end_s, move in planned if end_s <= now_s}
            moving = {move.vm: move.target for start_s, end_s, move in planned if start_s <= now_s < end_s}
            yield survives_loss(cluster, reserve_nodes, placed=promised | done, moving=moving, emptied=emptied)
    placed = promised | placement.targets
    for vm, node in placement.onward if reserve_nodes else ():
        yield survives_loss(cluster, reserve_nodes, placed=placed, moving={vm: node}, emptied=emptied)
        placed |= {vm: node}
    yield survives_loss(cluster, reserve_nodes, placed=placed, emptied=emptied)
