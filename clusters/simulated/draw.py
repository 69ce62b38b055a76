"""What is drawn from when a fault plan is made up: a cluster, a seed, and a time in which it all happens."""

from __future__ import annotations

import random
from dataclasses import dataclass

from shunter.clusters.simulated.faults import When
from shunter.topology.model import Cluster, VirtualMachine, Volume

ISOLATED_FOR_S = (10.0, 900.0)
"""For shorter and for longer than the cluster waits for an isolated node."""


@dataclass(slots=True, eq=False)
class Draw:
    cluster: Cluster
    rng: random.Random
    within_s: float
    may_go_down: int = 0

    def at_s(self) -> float:
        return round(self.rng.uniform(0, self.within_s), 3)

    def later_s(self, at_s: float) -> float:
        return round(at_s + self.rng.uniform(5, 60 + self.within_s), 3)

    def node(self) -> str:
        return self.rng.choice(self.cluster.nodes).name

    def vm(self, *states: str) -> VirtualMachine | None:
        vms = [vm for vm in self.cluster.vms if vm.state in states]
        return self.rng.choice(vms) if vms else None

    def migration(self) -> When:
        """Of a VM, or from or to a node: of those there will be some, whatever is emptied."""
        vm = self.vm("running", "paused")
        kind = self.rng.choice(("vm", "source", "target")) if vm is not None else "target"
        return When(**{kind: vm.name if vm is not None and kind == "vm" else self.node()})

    def csv(self) -> Volume | None:
        volumes = [volume for volume in self.cluster.volumes if volume.kind == "csv"]
        return self.rng.choice(volumes) if volumes else None
