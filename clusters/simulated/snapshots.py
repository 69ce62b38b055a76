"""Snapshots of a simulated cluster, one after the other: what did not change is carried over, not counted anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import is_
from typing import Any, TypeVar

from shunter.clusters.simulated.making import made_of
from shunter.topology.changes import changed
from shunter.topology.model import (
    Cluster,
    MigrationUnderWay,
    Node,
    Role,
    StorageJob,
    VirtualMachine,
    Volume,
    memory_held_mib,
)

Thing = TypeVar("Thing")

OF_WIRES = ("links", "link_mbps_between")


class Snapshots:
    """`last`: the newest; None once something has changed since."""

    def __init__(self, cluster: Cluster) -> None:
        self.last: Cluster | None = cluster
        self._before = cluster
        self._fields = {name: getattr(cluster, name) for name in Cluster.model_fields}
        self._at = {vm.name: i for i, vm in enumerate(cluster.vms)}

    def something_changed(self) -> None:
        self.last = None

    def take(
        self,
        nodes: Iterable[Node],
        vms: Mapping[str, VirtualMachine],
        volumes: Iterable[Volume],
        roles: Iterable[Role],
        *,
        migrations: Iterable[MigrationUnderWay],
        storage_jobs: Iterable[StorageJob],
    ) -> Cluster:
        """A new one. `vms` are by name, always in the same order."""
        before = self._before
        fields: dict[str, Any] = {
            **self._fields,
            "nodes": _kept(before.nodes, tuple(nodes)),
            "vms": _kept(before.vms, tuple(vms.values())),
            "volumes": _kept(before.volumes, tuple(volumes)),
            "roles": tuple(roles),
            "migrations": tuple(migrations),
            "storage_jobs": tuple(storage_jobs),
        }
        taken = made_of(Cluster, fields)
        known, memo = before.__dict__, taken.__dict__
        same = ["rules_by_vm"]
        if before.vms is taken.vms:
            same += ("vm_by_name", "vms_by_node", "held_mib", "under_backup")
        else:
            memo["vm_by_name"] = dict(vms)
            self._carry_vms(before, taken)
        if before.nodes is taken.nodes:
            same += ("node_by_name", *OF_WIRES)
        elif all(map(is_, (n.adapters for n in before.nodes), (n.adapters for n in taken.nodes))):
            same += OF_WIRES
        if before.volumes is taken.volumes:
            same.append("volume_by_name")
        memo.update({name: known[name] for name in same if name in known})
        self._before = self.last = taken
        return taken

    def _carry_vms(self, before: Cluster, now: Cluster) -> None:
        """On a node VMs are always in the order of the snapshot."""
        others = changed(before.vms, now.vms) or ()
        known, memo = before.__dict__, now.__dict__
        if "under_backup" in known and not any(vm.backup for pair in others for vm in pair):
            memo["under_backup"] = known["under_backup"]
        if "vms_by_node" not in known:
            return
        on = memo["vms_by_node"] = dict(before.vms_by_node)
        for old, new in others:
            on[old.node] = tuple(vm for vm in on[old.node] if vm.name != old.name)
            on[new.node] = tuple(sorted((*on[new.node], new), key=lambda vm: self._at[vm.name]))
        if "held_mib" in known:
            touched = {vm.node for pair in others for vm in pair}
            memo["held_mib"] = {**before.held_mib, **{name: memory_held_mib(on[name]) for name in touched}}


def _kept(before: tuple[Thing, ...], now: tuple[Thing, ...]) -> tuple[Thing, ...]:
    """The same tuple where all that it holds is the same; what is identical is compared at no cost."""
    return before if before == now else now
