"""After the last turn of a rolling run: VMs go back to where they were, or are spread evenly, as fresh looks allow."""

from __future__ import annotations

from dataclasses import dataclass

from shunter.engine.moves_in_order import MovesInOrder
from shunter.topology.model import Cluster
from shunter.topology.plan import Finding
from shunter.topology.rolling.policy import Failback


@dataclass(slots=True, eq=False)
class GoingBack(MovesInOrder):
    """`targets`: also of VMs of which the plan said that they would go back."""

    def findings(self, seen: Cluster, failback: Failback) -> list[Finding]:
        """VMs that did not get to where they were to go."""
        where = "back to" if failback == "as_it_was" else "to"
        return [
            Finding(
                rule="R16",
                severity="warning",
                subject=f"vm {name}",
                message=f"{name} was to go {where} {target}, and is on {seen.vm_by_name[name].node}",
                remedy=f"see what stands against it (shunter why {name} {target}), or leave it where it is",
            )
            for name, target in self.targets.items()
            if seen.vm_by_name[name].holds_memory and seen.vm_by_name[name].node != target
        ]
