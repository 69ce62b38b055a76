"""Whether a VM of a simulated cluster comes up where it is started, and how it is configured then (R19)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from shunter.clusters.simulated.witness import Doer
from shunter.topology.model import VirtualMachine

if TYPE_CHECKING:
    from shunter.clusters.simulated.cluster import SimulatedCluster


class Starts:
    """Starts VMs, whoever asks, and knows which fail where.

    A VM whose configuration was changed behind the cluster's back either fails the first time that it is started on
    another node, or comes up there with the old configuration: which, the seed tells.
    """

    def __init__(self, world: SimulatedCluster, *, seed: int) -> None:
        self._world, self._seed = world, seed
        self._fails: dict[tuple[str, str], int | None] = {}
        """(VM, node) → how many starts still fail there; None: all."""
        self._started_stale: set[str] = set()
        """VMs that were started, or tried, with an old configuration."""

    def will_fail(self, vm: str, node: str, times: int | None) -> None:
        """From now on this VM fails on this node, so many `times` or (None) always."""
        self._fails[vm, node] = times

    def start(self, vm: VirtualMachine, target: str, by: Doer) -> str | None:
        """Start a VM that nothing stands against; why it did not come up, or None where it runs now."""
        is_stale = not vm.configuration_in_cluster_is_current and (target != vm.node or vm.name in self._started_stale)
        why = self._why_it_fails(vm, target, is_stale=is_stale)
        self._world.hands.start(vm, target, by, wrongly_configured=is_stale and why is None)
        if why is not None:
            self._world.put_vm(vm.name, state="failed")
            self._world.witness.saw("vm_crashed", vm=vm.name, node=target, by="fault", reason=why)
        return why

    def _why_it_fails(self, vm: VirtualMachine, target: str, *, is_stale: bool) -> str | None:
        left = self._fails.get((vm.name, target), 0)
        if left is None or left > 0:
            self._fails[vm.name, target] = None if left is None else left - 1
            return f"{vm.name} does not come up on {target}"
        if is_stale and vm.name not in self._started_stale:
            self._started_stale.add(vm.name)
            if random.Random(f"{self._seed}/drift/{vm.name}").random() < 0.5:
                return f"the cluster's copy of the configuration of {vm.name} is not current (R19)"
        return None

    def refreshed(self, vm: str) -> None:
        """The cluster's copy is the VM's own again."""
        self._started_stale.discard(vm)
