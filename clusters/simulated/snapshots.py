"""Snapshots of a simulated cluster, one after the other: what did not change is carried over, not counted anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import is_
from typing import Any, TypeVar

from shunter.topology.changes import changed
from shunter.topology.model import Cluster, MigrationUnderWay, Node, Role, VirtualMachine, Volume

Thing = TypeVar("Thing")

OF_WIRES = ("links", "link_mbps_between")


class Snapshots:
    """`last`: the newest; None once something has changed since."""

    def __init__(self, cluster: Cluster) -> None:
        self.last: Cluster | None = cluster
        self._before = cluster
        self._fields = dict(cluster)

    def something_changed(self) -> None:
        self.last = None

    def take(
        self,
        nodes: Iterable[Node],
        vms: Mapping[str, VirtualMachine],
        volumes: Iterable[Volume],
        roles: Iterable[Role],
        migrations: Iterable[MigrationUnderWay],
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
        }
        taken = Cluster.model_construct(**fields)
        known, memo = before.__dict__, taken.__dict__
        memo["vm_by_name"] = dict(vms)
        same = ["rules_by_vm"]
        if before.nodes is taken.nodes:
            same += ("node_by_name", *OF_WIRES)
        elif all(map(is_, (n.adapters for n in before.nodes), (n.adapters for n in taken.nodes))):
            same += OF_WIRES
        if before.volumes is taken.volumes:
            same.append("volume_by_name")
        memo.update({name: known[name] for name in same if name in known})
        if "vms_by_node" in known:
            memo["vms_by_node"] = _by_node(before, taken)
        self._before = self.last = taken
        return taken


def _kept(before: tuple[Thing, ...], now: tuple[Thing, ...]) -> tuple[Thing, ...]:
    """The same tuple where all that it holds is the same."""
    return before if all(map(is_, before, now)) else now


def _by_node(before: Cluster, now: Cluster) -> Mapping[str, tuple[VirtualMachine, ...]]:
    """Where nothing has changed the VMs are the same as before; elsewhere they are in the order of the snapshot."""
    touched = {vm.node for pair in changed(before.vms, now.vms) or () for vm in pair}
    if not touched:
        return before.vms_by_node
    found = dict(before.vms_by_node)
    anew: dict[str, list[VirtualMachine]] = {name: [] for name in touched}
    for vm in now.vms:
        if vm.node in touched:
            anew[vm.node].append(vm)
    return found | {name: tuple(vms) for name, vms in anew.items()}
