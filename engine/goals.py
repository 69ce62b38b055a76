"""What a run wants moved, asked anew of each fresh look, so that it does only what is still to be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shunter.topology.choosing import Choice, ReserveNodes, choose_targets
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.placement import Placement, Tried, place
from shunter.topology.plan import Verdict


class Goal(Protocol):
    @property
    def emptied(self) -> tuple[str, ...]:
        """The nodes that end up empty; never a target."""
        ...

    def to_move(self, seen: Cluster) -> Sequence[VirtualMachine]:
        """The VMs that must still move live."""
        ...

    def targets(
        self, seen: Cluster, vms: Sequence[VirtualMachine], promised: Mapping[str, str], tried: Tried, *, search: bool
    ) -> Choice:
        """Where these go, given what is promised to others and what was tried in vain, and what is to be said.

        `search`: also look for what no fast pass finds, and let others make room.
        """
        ...


@dataclass(frozen=True, slots=True)
class Emptied:
    """Every running VM leaves these nodes; where to is decided jointly, and keeps the reserve."""

    emptied: tuple[str, ...]
    reserve_nodes: ReserveNodes

    def to_move(self, seen: Cluster) -> Sequence[VirtualMachine]:
        return [vm for node in self.emptied for vm in seen.vms_by_node[node] if vm.holds_memory]

    def targets(
        self, seen: Cluster, vms: Sequence[VirtualMachine], promised: Mapping[str, str], tried: Tried, *, search: bool
    ) -> Choice:
        choice = choose_targets(
            seen, vms, self.emptied, self.reserve_nodes, promised=promised, tried=tried, search=search
        )
        refusal = next((finding for finding in choice.findings if finding.severity == "error"), None)
        if refusal is None:
            return choice
        unplaced = {
            vm.name: tuple(
                Verdict(target=node.name, rule="I3", reason=refusal.message, remedy=refusal.remedy)
                for node in seen.nodes
                if node.name != vm.node
            )
            for vm in vms
        }
        return Choice(Placement(unplaced=unplaced), choice.reserve_nodes)


@dataclass(frozen=True, slots=True)
class MovedTo:
    """One VM goes to one node, and nowhere else."""

    vm: str
    target: str
    emptied: tuple[str, ...] = ()

    def to_move(self, seen: Cluster) -> Sequence[VirtualMachine]:
        vm = seen.vm_by_name[self.vm]
        return [vm] if vm.holds_memory and vm.node != self.target else []

    def targets(
        self,
        seen: Cluster,
        vms: Sequence[VirtualMachine],
        promised: Mapping[str, str],
        tried: Tried,
        *,
        search: bool,  # noqa: ARG002
    ) -> Choice:
        elsewhere = [node.name for node in seen.nodes if node.name != self.target]
        only_there = {
            (vm.name, name): Verdict(
                target=name, rule="R09", reason=f"{self.target} was asked for", remedy="ask for this node instead"
            )
            for vm in vms
            for name in elsewhere
        }
        candidates = place(seen, vms, self.emptied, promised=promised, tried={**only_there, **tried})
        return Choice(next(candidates), 0)
