"""Backups of VMs and volumes of a simulated cluster, and what they leave behind (R17, R18)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from shunter.topology.model import VolumeState

if TYPE_CHECKING:
    from shunter.clusters.simulated.cluster import SimulatedCluster

BackupOutcome = Literal["done", "failed", "aborted"]


def begin_of_vm(world: SimulatedCluster, name: str) -> None:
    if not world.now().vm_by_name[name].backup:
        world.put_vm(name, backup=True)
        world.witness.saw("backup_started", vm=name)


def end_of_vm(world: SimulatedCluster, name: str, outcome: BackupOutcome) -> None:
    if world.now().vm_by_name[name].backup:
        world.put_vm(name, backup=False)
        world.witness.saw("backup_ended", vm=name, outcome=outcome)


def vm_has_moved(world: SimulatedCluster, name: str) -> None:
    """The writer has waited for the migration, and the VM is no longer on the node that backs it up: its files are
    copied, and nothing is said to have gone wrong (R17).
    """
    if world.now().vm_by_name[name].backup:
        world.put_vm(name, backup=False)
        world.witness.saw("backup_ended", vm=name, outcome="done", degraded=True)


def begin_of_volume(world: SimulatedCluster, name: str) -> None:
    """On 2008 R2 a backup redirects a Cluster Shared Volume for as long as it takes."""
    volume = world.now().volume_by_name[name]
    if volume.backup:
        return
    world.put_volume(name, backup=True)
    world.witness.saw("backup_started", volume=name)
    state = world.volumes.state_in_reach(name)
    if volume.kind == "csv" and state == "online" and world.now().windows_version == "2008R2":
        world.volumes.redirect(name, "redirected_backup", "backup_starts")


def end_of_volume(world: SimulatedCluster, name: str, outcome: BackupOutcome) -> None:
    """One that fails leaves a volume that it redirected so, for all nodes (R18)."""
    if not world.now().volume_by_name[name].backup:
        return
    world.put_volume(name, backup=False)
    world.witness.saw("backup_ended", volume=name, outcome=outcome)
    if world.volumes.state_in_reach(name) == "redirected_backup":
        left: VolumeState = "online" if outcome == "done" else "redirected_stuck"
        world.volumes.redirect(name, left, "backup_ends")


def owner_is_lost(world: SimulatedCluster, node: str) -> None:
    """Backups of volumes run on their owner, and end with it."""
    for volume in world.now().volumes:
        if volume.owner == node:
            end_of_volume(world, volume.name, "failed")
