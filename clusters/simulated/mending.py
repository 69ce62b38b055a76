"""What a simulated cluster can be asked for when something is wrong: a start, direct I/O, a fresh configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunter.clusters.port import Failed, Refused
from shunter.clusters.simulated.faults import Fault
from shunter.clusters.simulated.rules import direct_io_refusal, order_to_start_refusal

if TYPE_CHECKING:
    from shunter.clusters.simulated.cluster import SimulatedCluster


def start_vm(world: SimulatedCluster, name: str, node: str) -> None:
    """By us; the cluster itself does not restart this VM any more. Raises Refused and Failed."""
    reason = order_to_start_refusal(world.now(), name, node)
    if reason is not None:
        raise Refused(reason)
    world.failover.leave_to_others(name)
    why = world.starts.start(world.now().vm_by_name[name], node, "us")
    if why is not None:
        raise Failed(f"{name} was started on {node} and failed: {why}")


def restore_direct_io(world: SimulatedCluster, name: str) -> None:
    """A volume that is online already stays so. Raises Refused."""
    reason = direct_io_refusal(world.now(), name)
    if reason is not None:
        raise Refused(reason)
    owner = world.now().volume_by_name[name].owner
    refusal = world.next_fault(("direct_io_refused",), volume=name, owner=owner)
    if refusal is not None:
        raise Refused(f"{name} stays in redirected I/O: {_why_refused(refusal, name)}")
    if world.now().volume_by_name[name].state != "online":
        world.put_volume(name, state="online")
        world.witness.saw("volume_state_changed", volume=name, state="online", reason="direct I/O restored", by="us")


def _why_refused(refusal: Fault, volume: str) -> str:
    if refusal.node is not None:
        return (
            f"a filter driver on its owner {refusal.node} forbids direct I/O (event 5125); give {volume} to another "
            "node (Move-ClusterSharedVolume), or remove the driver, then try again"
        )
    return (
        "a backup program still holds its snapshot; end that program's job, then resume the volume "
        f"(Resume-ClusterResource -VolumeName {volume})"
    )


def refresh_configuration(world: SimulatedCluster, name: str) -> None:
    """The cluster's copy is the VM's own again (R19). Raises Refused."""
    vm = world.now().vm_by_name.get(name)
    if vm is None or not vm.clustered:
        raise Refused(f"there is no clustered VM {name}")
    if not vm.configuration_in_cluster_is_current:
        world.put_vm(name, configuration_in_cluster_is_current=True)
        world.starts.refreshed(name)
    world.witness.saw("configuration_refreshed", vm=name, by="us")
