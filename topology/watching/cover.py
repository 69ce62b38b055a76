"""N+1 at all times (I3): which losses would no longer be survived, which VMs would not restart, what would help.

Deciding it places the VMs of every node, which in large clusters takes its time: ask only once `matters` says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter

from shunter.topology.loss import Loss, losses
from shunter.topology.loss.problem import Losses
from shunter.topology.model import Cluster, Node
from shunter.topology.requirements.differing import listed
from shunter.topology.watching.condition import Condition, Key, Kind
from shunter.topology.watching.conditions import Conditions

OF_NODES = attrgetter("name", "state", "memory_mib", "reserved_mib", "switches", "fault_domain")
OF_VMS = attrgetter(
    *("name", "node", "state", "memory_mib", "memory_startup_mib", "memory_maximum_mib", "clustered", "priority"),
    *("possible_owners", "switches", "volumes"),
)
OF_VOLUMES = attrgetter("name", "kind", "state", "reachable_from")
OF_MIGRATIONS = attrgetter("vm", "source", "target")
MOST_TRIED = 4
WORK_ON_WHAT_IF = 1.0
"""What the solver may do at most for each question that is asked besides what holds now."""
AWAY_IS_HELP = {
    "paused": "resume {}",
    "down": "bring {} back",
    "isolated": "bring {} back",
    "quarantined": "bring {} back",
}


def matters(before: Cluster, now: Cluster) -> bool:
    """Whether something changed that decides who would restart where."""
    pairs = (
        (before.nodes, now.nodes, OF_NODES),
        (before.vms, now.vms, OF_VMS),
        (before.volumes, now.volumes, OF_VOLUMES),
        (before.migrations, now.migrations, OF_MIGRATIONS),
    )
    return before.affinity_rules != now.affinity_rules or any(
        old is not new
        and (len(old) != len(new) or any(a is not b and of(a) != of(b) for a, b in zip(old, new, strict=True)))
        for old, new, of in pairs
    )


def cover(cluster: Cluster, lost: Sequence[Loss] | None = None) -> Conditions:
    """What is not covered now, and what would not be if all VMs grew to their maximum memory; each one condition.

    `lost`: what the loss of each node would mean, where that is known already. What is not decided within the limits
    of the search counts as covered: there is nothing yet to be told.
    """
    key = Key(Kind.N_PLUS_1, f"cluster {cluster.name}")
    found: dict[Key, Condition] = {}
    open_ = _uncovered(losses(cluster) if lost is None else lost)
    if open_:
        found[key] = Condition(
            state=_state(open_),
            severity="warning",
            message=f"no longer N+1: {_told(open_)}",
            remedy="; ".join(_what_helps(cluster, open_)),
            rule="I3",
            nodes=tuple(loss.node for loss in open_),
            vms=tuple(vm for loss in open_ for vm in loss.unplaced),
        )
    grown = _grown(cluster)
    known = {loss.node for loss in open_}
    if grown is not None and (
        more := [loss for loss in _uncovered(losses(grown, most_work=WORK_ON_WHAT_IF)) if loss.node not in known]
    ):
        found[Key(Kind.GROWTH, key.subject)] = Condition(
            state=_state(more),
            severity="warning",
            message=f"N+1 rests on dynamic memory: once all VMs have grown to their maximum, {_told(more)}",
            remedy="keep an eye on memory demand, lower the maximum of VMs that never use it, or free memory",
            rule="I3",
            nodes=tuple(loss.node for loss in more),
            vms=tuple(vm for loss in more for vm in loss.unplaced),
        )
    return found


def _uncovered(found: Sequence[Loss]) -> list[Loss]:
    return [loss for loss in found if loss.ok is False]


def _state(open_: Sequence[Loss]) -> str:
    return f"not without {', '.join(loss.node for loss in open_)}"


def _told(open_: Sequence[Loss]) -> str:
    if len(open_) == 1:
        (loss,) = open_
        few = "" if loss.fewest else "up to "
        count = f"{few}{len(loss.unplaced)} VMs ({listed(loss.unplaced, 6)})"
        return f"if {loss.node} is lost, {count if len(loss.unplaced) > 1 else loss.unplaced[0]} will not restart"
    each = listed([f"{loss.node} ({listed(loss.unplaced, 3)})" for loss in open_], 6)
    return f"if one of these nodes is lost, VMs will not restart: {each}"


def _grown(cluster: Cluster) -> Cluster | None:
    """The cluster in which every VM has as much memory as it may have; None where all have."""
    more = {vm.name: vm for vm in cluster.vms if vm.holds_memory and vm.memory_maximum_mib > vm.memory_mib}
    if not more:
        return None
    fields = {name: getattr(cluster, name) for name in type(cluster).model_fields}
    vms = tuple(
        vm.model_copy(update={"memory_mib": vm.memory_maximum_mib}) if vm.name in more else vm for vm in cluster.vms
    )
    return Cluster.model_construct(**{**fields, "vms": vms})


# ---------------------------------------------------------------- what would help


def _what_helps(cluster: Cluster, open_: Sequence[Loss]) -> Iterator[str]:
    """A node that is away, where that alone would do; VMs that no other node may take; memory, for the others."""
    back = _node_that_helps(cluster, open_)
    if back is not None:
        ours = back.state == "paused" and back.paused_by == "us"
        what = AWAY_IS_HELP[back.state].format(back.name)
        yield (
            f"{back.name} was paused by a run of ours; all is covered again once it is back"
            if ours
            else (f"{what}: then all is covered again")
        )
    nowhere, short_mib = _bound_and_short(cluster, open_)
    if nowhere:
        whom = listed(nowhere, 6)
        yield f"give {whom} more possible owners, switches or storage connections: no other node may take it now"
    if short_mib and back is None:
        yield f"free about {short_mib} MiB on the other nodes, in pieces that these VMs fit into, or add a node"


def _node_that_helps(cluster: Cluster, open_: Sequence[Loss]) -> Node | None:
    away = [node for node in cluster.nodes if node.state in AWAY_IS_HELP]
    for node in sorted(away, key=lambda node: (node.state != "paused", -node.for_vms_mib))[:MOST_TRIED]:
        up = node.model_copy(update={"state": "up"})
        there = cluster.with_nodes(tuple(up if each.name == node.name else each for each in cluster.nodes))
        if all(loss.ok for loss in losses(there, most_work=WORK_ON_WHAT_IF, among={loss.node for loss in open_})):
            return node
    return None


def _bound_and_short(cluster: Cluster, open_: Sequence[Loss]) -> tuple[list[str], int]:
    """The VMs that no other node may take, and how much memory the others lack, at the node where that is most."""
    of = Losses(cluster)
    nowhere: list[str] = []
    short_mib = 0
    for loss in open_:
        restarts = {restart.vm: restart for restart in of.of(loss.node).restarts}
        left = [restarts[vm] for vm in loss.unplaced]
        nowhere += [restart.vm for restart in left if not restart.fit]
        short_mib = max(short_mib, sum(restart.mib for restart in left if restart.fit))
    return nowhere, short_mib
