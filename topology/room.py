"""Room for VMs that fit on no node as they are: a few VMs of a node that stays in service move on, mostly one.

A fast pass for what a solver would take long to decide; what it does not find may exist all the same.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator, Mapping
from itertools import combinations
from types import MappingProxyType
from typing import NamedTuple

from shunter.topology.eligibility import disks_of
from shunter.topology.loss.problem import Losses
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.placement import Problem
from shunter.topology.reasons import Tried
from shunter.topology.units import Unit, units_at_home

MOST_TRIES = 100_000
MOST_PAIRED = 12
NOTHING_TRIED: Tried = MappingProxyType({})


def make_room(problem: Problem, placed: Mapping[str, str]) -> dict[str, str] | None:
    """Targets (VM → node) of all: of those placed, of the others, and of those that make room for them; largest first.

    None where somebody would still be left who has any node to go to, or whom a rule ties to others.
    """
    room = _Room(problem, placed)
    left = [unit for unit in problem.units if unit.name not in placed and problem.fit_nodes(unit)]
    if all(room.place(unit) for unit in sorted(left, key=lambda unit: (-unit.memory_mib, unit.name))):
        return room.targets
    return None


class RoomToStart(NamedTuple):
    """`node`: where the VM fits once the `moves` are over: live migrations (VM, target), one after the other."""

    vm: str
    node: str
    moves: tuple[tuple[str, str], ...]


def room_to_start(
    cluster: Cluster, waiting: Collection[VirtualMachine], tried: Tried = NOTHING_TRIED
) -> Iterator[RoomToStart]:
    """Who would have to move on so that these VMs, none of which runs or fits anywhere, could be started: the most
    important first, each after those before it. Those for which nothing was found are left out, and those that a rule
    or a disk ties to others. `tried`: by (VM, node), where one cannot go or be started.
    """
    under_backup = {vm.name: vm.node for vm in cluster.vms if vm.backup and vm.holds_memory}
    problem = Problem(cluster, (), (), under_backup, tried)
    room, losses = _Room(problem, {}), Losses(cluster)
    for vm in sorted(waiting, key=lambda vm: (-vm.priority, vm.name)):
        tied = any(len(cluster.vms_by_disk[disk]) > 1 for disk in disks_of(cluster, vm))
        if tied or vm.name in cluster.rules_by_vm:
            continue
        (restart,) = losses.restarting([vm], (), tried.keys()).restarts
        before = set(room.targets)
        node = room.clear(restart.mib, frozenset(restart.fit))
        if node is not None:
            room.change(node, -restart.mib)
            moves = tuple((name, target) for name, target in room.targets.items() if name not in before)
            yield RoomToStart(vm.name, node, moves)


class _Room:
    def __init__(self, problem: Problem, placed: Mapping[str, str]) -> None:
        self.problem, self.targets = problem, dict(placed)
        self.free_mib = dict(problem.free_mib)
        for unit in problem.units:
            if unit.name in placed:
                self.free_mib[placed[unit.name]] -= unit.memory_mib
        self.by_room = sorted((mib, node) for node, mib in self.free_mib.items())
        self.helpers: dict[str, list[Unit]] = {}
        self.tries = 0

    def place(self, unit: Unit) -> bool:
        if self.problem.ruled[unit.name]:
            return False
        node = self.clear(unit.memory_mib, frozenset(self.problem.fit_nodes(unit)))
        if node is None:
            return False
        self._put(unit, node)
        return True

    def clear(self, mib: int, fit: frozenset[str]) -> str | None:
        """Let those move on who must, so that so much is free on one of these nodes; which. None: nobody moves."""
        for free_mib, node in [(free, node) for free, node in reversed(self.by_room) if node in fit]:
            for leaving in self._who_could_leave(node, mib - free_mib):
                if self.tries > MOST_TRIES:
                    return None
                if self._move_on(leaving, node):
                    return node
        return None

    def _who_could_leave(self, node: str, lacking_mib: int) -> Iterator[tuple[Unit, ...]]:
        """Those that free enough: one, the smallest first; two; then as many as it takes, fewer large ones first."""
        if lacking_mib <= 0:
            yield ()
            return
        helpers = self._helpers_on(node)
        enough = bisect_left(helpers, lacking_mib, key=lambda unit: unit.memory_mib)
        for helper in helpers[enough:]:
            yield (helper,)
        pairs = combinations(helpers[:enough][-MOST_PAIRED:], 2)
        fitting = [pair for pair in pairs if sum(unit.memory_mib for unit in pair) >= lacking_mib]
        yield from sorted(fitting, key=lambda pair: sum(unit.memory_mib for unit in pair))
        for most in range(enough, 2, -1):
            leaving, freed_mib = list[Unit](), 0
            for helper in reversed(helpers[:most]):
                if freed_mib < lacking_mib:
                    leaving.append(helper)
                    freed_mib += helper.memory_mib
            if freed_mib >= lacking_mib:
                yield tuple(leaving)

    def _helpers_on(self, node: str) -> list[Unit]:
        """Who may leave the node, the smallest first; VMs that a rule ties to others stay."""
        if node not in self.helpers:
            cluster = self.problem.cluster
            in_hand: Collection[str] = self.problem.promised.keys() | cluster.heading.keys()
            vms = [vm for vm in cluster.vms_by_node[node] if vm.clustered and vm.name not in in_hand]
            units = [unit for unit in units_at_home(cluster, vms) if unit.live and not self.problem.is_ruled(unit)]
            self.helpers[node] = sorted(units, key=lambda unit: (unit.memory_mib, unit.name))
        return self.helpers[node]

    def _move_on(self, leaving: tuple[Unit, ...], node: str) -> bool:
        """Each to the fullest other node that has room, the largest first; all of them or none."""
        gone: list[Unit] = []
        for unit in leaving:
            self.tries += 1
            target = self._fullest(unit, node)
            if target is None:
                for back in gone:
                    self.change(self.targets[back.name], back.memory_mib)
                    for vm in back.vms:
                        del self.targets[vm.name]
                return False
            self._put(unit, target)
            gone.append(unit)
        self.change(node, sum(unit.memory_mib for unit in leaving))
        for unit in leaving:
            self.helpers[node].remove(unit)
        return True

    def _fullest(self, unit: Unit, other_than: str) -> str | None:
        fit = self.problem.fit_nodes(unit)
        roomy = self.by_room[bisect_left(self.by_room, (unit.memory_mib, "")) :]
        return next((node for _, node in roomy if node != other_than and node in fit), None)

    def _put(self, unit: Unit, node: str) -> None:
        self.change(node, -unit.memory_mib)
        self.targets.update((vm.name, node) for vm in unit.vms)

    def change(self, node: str, by_mib: int) -> None:
        """So much more is free there."""
        self.by_room.remove((self.free_mib[node], node))
        self.free_mib[node] += by_mib
        insort(self.by_room, (self.free_mib[node], node))
