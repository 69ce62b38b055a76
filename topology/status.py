"""How a cluster stands, at a glance: for whoever must know in the middle of the night what is wrong, and how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Literal, get_args

from shunter.topology.loss import losses
from shunter.topology.model import (
    Actor,
    Cluster,
    MigrationUnderWay,
    Node,
    NodeState,
    StorageJob,
    Value,
    VirtualMachine,
    VmState,
    Volume,
    VolumeState,
)
from shunter.topology.plan import Finding, Loss
from shunter.topology.quorum import votes_of, would_end_it
from shunter.topology.requirements import standing
from shunter.topology.watching.conditions import Conditions, conditions
from shunter.topology.watching.cover import cover

GRAVE = ("error", "warning", "info")

VmsByState = Mapping[VmState, int]
"""How many VMs are in each state, those that none is in included."""


class NodeStatus(Value):
    """`used_mib`: of its VMs and of those on their way to it; `free_mib`: what others could use; `reserved_mib`: the
    host's own. `paused_by`, `paused_by_run` (which run, and what for): known only where it was recorded.
    """

    name: str
    state: NodeState
    paused_by: Actor | None
    paused_by_run: str | None
    votes: int
    vms: VmsByState
    memory_mib: int
    reserved_mib: int
    used_mib: int
    free_mib: int


class FailedVm(Value):
    """`restart_pending`: the cluster is about to start it, and nobody else may."""

    name: str
    node: str
    restart_pending: bool


class VolumeStatus(Value):
    name: str
    owner: str
    state: VolumeState
    backup: bool


class Backups(Value):
    """The VMs and volumes of which a backup is under way."""

    vms: tuple[str, ...]
    volumes: tuple[str, ...]


class Quorum(Value):
    """`votes` of `of` that count are there. `hangs_on`: the nodes whose sudden loss would end the cluster."""

    votes: int
    of: int
    ok: bool
    hangs_on: tuple[str, ...]


class Status(Value):
    """`ok`: nothing is wrong. `findings`: what is not as it should be, or is under way, the gravest first: what a
    watch tells at its first look, and nodes that are too full. `survives_loss`: node by node, if it were lost now.
    """

    kind: Literal["status"] = "status"
    cluster: str
    ok: bool
    findings: tuple[Finding, ...]
    quorum: Quorum
    nodes: tuple[NodeStatus, ...]
    vms: VmsByState
    failed_vms: tuple[FailedVm, ...]
    migrations: tuple[MigrationUnderWay, ...]
    volumes: tuple[VolumeStatus, ...]
    backups: Backups
    storage_jobs: tuple[StorageJob, ...]
    survives_loss: tuple[Loss, ...]

    def to_json(self, indent: int | None = 2) -> str:
        return self.model_dump_json(indent=indent)


def status(
    cluster: Cluster,
    progress: Callable[[int, int], None] = lambda _, __: None,
    *,
    paused_by_run: Mapping[str, str] | None = None,
) -> Status:
    """`progress` is told of how many nodes of how many the loss is decided. `paused_by_run`: node → by which run and
    what for, where that was recorded.
    """
    lost = losses(cluster, progress)
    findings = _by_gravity(
        chain(_of_conditions(conditions(cluster)), _overfull(cluster), _of_conditions(cover(cluster, lost)))
    )
    runs = paused_by_run or {}
    return Status(
        cluster=cluster.name,
        ok=not any(finding.severity != "info" for finding in findings),
        findings=findings,
        quorum=_quorum(cluster),
        nodes=tuple(_node(cluster, node, runs.get(node.name)) for node in cluster.nodes),
        vms=_by_state(cluster.vms),
        failed_vms=tuple(
            FailedVm(name=vm.name, node=vm.node, restart_pending=vm.restart_pending)
            for vm in cluster.vms
            if vm.state == "failed"
        ),
        migrations=cluster.migrations,
        volumes=tuple(_volume(volume) for volume in cluster.volumes),
        backups=Backups(
            vms=tuple(vm.name for vm in cluster.under_backup),
            volumes=tuple(volume.name for volume in cluster.volumes if volume.backup),
        ),
        storage_jobs=cluster.storage_jobs,
        survives_loss=lost,
    )


def _of_conditions(found: Conditions) -> Iterator[Finding]:
    for key, condition in found.items():
        yield Finding(
            rule=condition.rule or "",
            severity=condition.severity,
            subject=key.subject,
            message=condition.message,
            remedy=condition.remedy,
        )


def _overfull(cluster: Cluster) -> Iterator[Finding]:
    full = {f"node {node.name}" for node in cluster.nodes if cluster.free_mib(node.name) < 0}
    yield from (finding for finding in standing.memory(cluster) if finding.subject in full)


def _by_gravity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: GRAVE.index(finding.severity)))


def _quorum(cluster: Cluster) -> Quorum:
    votes = votes_of(cluster)
    return Quorum(
        votes=votes.there,
        of=votes.of,
        ok=votes.is_majority,
        hangs_on=would_end_it(cluster) if votes.is_majority else (),
    )


def _node(cluster: Cluster, node: Node, paused_by_run: str | None) -> NodeStatus:
    return NodeStatus(
        name=node.name,
        state=node.state,
        paused_by=node.paused_by,
        paused_by_run=paused_by_run,
        votes=node.votes,
        vms=_by_state(cluster.vms_by_node[node.name]),
        memory_mib=node.memory_mib,
        reserved_mib=node.reserved_mib,
        used_mib=cluster.used_mib[node.name],
        free_mib=cluster.free_mib(node.name),
    )


def _volume(volume: Volume) -> VolumeStatus:
    return VolumeStatus(name=volume.name, owner=volume.owner, state=volume.state, backup=volume.backup)


def _by_state(vms: Iterable[VirtualMachine]) -> VmsByState:
    found = Counter(vm.state for vm in vms)
    return {state: found[state] for state in get_args(VmState)}
