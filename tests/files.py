"""Cluster files drawn with every field of the format: small, valid, and in all the states that a cluster can be in.

The random generator may be hypothesis's (`st.randoms()`), which then shrinks what it draws.
"""

from __future__ import annotations

import random
from typing import Any

Raw = dict[str, Any]

PROCESSORS = (
    {"manufacturer": "GenuineIntel", "version": "6.106.6"},
    {"manufacturer": "GenuineIntel", "version": "6.85.7"},
    {"manufacturer": "AuthenticAMD", "version": "25.1.1"},
)
VOLUME_STATES = (
    "online",
    "redirected_backup",
    "redirected_stuck",
    "redirected_no_path",
    "redirected_by_design",
    "redirected_by_user",
    "maintenance",
    "offline",
    "failed",
)
BUILDS = {
    "2008R2": "7601",
    "2012": "9200",
    "2012R2": "9600",
    "2016": "14393",
    "2019": "17763",
    "2022": "20348",
    "2025": "26100",
}
NAMES = ("web", "SQL 01", "Zürich-Ω", "データ", "a&b<c>", "x/y", "'quoted\"", "%41", "e\u0301", "-json")


def draw_file(rng: random.Random, most_nodes: int = 5) -> Raw:
    """A cluster file of up to that many nodes."""
    count = rng.randint(1, most_nodes)
    nodes = [_node(rng, i, count) for i in range(1, count + 1)]
    raw: Raw = {"name": rng.choice(("c", "prod-1", *NAMES)), "nodes": nodes}
    _all_or_none(rng, nodes)
    if rng.random() < 0.5:
        raw["networks"] = _networks(rng, nodes)
        _adapters(rng, raw)
    if rng.random() < 0.7:
        raw["volumes"] = _volumes(rng, nodes)
    raw["vms"] = [_vm(rng, i, raw) for i in range(rng.randint(0, 4 * count))]
    disks_with_their_vms(raw)
    _more(rng, raw)
    _builds_of_the_version(raw)
    return raw


