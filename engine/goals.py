"""What a run wants moved, asked anew of each fresh look, so that it does only what is still to be done."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shunter.topology.breaches import breaches
from shunter.topology.choosing import Choice, ReserveNodes, choose_targets
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.ordering import riders
from shunter.topology.pairing import Backlog
from shunter.topology.placement import Placement, place
from shunter.topology.plan import Verdict
from shunter.topology.reasons import Tried
from shunter.topology.redirecting import redirection
from shunter.topology.repair import choose_repair


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

    def redirected(
        self, seen: Cluster, backlog: Backlog, busy: Collection[str], promised: Mapping[str, str], tried: Tried
    ) -> Mapping[str, str]:
        """Other targets (VM → node) for moves that wait, where a node waits with them that need not."""
        ...

    def take(self, targets: Mapping[str, str]) -> None:
        """Of the choices that were offered, this was taken: VM → node of all that will move."""
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
        return _unless_refused(seen, vms, choice)

    def redirected(
        self, seen: Cluster, backlog: Backlog, busy: Collection[str], promised: Mapping[str, str], tried: Tried
    ) -> Mapping[str, str]:
        reserve = 1 if self.reserve_nodes == "auto" else self.reserve_nodes
        return redirection(
            seen, backlog, busy, emptied=self.emptied, promised=promised, reserve_nodes=reserve, tried=tried
        )

    def take(self, targets: Mapping[str, str]) -> None:
        pass  # it is asked anew of every look


class KeepsTargets:
    """Moves that lead to one end: no other target would do."""

    __slots__ = ()

    def redirected(
        self,
        seen: Cluster,  # noqa: ARG002
        backlog: Backlog,  # noqa: ARG002
        busy: Collection[str],  # noqa: ARG002
        promised: Mapping[str, str],  # noqa: ARG002
        tried: Tried,  # noqa: ARG002
    ) -> Mapping[str, str]:
        return {}


@dataclass(slots=True)
class InOrder(KeepsTargets):
    """Nothing stands where it must not. `planned`: VM → node of the moves that lead there, whoever they are for."""

    reserve_nodes: ReserveNodes
    planned: dict[str, str]
    emptied: tuple[str, ...] = ()

    def to_move(self, seen: Cluster) -> Sequence[VirtualMachine]:
        """What is planned and not done yet; then, as after a detour, what is left to do from where all stand."""
        left = self._left(seen)
        if not left and breaches(seen):
            self.planned = dict(choose_repair(seen, self.reserve_nodes).placement.targets)
            left = self._left(seen)
        return left

    def _left(self, seen: Cluster) -> list[VirtualMachine]:
        vms = (seen.vm_by_name[name] for name in self.planned)
        return [vm for vm in vms if vm.holds_memory and vm.node != self.planned[vm.name]]

    def targets(
        self, seen: Cluster, vms: Sequence[VirtualMachine], promised: Mapping[str, str], tried: Tried, *, search: bool
    ) -> Choice:
        """Only once nothing moves any more: what is still to be mended depends on where all have arrived."""
        if not search:
            return Choice(Placement(), 0)
        return _unless_refused(seen, vms, choose_repair(seen, self.reserve_nodes, promised=promised, tried=tried))

    def take(self, targets: Mapping[str, str]) -> None:
        self.planned = dict(targets)


@dataclass(frozen=True, slots=True)
class MovedTo(KeepsTargets):
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
        along = dict.fromkeys(riders(seen, self.vm), self.target)
        candidates = place(seen, vms, self.emptied, promised={**promised, **along}, tried={**only_there, **tried})
        return Choice(next(candidates), 0)

    def take(self, targets: Mapping[str, str]) -> None:
        pass  # there is one target only


def _unless_refused(seen: Cluster, vms: Sequence[VirtualMachine], choice: Choice) -> Choice:
    """Where a finding refuses the choice, nobody moves, for this reason."""
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
