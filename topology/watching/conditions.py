"""The conditions of one snapshot: what is not as it should be, or is under way, subject by subject."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain

from shunter.topology import quorum
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.plan import Finding
from shunter.topology.requirements import standing, storage, vms, whole
from shunter.topology.requirements.differing import listed
from shunter.topology.watching.condition import Condition, Key, Kind

Conditions = Mapping[Key, Condition]
Found = Iterator[tuple[Key, Condition]]

HEALTHY = frozenset({"online", "redirected_by_design"})
BACKED_UP = "redirected_backup"


def conditions(cluster: Cluster) -> Conditions:
    """All of them, except what the loss of a node would mean (`cover`), which takes longer."""
    return dict(chain.from_iterable(of(cluster) for of in OF_A_SNAPSHOT))


def _nodes(cluster: Cluster) -> Found:
    said = _by_subject(standing.node_states(cluster))
    for node in cluster.nodes:
        if node.state == "up":
            continue
        key = Key(Kind.NODE, f"node {node.name}")
        state = f"paused_by_{node.paused_by}" if node.paused_by else node.state
        yield key, _of_finding(said[key.subject], state)


def _vms(cluster: Cluster) -> Found:
    for vm in cluster.vms:
        if vm.state == "failed":
            key = Key(Kind.VM, f"vm {vm.name}")
            for found in vms.cared_for(_alone(cluster, vm)):
                yield key, _of_finding(found, vm.state, vm.node)


def _alone(cluster: Cluster, vm: VirtualMachine) -> Cluster:
    """The cluster with this VM only: what is asked VM by VM is asked of the few that matter."""
    return Cluster.model_construct(name=cluster.name, nodes=cluster.nodes, vms=(vm,))


def _migrations(cluster: Cluster) -> Found:
    """Those that others started. Our own runs tell of theirs themselves."""
    for migration in cluster.migrations:
        if migration.by == "elsewhere":
            yield (
                Key(Kind.MIGRATION, f"vm {migration.vm}"),
                Condition(
                    state=f"{migration.source} → {migration.target}",
                    severity="info",
                    message=f"{migration.vm} is migrating {migration.source} → {migration.target}, started by somebody "
                    "else",
                    remedy="nothing; a run waits until its nodes are free",
                    rule="R09",
                    nodes=(migration.source, migration.target),
                ),
            )


def _volumes(cluster: Cluster) -> Found:
    """State by state; what outlived its backup is stuck, whatever the cluster calls it (R18)."""
    stuck = _by_subject(storage.redirected(cluster))
    states = (found for found in storage.states(cluster) if not _is_of_owner(found))
    said = _by_subject(chain(storage.paths(cluster), states))
    for volume in cluster.volumes:
        if volume.state in HEALTHY:
            continue
        key = Key(Kind.VOLUME, f"volume {volume.name}")
        if key.subject in stuck:
            yield key, _of_finding(stuck[key.subject], "redirected_stuck", volume.owner)
        elif volume.state == BACKED_UP:
            yield (
                key,
                Condition(
                    state=BACKED_UP,
                    severity="info",
                    message=f"{volume.name} is in redirected I/O while a backup of it runs",
                    remedy="nothing; it ends with the backup, or is told of",
                    rule="R18",
                    nodes=(volume.owner,),
                ),
            )
        else:
            yield key, _of_finding(said[key.subject], volume.state, volume.owner)


def _owners(cluster: Cluster) -> Found:
    for found in storage.states(cluster):
        if _is_of_owner(found):
            owner = cluster.volume_by_name[found.subject.removeprefix("volume ")].owner
            state = f"owned by {owner}, which is {cluster.node_by_name[owner].state}"
            yield Key(Kind.OWNER, found.subject), _of_finding(found, state, owner)


def _is_of_owner(found: Finding) -> bool:
    return found.rule == "I7" and found.severity == "warning"


def _storage_jobs(cluster: Cluster) -> Found:
    for job in cluster.storage_jobs:
        yield (
            Key(Kind.STORAGE_JOB, f"volume {job.volume}", job.name),
            Condition(
                state="running",
                severity="info",
                message=f"storage job {job.name} is running: {job.volume} is not fully redundant yet",
                remedy="let it finish before a node that holds a part of the storage goes away (Get-StorageJob)",
                rule="I7",
            ),
        )


def _backups(cluster: Cluster) -> Found:
    for found in standing.backups(cluster):
        noun, _, name = found.subject.partition(" ")
        node = cluster.vm_by_name[name].node if noun == "vm" else cluster.volume_by_name[name].owner
        yield Key(Kind.BACKUP, found.subject), _of_finding(found, "running", node)


def _configurations(cluster: Cluster) -> Found:
    for vm in cluster.vms:
        if vm.clustered and not vm.configuration_in_cluster_is_current:
            for found in vms.configurations(_alone(cluster, vm)):
                yield Key(Kind.CONFIGURATION, found.subject), _of_finding(found, "drifted", vm.node)


def _quorum(cluster: Cluster) -> Found:
    """Lost, or so thin that the sudden loss of one of some nodes could end the cluster (I6)."""
    for found in whole.has_quorum(cluster):
        last = quorum.would_end_it(cluster)
        state = "lost" if found.severity == "error" else f"hangs on {listed(last, 64)}"
        yield Key(Kind.QUORUM, found.subject), _of_finding(found, state, *last)


OF_A_SNAPSHOT: tuple[Callable[[Cluster], Found], ...] = (
    _quorum,
    _nodes,
    _owners,
    _volumes,
    _vms,
    _migrations,
    _storage_jobs,
    _backups,
    _configurations,
)
"""In the order in which what is seen at the same time is told."""


def _by_subject(found: Iterable[Finding]) -> dict[str, Finding]:
    return {each.subject: each for each in found}


def _of_finding(found: Finding, state: str, *nodes: str) -> Condition:
    return Condition(state, found.severity, found.message, found.remedy, found.rule, nodes)
