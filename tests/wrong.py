"""A cluster file in which every list has an entry, and how to spoil it."""

from __future__ import annotations

import copy
from typing import Any

GOOD: dict[str, Any] = {
    "name": "c",
    "windows_version": "2022",
    "nodes": [
        {
            "name": "N1",
            "memory_mib": 32768,
            "processor": {"manufacturer": "GenuineIntel", "version": "6.106.6"},
            "fault_domain": "rack-1",
            "switches": ["lan"],
            "adapters": [{"name": "nic-1", "network": "LM", "link_mbps": 10000}],
        },
        {"name": "N2", "memory_mib": 32768},
        {"name": "N3", "memory_mib": 32768},
        {"name": "N4", "memory_mib": 32768},
    ],
    "vms": [
        {"name": "web-1", "node": "N1", "memory_mib": 4096, "volumes": ["CSV1"], "possible_owners": ["N1", "N2"]},
        {"name": "web-2", "node": "N2", "memory_mib": 4096},
        {"name": "old-1", "node": "N3", "memory_mib": 4096, "state": "off"},
    ],
    "volumes": [{"name": "CSV1", "owner": "N1", "reachable_from": ["N1", "N2"]}],
    "networks": [{"name": "LM", "roles": ["live_migration"], "subnet": "10.0.2.0/24"}],
    "affinity_rules": [{"name": "apart", "kind": "different_node", "vms": ["web-1", "web-2"]}],
    "roles": [{"name": "Cluster Group", "kind": "core", "node": "N1"}],
    "migrations": [],
    "storage_jobs": [{"name": "repair", "volume": "CSV1", "percent": 40}],
}
ABSENT = object()
MIB = "a whole number of MiB from 1 to 2147483648"


def changed(where: str, value: Any) -> dict[str, Any]:
    """The good file with one field changed; `where` like "vms.0.node"; one more is appended at the end of a list."""
    data = copy.deepcopy(GOOD)
    *way, last = (int(part) if part.isdecimal() else part for part in where.split("."))
    inner: Any = data
    for part in way:
        inner = inner[part]
    if value is ABSENT:
        del inner[last]
    elif isinstance(inner, list) and last == len(inner):
        inner.append(value)
    else:
        inner[last] = value
    return data
