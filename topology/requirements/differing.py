"""Nodes that should be alike and are not, said in one finding instead of one for each node."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from shunter.topology.model import Cluster, Node

Value = TypeVar("Value", bound=Hashable)
MOST_NAMED = 12


def by(nodes: Iterable[Node], value_of: Callable[[Node], Value]) -> dict[Value, tuple[str, ...]]:
    """Value → the nodes that have it; the value of most nodes comes last, so that it can be "the others"."""
    found: dict[Value, list[str]] = {}
    for node in nodes:
        found.setdefault(value_of(node), []).append(node.name)
    return {value: tuple(names) for value, names in sorted(found.items(), key=lambda item: len(item[1]))}


def odd_ones(groups: Mapping[Value, Sequence[str]]) -> tuple[str, ...]:
    """The nodes that are not like most; none where no value has a clear majority."""
    *fewer, most = groups.values()
    return tuple(name for names in fewer for name in names) if all(len(few) < len(most) for few in fewer) else ()


def said(groups: Mapping[Value, Sequence[str]]) -> str:
    """ "full on N3, core on the others"."""
    *fewer, (usual, most) = groups.items()
    parts = [f"{value} on {', '.join(names)}" for value, names in fewer]
    return ", ".join([*parts, f"{usual} on {'the others' if odd_ones(groups) and len(most) > 2 else ', '.join(most)}"])


def about(cluster: Cluster, nodes: Collection[str]) -> str:
    """The subject of a finding: the node, if it is one, else the cluster."""
    return f"node {next(iter(nodes))}" if len(nodes) == 1 else f"cluster {cluster.name}"


def listed(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """ "a, b and c"; of very many some, and how many more."""
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
