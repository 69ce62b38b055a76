"""VMs go back to where they belong, each to its own node and no other, as long as the reserve is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shunter.engine.goals import KeepsTargets
from shunter.topology.capacity import available
from shunter.topology.choosing import Choice
from shunter.topology.homes import choose_homes
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.plan import Verdict
from shunter.topology.reasons import Tried


@dataclass(slots=True)
class Homeward(KeepsTargets):
    """A goal. `homes`: VM → node of all that are wanted there, whether they can go now or not.

    Nobody must move here: when a node is lost or comes back, those that have not begun are weighed anew, and what would
    spend the reserve stays (`staying`, with the reasons).
    """

    homes: Mapping[str, str]
    reserve_nodes: int
    emptied: tuple[str, ...] = ()
    staying: dict[str, tuple[Verdict, ...]] = field(default_factory=dict)
    _there: tuple[str, ...] = ()

    def to_move(self, seen: Cluster) -> Sequence[VirtualMachine]:
        self._weigh(seen)
        return [seen.vm_by_name[name] for name in self.away(seen) if name not in self.staying]

    def away(self, seen: Cluster) -> dict[str, str]:
        """VM → node of those that run and are not at home."""
        vms = (seen.vm_by_name[name] for name in self.homes)
        return {vm.name: self.homes[vm.name] for vm in vms if vm.holds_memory and vm.node != self.homes[vm.name]}

    def _weigh(self, seen: Cluster) -> None:
        there = available(seen)
        if self._there and there != self._there:
            left = {name: home for name, home in self.away(seen).items() if name not in seen.heading}
            unplaced = choose_homes(seen, left, self.reserve_nodes).unplaced
            self.staying = {name: why for name, why in unplaced.items() if any(each.rule == "I3" for each in why)}
        self._there = there

    def targets(
        self,
        seen: Cluster,
        vms: Sequence[VirtualMachine],
        promised: Mapping[str, str],
        tried: Tried,
        *,
        search: bool,  # noqa: ARG002  its choice is quick
    ) -> Choice:
        homes = {vm.name: self.homes[vm.name] for vm in vms}
        return Choice(choose_homes(seen, homes, self.reserve_nodes, promised=promised, tried=tried), self.reserve_nodes)

    def take(self, targets: Mapping[str, str]) -> None:
        pass  # each has one target only
