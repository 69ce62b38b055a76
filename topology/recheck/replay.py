"""A plan played event by event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.plan import Move, Plan, RoleMove
from shunter.topology.recheck.fitness import misfits, too_close
from shunter.topology.recheck.violation import EPSILON_S, Violation


def events_of(plan: Plan) -> Iterable[tuple[float, bool, Move | RoleMove]]:
    """(at_s, whether it starts, what), in order; times that differ by rounding alone count as equal.

    At equal times what ends comes first, then what changes its node at one instant, then what starts.
    """
    events: list[tuple[float, float, bool, Move | RoleMove]] = []
    for move in plan.moves:
        events.append((move.end_s - EPSILON_S, move.end_s, False, move))
        events.append((move.start_s, move.start_s, True, move))
    events += [(move.start_s - EPSILON_S / 2, move.start_s, True, move) for move in plan.role_moves]
    return [(at_s, is_start, move) for _, at_s, is_start, move in sorted(events, key=lambda event: event[0])]


class Replay:
    """Where every VM counts and what every node holds, at one instant of the plan.

    A VM under way counts on both nodes: its memory, and with the rules that keep it away from others.
    """

    def __init__(self, cluster: Cluster, volume_state: Mapping[str, str]) -> None:
        self.cluster, self.volume_state = cluster, volume_state
        self.runs_on = {vm.name: vm.node for vm in cluster.vms}
        self.places = {vm.name: {vm.node} for vm in cluster.vms}
        self.used_mib = {node.name: 0 for node in cluster.nodes}
        self.moving: dict[str, str] = {}
        for vm in cluster.vms:
            if vm.holds_memory:
                self.used_mib[vm.node] += vm.memory_mib
        # nobody knows when somebody else's migration ends: it counts at both ends, and its nodes are busy at the start
        for migration in cluster.migrations:
            self.places[migration.vm] |= {migration.source, migration.target}
            self.used_mib[migration.target] += cluster.vm_by_name[migration.vm].memory_mib
            self.moving |= {migration.source: migration.vm, migration.target: migration.vm}
        self.busy_at_start = dict(self.moving)
        self.heading = {migration.vm: migration.target for migration in cluster.migrations}

    def start(self, move: Move, at_s: float) -> Iterator[Violation]:
        """Let the move begin, whether it may or not; what speaks against it."""
        if at_s > EPSILON_S and self.busy_at_start:
            self.moving = {n: vm for n, vm in self.moving.items() if self.busy_at_start.get(n) != vm}
            self.busy_at_start = {}
        if move.start_s < 0 or move.end_s <= move.start_s:
            yield Violation(at_s, "I1", move.vm, f"takes from {move.start_s:g} s to {move.end_s:g} s")
        for node in (move.source, move.target):
            if node in self.moving:
                yield Violation(at_s, "I1", node, f"joins the move of {move.vm} while in that of {self.moving[node]}")
        vm = self.cluster.vm_by_name[move.vm]
        yield from self._misfits(vm, move)
        if move.vm in self.heading:
            # it is in one migration at a time: the one that was under way has come to nothing
            self.used_mib[self.heading.pop(move.vm)] -= vm.memory_mib
            self.places[move.vm] = {move.source}
        target = self.cluster.node_by_name[move.target]
        self.used_mib[move.target] += vm.memory_mib
        if self.used_mib[move.target] > target.for_vms_mib:
            message = f"{self.used_mib[move.target]} MiB with {vm.name}, {target.for_vms_mib} MiB are for VMs"
            yield Violation(at_s, "I3", move.target, message)
        self.places[move.vm].add(move.target)
        self.moving |= {move.source: move.vm, move.target: move.vm}

    def end(self, move: Move) -> None:
        """Let the move end."""
        vm = self.cluster.vm_by_name[move.vm]
        self.used_mib[move.source] -= vm.memory_mib
        self.places[move.vm] = {move.target}
        self.runs_on[move.vm] = move.target
        self.moving = {n: moving for n, moving in self.moving.items() if moving != move.vm}

    def arrive(self, vm: str) -> None:
        """Let a migration that was under way at the start, whoever began it, be over, and well."""
        source, self.runs_on[vm] = self.runs_on[vm], self.heading.pop(vm)
        self.used_mib[source] -= self.cluster.vm_by_name[vm].memory_mib
        self.places[vm] = {self.runs_on[vm]}

    def change_node(self, move: RoleMove) -> Iterator[Violation]:
        """Let something that does not run change its node, at one instant; what speaks against it."""
        vm = self.cluster.vm_by_name.get(move.name)
        if vm is None:
            return
        yield from self._misfits(vm, move)
        self.places[vm.name] = {move.target}
        self.runs_on[vm.name] = move.target

    def _misfits(self, vm: VirtualMachine, move: Move | RoleMove) -> Iterator[Violation]:
        for rule, message in misfits(self.cluster, vm, move.source, move.target, self.volume_state):
            yield Violation(move.start_s, rule, vm.name, message)
        for message in too_close(self.cluster, vm.name, move.source, move.target, self.places):
            yield Violation(move.start_s, "I4", vm.name, message)
