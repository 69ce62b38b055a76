"""The cluster as a whole: nodes that are alike, within the limits of their Windows version, and enough of them to hold
themselves up (R02–R06, R20, R21, I6). How grave a finding is depends on that version where Microsoft's rules do."""

from __future__ import annotations

from collections.abc import Iterator

from shunter.topology import quorum
from shunter.topology.model import Cluster, Node
from shunter.topology.plan import Finding, Severity
from shunter.topology.requirements.differing import about, by, listed, odd_ones, said
from shunter.topology.versions import VERSIONS, Windows


def _windows(cluster: Cluster) -> Windows:
    return VERSIONS[cluster.windows_version]


def _server(cluster: Cluster) -> str:
    return f"Windows Server {cluster.windows_version.replace('R2', ' R2')}"


def same_architecture(cluster: Cluster) -> Iterator[Finding]:
    groups = by(cluster.nodes, lambda node: node.architecture)
    if len(groups) > 1:
        yield Finding(
            rule="R02",
            severity="error",
            subject=about(cluster, odd_ones(groups)),
            message=f"processor architectures are mixed: {said(groups)}",
            remedy="make it two clusters: a VM never moves from one architecture to the other",
        )


def same_version(cluster: Cluster) -> Iterator[Finding]:
    groups = by((node for node in cluster.nodes if node.os_build), _version)
    if len(groups) > 1:
        severity = _windows(cluster).mixed_versions
        yield Finding(
            rule="R02",
            severity=severity,
            subject=about(cluster, odd_ones(groups)),
            message=f"Windows versions are mixed: build {said(groups)}",
            remedy=f"install one version on all nodes: {_server(cluster)} does not mix versions in a cluster"
            if severity == "error"
            else "finish the rolling upgrade, then Update-ClusterFunctionalLevel",
        )


def _version(node: Node) -> str:
    return (node.os_build or "").partition(".")[0]


def same_updates(cluster: Cluster) -> Iterator[Finding]:
    """Nodes of different versions have different updates anyway (R02): each version by itself."""
    behind: dict[str, list[str]] = {}
    for names in by(cluster.nodes, _version).values():
        nodes = [cluster.node_by_name[name] for name in names]
        for node, what in (*_older_revisions(nodes), *_missing_updates(nodes)):
            behind.setdefault(node, []).append(what)
    if behind:
        alike: dict[tuple[str, ...], list[str]] = {}
        for node, what_all in behind.items():
            alike.setdefault(tuple(what_all), []).append(node)
        yield Finding(
            rule="R03",
            severity="warning",
            subject=about(cluster, behind),
            message="not all have the same updates: "
            + "; ".join(f"{', '.join(nodes)}: {', '.join(what)}" for what, nodes in alike.items()),
            remedy="install the same updates on all nodes; in the middle of a rolling maintenance this is normal",
        )


def _older_revisions(nodes: list[Node]) -> Iterator[tuple[str, str]]:
    revision = {node.name: (node.os_build or "").partition(".")[2] for node in nodes if node.os_build}
    newest = max(revision.values(), key=_numbers, default="")
    for name, own in revision.items():
        if own != newest:
            yield name, f"revision {own or 'unknown'} of Windows, not {newest}"


def _numbers(revision: str) -> tuple[int, ...]:
    return tuple(int(part) for part in revision.split(".") if part.isdecimal())


def _missing_updates(nodes: list[Node]) -> Iterator[tuple[str, str]]:
    somewhere = sorted({update.upper() for node in nodes for update in node.updates})
    for node in nodes:
        own = {update.upper() for update in node.updates}
        if missing := [update for update in somewhere if update not in own]:
            yield node.name, f"lacks {', '.join(missing)}"


def edition(cluster: Cluster) -> Iterator[Finding]:
    windows = _windows(cluster)
    for name, nodes in by(cluster.nodes, lambda node: node.edition).items():
        if name in windows.no_live_migration:
            able = " or ".join(sorted(windows.editions - windows.no_live_migration))
            yield Finding(
                rule="R04",
                severity="error",
                subject=about(cluster, nodes),
                message=f"{listed(nodes)}: edition {name} of {_server(cluster)} cannot migrate live",
                remedy=f"install an edition that can: {able}",
            )
        elif name not in windows.editions:
            yield Finding(
                rule="R04",
                severity="warning",
                subject=about(cluster, nodes),
                message=f"{listed(nodes)}: {_server(cluster)} has no edition {name}",
                remedy="look which version and edition is really installed there",
            )


