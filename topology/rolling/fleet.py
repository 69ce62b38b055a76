"""Nodes and running VMs at one instant of a rolling run, as numbers that change quickly.

The same fleet serves the forecast, in which it is moved on event by event, and the run, which builds it anew from each
fresh look.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from copy import copy
from enum import StrEnum, auto

from shunter.topology.changes import changed
from shunter.topology.eligibility import WHEREVER, FitNodes, disks_of, running_companions
from shunter.topology.estimate import at_rate, rate_mib_per_s
from shunter.topology.model import Cluster, Node, VirtualMachine


class Phase(StrEnum):
    """Where a node stands in a rolling run."""

    PENDING = auto()
    AWAY = auto()
    DONE = auto()
    STAYING = auto()
    OUT = auto()


TAKES_VMS = frozenset({Phase.PENDING, Phase.DONE, Phase.STAYING})
FINISHED = frozenset({Phase.DONE, Phase.STAYING})


class Fitness:
    """Where each running VM may be at all, room and the other VMs apart; and how long it takes to get there, in s."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        nodes = [node.name for node in cluster.nodes]
        fit = FitNodes(cluster, nodes, checks=WHEREVER)
        self._fit: dict[str, frozenset[str]] = {}
        alike: dict[tuple[str, ...], frozenset[str]] = {}
        for vm in cluster.vms:
            names = fit.of(vm) if vm.holds_memory and vm.clustered and not running_companions(cluster, vm) else ()
            for other in _following(cluster, vm) if names else ():
                names = tuple(name for name in names if name in fit.of(other))
            self._fit[vm.name] = alike.setdefault(names, frozenset(names))
        self._rates: dict[tuple[str, str], float | None] = {}
        self._best: dict[tuple[frozenset[str], str | None], list[tuple[float, bool]]] = {}

    def of(self, vm: str) -> frozenset[str]:
        return self._fit[vm]

    def duration_s(self, vm: VirtualMachine, source: str, target: str) -> float | None:
        """None where no network joins the two."""
        nodes = self.cluster.node_by_name
        if (source, target) not in self._rates:
            self._rates[source, target] = rate_mib_per_s(self.cluster, nodes[source], nodes[target])
        rate = self._rates[source, target]
        return None if rate is None else at_rate(vm, rate, source_offloads=nodes[source].tcp_offload).duration_s

    def shortest_s(self, vm: VirtualMachine, source: str | None = None) -> float | None:
        """How long it takes at least, from this node (None: from any) to any; None where it can go nowhere."""
        fit = self._fit[vm.name]
        best = self._best.get((fit, source))
        if best is None:
            sources = [source] if source else sorted(fit)
            ways = {self._way(one, other) for one in sources for other in fit if one != other}
            best = self._best[fit, source] = sorted(way for way in ways if way is not None)
        ways_s = (at_rate(vm, rate, source_offloads=offloads).duration_s for rate, offloads in best)
        return min(ways_s, default=None)

    def _way(self, source: str, target: str) -> tuple[float, bool] | None:
        nodes = self.cluster.node_by_name
        rate = rate_mib_per_s(self.cluster, nodes[source], nodes[target])
        return None if rate is None else (rate, nodes[source].tcp_offload)


