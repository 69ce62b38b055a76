"""How things stand now with nodes, their memory, migrations and backups."""

from __future__ import annotations

from collections.abc import Iterator

from shunter.topology.capacity import available
from shunter.topology.model import Cluster
from shunter.topology.plan import Finding
from shunter.topology.requirements.differing import listed

# ---------------------------------------------------------------- nodes

_NODE_IS: dict[str, tuple[str, str]] = {
    "down": ("is down", "start it (Start-ClusterNode); until then nothing can go there"),
    "joining": ("is still joining the cluster", "wait until it is up"),
    "isolated": (
        "is isolated: the other nodes do not hear it, but its VMs run on",
        "restore its cluster network, and start none of its VMs elsewhere",
    ),
    "quarantined": ("is quarantined", "find out why it kept leaving, then Start-ClusterNode -ClearQuarantine"),
}


def node_states(cluster: Cluster) -> Iterator[Finding]:
    for node in cluster.nodes:
        subject = f"node {node.name}"
        if node.state == "paused":
            whom = {"us": "by a run of ours", "elsewhere": "by somebody else", None: "by whom is not known"}
            yield Finding(
                rule="I8",
                severity="info",
                subject=subject,
                message=f"{node.name} is paused, {whom[node.paused_by]}: it takes no VMs",
                remedy=f"resume it when it may take VMs again: shunter resume {node.name} (or Resume-ClusterNode "
                f"{node.name} -Failback NoFailback)",
            )
        elif node.state in _NODE_IS:
            what, remedy = _NODE_IS[node.state]
            message = f"{node.name} {what}"
            yield Finding(rule="R01", severity="warning", subject=subject, message=message, remedy=remedy)


def somewhere_to_go(cluster: Cluster) -> Iterator[Finding]:
    up = available(cluster)
    if len(up) < 2:
        yield Finding(
            rule="R01",
            severity="warning",
            subject=f"cluster {cluster.name}",
            message=f"only {up[0]} is up: its VMs have nowhere to go" if up else "no node is up",
            remedy="bring another node up, or resume one that is paused",
        )


def memory(cluster: Cluster) -> Iterator[Finding]:
    """A node that is too full now, or would be if all its VMs grew (dynamic memory)."""
    for node in cluster.nodes:
        used, has = cluster.used_mib[node.name], node.for_vms_mib
        most = sum(vm.memory_maximum_mib for vm in cluster.vms_by_node[node.name] if vm.holds_memory)
        message = remedy = ""
        if used > has:
            message = f"its VMs use {used} MiB, {node.name} has {has} MiB for VMs"
            remedy = f"move VMs with {used - has} MiB or more to other nodes; meanwhile it can take none"
        elif most > has:
            message = f"if its VMs grow to their maximum memory they need {most} MiB, {node.name} has {has} MiB for VMs"
            remedy = "keep an eye on memory demand, or lower the maximum of VMs that never use it"
        if message:
            yield Finding(rule="I3", severity="warning", subject=f"node {node.name}", message=message, remedy=remedy)


LEAST_VM_MIB = 32
"""Hyper-V gives no VM less."""
LEAST_NODE_MIB = 2048


def sizes(cluster: Cluster) -> Iterator[Finding]:
    """Numbers that no cluster has: mostly GiB where MiB is meant."""
    vms = [vm.name for vm in cluster.vms if vm.memory_mib < LEAST_VM_MIB]
    nodes = [node.name for node in cluster.nodes if node.memory_mib < LEAST_NODE_MIB]
    if not (vms and nodes):
        return
    yield Finding(
        rule="I3",
        severity="warning",
        subject=f"cluster {cluster.name}",
        message=f"{listed(nodes)} with less than {LEAST_NODE_MIB} MiB and {listed(vms)} with less than "
        f"{LEAST_VM_MIB} MiB: is GiB written as MiB?",
        remedy="give all memory in MiB: 64 GiB are 65536",
    )


# ---------------------------------------------------------------- migrations and backups


def migrations(cluster: Cluster) -> Iterator[Finding]:
    taking_part: dict[str, list[str]] = {}
    for migration in cluster.migrations:
        whose = "a run of ours" if migration.by == "us" else "somebody else"
        yield Finding(
            rule="R09",
            severity="info",
            subject=f"vm {migration.vm}",
            message=f"{migration.vm} is migrating {migration.source} → {migration.target}, started by {whose}",
            remedy="nothing; a run waits until its nodes are free",
        )
        for node in (migration.source, migration.target):
            taking_part.setdefault(node, []).append(migration.vm)
    for node, vms in taking_part.items():
        if len(vms) > 1:
            yield Finding(
                rule="R15",
                severity="warning",
                subject=f"node {node}",
                message=f"{node} takes part in {len(vms)} migrations at once: {listed(vms)}",
                remedy="wait until they are over, and let each node take part in one at a time "
                "((Get-Cluster).MaximumParallelMigrations = 1)",
            )


def backups(cluster: Cluster) -> Iterator[Finding]:
    under_way = [("vm", vm.name) for vm in cluster.vms if vm.backup]
    under_way += [("volume", volume.name) for volume in cluster.volumes if volume.backup]
    for kind, name in under_way:
        held = f"a run holds {name} until it is done" if kind == "vm" else "its I/O may be redirected meanwhile"
        yield Finding(
            rule="R17",
            severity="info",
            subject=f"{kind} {name}",
            message=f"a backup of {name} is under way: {held}",
            remedy="nothing; moved during its backup, a VM would be saved as a plain copy only",
        )