def same_installation(cluster: Cluster) -> Iterator[Finding]:
    groups = by(cluster.nodes, lambda node: node.installation)
    if len(groups) > 1:
        yield Finding(
            rule="R05",
            severity=_windows(cluster).mixed_installations,
            subject=about(cluster, odd_ones(groups)),
            message=f"kinds of installation are mixed: {said(groups)}",
            remedy="install all nodes alike, all full or all Server Core",
        )


def limits(cluster: Cluster) -> Iterator[Finding]:
    windows = _windows(cluster)

    def over(severity: Severity, subject: str, what: str, most: int, remedy: str) -> Finding:
        message = f"{what}; {_server(cluster)} supports {most}"
        return Finding(rule="R06", severity=severity, subject=subject, message=message, remedy=remedy)

    everywhere = f"cluster {cluster.name}"
    if len(cluster.nodes) > windows.nodes:
        yield over("error", everywhere, f"{len(cluster.nodes)} nodes", windows.nodes, "make it two clusters")
    running = {name: sum(vm.holds_memory for vm in vms) for name, vms in cluster.vms_by_node.items()}
    if sum(running.values()) > windows.vms:
        remedy = "move some of them to another cluster"
        yield over("warning", everywhere, f"{sum(running.values())} VMs run", windows.vms, remedy)
    crowded = {name: count for name, count in running.items() if count > windows.vms_on_a_node}
    if crowded:
        what = ", ".join(f"{count} VMs run on {name}" for name, count in crowded.items())
        yield over("warning", about(cluster, crowded), what, windows.vms_on_a_node, "spread them over more nodes")


def same_switches(cluster: Cluster) -> Iterator[Finding]:
    spelled = {switch.casefold(): switch for node in cluster.nodes for switch in node.switches}
    lacking: dict[tuple[str, ...], list[str]] = {}
    for node in cluster.nodes:
        own = {switch.casefold() for switch in node.switches}
        if missing := tuple(name for key, name in sorted(spelled.items()) if key not in own):
            lacking.setdefault(missing, []).append(node.name)
    if lacking:
        nodes = [name for names in lacking.values() for name in names]
        what = "; ".join(f'{listed(names, 64)}: no "{", ".join(missing)}"' for missing, names in lacking.items())
        yield Finding(
            rule="R20",
            severity="warning",
            subject=about(cluster, nodes),
            message=f"virtual switches are not the same everywhere: {what}",
            remedy="give them the same names on all nodes (New-VMSwitch, Rename-VMSwitch); VMs that use one of these "
            "go only where it exists",
        )


def same_system_drive(cluster: Cluster) -> Iterator[Finding]:
    groups = by(cluster.nodes, lambda node: node.system_drive.upper())
    if len(groups) > 1 and any(volume.kind == "csv" for volume in cluster.volumes):
        yield Finding(
            rule="R21",
            severity="error",
            subject=about(cluster, odd_ones(groups)),
            message=f"nodes boot from different drives while Cluster Shared Volumes are in use: {said(groups)}",
            remedy="install Windows on the same drive letter everywhere; migration and failover both need it",
        )


def has_quorum(cluster: Cluster) -> Iterator[Finding]:
    votes, nodes = quorum.votes_of(cluster), quorum.members(cluster)
    subject, counted = f"cluster {cluster.name}", f"{votes.there} of {votes.of} votes are there"
    if not votes.is_majority:
        yield Finding(
            rule="I6",
            severity="error",
            subject=subject,
            message=f"{counted}: no majority, the cluster cannot hold itself up",
            remedy="bring nodes back (Start-ClusterNode), or the witness",
        )
    elif len(cluster.nodes) > 1 and (last := quorum.would_end_it(cluster)):
        yield Finding(
            rule="I6",
            severity="warning",
            subject=subject,
            message=f"{counted}: the sudden loss of {'one more node' if len(last) == len(nodes) else listed(last)} "
            "could end the cluster with all its VMs",
            remedy="bring nodes back"
            if len(nodes) < len(cluster.nodes)
            else "add a witness (Set-ClusterQuorum), or nodes with a vote"
            if not cluster.witness
            else "add nodes with a vote",
        )
