"""Reading the cluster file: strict, with defaults filled in and every offending field named by its path.

A node field that is absent takes the value on which the nodes that give it agree; where they differ, the file is
refused. Exempt are `state` and `paused_by`, which say what befell one node, not how the nodes are built.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shunter.topology.errors import ClusterFileError
from shunter.topology.model import Cluster, Node

Raw = dict[str, Any]

_OF_ONE_NODE = frozenset({"name", "memory_mib", "state", "paused_by"})
_DEFAULT_LINK_MBPS = 10_000


def read_cluster(source: str | Path | Mapping[str, Any]) -> Cluster:
    """The cluster of a file (Path), of JSON text (str) or of parsed JSON. Raises ClusterFileError."""
    label = str(source) if isinstance(source, Path) else ""
    try:
        return _cluster(_parsed(source))
    except ClusterFileError as error:
        raise ClusterFileError(error.problems, label) from None


def cluster_json(cluster: Cluster) -> str:
    """The cluster file of this snapshot."""
    return cluster.model_dump_json(indent=2)


def _parsed(source: str | Path | Mapping[str, Any]) -> Raw:
    if isinstance(source, Mapping):
        return json.loads(json.dumps(source))  # type: ignore[no-any-return]  # a copy, in JSON's own types
    try:
        text = source.read_text(encoding="utf-8-sig") if isinstance(source, Path) else source
    except (OSError, UnicodeDecodeError) as error:
        raise ClusterFileError([f"cannot be read: {error}"]) from error
    try:
        data = json.loads(text, object_pairs_hook=_no_field_twice, parse_constant=_no_constant)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ClusterFileError([f"is not JSON: {error}"]) from error
    if not isinstance(data, dict):
        raise ClusterFileError(["is not a cluster: the file must hold one JSON object"])
    return data


def _no_field_twice(pairs: list[tuple[str, Any]]) -> Raw:
    data = dict(pairs)
    if len(data) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ClusterFileError([f"{name}: given twice in one object" for name in twice])
    return data


def _no_constant(text: str) -> Any:
    raise ClusterFileError([f"{text} is not a number that a cluster file may hold"])


def _cluster(data: Raw) -> Cluster:
    problems = _fill_defaults(data)
    try:
        cluster = Cluster.model_validate_json(json.dumps(data))
    except ValidationError as error:
        found = error.errors(include_url=False)
        inner = [e for e in found if e["type"] != "too_short"]  # a list whose items are refused counts as too short
        wrong = [f"{_path(e['loc'])}: {_said(e)}" for e in inner or found]
        raise ClusterFileError([*problems, *wrong]) from error
    if problems:
        raise ClusterFileError(problems)
    return _resolved(cluster)


def _path(location: Sequence[int | str]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path or "the file"


def _said(error: Any) -> str:
    match error["type"]:
        case "extra_forbidden":
            return "no such field"
        case "missing":
            return "required"
        case _:
            shown = json.dumps(error["input"], ensure_ascii=False)
            return f"{error['msg']}, not {shown if len(shown) <= 60 else shown[:57] + '…'}"


# ------------------------------------------------------------------ defaults


def _objects(data: Raw, field: str) -> list[Raw]:
    """The objects in a list of the file, whatever else is wrong with it; validation complains of the rest."""
    value = data.get(field)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _fill_defaults(data: Raw) -> list[str]:
    """Give absent fields their defaults; return what nodes disagree about."""
    nodes = _objects(data, "nodes")
    if not data.get("networks"):
        data["networks"] = [
            {"name": name, "roles": [role]}
            for name, role in (
                ("live-migration", "live_migration"),
                ("cluster", "cluster"),
                ("management", "management"),
                ("vm", "vm"),
                ("storage", "storage"),
            )
        ]
    for network in _objects(data, "networks"):
        network.setdefault("link_mbps", _DEFAULT_LINK_MBPS)
    problems = _share_node_fields(data, nodes)
    for node in nodes:
        if isinstance(node.get("memory_mib"), int) and node["memory_mib"] > 0:
            node.setdefault("reserved_mib", min(4096, node["memory_mib"] // 4))
        if "adapters" not in node:
            node["adapters"] = _adapter_to_each_network(data, node)
    for vm in _objects(data, "vms"):
        if "memory_mib" in vm:
            vm.setdefault("memory_startup_mib", vm["memory_mib"])
            vm.setdefault("memory_maximum_mib", vm["memory_mib"])
    up = [node for node in nodes if node.get("state", "up") == "up"]
    for volume in _objects(data, "volumes"):
        if up and "name" in up[0]:
            volume.setdefault("owner", up[0]["name"])
    return problems


def _share_node_fields(data: Raw, nodes: list[Raw]) -> list[str]:
    problems = []
    positions = [i for i, node in enumerate(data["nodes"]) if isinstance(node, dict)] if nodes else []
    for field in Node.model_fields:
        if field in _OF_ONE_NODE:
            continue
        giving = [node for node in nodes if field in node]
        absent = [(i, node) for i, node in zip(positions, nodes, strict=True) if field not in node]
        if not giving or not absent:
            continue
        other = next((node for node in giving if node[field] != giving[0][field]), None)
        for i, node in absent:
            if other is None:
                node[field] = giving[0][field]
            else:
                problems.append(
                    f"nodes[{i}].{field}: {giving[0].get('name')} and {other.get('name')} differ, "
                    f"give it for {node.get('name')}"
                )
    return problems


def _adapter_to_each_network(data: Raw, node: Raw) -> list[Raw]:
    return [
        {"name": f"nic-{i}", "network": network.get("name"), "link_mbps": network["link_mbps"]}
        for i, network in enumerate(_objects(data, "networks"), start=1)
        if not network.get("nodes") or node.get("name") in network["nodes"]
    ]


# ------------------------------------------------------------------ references


class _Names:
    """The things of one kind, found by name whatever its case."""

    def __init__(self, kind: str, field: str, names: Iterable[str], problems: list[str]) -> None:
        self.kind, self._problems = kind, problems
        self._spelled: dict[str, str] = {}
        for i, name in enumerate(names):
            if name.casefold() in self._spelled:
                problems.append(f'{field}[{i}].name: two are called "{name}"')
            self._spelled.setdefault(name.casefold(), name)

    def known(self) -> str:
        names = list(self._spelled.values())
        return ", ".join(names[:12]) + (", …" if len(names) > 12 else "") if names else "none"

    def spelled(self, name: str, path: str) -> str:
        found = self._spelled.get(name.casefold())
        if found is None:
            self._problems.append(f'{path}: no {self.kind} is called "{name}"; the {self.kind}s are {self.known()}')
            return name
        return found


def _resolved(cluster: Cluster) -> Cluster:
    """Spell every reference as the thing is named, and refuse what contradicts itself."""
    problems: list[str] = []
    nodes = _Names("node", "nodes", (n.name for n in cluster.nodes), problems)
    vms = _Names("VM", "vms", (v.name for v in cluster.vms), problems)
    volumes = _Names("volume", "volumes", (v.name for v in cluster.volumes), problems)
    networks = _Names("network", "networks", (n.name for n in cluster.networks), problems)
    for field in ("affinity_rules", "roles", "storage_jobs"):
        _Names(field, field, (item.name for item in getattr(cluster, field)), problems)

    update = {
        "nodes": _each(cluster.nodes, "nodes", {"adapters": (networks, _adapters)}),
        "vms": _each(
            cluster.vms,
            "vms",
            {
                "node": (nodes, _one),
                "possible_owners": (nodes, _many),
                "preferred_owners": (nodes, _many),
                "volumes": (volumes, _many),
            },
        ),
        "volumes": _each(cluster.volumes, "volumes", {"owner": (nodes, _one), "reachable_from": (nodes, _many)}),
        "networks": _each(cluster.networks, "networks", {"nodes": (nodes, _many)}),
        "affinity_rules": _each(cluster.affinity_rules, "affinity_rules", {"vms": (vms, _many)}),
        "roles": _each(cluster.roles, "roles", {"node": (nodes, _one)}),
        "migrations": _each(
            cluster.migrations,
            "migrations",
            {"vm": (vms, _one), "source": (nodes, _one), "target": (nodes, _one)},
        ),
        "storage_jobs": _each(cluster.storage_jobs, "storage_jobs", {"volume": (volumes, _one)}),
    }
    resolved = Cluster.model_construct(**{**dict(cluster), **update})
    problems += _contradictions(resolved)
    if problems:
        raise ClusterFileError(problems)
    return resolved


Resolve = Callable[[Any, _Names, str], Any]


def _one(value: str, names: _Names, path: str) -> str:
    return names.spelled(value, path)


def _many(values: Sequence[str], names: _Names, path: str) -> tuple[str, ...]:
    return tuple(names.spelled(value, f"{path}[{i}]") for i, value in enumerate(values))


def _adapters(values: Sequence[Any], names: _Names, path: str) -> tuple[Any, ...]:
    return tuple(
        value.model_copy(update={"network": names.spelled(value.network, f"{path}[{i}].network")})
        for i, value in enumerate(values)
    )


def _each(items: Sequence[Any], field: str, references: Mapping[str, tuple[_Names, Resolve]]) -> tuple[Any, ...]:
    return tuple(
        item.model_copy(
            update={
                name: resolve(getattr(item, name), names, f"{field}[{i}].{name}")
                for name, (names, resolve) in references.items()
            }
        )
        for i, item in enumerate(items)
    )


def _contradictions(cluster: Cluster) -> list[str]:
    problems = []
    for i, node in enumerate(cluster.nodes):
        if node.reserved_mib >= node.memory_mib:
            problems.append(
                f"nodes[{i}].reserved_mib: {node.reserved_mib} is not below memory_mib {node.memory_mib} of {node.name}"
            )
        if node.paused_by is not None and node.state != "paused":
            problems.append(f"nodes[{i}].paused_by: {node.name} is {node.state}, not paused")
    for i, vm in enumerate(cluster.vms):
        if vm.memory_maximum_mib < vm.memory_mib:
            problems.append(
                f"vms[{i}].memory_maximum_mib: {vm.memory_maximum_mib} is less than memory_mib {vm.memory_mib}"
            )
    for i, rule in enumerate(cluster.affinity_rules):
        if len(set(rule.vms)) < len(rule.vms):
            problems.append(f"affinity_rules[{i}].vms: a VM is named twice")
    return problems + _impossible_migrations(cluster)


def _impossible_migrations(cluster: Cluster) -> list[str]:
    problems = []
    known = {vm.name: vm for vm in cluster.vms}
    for i, migration in enumerate(cluster.migrations):
        vm = known.get(migration.vm)
        if migration.source == migration.target:
            problems.append(f"migrations[{i}].target: is its source, {migration.source}")
        if vm is not None and vm.node != migration.source:
            problems.append(f"migrations[{i}].source: {vm.name} is on {vm.node}, not on {migration.source}")
        if vm is not None and not vm.holds_memory:
            problems.append(f"migrations[{i}].vm: {vm.name} is {vm.state}; only a running VM migrates live")
    return problems
