"""Changes in words: what happened, to whom, how grave it is and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from shunter.topology.model import Cluster
from shunter.topology.quorum import MEMBER
from shunter.topology.requirements.differing import listed
from shunter.topology.watching.condition import NORMAL, Condition, Key, Kind, Occurrence
from shunter.topology.watching.endings import ended
from shunter.topology.watching.hysteresis import Change, Manner, Patience

MOST_APART = 3
"""VMs to which the same happens at once: so many are told of one by one, more of them together."""
MOST_NAMED = 6

BEGAN: dict[Kind, str] = {
    Kind.VM: "vm_failed",
    Kind.MIGRATION: "migration_started",
    Kind.OWNER: "volume_owner_lost",
    Kind.STORAGE_JOB: "storage_job_started",
    Kind.CONFIGURATION: "configuration_drifted",
    Kind.N_PLUS_1: "n_plus_1_lost",
    Kind.GROWTH: "growth_not_covered",
    Kind.REACH: "cluster_unreachable",
}
"""Of the kinds whose conditions all have one name."""

FLAPS: dict[Kind, str] = {
    Kind.MIGRATION: "the migration of {}",
    Kind.OWNER: "the owner of {}",
    Kind.STORAGE_JOB: "a storage job of {}",
    Kind.BACKUP: "the backup of {}",
    Kind.CONFIGURATION: "the configuration of {}",
    Kind.N_PLUS_1: "N+1 of {}",
    Kind.GROWTH: "N+1 of {} with grown memory",
    Kind.QUORUM: "the quorum of {}",
    Kind.REACH: "the way to {}",
}
"""What changes again and again; the others are told by their names alone."""

OF_SEVERAL = {
    "vm_failed": "failed",
    "vm_restarted": "run again",
    "vm_no_longer_failed": "are no longer failed",
    "configuration_drifted": "were changed outside cluster tools: a failover may fail, or start them with old settings",
    "configuration_refreshed": "are in the cluster as they are configured",
    "backup_started": "are being backed up",
    "backup_overlong": "have been in a backup for too long",
    "backup_ended": "are no longer being backed up",
    "flapping": "change again and again",
}


def tell(
    changes: Sequence[Change], before: Cluster | None, seen: Cluster, at_s: float, patience: Patience
) -> tuple[Occurrence, ...]:
    """`before`: the look before `seen`; None for the first one."""
    return tuple(_together([_Told(change, before, seen, at_s, patience).occurrence for change in changes], seen))


def unseen_restarts(before: Cluster, seen: Cluster) -> tuple[Key, ...]:
    """VMs that run as before, but elsewhere, because their node is gone: nobody saw them fail and start again."""
    return tuple(
        Key(Kind.VM, f"vm {vm.name}")
        for vm in seen.vms
        if (old := before.vm_by_name.get(vm.name)) is not None
        and old is not vm
        and old.node != vm.node
        and old.holds_memory
        and vm.holds_memory
        and before.heading.get(vm.name) != vm.node
        and _is_gone(seen, old.node)
    )


def lost_nodes(occurrences: Sequence[Occurrence]) -> tuple[str, ...]:
    """The nodes whose loss is told."""
    return tuple(each.subject.removeprefix("node ") for each in occurrences if each.what == "node_lost")


def _is_gone(seen: Cluster, node: str) -> bool:
    there = seen.node_by_name.get(node)
    return there is None or there.state not in MEMBER


@dataclass(frozen=True, slots=True)
class _Told:
    """One change, told of one subject."""

    change: Change
    before: Cluster | None
    seen: Cluster
    at_s: float
    patience: Patience

    @property
    def occurrence(self) -> Occurrence:
        change = self.change
        if change.manner is Manner.FLAPS:
            what, condition = "flapping", self._flapping()
        elif change.manner is Manner.PASSED:
            what, condition = "vm_restarted", self._restarted()
        elif change.now is not None:
            what, condition = self._began(change.now)
        else:
            what, condition = ended(change.key, change.before, self.seen)
        message = condition.message
        if change.manner is Manner.SETTLED:
            message += f" (so for {_minutes(self.patience.quiet_s)} now, after {change.times} changes)"
        vm = (change.key.name,) if change.key.subject.startswith("vm ") else condition.vms
        return Occurrence(
            at_s=self.at_s,
            what=what,
            rule=condition.rule,
            severity=condition.severity,
            subject=change.key.subject,
            message=message,
            remedy=condition.remedy,
            before=change.before.state if change.before else NORMAL,
            state=change.now.state if change.now else NORMAL,
            nodes=condition.nodes,
            vms=vm,
            times=change.times,
        )

    # -------------------------------------------------------------- what begins

    def _began(self, now: Condition) -> tuple[str, Condition]:
        match self.change.key.kind:
            case Kind.NODE:
                return self._node(now)
            case Kind.VOLUME:
                return f"volume_{now.state}", now
            case Kind.BACKUP:
                return "backup_overlong" if now.state == "overlong" else "backup_started", now
            case Kind.QUORUM:
                return "quorum_lost" if now.state == "lost" else "quorum_in_danger", now
            case kind:
                return BEGAN[kind], now

    def _node(self, now: Condition) -> tuple[str, Condition]:
        if now.state != "down":
            return f"node_{now.state.partition('_by_')[0]}", now
        if self.before is None:
            return "node_down", now
        name = self.change.key.name
        old = self.before.node_by_name.get(name)
        ran = self._ran_on(name)
        if not ran and self.change.manner is not Manner.SETTLED:
            state = old.state if old is not None else "not there"
            message = f"{name} is down; no VM ran on it, and it was {state} before"
            return "node_away", replace(now, severity="info" if state == "paused" else "warning", message=message)
        with_vms = f" with {_vms(ran)}" if ran else ""
        return "node_lost", replace(
            now,
            severity="error",
            message=f"{name} is lost{with_vms}: the cluster has declared it down",
            remedy=f"the cluster restarts its VMs elsewhere; see what is left (shunter plan failover {name}), then "
            "start the node (Start-ClusterNode)",
            vms=tuple(ran),
        )

    def _ran_on(self, node: str) -> list[str]:
        """VMs that were on the node when it was seen last, except those that do not run and those that got away."""
        assert self.before is not None  # noqa: S101  asked only where there was a look before
        heading = self.before.heading
        return [
            vm.name
            for vm in self.before.vms_by_node.get(node, ())
            if (vm.holds_memory or vm.state == "failed")
            and not (vm.name in heading and self._runs_on(vm.name, heading[vm.name]))
        ]

    def _runs_on(self, vm: str, node: str) -> bool:
        known = self.seen.vm_by_name.get(vm)
        return known is not None and known.holds_memory and known.node == node

    # -------------------------------------------------------------- what passes and flaps

    def _restarted(self) -> Condition:
        name = self.change.key.name
        vm = self.seen.vm_by_name[name]
        old = self.before.vm_by_name[name].node if self.before is not None else ""
        message = f"{name} was restarted on {vm.node}: {old}, where it ran, is gone"
        return Condition(NORMAL, "warning", message, "nothing", "I2", (vm.node,))

    def _flapping(self) -> Condition:
        change = self.change
        last = change.now or change.before
        states = tuple(dict.fromkeys(each.state if each else NORMAL for each in (change.before, change.now)))
        lately = f"between {' and '.join(states)}" if len(states) > 1 else states[0]
        whose = FLAPS.get(change.key.kind, "{}").format(change.key.name)
        return Condition(
            state="flapping",
            severity="warning",
            message=f"{whose} has changed {change.times} times within {_minutes(self.patience.within_s)}, of late "
            f"{lately}; it is told of again once it has been the same for {_minutes(self.patience.quiet_s)}",
            remedy=f"find out why it keeps changing{f'; {last.remedy}' if last and last.remedy != 'nothing' else ''}",
            rule=last.rule if last else None,
            nodes=last.nodes if last else (),
        )


# ------------------------------------------------------------------ several at once


def _together(told: Sequence[Occurrence], seen: Cluster) -> Iterator[Occurrence]:
    """What happened to more than a few VMs at once is one occurrence, in the place of the first."""
    alike: dict[tuple[str, ...], list[Occurrence]] = {}
    for each in told:
        is_of_vm = each.subject.startswith("vm ") and each.what in OF_SEVERAL
        key = (
            (each.what, each.before, each.state, each.severity) if is_of_vm else (each.subject, each.what, each.message)
        )
        alike.setdefault(key, []).append(each)
    for group in alike.values():
        if len(group) <= MOST_APART:
            yield from group
        else:
            yield _of_several(group, seen)


def _of_several(group: Sequence[Occurrence], seen: Cluster) -> Occurrence:
    first = group[0]
    vms = tuple(each.subject.removeprefix("vm ") for each in group)
    nodes = tuple(dict.fromkeys(node for each in group for node in each.nodes))
    on = f" on {listed(nodes, MOST_NAMED)}" if nodes else ""
    return first.model_copy(
        update={
            "subject": f"node {nodes[0]}" if len(nodes) == 1 else f"cluster {seen.name}",
            "message": f"{len(vms)} VMs{on} {OF_SEVERAL[first.what]}: {listed(vms, MOST_NAMED)}",
            "remedy": first.remedy.replace(vms[0], "NAME") if first.remedy != "nothing" else first.remedy,
            "nodes": nodes,
            "vms": vms,
            "times": max(each.times for each in group),
        }
    )


def _vms(names: Sequence[str]) -> str:
    count = f"{len(names)} VM{'' if len(names) == 1 else 's'}"
    return f"{count} on it ({listed(names, MOST_NAMED)})"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:g} min"