class Population:
    """The running VMs of one snapshot, as a fleet begins with them. Of the next snapshot, in which few VMs are not the
    same as before, it is made with `moved_on`. Nobody changes it.

    `by_size`: rank of each VM, the largest first. `resting`, `fixed`: as in Fleet.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.vms = {vm.name: vm for vm in cluster.vms if vm.holds_memory}
        self.running = frozenset(self.vms)
        self.restart_mib = {name: vm.restart_mib if vm.priority > 0 else 0 for name, vm in self.vms.items()}
        largest_first = sorted(self.vms, key=lambda vm: (-self.vms[vm].memory_mib, vm))
        self.by_size = {vm: i for i, vm in enumerate(largest_first)}
        self.place = {name: vm.node for name, vm in self.vms.items()}
        self.on: dict[str, dict[str, None]] = {node.name: {} for node in cluster.nodes}
        self.free_mib = {node.name: node.for_vms_mib for node in cluster.nodes}
        self.needed_mib = dict.fromkeys(self.on, 0)
        self.resting = {
            vm.name: vm.node
            for vm in cluster.vms
            if not vm.holds_memory and vm.clustered and vm.name in cluster.rules_by_vm
        }
        self.fixed = {
            vm.name: vm.node
            for vm in cluster.vms
            if not vm.holds_memory and not vm.clustered and vm.name in cluster.rules_by_vm
        }
        self._at = {vm.name: i for i, vm in enumerate(cluster.vms)}
        for name, vm in self.vms.items():
            self.on[vm.node][name] = None
            self.free_mib[vm.node] -= vm.memory_mib
            self.needed_mib[vm.node] += self.restart_mib[name]

    def moved_on(self, cluster: Cluster) -> Population:
        """That of a later snapshot. What is the same object in both is not looked at."""
        before = self.cluster
        if cluster is before:
            return self
        others, nodes = changed(before.vms, cluster.vms), changed(before.nodes, cluster.nodes)
        if (
            others is None
            or before.affinity_rules != cluster.affinity_rules
            or nodes is None
            or any(old.for_vms_mib != new.for_vms_mib for old, new in nodes)
            or not all(_only_moved(old, new) for old, new in others)
        ):
            return Population(cluster)
        next_ = copy(self)
        next_.cluster = cluster
        if others:
            next_.vms, next_.place, next_.on = dict(self.vms), dict(self.place), dict(self.on)
            next_.free_mib, next_.needed_mib = dict(self.free_mib), dict(self.needed_mib)
        for old, new in others:
            next_.vms[new.name], next_.place[new.name] = new, new.node
            next_._carry(old, new)
        return next_

    def _carry(self, old: VirtualMachine, new: VirtualMachine) -> None:
        """The order on a node is always that of the snapshot."""
        name, source, target = new.name, old.node, new.node
        if source == target:
            return
        self.on[source] = {vm: None for vm in self.on[source] if vm != name}
        self.on[target] = dict.fromkeys(sorted([*self.on[target], name], key=self._at.__getitem__))
        self.free_mib[source] += new.memory_mib
        self.free_mib[target] -= new.memory_mib
        self.needed_mib[source] -= self.restart_mib[name]
        self.needed_mib[target] += self.restart_mib[name]


class Fleet:
    """`phase`: of each node. `closed`: nodes that are paused and take no VMs. `free_mib`: what no VM uses, those on
    their way counted at both ends. `on`: the running VMs of each node. `needed_mib`: what the VMs on a node and on
    their way to it need to restart. `heading`: VM → the node that it moves to. `busy`: nodes in a migration.
    `settling`: VM → the node that it came from, where it counts until its migration is over.
    `fuller`: nodes to which something has come since whoever watches the reserve last looked; not the VM and the target
    that were judged then as if it had come already (`foreseen`). `resting`: where VMs that do not run stand and that a
    rule binds to others; one whose node has left is put where it keeps the rule. `fixed`: the same of VMs that are not
    in the cluster's care: they never move.
    """

    def __init__(
        self,
        cluster: Cluster,
        phases: Mapping[str, Phase],
        fitness: Fitness | None = None,
        population: Population | None = None,
    ) -> None:
        """`population`: that of the cluster, where it is known already."""
        known = population or Population(cluster)
        self.cluster = cluster
        self.fitness = fitness or Fitness(cluster)
        self.phase = dict(phases)
        self.closed = {node.name for node in cluster.nodes if node.state == "paused"}
        self.vms, self.restart_mib, self.by_size = known.vms, known.restart_mib, known.by_size
        self.needed_mib = dict(known.needed_mib)
        self.place = dict(known.place)
        self.on = {name: dict(vms) for name, vms in known.on.items()}
        self.free_mib = dict(known.free_mib)
        self.heading: dict[str, str] = {}
        self.inbound: dict[str, dict[str, None]] = {name: {} for name in known.on}
        self.resting, self.fixed = known.resting, known.fixed
        self.busy: set[str] = set()
        self.settling: dict[str, str] = {}
        self.fuller: set[str] = set()
        self.foreseen = ("", "")
        for migration in cluster.migrations:
            if migration.vm in self.vms and self.place[migration.vm] != migration.target:
                self.begin(migration.vm, migration.target)
            self.busy |= {migration.source, migration.target}

    # -------------------------------------------------------------- events

    def begin(self, vm: str, target: str) -> None:
        self.heading[vm] = target
        self.inbound[target][vm] = None
        self.free_mib[target] -= self.vms[vm].memory_mib
        self.needed_mib[target] += self.restart_mib[vm]
        self.busy |= {self.place[vm], target}
        if (vm, target) != self.foreseen:
            self.fuller.add(target)

    def arrive(self, vm: str) -> None:
        """Its migration is over, whoever began it, and well. One that had switched over already has nothing to do."""
        if vm not in self.heading:
            self.busy -= next({each.source, each.target} for each in self.cluster.migrations if each.vm == vm)
            return
        source, target = self.place[vm], self.heading.pop(vm)
        del self.inbound[target][vm]
        del self.on[source][vm]
        self.on[target][vm] = None
        self.place[vm] = target
        self.free_mib[source] += self.vms[vm].memory_mib
        self.needed_mib[source] -= self.restart_mib[vm]
        self.busy -= {source, target}

    def leave(self, node: str) -> None:
        """The node is empty, and its maintenance begins."""
        self.phase[node] = Phase.AWAY
        self.resting = {vm: on for vm, on in self.resting.items() if on != node}

    def come_back(self, node: str) -> None:
        """Its maintenance is over. One that somebody else has paused stays so."""
        stays_paused = node in self.closed and self.cluster.node_by_name[node].paused_by != "us"
        self.phase[node] = Phase.OUT if stays_paused else Phase.DONE
        if not stays_paused:
            self.closed.discard(node)

    # -------------------------------------------------------------- questions

    def taking(self) -> list[str]:
        """The nodes that take VMs, and that count for the reserve."""
        return [name for name, phase in self.phase.items() if phase in TAKES_VMS and name not in self.closed]

    def count(self, phase: Phase) -> int:
        return sum(each is phase for each in self.phase.values())

    def is_empty(self, node: str) -> bool:
        return not self.on[node] and not self.inbound[node] and node not in self.busy

    def restarts_mib(self, node: str) -> list[int]:
        """What each VM that is on the node, or on its way to it, would need elsewhere if it were lost."""
        restart_mib = self.restart_mib
        there = (*self.on[node], *self.inbound[node])
        return [restart_mib[vm] for vm in there if restart_mib[vm]]


def _only_moved(old: VirtualMachine, new: VirtualMachine) -> bool:
    """Of a VM that runs: whether nothing that a population knows has changed but its place."""
    return (
        old.holds_memory
        and new.holds_memory
        and old.memory_mib == new.memory_mib
        and old.restart_mib == new.restart_mib
        and old.priority == new.priority
    )


def _following(cluster: Cluster, vm: VirtualMachine) -> Iterator[VirtualMachine]:
    """What follows it because it stands on one of its disks (R11)."""
    for disk in disks_of(cluster, vm):
        for other in cluster.vms_by_disk[disk]:
            if other.name != vm.name and other.node == vm.node and other.clustered and not other.holds_memory:
                yield other


def phases_of(nodes: Iterable[Node], wanted: Collection[str]) -> dict[str, Phase]:
    """At the start: which nodes are to be maintained, which stay in service, and which are out of it."""
    found = {}
    for node in nodes:
        if node.name in wanted and node.state in ("up", "paused"):
            found[node.name] = Phase.PENDING
        else:
            found[node.name] = Phase.STAYING if node.state == "up" else Phase.OUT
    return found
