"""What the things of a cluster file say of each other: each reference is spelled as the thing is named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shunter.topology.contradictory import contradictions
from shunter.topology.errors import MOST_SHOWN, ClusterFileError
from shunter.topology.model import Adapter, Cluster, Node
from shunter.topology.names import key_of, same_host
from shunter.topology.wording import listed

_REFERENCES: Mapping[str, Mapping[str, str]] = {
    "nodes": {"adapters": "networks"},
    "vms": {"node": "nodes", "possible_owners": "nodes", "preferred_owners": "nodes", "volumes": "volumes"},
    "volumes": {"owner": "nodes", "reachable_from": "nodes"},
    "networks": {"nodes": "nodes"},
    "affinity_rules": {"vms": "vms"},
    "roles": {"node": "nodes"},
    "migrations": {"vm": "vms", "source": "nodes", "target": "nodes"},
    "storage_jobs": {"volume": "volumes"},
}
"""List of the file → field of its items → the list in which what the field names is found."""

_NOUNS = {"nodes": "node", "vms": "VM", "volumes": "volume", "networks": "network"}


def resolved(cluster: Cluster) -> Cluster:
    """The cluster with every reference spelled as the thing is named. Raises ClusterFileError."""
    problems: list[str] = []
    update = _spelled(cluster, problems)
    nodes = _in_one_spelling_of_domains(update.get("nodes", cluster.nodes))
    if nodes is not cluster.nodes:
        update["nodes"] = nodes
    if update:
        cluster = Cluster.model_construct(**{**dict(cluster), **update})
    problems = problems or contradictions(cluster)
    if problems:
        raise ClusterFileError(problems)
    return cluster


def _in_one_spelling_of_domains(nodes: Sequence[Node]) -> Sequence[Node]:
    """Fault domains are known by their names alone, whatever their case; the very same where nothing had to change."""
    spelled: dict[str, str] = {}
    for node in nodes:
        if node.fault_domain is not None:
            spelled.setdefault(node.fault_domain.casefold(), node.fault_domain)
    if all(node.fault_domain in (None, spelled[node.fault_domain.casefold()]) for node in nodes if node.fault_domain):
        return nodes
    return tuple(
        node.model_copy(update={"fault_domain": spelled[node.fault_domain.casefold()]}) if node.fault_domain else node
        for node in nodes
    )


def check_references(cluster: Cluster) -> None:
    """Raises ClusterFileError where something in this snapshot of a live cluster names what is not in it.

    What a cluster says of itself may contradict itself for a moment; what it is made of may not.
    """
    problems: list[str] = []
    update = _spelled(cluster, problems)
    problems += [f"{field}: names something in another spelling than its own; use one" for field in update]
    if problems:
        raise ClusterFileError(problems)


def _spelled(cluster: Cluster, problems: list[str]) -> dict[str, Any]:
    """The lists in which something was spelled differently, spelled as it should be."""
    names = {
        field: _Names(field, (item.name for item in getattr(cluster, field)), problems)
        for field in (*_NOUNS, "affinity_rules", "roles", "storage_jobs")
    }
    update: dict[str, Any] = {}
    for field, references in _REFERENCES.items():
        items = getattr(cluster, field)
        respelled = _each(items, field, {name: names[of] for name, of in references.items()})
        if respelled is not items:
            update[field] = respelled
    return update


class _Names:
    """The things of one list, found by name, however it is written."""

    def __init__(self, field: str, names: Iterable[str], problems: list[str]) -> None:
        self._field, self._problems = field, problems
        self._spelled: dict[str, str] = {}
        self._hosts: dict[str, list[str]] = {}
        for i, name in enumerate(names):
            key = key_of(name)
            known = self._spelled.get(key) or next(iter(self._same_hosts(key)), None)
            if known is None:
                self._spelled[key] = name
                self._hosts.setdefault(_host_of(key), []).append(name)
            else:
                problems.append(f"{field}[{i}].name: {_alike(known, name)}; give each a name of its own")
        self._exact = frozenset(self._spelled.values())

    def spelled(self, value: Any, path: str) -> Any:
        """A name, names, or adapters with the network that they name; the very same where nothing had to change."""
        if isinstance(value, str):
            return value if value in self._exact else self._found(value, path)
        if not value or (isinstance(value[0], str) and self._exact.issuperset(value)):
            return value
        if isinstance(value[0], Adapter):
            return self._adapters(value, path)
        return tuple(self.spelled(name, f"{path}[{i}]") for i, name in enumerate(value))

    def _adapters(self, adapters: Sequence[Adapter], path: str) -> Sequence[Adapter]:
        if all(adapter.network in self._exact for adapter in adapters):
            return adapters
        return tuple(
            adapter.model_copy(update={"network": self.spelled(adapter.network, f"{path}[{i}].network")})
            for i, adapter in enumerate(adapters)
        )

    def _same_hosts(self, key: str) -> list[str]:
        """The nodes that this key may name, with their domain or without."""
        if self._field != "nodes":
            return []
        return [name for name in self._hosts.get(_host_of(key), ()) if same_host(key_of(name), key)]

    def _found(self, name: str, path: str) -> str:
        key = key_of(name)
        found = self._spelled.get(key)
        if found is None and len(hosts := self._same_hosts(key)) == 1:
            found = hosts[0]
        if found is None:
            noun, there_are = _NOUNS[self._field], ""
            if len(self._problems) < MOST_SHOWN:  # to look for names that may be meant takes time
                there_are = f"; the {noun}s are {listed(self._spelled.values(), alike=name)}"
            self._problems.append(f'{path}: no {noun} is called "{name}"{there_are}')
        return found or name


def _host_of(key: str) -> str:
    return key.partition(".")[0]


def _alike(known: str, name: str) -> str:
    if known.casefold() == name.casefold():
        return f'two are called "{known}"'
    if key_of(known) != key_of(name):
        return f'"{known}" and "{name}" are one node, with its domain and without'
    return f'looks like "{known}", and is written with other characters'


def _each(items: Sequence[Any], field: str, references: Mapping[str, _Names]) -> Sequence[Any]:
    """The items with their references respelled; the very same sequence where nothing had to change."""
    changed: dict[int, Any] = {}
    for i, item in enumerate(items):
        update = {}
        for name, names in references.items():
            value = getattr(item, name)
            if value and (spelled := names.spelled(value, f"{field}[{i}].{name}")) is not value:
                update[name] = spelled
        if update:
            changed[i] = item.model_copy(update=update)
    return tuple(changed.get(i, item) for i, item in enumerate(items)) if changed else items
