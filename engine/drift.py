"""VMs that were changed outside cluster tools (R19): refreshed in the cluster before they move, if that is wanted."""

from __future__ import annotations

from shunter.clusters.port import ClusterPort, Failed, OutcomeUnknown, Refused
from shunter.topology.model import VirtualMachine
from shunter.topology.plan import Finding
from shunter.topology.precautions import Precautions

DEADLINE_S = 120.0


class Drift:
    """Of one run. `findings`: what became of each VM that was to be refreshed."""

    def __init__(self, precautions: Precautions, cluster: ClusterPort) -> None:
        self._wanted, self._cluster = precautions.refresh_drifted, cluster
        self._found: dict[str, Finding] = {}

    async def refresh(self, vm: VirtualMachine) -> None:
        """Bring the cluster's copy up to date, where that is wanted and due; a VM is tried once. Whatever comes of it,
        the VM may move.
        """
        if not self._wanted or vm.configuration_in_cluster_is_current or not vm.clustered or vm.name in self._found:
            return
        clock, problem = self._cluster.clock, ""
        try:
            async with clock.timeout(DEADLINE_S):
                await self._cluster.refresh_configuration(vm.name)
        except TimeoutError:
            problem = f"no answer within {DEADLINE_S:g} s"
        except (Refused, Failed, OutcomeUnknown) as error:
            problem = str(error)
        self._found[vm.name] = _not_refreshed(vm.name, problem) if problem else _refreshed(vm)

    @property
    def findings(self) -> list[Finding]:
        return list(self._found.values())


def _refreshed(vm: VirtualMachine) -> Finding:
    return Finding(
        rule="R19",
        severity="info",
        subject=f"vm {vm.name}",
        message=f"configuration refreshed: {vm.name} had been changed outside cluster tools; before it left {vm.node} "
        "the cluster's copy was brought up to date, and a failover starts it as it runs now",
        remedy="nothing; change VMs with cluster tools, and the cluster knows of it",
    )


def _not_refreshed(name: str, problem: str) -> Finding:
    return Finding(
        rule="R19",
        severity="warning",
        subject=f"vm {name}",
        message=f"{name} was changed outside cluster tools, and whether the cluster's copy was refreshed is not known: "
        f"{problem}; a failover may fail, or start it with old settings",
        remedy=f'Update-ClusterVirtualMachineConfiguration -Name "Virtual Machine Configuration {name}"',
    )
