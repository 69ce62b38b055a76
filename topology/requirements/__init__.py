"""What live migration asks of a cluster, rule by rule, before anything is touched.

Small checks, each a function from the cluster to findings. A finding of severity error stands against every run on
this cluster, a warning is what the operator should know, info is how things stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from shunter.topology.model import Cluster
from shunter.topology.plan import Finding
from shunter.topology.requirements import networks, standing, storage, vms, whole

Requirement = Callable[[Cluster], Iterator[Finding]]

OF_EVERY_RUN: tuple[Requirement, ...] = (
    whole.has_quorum,
    whole.same_architecture,
    whole.same_version,
    whole.same_updates,
    whole.edition,
    whole.same_installation,
    whole.limits,
    networks.migration_network,
    networks.adapters,
    networks.fast_and_separate,
    storage.redirected,
    storage.paths,
    vms.configurations,
    whole.same_system_drive,
)
"""Whatever a run does on this cluster, it rests on these."""

REQUIREMENTS: tuple[Requirement, ...] = (
    *OF_EVERY_RUN,
    standing.somewhere_to_go,
    standing.node_states,
    storage.reach,
    storage.states,
    storage.backed_up_online,
    storage.jobs,
    storage.shared_disks,
    whole.same_switches,
    standing.sizes,
    standing.memory,
    vms.broken_rules,
    vms.standing_wrong,
    vms.nowhere_to_go,
    vms.cared_for,
    standing.migrations,
    standing.backups,
)
"""All of them. Of the nodes, volumes and VMs in the second half a plan speaks itself, where they matter to it."""


def findings(cluster: Cluster, requirements: tuple[Requirement, ...] = REQUIREMENTS) -> tuple[Finding, ...]:
    """What these requirements have to say, the gravest first."""
    grave = {"error": 0, "warning": 1, "info": 2}
    found = (finding for requirement in requirements for finding in requirement(cluster))
    return tuple(sorted(found, key=lambda finding: grave[finding.severity]))
