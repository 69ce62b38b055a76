"""What is told when a condition is over: the name of that, and a sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shunter.topology.model import Cluster
from shunter.topology.watching.condition import NORMAL, Condition, Key, Kind

ENDED: Mapping[Kind, str] = {
    Kind.NODE: "node_back",
    Kind.VM: "vm_restarted",
    Kind.MIGRATION: "migration_ended",
    Kind.VOLUME: "volume_online",
    Kind.OWNER: "volume_owner_back",
    Kind.STORAGE_JOB: "storage_job_ended",
    Kind.BACKUP: "backup_ended",
    Kind.CONFIGURATION: "configuration_refreshed",
    Kind.N_PLUS_1: "n_plus_1_regained",
    Kind.GROWTH: "growth_covered",
    Kind.QUORUM: "quorum_safe",
    Kind.REACH: "cluster_reachable",
}


@dataclass(frozen=True, slots=True)
class _End:
    """`old`: the condition that was told last. `where`: the node that its VM is on, or that owns its volume."""

    key: Key
    old: Condition | None
    seen: Cluster
    where: str | None

    @property
    def name(self) -> str:
        return self.key.name


def ended(key: Key, old: Condition | None, seen: Cluster) -> tuple[str, Condition]:
    """Its name and what is said, as a condition that is none. `old`: what was told of it last."""
    end = _End(key, old, seen, _where(key, seen))
    what, severity = ENDED[key.kind], "info"
    if key.kind is Kind.NODE and old is not None and old.state.startswith("paused"):
        what = "node_resumed"
    elif key.kind is Kind.VM and (end.where is None or not seen.vm_by_name[key.name].holds_memory):
        what = "vm_no_longer_failed"
    elif key.kind is Kind.MIGRATION and old is not None and end.where != old.nodes[-1]:
        severity = "warning"
    nodes = old.nodes if old is not None else ()
    if key.kind in (Kind.VM, Kind.OWNER):
        nodes = (end.where,) if end.where is not None else ()
    return what, Condition(
        state=NORMAL,
        severity="warning" if severity == "warning" else "info",
        message=SENTENCES[key.kind](end),
        remedy="nothing",
        rule=old.rule if old is not None else None,
        nodes=nodes,
    )


def _where(key: Key, seen: Cluster) -> str | None:
    if key.subject.startswith("vm "):
        vm = seen.vm_by_name.get(key.name)
        return vm.node if vm is not None else None
    volume = seen.volume_by_name.get(key.name)
    return volume.owner if volume is not None else None


# ------------------------------------------------------------------ sentences


def _node(end: _End) -> str:
    return (
        f"{end.name} is up" if end.name in end.seen.node_by_name else f"{end.name} is no longer a node of the cluster"
    )


def _vm(end: _End) -> str:
    if end.where is None:
        return f"{end.name} is no longer in the cluster"
    return f"{end.name} is {end.seen.vm_by_name[end.name].state} on {end.where}"


def _migration(end: _End) -> str:
    told = f"the migration of {end.name}{f', {end.old.state},' if end.old else ''} is over"
    return f"{told}: it is on {end.where}" if end.where else f"{told}; the VM is no longer in the cluster"


def _volume(end: _End) -> str:
    if end.where is None:
        return f"{end.name} is no longer in the cluster"
    return f"{end.name} is {end.seen.volume_by_name[end.name].state.replace('_', ' ')} again"


def _owner(end: _End) -> str:
    return f"{end.name} is owned by {end.where}" if end.where else f"{end.name} is no longer in the cluster"


SENTENCES: Mapping[Kind, Callable[[_End], str]] = {
    Kind.NODE: _node,
    Kind.VM: _vm,
    Kind.MIGRATION: _migration,
    Kind.VOLUME: _volume,
    Kind.OWNER: _owner,
    Kind.STORAGE_JOB: lambda end: f"storage job {end.key.detail} of {end.name} is over",
    Kind.BACKUP: lambda end: f"the backup of {end.name} is over",
    Kind.CONFIGURATION: lambda end: f"the cluster knows {end.name} as it is configured",
    Kind.N_PLUS_1: lambda _: "N+1 again: whichever node is lost, all its VMs will restart",
    Kind.GROWTH: lambda _: "VMs may grow to their maximum memory, and what is covered now stays covered",
    Kind.QUORUM: lambda _: "the cluster would survive the sudden loss of any one node",
    Kind.REACH: lambda end: f"{end.name} can be looked at again",
}
