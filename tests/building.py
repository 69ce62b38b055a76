"""Small clusters for tests, built through the door that users use: the cluster file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shunter.topology.clusterfile import read_cluster
from shunter.topology.model import Cluster

INTEL = {"manufacturer": "GenuineIntel", "version": "6.106.6"}
INTEL_OLDER = {"manufacturer": "GenuineIntel", "version": "6.85.7"}
AMD = {"manufacturer": "AuthenticAMD", "version": "25.1.1"}


def node(name: str, memory_mib: int = 65536, **fields: Any) -> dict[str, Any]:
    return {"name": name, "memory_mib": memory_mib, "reserved_mib": 0, **fields}


def vm(name: str, on: str = "N1", memory_mib: int = 4096, **fields: Any) -> dict[str, Any]:
    return {"name": name, "node": on, "memory_mib": memory_mib, **fields}


def cluster(nodes: int | Sequence[dict[str, Any]] = 3, vms: Sequence[dict[str, Any]] = (), **fields: Any) -> Cluster:
    """A cluster of N1, N2 … with 64 GiB each for VMs, or of the nodes given."""
    of = [node(f"N{i}") for i in range(1, nodes + 1)] if isinstance(nodes, int) else list(nodes)
    return read_cluster({"name": "test", "nodes": of, "vms": list(vms), **fields})
