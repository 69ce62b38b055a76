"""Why a VM that must leave found no place: every reason against every other node."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from shunter.topology.eligibility import verdicts
from shunter.topology.model import AffinityRule, Cluster, VirtualMachine
from shunter.topology.plan import Verdict
from shunter.topology.units import Unit, torn_by

Tried = Mapping[tuple[str, str], Verdict]
"""Verdicts learnt by trying, by (VM, node)."""


@dataclass(frozen=True, slots=True)
class Reasons:
    """`free_mib`: by node, once the others of the run are placed; `promised`: where those go (VM → node)."""

    cluster: Cluster
    emptied: Collection[str]
    tried: Tried
    free_mib: Mapping[str, int]
    promised: Mapping[str, str]

    def against(self, unit: Unit, vm: VirtualMachine) -> Iterator[Verdict]:
        """At least one verdict for each node other than its own. `unit`: whom the VM must stay with."""
        own = {other.name for other in unit.vms}
        promised = {name: node for name, node in self.promised.items() if name not in own}
        torn = torn_by(self.cluster, unit)
        for node in (node.name for node in self.cluster.nodes if node.name != vm.node):
            found = list(verdicts(self.cluster, vm, node, emptied=self.emptied, promised=promised))
            found += self._learnt(vm, node, found)
            room_mib = self.free_mib.get(node)
            if room_mib is not None and room_mib < unit.memory_mib:
                found.append(_no_room(unit, node, room_mib, self.cluster.free_mib(node)))
            if torn is not None:
                found.append(_contradiction(unit, torn, node))
            yield from found or list(self._of_companions(unit, vm, node, promised)) or [_not_found(vm, node)]

    def _of_companions(
        self, unit: Unit, vm: VirtualMachine, node: str, promised: Mapping[str, str]
    ) -> Iterator[Verdict]:
        for other in (other for other in unit.vms if other.name != vm.name):
            found = list(verdicts(self.cluster, other, node, emptied=self.emptied, promised=promised))
            found += self._learnt(other, node, found)
            for verdict in found:
                reason = f"{vm.name} goes with {other.name}: {verdict.reason}"
                yield verdict.model_copy(update={"target": node, "reason": reason})

    def _learnt(self, vm: VirtualMachine, node: str, known: Sequence[Verdict]) -> list[Verdict]:
        """What trying has shown; mostly it is what the rules say by now."""
        learnt = self.tried.get((vm.name, node))
        return [] if learnt is None or learnt in known else [learnt]


def _no_room(unit: Unit, node: str, room_mib: int, now_mib: int) -> Verdict:
    whom = unit.name if len(unit.live) == 1 else " and ".join(vm.name for vm in unit.live)
    crowded_out = now_mib >= unit.memory_mib
    free = f"{room_mib} MiB are left by the other VMs of this run" if crowded_out else f"{now_mib} MiB are free"
    return Verdict(
        target=node,
        rule="I3",
        reason=f"{whom} needs {unit.memory_mib} MiB, {free} on {node}",
        remedy=f"free {unit.memory_mib - (room_mib if crowded_out else now_mib)} MiB more on {node}",
    )


def _contradiction(unit: Unit, rule: AffinityRule, node: str) -> Verdict:
    return Verdict(
        target=node,
        rule="I4",
        reason=f"{', '.join(vm.name for vm in unit.vms)} must stay together (a disk that they share, or a rule), "
        f"but rule {rule.name} keeps them apart",
        remedy=f"drop rule {rule.name}, or what keeps them together",
    )


def _not_found(vm: VirtualMachine, node: str) -> Verdict:
    return Verdict(
        target=node,
        rule="R16",
        reason=f"no placement of all VMs of this run was found that has {vm.name} on {node}",
        remedy="evacuate fewer nodes at once, or move this VM first",
    )
