"""How a rolling run is to be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from shunter.topology.choosing import ReserveNodes
from shunter.topology.errors import RequestError
from shunter.topology.model import Cluster, Value
from shunter.topology.precautions import USUAL_PRECAUTIONS, Precautions

LONGEST_S = 7 * 86_400.0

Prefer = Literal["time", "moves"]
Failback = Literal["none", "as_it_was", "spread"]
Seconds = Annotated[float, Field(gt=0, le=LONGEST_S, allow_inf_nan=False)]


class RollingPolicy(Value):
    """`maintenance_s`: what a node's maintenance takes, from empty to back. `parallel`: how many nodes may be away at
    once at most; None: as many as is safe. `order`: nodes whose turns come first, in this order. `apart`: groups of
    nodes of which no two may be away at once. `one_fault_domain`: all that are away at once are of one fault domain.
    `window_s`: no node leaves that would not be back by then. `prefer`: the shortest run, or the fewest moves (within
    the window, if there is one). `failback`: what happens to the VMs once all nodes are done. `precautions`: what is
    done about backups and drifted configurations.
    """

    maintenance_s: Seconds = 900.0
    reserve_nodes: ReserveNodes = "auto"
    parallel: Annotated[int, Field(ge=1, le=64)] | None = None
    order: tuple[str, ...] = ()
    apart: tuple[tuple[str, ...], ...] = ()
    one_fault_domain: bool = False
    window_s: Seconds | None = None
    prefer: Prefer = "time"
    failback: Failback = "none"
    precautions: Precautions = USUAL_PRECAUTIONS


def window_left(policy: RollingPolicy, passed_s: float) -> RollingPolicy:
    """The same, when so much of its window has passed; never more than that."""
    if policy.window_s is None or passed_s <= 0:
        return policy
    return policy.model_copy(update={"window_s": round(max(policy.window_s - passed_s, 0.0), 1)})


def partners_of(cluster: Cluster, policy: RollingPolicy) -> Mapping[str, frozenset[str]]:
    """Node → those that must be there as long as it is away (`apart`). Raises RequestError (unknown node)."""
    found: dict[str, set[str]] = {node.name: set() for node in cluster.nodes}
    for group in policy.apart:
        names = spelled(cluster, group)
        for name in names:
            found[name] |= set(names) - {name}
    return {name: frozenset(others) for name, others in found.items()}


def not_together(cluster: Cluster, policy: RollingPolicy) -> Mapping[str, frozenset[str]]:
    """Node → those that may not be away together with it by this run. Raises RequestError (unknown node)."""
    found = {name: set(partners) for name, partners in partners_of(cluster, policy).items()}
    if policy.one_fault_domain:
        for node in cluster.nodes:
            found[node.name] |= {
                other.name
                for other in cluster.nodes
                if other.name != node.name and (node.fault_domain is None or other.fault_domain != node.fault_domain)
            }
    return {name: frozenset(others) for name, others in found.items()}


def spelled(cluster: Cluster, names: Sequence[str]) -> tuple[str, ...]:
    """As in the cluster, each once. Raises RequestError."""
    return tuple(dict.fromkeys(cluster.find_node(name).name for name in names))


def wanted_nodes(cluster: Cluster, nodes: Sequence[str], policy: RollingPolicy) -> tuple[str, ...]:
    """The nodes to maintain, all where none is named. Raises RequestError (unknown nodes, here or in the policy)."""
    wanted = spelled(cluster, nodes) or tuple(node.name for node in cluster.nodes)
    strange = [name for name in spelled(cluster, policy.order) if name not in wanted]
    if strange:
        raise RequestError(f"first: {strange[0]} is not among the nodes to maintain; leave it out of the first")
    not_together(cluster, policy)
    return wanted