def leaving(rng: random.Random, raw: Raw) -> list[str]:
    """Which nodes to evacuate."""
    names = [node["name"] for node in raw["nodes"]]
    return rng.sample(names, k=rng.randint(1, max(1, len(names) // 2)))


def _name(rng: random.Random, kind: str, i: int) -> str:
    return f"{rng.choice(NAMES)} {kind}{i}" if rng.random() < 0.1 else f"{kind}{i}"


def _maybe(rng: random.Random, item: Raw, chance: float, **fields: Any) -> None:
    for name, value in fields.items():
        if rng.random() < chance:
            item[name] = value


def _node(rng: random.Random, i: int, count: int) -> Raw:
    memory_mib = rng.choice((8192, 16384, 65536, rng.randint(4, 100_000)))
    node: Raw = {"name": _name(rng, "N", i), "memory_mib": memory_mib}
    if count > 1 and rng.random() < 0.15:
        node["state"] = rng.choice(("paused", "paused", "down", "joining", "isolated", "quarantined"))
        if node["state"] == "paused":
            node["paused_by"] = rng.choice(("us", "elsewhere", None))
    return node


def _all_or_none(rng: random.Random, nodes: list[Raw]) -> None:
    """Fields that are given for every node, as nodes may differ in them, or for the first, or for none."""
    for node in nodes if rng.random() < 0.3 else ():
        node["reserved_mib"] = rng.choice((0, node["memory_mib"] // 10, node["memory_mib"] - 1))
    for field, values in {
        "logical_processors": (16, 64, None),
        "cpu_percent": (0, 30, 99.5, 100),
        "votes": (1, 1, 0),
        "processor": (*PROCESSORS, PROCESSORS[0], None),
        "architecture": ("x64", "x64", "x64", "ia64"),
        "os_build": ("2700", "1", "", None),
        "edition": ("datacenter", "datacenter", "standard", "enterprise", "azure_local", "hyperv_server"),
        "installation": ("core", "core", "full"),
        "updates": ([], ["KB1"], ["KB1", "KB2"]),
        "system_drive": ("C:", "C:", "d:"),
        "tcp_offload": (True, False),
        "switches": ([], ["lan"], ["lan", "DMZ"]),
        "fault_domain": ("rack-1", "rack-2", None),
    }.items():
        match rng.choice(("none", "first", "all")):
            case "first":
                nodes[0][field] = rng.choice(values)
            case "all":
                for node in nodes:
                    node[field] = rng.choice(values)


def _networks(rng: random.Random, nodes: list[Raw]) -> list[Raw]:
    networks: list[Raw] = []
    for i in range(rng.randint(1, 4)):
        roles = rng.sample(("live_migration", "cluster", "management", "vm", "storage"), k=rng.randint(0, 3))
        network: Raw = {"name": _name(rng, "net", i), "roles": roles if i else ["live_migration"]}
        _maybe(rng, network, 0.5, link_mbps=rng.choice((100, 1000, 25_000)), subnet=f"10.0.{i}.0/24")
        _maybe(rng, network, 0.1, subnet=f"fd00:{i}::/64")
        _maybe(rng, network, 0.2, nodes=_some(rng, nodes))
        networks.append(network)
    return networks


def _adapters(rng: random.Random, raw: Raw) -> None:
    for node in raw["nodes"] if rng.random() < 0.4 else ():
        there = [n for n in raw["networks"] if not n.get("nodes") or node["name"] in n["nodes"]]
        node["adapters"] = [
            {"name": f"nic-{i}", "network": network["name"], "link_mbps": rng.choice((1000, 10_000))}
            for i, network in enumerate(there)
            if rng.random() < 0.9
        ]


def _some(rng: random.Random, items: list[Raw]) -> list[str]:
    """The names of one or more."""
    return [item["name"] for item in rng.sample(items, k=rng.randint(1, len(items)))]


def _volumes(rng: random.Random, nodes: list[Raw]) -> list[Raw]:
    volumes: list[Raw] = []
    for i in range(rng.randint(1, 4)):
        volume: Raw = {"name": _name(rng, "vol", i)}
        _maybe(rng, volume, 0.5, kind=rng.choice(("csv", "disk")))
        _maybe(rng, volume, 0.2, reachable_from=_some(rng, nodes))
        _maybe(rng, volume, 0.1, state=rng.choice(VOLUME_STATES), backup=rng.random() < 0.5)
        if "reachable_from" in volume or rng.random() < 0.5 or all("state" in node for node in nodes):
            volume["owner"] = rng.choice(volume.get("reachable_from") or [node["name"] for node in nodes])
        volumes.append(volume)
    return volumes


def _vm(rng: random.Random, i: int, raw: Raw) -> Raw:
    node = rng.choice(raw["nodes"])
    memory_mib = rng.choice((512, 1024, 2048, rng.randint(1, 6000)))
    vm: Raw = {"name": _name(rng, "vm-", i), "node": node["name"], "memory_mib": memory_mib}
    _maybe(rng, vm, 0.2, state=rng.choice(("running", "paused", "off", "saved", "failed")))
    _maybe(rng, vm, 0.1, memory_startup_mib=rng.choice((1, memory_mib * 2)), memory_maximum_mib=memory_mib * 3)
    _maybe(rng, vm, 0.05, clustered=False, backup=True, configuration_in_cluster_is_current=False)
    _maybe(rng, vm, 0.2, logical_processors=4, priority=rng.choice((0, 1000, 3000)), processor_compatibility=True)
    _maybe(rng, vm, 0.2, dirty_mib_per_s=rng.choice((0, 0.5, 100, 5000)))
    _maybe(rng, vm, 0.1, possible_owners=_some(rng, raw["nodes"]), preferred_owners=_some(rng, raw["nodes"]))
    _maybe(rng, vm, 0.2, switches=rng.choice((["lan"], ["DMZ"], [])))
    if raw.get("volumes"):
        _maybe(rng, vm, 0.6, volumes=[rng.choice(raw["volumes"])["name"]])
        _maybe(rng, vm, 0.05, volumes=_some(rng, raw["volumes"]))
    return vm


def _more(rng: random.Random, raw: Raw) -> None:
    nodes, vms = raw["nodes"], raw["vms"]
    _maybe(
        rng,
        raw,
        0.3,
        windows_version=rng.choice(("2008R2", "2012", "2012R2", "2016", "2019", "2022", "2025")),
        witness=rng.random() < 0.5,
        same_subnet=rng.random() < 0.8,
        roles=[{"name": f"role-{i}", "node": rng.choice(nodes)["name"], **_role(rng)} for i in range(2)],
    )
    if raw.get("volumes"):
        job = {"name": "repair", "volume": raw["volumes"][0]["name"], "percent": rng.choice((0, 40, 99.9))}
        _maybe(rng, raw, 0.1, storage_jobs=[job])
    kinds = ["different_node", "same_node"]
    if any(node.get("fault_domain") for node in nodes):
        kinds += ["different_fault_domain", "same_fault_domain"]
    if len(vms) > 1 and rng.random() < 0.4:
        raw["affinity_rules"] = [
            {
                "name": f"rule-{i}",
                "kind": rng.choice(kinds),
                "vms": [vm["name"] for vm in rng.sample(vms, k=min(len(vms), rng.choice((2, 2, 3))))],
                "soft": rng.random() < 0.3,
            }
            for i in range(rng.randint(1, 3))
        ]
    if rng.random() < 0.15:
        raw["migrations"] = _migrations(rng, raw)


def disks_with_their_vms(raw: Raw) -> None:
    """A disk is used by running VMs of one node, which owns it; a VM that runs elsewhere is off instead."""
    owners: dict[str, str] = {}
    kinds = {volume["name"]: volume.get("kind") for volume in raw.get("volumes", ())}
    for vm in raw["vms"]:
        disks = [name for name in vm.get("volumes", ()) if kinds[name] == "disk"]
        runs = vm.get("state", "running") in ("running", "paused")
        if runs and any(owners.setdefault(name, vm["node"]) != vm["node"] for name in disks):
            vm["state"] = "off"
    for volume in raw.get("volumes", ()):
        if (owner := owners.get(volume["name"])) is not None:
            volume["owner"] = owner
            if "reachable_from" in volume:
                volume["reachable_from"] = sorted({*volume["reachable_from"], owner})


def _builds_of_the_version(raw: Raw) -> None:
    """`os_build` was drawn as a revision."""
    build = BUILDS[raw.get("windows_version", "2022")]
    for node in raw["nodes"]:
        if (revision := node.get("os_build")) is not None:
            node["os_build"] = f"{build}.{revision}" if revision else build
        if node.get("architecture") == "ia64" and raw.get("windows_version") != "2008R2":
            node["architecture"] = "x64"


def _role(rng: random.Random) -> Raw:
    role: Raw = {}
    _maybe(rng, role, 0.5, kind=rng.choice(("core", "file_server", "other")))
    _maybe(rng, role, 0.3, state=rng.choice(("online", "offline", "failed")))
    return role


def _migrations(rng: random.Random, raw: Raw) -> list[Raw]:
    """Between nodes that are there and joined by a network, each in one at most."""
    if any("adapters" in node for node in raw["nodes"]) or any("nodes" in n for n in raw.get("networks", ())):
        return []
    free = [node["name"] for node in raw["nodes"] if node.get("state", "up") in ("up", "paused")]
    rng.shuffle(free)
    under_way: list[Raw] = []
    while len(free) > 1 and len(under_way) < 2:
        source, target = free.pop(), free.pop()
        here = [vm for vm in raw["vms"] if vm["node"] == source and vm.get("state", "running") in ("running", "paused")]
        if here:
            under_way.append({"vm": rng.choice(here)["name"], "source": source, "target": target})
            _maybe(rng, under_way[-1], 0.5, by=rng.choice(("us", "elsewhere")))
    return under_way
