"""A fresh look as the decisions of a rolling run see it: where each node stands, and which VMs may go where now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from shunter.topology.changes import changed
from shunter.topology.model import Cluster, Node, VirtualMachine
from shunter.topology.rolling.fleet import Fitness, Fleet, Phase, Population

if TYPE_CHECKING:
    from shunter.engine.rolling import Rolling


class Standing:
    """Of one run. Remembers where VMs may go at all, as long as nothing changes that decides it."""

    def __init__(self, run: Rolling) -> None:
        self._run = run
        self._population = Population(run.before)
        self._known: Cluster | None = None
        self._fitness: Fitness | None = None

    def fleet(self, seen: Cluster) -> Fleet:
        """With the migrations that were just sent and that no look shows yet."""
        crew = self._run.crew
        fleet = Fleet(seen, self.phases(seen), self._fitness_of(seen), self._population_of(seen))
        for errand in crew.running.values():
            vm, target = errand.migration.vm, errand.migration.target
            if vm not in fleet.heading and fleet.place.get(vm, target) != target:
                fleet.begin(vm, target)
        for migration in seen.migrations:
            settling = fleet.vms.get(migration.vm)
            if settling is not None and settling.node == migration.target:
                # it has switched over and the migration is not over yet: it still counts where it came from
                fleet.settling[settling.name] = migration.source
                fleet.inbound[migration.source][settling.name] = None
                fleet.free_mib[migration.source] -= settling.memory_mib
                fleet.needed_mib[migration.source] += fleet.restart_mib[settling.name]
        fleet.busy |= crew.busy(seen)
        return fleet

    def running(self, seen: Cluster) -> frozenset[str]:
        """The names of the VMs that run."""
        return self._population_of(seen).running

    def _population_of(self, seen: Cluster) -> Population:
        self._population = self._population.moved_on(seen)
        return self._population

    def phases(self, seen: Cluster) -> Mapping[str, Phase]:
        away, pending = self._run.turns.nodes_away(), set(self._run.turns.pending())
        return {node.name: self._phase(node, away, pending) for node in seen.nodes}

    def _phase(self, node: Node, away: set[str], pending: set[str]) -> Phase:
        if node.name in away:
            return Phase.AWAY
        if node.state not in ("up", "paused"):
            return Phase.OUT
        if node.name in pending:
            return Phase.PENDING
        if node.state == "paused":
            return Phase.OUT
        return Phase.DONE if node.name in self._run.turns.done else Phase.STAYING

    def _fitness_of(self, seen: Cluster) -> Fitness:
        """Where VMs may go, less what cannot move now and what failed lately."""
        if self._fitness is None or self._known is None or not _fit_alike(self._known, seen):
            self._fitness = Fitness(seen)
        self._known = seen
        crew = self._run.crew
        held = {vm.name for vm in seen.under_backup} | crew.in_hand() | crew.given_up()
        return _Fewer(self._fitness, held, crew.forbidden())


def _fit_alike(before: Cluster, now: Cluster) -> bool:
    """Whether nothing is different that decides where VMs may go at all."""
    vms = changed(before.vms, now.vms)
    if vms is None or any(_what_decides(old) != _what_decides(new) for old, new in vms):
        return False
    return before.volumes == now.volumes or _reached(before) == _reached(now)


def _what_decides(vm: VirtualMachine) -> tuple[object, ...]:
    return vm.state, vm.clustered, vm.possible_owners, vm.volumes


def _reached(cluster: Cluster) -> list[tuple[object, ...]]:
    return [(volume.name, volume.state, volume.reachable_from) for volume in cluster.volumes]


class _Fewer(Fitness):
    """The same, without VMs that are held and pairs that are forbidden."""

    def __init__(self, fitness: Fitness, held: set[str], forbidden: set[tuple[str, str]]) -> None:
        self.cluster, self._all = fitness.cluster, fitness
        self._held, self._forbidden = held, forbidden
        self._tried = {vm for vm, _ in forbidden}

    def of(self, vm: str) -> frozenset[str]:
        if vm in self._held:
            return frozenset()
        fit = self._all.of(vm)
        return fit if vm not in self._tried else frozenset(n for n in fit if (vm, n) not in self._forbidden)

    def duration_s(self, vm: VirtualMachine, source: str, target: str) -> float | None:
        return self._all.duration_s(vm, source, target)
