"""Reading the cluster file: strict, with defaults filled in and every offending field named by its path.

A node field that is absent takes the value on which the nodes that give it agree; where they differ, the file is
refused. Exempt are `state`, `paused_by` and `votes`, which say what befell one node, not how the nodes are built.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shunter.topology.errors import ClusterFileError, RequestError
from shunter.topology.jsontext import parse_json, read_text, shown
from shunter.topology.model import HOLDS_MEMORY, Cluster, Node
from shunter.topology.names import key_of
from shunter.topology.references import resolved
from shunter.topology.wording import Location, problems_of

Raw = dict[str, Any]

_OF_ONE_NODE = frozenset({"name", "memory_mib", "state", "paused_by", "votes"})
_LIKE_MEMORY = ("memory_startup_mib", "memory_maximum_mib")
_DEFAULT_LINK_MBPS = 10_000
_DEFAULT_NETWORKS = (
    ("live-migration", "live_migration"),
    ("cluster", "cluster"),
    ("management", "management"),
    ("vm", "vm"),
    ("storage", "storage"),
)
_MOST = {
    "nodes": 2000,
    "vms": 200_000,
    "volumes": 20_000,
    "networks": 100,
    "affinity_rules": 20_000,
    "roles": 20_000,
    "migrations": 2000,
    "storage_jobs": 20_000,
}
"""Far more than any cluster has; a file with more is not what it is taken for, and would only cost time."""


def read_cluster(source: str | Path | Mapping[str, Any]) -> Cluster:
    """The cluster of a file (Path), of JSON text (str) or of parsed JSON. Raises ClusterFileError."""
    return read_with_what_is_taken_over(source)[0]


def read_with_what_is_taken_over(
    source: str | Path | Mapping[str, Any],
) -> tuple[Cluster, Mapping[str, tuple[str, ...]]]:
    """As `read_cluster`; and field → the nodes that do not give it, and were given what others say."""
    label = shown(str(source), 300) if isinstance(source, Path) else ""
    try:
        return _cluster(_parsed(source))
    except ClusterFileError as error:
        raise ClusterFileError(error.problems, label) from None
    except RequestError as error:
        raise ClusterFileError(str(error).splitlines(), label) from error
    except RecursionError as error:
        raise ClusterFileError(["is nested too deeply; give what you mean"], label) from error


def cluster_json(cluster: Cluster) -> str:
    """The cluster file of this snapshot."""
    return cluster.model_dump_json(indent=2)


def _parsed(source: str | Path | Mapping[str, Any]) -> Raw:
    if isinstance(source, Mapping):
        try:
            text = json.dumps(source)  # a copy, in JSON's own types
        except (TypeError, ValueError) as error:
            raise RequestError(f"is not JSON: {error}; give what JSON can hold") from error
    else:
        text = read_text(source) if isinstance(source, Path) else source
    data = parse_json(text)
    if not isinstance(data, dict):
        raise RequestError("is not a cluster; give one JSON object in braces, with name and nodes")
    return data


def _cluster(data: Raw) -> tuple[Cluster, Mapping[str, tuple[str, ...]]]:
    too_long = [
        f"{field}: a list of {len(data[field])} is more than any cluster has; give at most {most}"
        for field, most in _MOST.items()
        if isinstance(data.get(field), list) and len(data[field]) > most
    ]
    if too_long:
        raise ClusterFileError(too_long)
    defaults = _Defaults(data)
    problems = defaults.fill()
    try:
        cluster = Cluster.model_validate_json(json.dumps(data))
    except ValidationError as error:
        wrong = problems_of(error, Cluster, data, not_given=defaults.filled)
        raise ClusterFileError(problems + wrong) from error
    if problems:
        raise ClusterFileError(problems)
    return resolved(cluster), defaults.taken_over


class _Defaults:
    """Gives absent fields of a file their defaults, whatever else is wrong with it; validation complains of the rest.

    Remembers which fields of nodes and networks it filled in. `taken_over`: field → the nodes that were given what
    others say.
    """

    def __init__(self, data: Raw) -> None:
        self._data = data
        self._nodes = self._objects("nodes")
        self._networks = self._objects("networks")
        self._filled: set[Location] = set()
        self.taken_over: dict[str, tuple[str, ...]] = {}

    def fill(self) -> list[str]:
        """Returns what nodes disagree about."""
        if not self._networks and not self._data.get("networks"):
            self._data["networks"] = [{"name": name, "roles": [role]} for name, role in _DEFAULT_NETWORKS]
            self._networks = self._objects("networks")
        for i, network in self._networks:
            self._give("networks", i, network, "link_mbps", _DEFAULT_LINK_MBPS)
        problems = self._share_node_fields()
        for i, node in self._nodes:
            memory_mib = node.get("memory_mib")
            if isinstance(memory_mib, int) and memory_mib > 0:
                self._give("nodes", i, node, "reserved_mib", min(4096, memory_mib // 4))
            if "adapters" not in node:
                self._give("nodes", i, node, "adapters", self._adapter_to_each_network(node))
        for _, vm in self._objects("vms"):
            if "memory_mib" in vm:
                for field in _LIKE_MEMORY:
                    vm.setdefault(field, vm["memory_mib"])
        self._give_volumes_an_owner()
        return problems

    def filled(self, location: Location) -> bool:
        """Whether what stands there was filled in, or could not be because of something else that is wrong."""
        match location:
            case ("nodes", int(i), "reserved_mib"):
                return location in self._filled or "reserved_mib" not in self._data["nodes"][i]
            case ("vms", int(i), ("memory_startup_mib" | "memory_maximum_mib") as field):
                vm = self._data["vms"][i]
                return "memory_mib" not in vm or vm.get(field) is vm["memory_mib"]
            case _:
                return location[:3] in self._filled

    def _objects(self, field: str) -> list[tuple[int, Raw]]:
        value = self._data.get(field)
        return [(i, item) for i, item in enumerate(value) if isinstance(item, dict)] if isinstance(value, list) else []

    def _give(self, where: str, i: int, item: Raw, field: str, value: Any) -> None:
        if field not in item:
            item[field] = value
            self._filled.add((where, i, field))

    def _share_node_fields(self) -> list[str]:
        problems = []
        for field in Node.model_fields:
            if field in _OF_ONE_NODE:
                continue
            giving = [node for _, node in self._nodes if field in node]
            absent = [(i, node) for i, node in self._nodes if field not in node]
            if not giving or not absent:
                continue
            other = next((node for node in giving if node[field] != giving[0][field]), None)
            if other is None:
                self.taken_over[field] = tuple(str(node.get("name")) for _, node in absent)
            for i, node in absent:
                if other is None:
                    self._give("nodes", i, node, field, giving[0][field])
                else:
                    one, two, this = (_name_of(each) for each in (giving[0], other, node))
                    problems.append(f"nodes[{i}].{field}: {one} and {two} differ, give it for {this}")
        return problems

    def _adapter_to_each_network(self, node: Raw) -> list[Raw]:
        name = key_of(str(node.get("name")))
        return [
            {"name": f"nic-{k}", "network": network.get("name"), "link_mbps": network["link_mbps"]}
            for k, (_, network) in enumerate(self._networks, start=1)
            if not (members := network.get("nodes")) or name in _keys(members)
        ]

    def _give_volumes_an_owner(self) -> None:
        """The first node that is up and reaches it; of a disk that a running VM has, where that runs."""
        up = [node["name"] for _, node in self._nodes if node.get("state", "up") == "up" and "name" in node]
        for i, volume in self._objects("volumes"):
            reaching = _keys(volume.get("reachable_from"))
            owner = self._runs_on(volume) if volume.get("kind") == "disk" else None
            if owner is None:
                owner = next((name for name in up if not reaching or key_of(str(name)) in reaching), None)
            if owner is not None:
                self._give("volumes", i, volume, "owner", owner)

    def _runs_on(self, disk: Raw) -> Any:
        """Where a VM runs that has it; None where none does."""
        name = key_of(str(disk.get("name")))
        return next(
            (
                vm["node"]
                for _, vm in self._objects("vms")
                if name in _keys(vm.get("volumes"))
                and vm.get("state", "running") in HOLDS_MEMORY
                and isinstance(vm.get("node"), str)
            ),
            None,
        )


def _keys(names: Any) -> frozenset[str]:
    return frozenset(key_of(str(name)) for name in names) if isinstance(names, list) else frozenset()


def _name_of(node: Raw) -> str:
    return shown(str(node.get("name", "a node without a name")))
