"""Clusters drawn from a seed: sound at the start, and different from each other in every way that a rule speaks of."""

from __future__ import annotations

import random
from typing import Any

from building import AMD, INTEL, INTEL_OLDER

from shunter.topology.clusterfile import read_cluster
from shunter.topology.model import Cluster

Raw = dict[str, Any]
NODE_MIB = (65536, 131072, 262144)


def draw_sizes(rng: random.Random, count: int, most_mib: int = 49152) -> list[int]:
    """Memory of VMs in MiB: many small ones, a median of about 6 GiB, a few of up to 48 GiB, most a power of two."""
    sizes = []
    for _ in range(count):
        doublings = rng.gauss(12.6, 1.8)
        mib = 2.0 ** (round(doublings) if rng.random() < 0.6 else doublings)
        sizes.append(int(min(max(mib, 100), most_mib)))
    return sizes


def draw_night(seed: int) -> tuple[Cluster, list[str]]:
    """A cluster of 2 to 8 nodes, and which of them to evacuate."""
    rng = random.Random(f"night/{seed}")
    count = rng.choice((2, 3, 3, 4, 4, 5, 6, 8))
    nodes = _draw_nodes(rng, count)
    volumes = _draw_volumes(rng, nodes)
    vms = _draw_vms(rng, nodes, volumes)
    raw: Raw = {
        "name": f"night-{seed}",
        "nodes": nodes,
        "volumes": volumes,
        "vms": vms,
        "roles": [{"name": "Cluster Group", "kind": "core", "node": rng.choice(nodes)["name"]}],
        "affinity_rules": _draw_rules(rng, vms, nodes),
        "migrations": _draw_migrations(rng, vms, nodes),
    }
    up = [node["name"] for node in nodes if node.get("state", "up") == "up" or rng.random() < 0.5]
    leaving = rng.sample(up, k=rng.randint(1, max(1, count // 3))) if up else [nodes[0]["name"]]
    return read_cluster(raw), leaving


def draw_tight_night(seed: int) -> tuple[Cluster, list[str]]:
    """A cluster of 2 to 4 nodes with little room, and which of them to evacuate; none: it is to be brought in order.

    Small enough to be tried out, so tight that others must make room, and then and now out of order from the start.
    """
    rng = random.Random(f"tight night/{seed}")
    names = [f"N{i}" for i in range(1, rng.randint(2, 4) + 1)]
    nodes: list[Raw] = [
        {"name": name, "memory_mib": rng.choice((100, 100, 120, 160)), "reserved_mib": 0, "fault_domain": f"r{i % 2}"}
        for i, name in enumerate(names)
    ]
    free = {node["name"]: node["memory_mib"] for node in nodes}
    vms: list[Raw] = []
    for i in range(rng.randint(3, 7)):
        mib, on = rng.choice((5, 10, 20, 30, 40, 60)), rng.choice(names)
        if free[on] < mib and rng.random() < 0.9:
            continue
        free[on] -= mib
        owners = sorted(rng.sample(names, rng.randint(1, len(names)))) if rng.random() < 0.2 else []
        state = "off" if rng.random() < 0.1 else "running"
        vms.append({"name": f"vm-{i}", "node": on, "memory_mib": mib, "possible_owners": owners, "state": state})
    volumes = []
    if len(vms) > 1 and rng.random() < 0.2:
        one, other = rng.sample(vms, 2)
        other["node"] = one["node"]
        one["volumes"] = other["volumes"] = ["LUN1"]
        volumes.append({"name": "LUN1", "kind": "disk", "owner": one["node"]})
    kinds = ("different_node", "same_node", "different_fault_domain", "same_fault_domain")
    rules: list[Raw] = [
        {
            "name": f"rule-{i}",
            "kind": rng.choice(kinds),
            "vms": [vm["name"] for vm in rng.sample(vms, 2)],
            "soft": rng.random() < 0.2,
        }
        for i in range(rng.randint(0, 2) if len(vms) > 2 else 0)
    ]
    leaving = [] if rng.random() < 0.4 else rng.sample(names, rng.randint(1, max(1, len(names) - 1)))
    raw = {"name": f"tight-{seed}", "nodes": nodes, "vms": vms, "volumes": volumes, "affinity_rules": rules}
    return read_cluster(raw), leaving


def draw_rolling_night(seed: int) -> tuple[Cluster, list[str]]:
    """A cluster of 3 to 8 nodes with room to maintain most of them, and which of them to maintain; none: all."""
    rng = random.Random(f"rolling night/{seed}")
    count = rng.choice((3, 3, 4, 4, 5, 6, 8))
    nodes = _draw_nodes(rng, count)
    if rng.random() < 0.15:
        nodes[-1]["votes"] = 0
    volumes = _draw_volumes(rng, nodes)
    vms = _draw_vms(rng, nodes, volumes, fill=rng.uniform(0.1, 1.1 * (1 - 2 / count)))
    if rng.random() < 0.8:
        # of what keeps a node from its turn whatever the order, few have any
        for vm in vms:
            vm |= {"clustered": True, "backup": False, "processor_compatibility": True}
            vm.pop("possible_owners", None)
        for each in nodes:
            each["processor"] = nodes[0]["processor"]
    raw: Raw = {
        "name": f"rolling-{seed}",
        "windows_version": rng.choice(("2008R2", "2012", "2016", "2022", "2022", "2022", "2025")),
        "witness": rng.random() < 0.7,
        "nodes": nodes,
        "volumes": volumes,
        "vms": vms,
        "roles": [{"name": "Cluster Group", "kind": "core", "node": rng.choice(nodes)["name"]}],
        "affinity_rules": _draw_rules(rng, vms, nodes),
        "migrations": _draw_migrations(rng, vms, nodes),
    }
    names = [node["name"] for node in nodes]
    return read_cluster(raw), [] if rng.random() < 0.6 else sorted(rng.sample(names, rng.randint(1, count)))


def draw_filled(rng: random.Random, count: int) -> Cluster:
    """Nodes of 512 GiB, of one size or of two, each filled to 30 to 60 % with VMs of usual sizes; N+1 is kept."""
    mixed, fill = rng.random() < 0.3, rng.uniform(0.3, min(0.6, 0.9 * (1 - 2 / count)))
    nodes: list[Raw] = []
    vms: list[Raw] = []
    for i in range(1, count + 1):
        mib = 1024 * (rng.choice((256, 512)) if mixed else 512)
        nodes.append({"name": f"N{i}", "memory_mib": mib})
        left = (mib - 4096) * fill
        for size in draw_sizes(rng, 200, 65536):
            if size > left:
                break
            left -= size
            dirty = rng.choice((0, 5, 20, 20, 100))
            vms.append({"name": f"vm-{len(vms)}", "node": f"N{i}", "memory_mib": size, "dirty_mib_per_s": dirty})
    return read_cluster({"name": f"filled-{count}", "nodes": nodes, "vms": vms})


def _draw_nodes(rng: random.Random, count: int) -> list[Raw]:
    mixed = rng.random() < 0.4
    memory_mib = rng.choice(NODE_MIB)
    processors = rng.choice(((INTEL,), (INTEL,), (INTEL, INTEL_OLDER), (INTEL, INTEL, AMD)))
    racks = rng.randint(1, count)
    nodes: list[Raw] = [
        {
            "name": f"N{i}",
            "memory_mib": rng.choice(NODE_MIB[:2]) if mixed else memory_mib,
            "cpu_percent": rng.choice((10, 30, 60, 90)),
            "processor": processors[i % len(processors)],
            "tcp_offload": rng.random() < 0.3,
            "switches": ["lan", "dmz"] if rng.random() < 0.85 else ["lan"],
            "fault_domain": f"rack-{i % racks + 1}",
        }
        for i in range(1, count + 1)
    ]
    if count > 3 and rng.random() < 0.15:
        nodes[-1] |= {"state": "paused", "paused_by": rng.choice(("elsewhere", "us"))}
    if count > 3 and rng.random() < 0.1:
        nodes[-2]["state"] = "down"
    return nodes


def _draw_volumes(rng: random.Random, nodes: list[Raw]) -> list[Raw]:
    members = [node["name"] for node in nodes if node.get("state") != "down"]
    volumes: list[Raw] = [{"name": f"CSV{i}", "owner": rng.choice(members)} for i in range(1, rng.randint(2, 4))]
    if len(members) > 2 and rng.random() < 0.4:
        reaching = rng.sample(members, k=len(members) - 1)
        volumes.append({"name": "CSV-near", "owner": reaching[0], "reachable_from": reaching})
    volumes += [{"name": f"LUN{i}", "kind": "disk", "owner": rng.choice(members)} for i in range(rng.randint(0, 3))]
    return volumes


def _draw_vms(rng: random.Random, nodes: list[Raw], volumes: list[Raw], *, fill: float | None = None) -> list[Raw]:
    """VMs where they may be and fit, up to a fill of 35 to 80 % unless another is given."""
    free = {n["name"]: n["memory_mib"] - 4096 for n in nodes if n.get("state") != "down"}
    fill = rng.uniform(0.35, 0.8) if fill is None else fill
    keep = {name: mib * (1 - fill) for name, mib in free.items()}
    vms: list[Raw] = []
    disks = [volume for volume in volumes if volume.get("kind") == "disk"]
    shared = [volume for volume in volumes if volume not in disks]
    for i, mib in enumerate(draw_sizes(rng, rng.randint(2, 9) * len(nodes), 32768)):
        disk = disks[0] if disks and rng.random() < 0.15 else None
        volume = disk or rng.choice(shared)
        reaching = [name for name in free if not volume.get("reachable_from") or name in volume["reachable_from"]]
        on = volume["owner"] if disk else rng.choice(reaching)
        state = rng.choice(("running",) * 16 + ("paused", "saved", "off", "off"))
        if disk and any(v["volumes"] == [disk["name"]] and v["state"] in ("running", "paused") for v in vms):
            # mostly one running VM on a disk; two, that hold up their node, now and then
            state = rng.choice(("off", "saved", "running"))
        if state in ("running", "paused"):
            if free[on] - mib < keep[on]:
                continue
            free[on] -= mib
        base = {"name": f"vm-{i}", "node": on, "memory_mib": mib, "state": state, "volumes": [volume["name"]]}
        vms.append({**base, **_draw_traits(rng, base, nodes)})
        if disk and rng.random() < 0.5:
            disks.pop(0)
    return vms


def _draw_traits(rng: random.Random, base: Raw, nodes: list[Raw]) -> Raw:
    on = base["node"]
    here = next(node for node in nodes if node["name"] == on)
    traits: Raw = {
        "memory_maximum_mib": base["memory_mib"] * rng.choice((1, 1, 2, 3)),
        "switches": ["dmz"] if "dmz" in here["switches"] and rng.random() < 0.2 else ["lan"],
        "processor_compatibility": rng.random() < 0.5,
        "priority": rng.choice((3000, 2000, 2000, 1000, 0)),
        "dirty_mib_per_s": rng.choice((0, 5, 20, 20, 100, 400)),
        "clustered": rng.random() > 0.02,
        "backup": rng.random() < 0.04,
    }
    if rng.random() < 0.1:
        others = [node["name"] for node in nodes if node["name"] != on]
        traits["possible_owners"] = [on, *rng.sample(others, k=rng.randint(1, len(others)))]
    if rng.random() < 0.1:
        traits["preferred_owners"] = [rng.choice(nodes)["name"]]
    return traits


def _draw_rules(rng: random.Random, vms: list[Raw], nodes: list[Raw]) -> list[Raw]:
    """Affinity rules that hold at the start."""
    domain = {node["name"]: node["fault_domain"] for node in nodes}
    rules: list[Raw] = []
    for i in range(rng.randint(0, 3)):
        if len(vms) < 2:
            break
        one, other = rng.sample(vms, k=2)
        same_node, same_domain = one["node"] == other["node"], domain[one["node"]] == domain[other["node"]]
        kinds = ["same_node" if same_node else "different_node"]
        kinds += ["same_fault_domain" if same_domain else "different_fault_domain"]
        names = [one["name"], other["name"]]
        rules.append({"name": f"rule-{i}", "kind": rng.choice(kinds), "vms": names, "soft": rng.random() < 0.3})
    return rules


def _draw_migrations(rng: random.Random, vms: list[Raw], nodes: list[Raw]) -> list[Raw]:
    """Now and then somebody else migrates a small VM at the start."""
    movable = [v for v in vms if v["state"] == "running" and v["clustered"] and v["memory_mib"] < 2048]
    movable = [v for v in movable if v["volumes"][0].startswith("CSV") and v["volumes"][0] != "CSV-near"]
    if not movable or rng.random() > 0.08:
        return []
    vm = rng.choice(movable)
    here = next(node for node in nodes if node["name"] == vm["node"])
    targets = [
        node["name"]
        for node in nodes
        if node is not here and node.get("state", "up") == "up" and node["processor"] == here["processor"]
    ]
    return [{"vm": vm["name"], "source": vm["node"], "target": rng.choice(targets)}] if targets else []
