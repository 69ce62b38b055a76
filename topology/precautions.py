"""What a run does about backups and drifted configurations that it meets (R17, R19)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated, Literal

from pydantic import Field

from shunter.topology.model import Cluster, Value, Volume
from shunter.topology.plan import Finding, Plan

LONGEST_LIMIT_S = 7 * 86_400.0

Backups = Literal["hold", "hold_then_proceed", "proceed"]
LimitS = Annotated[float, Field(gt=0, le=LONGEST_LIMIT_S, allow_inf_nan=False)]


class Precautions(Value):
    """`backups`: a VM whose backup is under way is held until that is done and left where it is once `backup_limit_s`
    have passed; or held, and moved then; or moved at once. Moved during its backup, it is saved as a plain copy only,
    and the report says so. The limit counts from when the run first saw the backup. `refresh_drifted`: a VM that was
    changed outside cluster tools is brought up to date in the cluster before it moves.
    """

    backups: Backups = "hold"
    backup_limit_s: LimitS = 3600.0
    refresh_drifted: bool = False

    def planned_on(self, cluster: Cluster) -> Cluster:
        """The cluster as a plan takes it: where backups hold nobody, without them."""
        under_way = [vm.name for vm in cluster.under_backup] if self.backups == "proceed" else ()
        return cluster.with_backups(dict.fromkeys(under_way, False)) if under_way else cluster


USUAL_PRECAUTIONS = Precautions()


def backups_of_vms(cluster: Cluster) -> dict[str, str]:
    """VM that holds memory → the backup under way that concerns it, in words; its own, or that of a volume under it.

    A volume concerns its VMs while its backup redirects their I/O.
    """
    redirecting = {volume.name for volume in cluster.volumes if is_redirected_by_backup(cluster, volume)}
    found = {}
    for vm in cluster.vms if redirecting else cluster.under_backup:
        if not vm.holds_memory:
            continue
        if vm.backup:
            found[vm.name] = f"a backup of {vm.name} is under way"
        elif volumes := [name for name in vm.volumes if name in redirecting]:
            found[vm.name] = f"a backup redirects the I/O of {', '.join(volumes)}, on which {vm.name} is"
    return found


def is_redirected_by_backup(cluster: Cluster, volume: Volume) -> bool:
    """Whether it is in redirected I/O as it should be: while a backup of it, or of a VM on it, is under way."""
    return volume.state == "redirected_backup" and _is_backed_up(cluster, volume)


def is_left_redirected(cluster: Cluster, volume: Volume) -> bool:
    """Whether it is in redirected I/O although no backup is under way any more (R18)."""
    left_over = volume.state == "redirected_backup" and not _is_backed_up(cluster, volume)
    return volume.state == "redirected_stuck" or left_over


def _is_backed_up(cluster: Cluster, volume: Volume) -> bool:
    return volume.backup or any(volume.name in vm.volumes for vm in cluster.under_backup)


# ---------------------------------------------------------------- what a plan says of them


def is_held_by_backups(plan: Plan) -> bool:
    """Whether a backup keeps a VM of this plan where it is; a run waits for that."""
    return any(verdict.rule == "R17" for stays in plan.unplaced for verdict in stays.verdicts)


def said_beforehand(cluster: Cluster, precautions: Precautions, moving: Collection[str]) -> Iterator[Finding]:
    """What a plan that moves these VMs says of backups that are not waited for, of volumes whose backups are, and of
    what will be refreshed.
    """
    for volume in cluster.volumes if precautions.backups != "proceed" else ():
        held = any(volume.name in cluster.vm_by_name[name].volumes for name in moving)
        if held and is_redirected_by_backup(cluster, volume):
            yield Finding(
                rule="R17",
                severity="info",
                subject=f"volume {volume.name}",
                message=f"a backup redirects the I/O of {volume.name}: the VMs on it are held until that is done",
                remedy="nothing; the times of this plan take it to be over",
            )
    for name in dict.fromkeys(moving):
        vm = cluster.vm_by_name[name]
        if vm.backup and vm.holds_memory and precautions.backups == "proceed":
            yield Finding(
                rule="R17",
                severity="warning",
                subject=f"vm {name}",
                message=f"a backup of {name} is under way: moved now, {name} is saved as a plain copy only",
                remedy=f"back {name} up again afterwards, or let it be held until its backup is done (--backups hold)",
            )
        if precautions.refresh_drifted and vm.clustered and not vm.configuration_in_cluster_is_current:
            yield Finding(
                rule="R19",
                severity="info",
                subject=f"vm {name}",
                message=f"{name} was changed outside cluster tools: its configuration is refreshed before it moves",
                remedy="nothing; change VMs with cluster tools, and the cluster knows of it",
            )
