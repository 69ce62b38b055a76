"""What cannot all be true of one cluster at one instant: each problem with the path of the field, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_network
from itertools import chain

from shunter.topology.estimate import link_mbps
from shunter.topology.model import Cluster, MigrationUnderWay, Node
from shunter.topology.names import key_of

ONE_ADAPTER_A_NETWORK = frozenset({"2008R2", "2012", "2012R2"})
"""Before 2016 a cluster uses one adapter of each network and ignores the others."""

BUILDS = {
    "2008R2": ("7600", "7601"),
    "2012": ("9200",),
    "2012R2": ("9600",),
    "2016": ("14393",),
    "2019": ("17763",),
    "2022": ("20348",),
    "2025": ("26100",),
}
"""Version → the builds that Windows Server of this version has, in the order of the versions."""

NAMED_ONCE = {
    "nodes": ("switches",),
    "vms": ("possible_owners", "preferred_owners", "switches", "volumes"),
    "volumes": ("reachable_from",),
    "networks": ("nodes", "roles"),
    "affinity_rules": ("vms",),
}
"""Lists in which nothing may stand twice."""


def contradictions(cluster: Cluster) -> list[str]:
    """Of a cluster whose references are spelled as the things are named."""
    return [
        *chain.from_iterable(_of_node(cluster, i, node) for i, node in enumerate(cluster.nodes)),
        *_of_vms(cluster),
        *_of_volumes_and_roles(cluster),
        *_of_disks(cluster),
        *_of_networks(cluster),
        *_of_rules(cluster),
        *_of_migrations(cluster),
        *_named_twice(cluster),
        *_written_differently(cluster),
    ]


def _of_node(cluster: Cluster, i: int, node: Node) -> Iterator[str]:
    if node.reserved_mib >= node.memory_mib:
        yield (
            f"nodes[{i}].reserved_mib: {node.reserved_mib} is not below memory_mib {node.memory_mib} of {node.name}; "
            "give less, or leave it out"
        )
    if (other := _version_of_build(node)) is not None and other not in _versions_beside(cluster.windows_version):
        yield (
            f"nodes[{i}].os_build: {node.os_build} is Windows Server {_spoken(other)}, and the cluster's "
            f"windows_version is {cluster.windows_version}; correct one of them"
        )
    if node.architecture == "ia64" and cluster.windows_version != "2008R2":
        yield (
            f"nodes[{i}].architecture: there is no Windows Server {_spoken(cluster.windows_version)} for ia64, "
            "2008 R2 was the last; correct one of them"
        )
    if node.paused_by is not None and node.state != "paused":
        yield f'nodes[{i}].paused_by: {node.name} is {node.state}, not paused; give null, or the state "paused"'
    for k in _again(key_of(adapter.name) for adapter in node.adapters):
        yield f'nodes[{i}].adapters[{k}].name: two are called "{node.adapters[k].name}"; give each a name of its own'
    networks = [adapter.network for adapter in node.adapters]
    if cluster.windows_version in ONE_ADAPTER_A_NETWORK:
        for k in _again(networks):
            yield (
                f"nodes[{i}].adapters[{k}].network: {node.name} has another adapter on {networks[k]}, and Windows "
                f"{cluster.windows_version} uses one; leave one of them out"
            )


def _version_of_build(node: Node) -> str | None:
    """The version that the build says, where it is one of those that everybody has; Azure Local has its own."""
    build = (node.os_build or "").partition(".")[0]
    if node.edition == "azure_local":
        return None
    return next((version for version, builds in BUILDS.items() if build in builds), None)


def _versions_beside(version: str) -> tuple[str, ...]:
    """Those that the nodes of such a cluster may have: from 2012 R2 on also the next, in the middle of an upgrade."""
    versions = list(BUILDS)
    at = versions.index(version)
    return tuple(versions[at : at + 2]) if at >= versions.index("2012R2") else (version,)


def _spoken(version: str) -> str:
    return version.replace("R2", " R2")


def _of_vms(cluster: Cluster) -> Iterator[str]:
    for i, vm in enumerate(cluster.vms):
        if vm.memory_maximum_mib < vm.memory_mib:
            yield (
                f"vms[{i}].memory_maximum_mib: {vm.memory_maximum_mib} is less than memory_mib {vm.memory_mib} of "
                f"{vm.name}; give at least that, or leave it out"
            )
        if vm.restart_pending and vm.state != "failed":
            yield f"vms[{i}].restart_pending: {vm.name} is {vm.state}, not failed; give false, or leave it out"


def _of_volumes_and_roles(cluster: Cluster) -> Iterator[str]:
    for i, volume in enumerate(cluster.volumes):
        if volume.reachable_from and volume.owner not in volume.reachable_from:
            yield (
                f"volumes[{i}].owner: {volume.owner} does not reach {volume.name}; name one of reachable_from: "
                f"{', '.join(volume.reachable_from)}"
            )
    vms = {key_of(vm.name) for vm in cluster.vms}
    for i, role in enumerate(cluster.roles):
        if key_of(role.name) in vms:
            yield f'roles[{i}].name: a VM is called "{role.name}" too; leave it out, a VM is a role already'


def _of_disks(cluster: Cluster) -> Iterator[str]:
    """A disk that is no Cluster Shared Volume is online on one node, and its VM runs there (R11)."""
    at = {vm.name: i for i, vm in enumerate(cluster.vms)}
    for i, volume in enumerate(cluster.volumes):
        running = [vm for vm in cluster.vms_by_disk.get(volume.name, ()) if vm.holds_memory]
        elsewhere = next((vm for vm in running if vm.node != running[0].node), None)
        if elsewhere is not None:
            one = running[0]
            yield (
                f"vms[{at[elsewhere.name]}].node: {elsewhere.name} runs on {elsewhere.node}, {one.name} on {one.node}, "
                f"and both use the disk {volume.name}, which one node has at a time (R11); correct one of them"
            )
        elif running and running[0].node != volume.owner:
            yield (
                f"volumes[{i}].owner: {running[0].name}, which runs on {running[0].node}, uses {volume.name}, and a "
                f"disk is where its VM runs (R11), not on {volume.owner}; correct one of them"
            )


def _of_networks(cluster: Cluster) -> Iterator[str]:
    members = {network.name: network.nodes for network in cluster.networks}
    for i, node in enumerate(cluster.nodes):
        for k, adapter in enumerate(node.adapters):
            if members[adapter.network] and node.name not in members[adapter.network]:
                yield (
                    f"nodes[{i}].adapters[{k}].network: {adapter.network} joins {', '.join(members[adapter.network])}, "
                    f"not {node.name}; name {node.name} in its nodes, or another network"
                )
    for i, network in enumerate(cluster.networks):
        if network.subnet is not None and not _is_subnet(network.subnet):
            yield f'networks[{i}].subnet: "{network.subnet}" is no subnet; write it like 10.0.2.0/24'


def _is_subnet(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return "/" in text


def _of_rules(cluster: Cluster) -> Iterator[str]:
    has_domains = any(node.fault_domain is not None for node in cluster.nodes)
    for i, rule in enumerate(cluster.affinity_rules):
        if rule.kind.endswith("fault_domain") and not has_domains:
            yield f"affinity_rules[{i}].kind: {rule.kind} needs nodes with a fault_domain, and none has one; give them"


def _of_migrations(cluster: Cluster) -> Iterator[str]:
    """R15, and what a migration under way is."""
    in_use: dict[str, MigrationUnderWay] = {}
    moving: set[str] = set()
    for i, migration in enumerate(cluster.migrations):
        if migration.vm in moving:
            yield f"migrations[{i}].vm: {migration.vm} is in another migration already; leave one of them out"
            continue
        moving.add(migration.vm)
        vm = cluster.vm_by_name[migration.vm]
        if vm.node != migration.source:
            yield (
                f"migrations[{i}].source: {vm.name} is on {vm.node}, not on {migration.source}; "
                "correct one of them, or leave the migration out if it is over"
            )
        if not vm.holds_memory:
            yield (
                f"migrations[{i}].vm: {vm.name} is {vm.state}; only a running VM migrates live: "
                "correct its state, or leave the migration out"
            )
        if migration.source == migration.target:
            yield f"migrations[{i}].target: is its source, {migration.source}; name the node that it moves to"
            continue
        ends = (cluster.node_by_name[migration.source], cluster.node_by_name[migration.target])
        if link_mbps(cluster, *ends) is None:
            yield (
                f"migrations[{i}].target: no network joins {migration.source} and {migration.target}; "
                "correct their adapters, or leave the migration out"
            )
        for end in ("source", "target"):
            yield from _end(cluster, f"migrations[{i}].{end}", getattr(migration, end), in_use)
        in_use |= dict.fromkeys((migration.source, migration.target), migration)


def _end(cluster: Cluster, path: str, node: str, in_use: dict[str, MigrationUnderWay]) -> Iterator[str]:
    state = cluster.node_by_name[node].state
    if state in ("down", "joining"):
        yield f"{path}: {node} is {state}: nothing migrates there; correct its state, or leave the migration out"
    other = in_use.get(node)
    if other is not None:
        yield (
            f"{path}: {node} is in the migration of {other.vm} already, and a node takes part in one at a time (R15); "
            "leave one of them out"
        )


def _named_twice(cluster: Cluster) -> Iterator[str]:
    for field, lists in NAMED_ONCE.items():
        for i, item in enumerate(getattr(cluster, field)):
            for name in lists:
                names: Sequence[str] = getattr(item, name)
                for k in _again(key_of(each) for each in names) if len(names) > 1 else ():
                    yield f'{field}[{i}].{name}[{k}]: "{names[k]}" is named twice; name it once'


def _written_differently(cluster: Cluster) -> Iterator[str]:
    """Switches and fault domains, which are known by nothing but their names."""
    nodes, vms = list(enumerate(cluster.nodes)), list(enumerate(cluster.vms))
    switches = [(f"nodes[{i}].switches[{k}]", name) for i, node in nodes for k, name in enumerate(node.switches)]
    switches += [(f"vms[{i}].switches[{k}]", name) for i, vm in vms for k, name in enumerate(vm.switches)]
    domains = [(f"nodes[{i}].fault_domain", node.fault_domain) for i, node in nodes if node.fault_domain is not None]
    for named in (switches, domains):
        first: dict[str, str] = {}
        for path, name in named:
            known = first.setdefault(key_of(name), name)
            if known.casefold() != name.casefold():
                yield f'{path}: looks like "{known}", and is written with other characters; write both alike'


def _again(names: Iterable[str]) -> list[int]:
    """The positions of what stood there before."""
    seen: set[str] = set()
    again = []
    for i, name in enumerate(names):
        if name in seen:
            again.append(i)
        seen.add(name)
    return again
