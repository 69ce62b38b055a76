"""Networks for live migration and for the cluster's own traffic (R07, R10)."""

from __future__ import annotations

from collections.abc import Iterator

from shunter.topology.model import Cluster, Network, NetworkRole, Node
from shunter.topology.plan import Finding
from shunter.topology.requirements.differing import about, listed
from shunter.topology.versions import VERSIONS

LEAST_MBPS = 1000
SPOKEN: dict[NetworkRole, str] = {
    "live_migration": "live migration",
    "cluster": "cluster",
    "management": "management",
    "vm": "VM",
    "storage": "storage",
}


def adapters(cluster: Cluster) -> Iterator[Finding]:
    without = [node.name for node in cluster.nodes if not node.adapters]
    if without:
        yield Finding(
            rule="R10",
            severity="error",
            subject=about(cluster, without),
            message=f"{listed(without, 64)}: no network adapter",
            remedy="give each node adapters for management, for the cluster and for live migration",
        )
    unheard = [
        node.name for node in _wired(cluster) if not any(_is_on(node, net) for net in _with_role(cluster, "cluster"))
    ]
    if _with_role(cluster, "cluster") and unheard:
        yield Finding(
            rule="R10",
            severity="warning",
            subject=about(cluster, unheard),
            message=f"{listed(unheard, 64)}: no adapter on a network for cluster traffic",
            remedy="connect each node to the private network",
        )


def migration_network(cluster: Cluster) -> Iterator[Finding]:
    severity = VERSIONS[cluster.windows_version].network
    for subject, message, remedy in _migration_network(cluster):
        yield Finding(rule="R07", severity=severity, subject=subject, message=message, remedy=remedy)


def _migration_network(cluster: Cluster) -> Iterator[tuple[str, str, str]]:
    """Subject, message and remedy."""
    everywhere = f"cluster {cluster.name}"
    networks = _with_role(cluster, "live_migration")
    common = [network for network in networks if not _missing(cluster, network)]
    shared = [network for network in common if {"management", "vm"} & set(network.roles)]
    if not networks:
        remedy = "set one apart for it (Live Migration Settings in Failover Cluster Manager)"
        yield everywhere, "no network is meant for live migration", remedy
    elif not common:
        nearest = min(networks, key=lambda network: len(_missing(cluster, network)))
        absent = _missing(cluster, nearest)
        message = f"no live-migration network joins all nodes: {listed(absent, 64)} not on {nearest.name}"
        yield about(cluster, absent), message, f"connect {listed(absent, 64)} to {nearest.name}"
    elif len(shared) == len(common):
        for network in shared:
            message = f"{network.name} is not there for live migration alone, but for {_purposes(network)}"
            yield f"network {network.name}", message, "set a network apart for live migration"
    if not cluster.same_subnet:
        remedy = "bring the nodes into one subnet, or stretch it between the sites"
        yield everywhere, "the nodes are in several TCP/IP subnets", remedy


def fast_and_separate(cluster: Cluster) -> Iterator[Finding]:
    for network in cluster.networks:
        if {"live_migration", "cluster"} & set(network.roles):
            yield from _slow(cluster, network)
    yield from _not_separate(cluster)
    if not _with_role(cluster, "cluster"):
        yield _advice(f"cluster {cluster.name}", "no network is meant for cluster traffic", "set one apart for it")


def _slow(cluster: Cluster, network: Network) -> Iterator[Finding]:
    speeds = {
        node.name: max(adapter.link_mbps for adapter in node.adapters if adapter.network == network.name)
        for node in cluster.nodes
        if _is_on(node, network)
    }
    slow = [name for name, mbps in speeds.items() if mbps < LEAST_MBPS]
    subject = f"network {network.name}"
    remedy = "use adapters and switches of 1 Gbit/s or more; a migration takes as long as the slower end needs (R12)"
    if slow and len(slow) < len(speeds):
        what = ", ".join(f"{name} ({speeds[name]} Mbit/s)" for name in slow)
        message = f"on {network.name} less than 1 Gbit/s: {what}"
        yield _advice(f"node {slow[0]}" if len(slow) == 1 else subject, message, remedy)
    elif slow or network.link_mbps < LEAST_MBPS:
        mbps = min([network.link_mbps, *speeds.values()])
        yield _advice(subject, f"{network.name} has {mbps} Mbit/s; {_purposes(network)} wants 1 Gbit/s or more", remedy)


def _not_separate(cluster: Cluster) -> Iterator[Finding]:
    """One finding for each network in question, whatever is mixed on it."""
    mixed: dict[str, list[str]] = {}
    roles: tuple[NetworkRole, ...] = ("live_migration", "cluster")
    for role in roles:
        networks = _with_role(cluster, role)
        if networks and all(_beside(network, role) for network in networks):
            for network in networks:
                mixed.setdefault(network.name, []).append(SPOKEN[role])
    for network in cluster.networks:
        if network.name in mixed:
            yield _advice(
                f"network {network.name}",
                f"{listed(mixed[network.name])} traffic has no network of its own: {network.name} is for "
                f"{_purposes(network)}",
                "separate networks for live migration and for the cluster, apart from management and VMs",
            )


def _advice(subject: str, message: str, remedy: str) -> Finding:
    return Finding(rule="R10", severity="warning", subject=subject, message=message, remedy=remedy)


# ---------------------------------------------------------------- who is on what


def _with_role(cluster: Cluster, role: NetworkRole) -> list[Network]:
    return [network for network in cluster.networks if role in network.roles]


def _beside(network: Network, role: NetworkRole) -> list[str]:
    """What else it carries that should be apart; storage traffic may share a network."""
    apart: tuple[NetworkRole, ...] = ("live_migration", "cluster", "management", "vm")
    return [SPOKEN[other] for other in apart if other != role and other in network.roles]


def _purposes(network: Network) -> str:
    return listed([spoken for role, spoken in SPOKEN.items() if role in network.roles])


def _wired(cluster: Cluster) -> list[Node]:
    """Nodes without any adapter are a finding of their own."""
    return [node for node in cluster.nodes if node.adapters]


def _is_on(node: Node, network: Network) -> bool:
    member = not network.nodes or node.name in network.nodes
    return member and any(adapter.network == network.name for adapter in node.adapters)


def _missing(cluster: Cluster, network: Network) -> list[str]:
    return [node.name for node in _wired(cluster) if not _is_on(node, network)]
