"""When VMs of lost nodes come up again, as far as that can be estimated beforehand.

Figures for a usual cluster, each with its reason; no promise. The most important begin first: nobody of a lower
priority begins before everybody of a higher one has begun, and on each node one VM begins after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from shunter.topology.model import Cluster, VirtualMachine

BEGINS_AFTER_S = 30.0
"""From the loss to the first restart: the cluster misses 10 to 20 heartbeats, one a second (SameSubnetThreshold and
SameSubnetDelay), forms anew without the lost nodes, and brings volumes online at their new owners."""
ISOLATED_FOR_S = 240.0
"""From 2016 on a node that only falls silent is isolated for so long before it is lost (ResiliencyDefaultPeriod)."""
NEVER_ISOLATES = frozenset({"2008R2", "2012", "2012R2"})
BEGINS_EACH_S = 2.0
"""One VM begins so long after the one before it on the same node: its configuration is read and a worker started."""
MEMORY_MIB_PER_S = 4096.0
"""Memory that a VM starts with is laid out and cleared before it runs."""
BOOT_S = 45.0
"""A guest needs about so long from its start until it answers (its heartbeat)."""


def restart_s(vm: VirtualMachine) -> float:
    """From the beginning of its restart until the VM should be up."""
    resumed = vm.state == "saved"
    return vm.restart_mib / MEMORY_MIB_PER_S + (0.0 if resumed else BOOT_S)


def restart_times(cluster: Cluster, targets: Mapping[str, str], begin_s: float) -> dict[str, tuple[float, float]]:
    """VM → (begin, up), in order of their beginning. `targets`: VM → node, the most important first."""
    free_s: dict[str, float] = {}
    times: dict[str, tuple[float, float]] = {}
    for _, alike in groupby(targets, key=lambda name: cluster.vm_by_name[name].priority):
        last_s = begin_s
        for name in alike:
            start_s = max(begin_s, free_s.get(targets[name], 0.0))
            free_s[targets[name]] = start_s + BEGINS_EACH_S
            last_s = max(last_s, start_s)
            times[name] = (start_s, start_s + restart_s(cluster.vm_by_name[name]))
        begin_s = last_s
    return dict(sorted(times.items(), key=lambda item: (item[1][0], -cluster.vm_by_name[item[0]].priority)))
