"""Whether a plan keeps the reserve that it names at every instant (I3)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from shunter.topology.model import Cluster
from shunter.topology.plan import Move, Plan, RoleMove
from shunter.topology.recheck.packing import unabsorbed_loss
from shunter.topology.recheck.replay import Replay, events_of
from shunter.topology.recheck.violation import EPSILON_S, Violation


def spent_reserve(
    cluster: Cluster, plan: Plan, emptied: Collection[str], volume_state: Mapping[str, str]
) -> Iterator[Violation]:
    """The instants at which a loss of `plan.reserve_nodes` nodes begins to be more than the others can absorb.

    While VMs only come from nodes that count neither as lost nor as refuge, an earlier instant needs less and has
    more free than the last one, so that the last one answers for all.
    """
    counted = [node.name for node in cluster.nodes if node.state == "up" and node.name not in emptied]
    only_inbound = not any(move.source in counted for move in plan.moves)
    if only_inbound and _lost_at(_end_of_all(cluster, plan, volume_state), counted, plan.reserve_nodes) is None:
        return
    replay = Replay(cluster, volume_state)
    last = None
    for at_s, events in _instants(plan):
        for starts, move in events:
            if isinstance(move, Move):
                list(replay.start(move, at_s)) if starts else replay.end(move)
        why = _lost_at(replay, counted, plan.reserve_nodes)
        if why and last is None:
            yield Violation(at_s, "I3", f"cluster {cluster.name}", f"reserve of {plan.reserve_nodes}: {why}")
        last = why


def _instants(plan: Plan) -> Iterator[tuple[float, list[tuple[bool, Move | RoleMove]]]]:
    """(at_s, what happens then), from the start on; what happens at one instant is judged as a whole."""
    now_s = 0.0
    events: list[tuple[bool, Move | RoleMove]] = []
    for at_s, starts, move in events_of(plan):
        if at_s > now_s + EPSILON_S:
            yield now_s, events
            now_s, events = at_s, []
        events.append((starts, move))
    yield now_s, events


def _end_of_all(cluster: Cluster, plan: Plan, volume_state: Mapping[str, str]) -> Replay:
    replay = Replay(cluster, volume_state)
    for move in plan.moves:
        list(replay.start(move, move.start_s))
        replay.end(move)
    return replay


def _lost_at(replay: Replay, counted: Sequence[str], lost_nodes: int) -> str | None:
    """A VM under way restarts if the node that it comes from is lost; what it holds on its target is not free."""
    cluster = replay.cluster
    free = {name: cluster.node_by_name[name].for_vms_mib - replay.used_mib[name] for name in counted}
    restart: dict[str, list[int]] = {}
    for vm in cluster.vms:
        if vm.holds_memory and vm.priority > 0:
            restart.setdefault(replay.runs_on[vm.name], []).append(vm.restart_mib)
    return unabsorbed_loss(counted, free, restart, lost_nodes)
