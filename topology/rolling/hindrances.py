"""Nodes that cannot be maintained, whatever the order: why, and the VMs that stand in the way. Said before any move."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from shunter.topology.eligibility import WHEREVER, FitNodes, running_companions, verdicts
from shunter.topology.model import Cluster, Node, VirtualMachine
from shunter.topology.plan import Unplaced, Untouched, Verdict
from shunter.topology.quorum import votes_of
from shunter.topology.rolling.handing_over import others_that_reach
from shunter.topology.rolling.policy import RollingPolicy, partners_of

MOST_NAMED = 4


def hindrances(
    cluster: Cluster, wanted: Sequence[str], policy: RollingPolicy, *, named: bool = True
) -> tuple[list[Untouched], list[Unplaced]]:
    """Of these nodes those that have no turn, and the VMs on them that can go nowhere, with every reason.

    `named`: whether somebody asked for these nodes; else none that is paused has a turn.
    """
    partners = partners_of(cluster, policy)
    fit = FitNodes(cluster, [node.name for node in cluster.nodes], checks=WHEREVER)
    untouched: list[Untouched] = []
    unplaced: list[Unplaced] = []
    for name in wanted:
        node = cluster.node_by_name[name]
        stuck = [vm for vm in cluster.vms_by_node[name] if _is_stuck(cluster, vm, fit)]
        found = (
            (None if named else of_pause(node))
            or _of_node(cluster, node)
            or _of_partners(cluster, node, partners[name])
            or _of_volumes(cluster, node)
            or _of_backups(node, [vm for vm in stuck if not _is_only_held(cluster, vm, fit)], stuck)
            or _of_vms(node, stuck)
        )
        if found is not None:
            untouched.append(found)
            if node.state == "up" or (node.state == "paused" and named):
                unplaced += [stays(cluster, vm) for vm in stuck]
    return untouched, unplaced


def stays(cluster: Cluster, vm: VirtualMachine, otherwise: Mapping[str, Verdict] | None = None) -> Unplaced:
    """A VM that cannot leave, with at least one reason for each other node. `otherwise`: where no rule forbids one."""
    found: list[Verdict] = []
    for node in cluster.nodes:
        if node.name != vm.node:
            against = verdicts(cluster, vm, node.name)
            found += against or ([otherwise[node.name]] if otherwise and node.name in otherwise else [])
    return Unplaced(vm=vm.name, node=vm.node, verdicts=tuple(found))


def no_room(cluster: Cluster, vm: VirtualMachine, why: str) -> Unplaced:
    """A VM that the rules let go, and that found no room in time."""
    return stays(cluster, vm, {node.name: _no_room_on(node.name, cluster, vm, why) for node in cluster.nodes})


def _no_room_on(node: str, cluster: Cluster, vm: VirtualMachine, why: str) -> Verdict:
    """Where it would fit as things stand, it is others that take the room in the course of the run."""
    free_mib = cluster.free_mib(node)
    reason = f"{vm.memory_mib} MiB needed on {node}, {free_mib} MiB free"
    if free_mib >= vm.memory_mib:
        reason = f"{node} has room for it now, and not for all that would have to go there"
    return Verdict(
        target=node,
        rule="I3",
        reason=f"{reason}; {why}",
        remedy="free memory, add a node, or lower the reserve (--reserve-nodes)",
    )


def of_pause(node: Node, by: str = "") -> Untouched | None:
    """Whoever paused it had a reason, which may be its own maintenance. `by`: who that was, where it is known."""
    if node.state != "paused":
        return None
    known = {"us": "by another run", "elsewhere": "by somebody else", None: "by whom is not known"}
    return Untouched(
        node=node.name,
        reason=f"{node.name} was paused before this run, {f'by {by}' if by else known[node.paused_by]}",
        remedy=f"shunter resume {node.name} lets it take VMs again; to maintain it all the same, name it",
    )


def _is_stuck(cluster: Cluster, vm: VirtualMachine, fit: FitNodes) -> bool:
    if not vm.clustered:
        return vm.holds_memory
    if vm.holds_memory and (vm.backup or running_companions(cluster, vm)):
        return True
    return not any(name != vm.node for name in fit.of(vm)) or any(
        verdict.rule == "R11" for verdict in _r11(cluster, vm)
    )


def _r11(cluster: Cluster, vm: VirtualMachine) -> Iterable[Verdict]:
    other = next((node.name for node in cluster.nodes if node.name != vm.node), None)
    return verdicts(cluster, vm, other) if other is not None and vm.volumes else ()


def _of_node(cluster: Cluster, node: Node) -> Untouched | None:
    if node.state not in ("up", "paused"):
        return Untouched(
            node=node.name,
            reason=f"{node.name} is {node.state}: nothing can be moved live from it",
            remedy="bring it back first, or leave it out",
        )
    if not votes_of(cluster, away={node.name}).is_majority:
        return Untouched(
            node=node.name,
            reason=f"without {node.name} the cluster would have no majority of votes (I6)",
            remedy="add a witness, or bring back nodes that are away",
        )
    return None


def _of_partners(cluster: Cluster, node: Node, partners: Collection[str]) -> Untouched | None:
    states = {name: cluster.node_by_name[name].state for name in sorted(partners)}
    away = {name: state for name, state in states.items() if state not in ("up", "paused")}
    if not away:
        return None
    which = " and ".join(f"{name}, which is {state}" for name, state in away.items())
    return Untouched(
        node=node.name,
        reason=f"{node.name} must not be away together with {which}",
        remedy=f"bring {' and '.join(away)} back first",
    )


def _of_volumes(cluster: Cluster, node: Node) -> Untouched | None:
    for volume in cluster.volumes:
        if volume.owner == node.name and not others_that_reach(cluster, volume):
            state = f"it is {volume.state}" if volume.state in ("offline", "failed") else "no other node reaches it"
            return Untouched(
                node=node.name,
                reason=f"{node.name} owns volume {volume.name} and no other node can: {state} (I7)",
                remedy=f"bring {volume.name} online, or connect another node to it",
            )
        on_it = cluster.vms_by_disk.get(volume.name, ()) if volume.owner == node.name else ()
        keeping = next((vm for vm in on_it if vm.node == node.name and not (vm.clustered or vm.holds_memory)), None)
        if keeping is not None:
            return Untouched(
                node=node.name,
                reason=f"{node.name} owns volume {volume.name} and keeps it: {keeping.name}, which is on it, is not in "
                "the cluster's care and stays (I7)",
                remedy=f"add {keeping.name} to the cluster, or put it on another volume",
            )
    return None


def _is_only_held(cluster: Cluster, vm: VirtualMachine, fit: FitNodes) -> bool:
    """Whether nothing but a backup keeps the VM where it is."""
    return vm.backup and not _is_stuck(cluster, vm.model_copy(update={"backup": False}), fit)


def _of_backups(node: Node, others: Sequence[VirtualMachine], stuck: Sequence[VirtualMachine]) -> Untouched | None:
    """`others`: those of the stuck VMs that more than a backup keeps."""
    if others or not stuck:
        return None
    return Untouched(
        node=node.name,
        reason=f"backups hold VMs on {node.name}: {_shown(stuck)} (R17)",
        remedy=f"nothing: {node.name} has its turn once the run sees them end; or do not wait (--backups proceed)",
    )


def _of_vms(node: Node, stuck: Sequence[VirtualMachine]) -> Untouched | None:
    if not stuck:
        return None
    return Untouched(
        node=node.name,
        reason=f"{_shown(stuck)} cannot leave {node.name}",
        remedy=f"see what would help each of them (shunter why {stuck[0].name} NODE), or stop them by hand",
    )


def _shown(vms: Sequence[VirtualMachine]) -> str:
    names = [vm.name for vm in vms]
    return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
