"""Reads the plan of a failover again: whether everybody lost is in it, may be where it says, and nobody is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.plan import Move, Plan, RoleMove
from shunter.topology.recheck.claims import missing_reasons, unknown_names
from shunter.topology.recheck.fitness import misfits
from shunter.topology.recheck.most_restarts import counted, most_restarts
from shunter.topology.recheck.packing import Undecided, fit
from shunter.topology.recheck.restarted import RUNS, Left, majority
from shunter.topology.recheck.violation import EPSILON_S, Violation

MOST_TRIED = 10
"""Of more VMs not every way is tried; a plan is then held against single exchanges alone."""


def check_failover_plan(cluster: Cluster, plan: Plan, lost: Collection[str]) -> tuple[Violation, ...]:
    """What is wrong with this plan for the loss of these nodes (spelled as in the cluster); empty where it is sound.

    Checked: everybody once, with reasons (I2); room, rules, storage and switches (I3, I4, R08, R11, R20) of restarts,
    which are free of R13, and of what is handed over, which is not; priorities; that nobody who could restart is left
    out, on small clusters by trying everything; owners of volumes (I7); votes (I6); drift that is told (R19).
    """
    unknown = tuple(unknown_names(cluster, plan))
    if unknown:
        return unknown
    check = _FailoverCheck(cluster, plan, frozenset(lost))
    found = [*check.form(), *check.everybody_once(), *check.unplaced_with_reasons(), *check.votes()]
    if not plan.errors:
        found += [
            *check.restarts(),
            *check.room(),
            *check.order(),
            *check.nobody_left_out(),
            *check.handed_over(),
            *check.volumes(),
            *check.said(),
            *check.afterwards(),
        ]
    return tuple(sorted(found, key=lambda violation: violation.at_s))


@dataclass(slots=True)
class _FailoverCheck:
    cluster: Cluster
    plan: Plan
    lost: frozenset[str]
    left: Left = field(init=False)
    restart_on: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.left = Left(self.cluster, self.lost)
        self.restart_on = {move.vm: move.target for move in self.plan.moves}

    # -------------------------------------------------------------- who is in the plan

    def form(self) -> Iterator[Violation]:
        plan = self.plan
        if plan.reserve_nodes or plan.lower_bound_s:
            yield Violation(0.0, "I3", plan.cluster, "a failover keeps no reserve and knows no lower bound")
        end_s = max((move.end_s for move in plan.moves), default=0.0)
        if plan.makespan_s < end_s - EPSILON_S:
            yield Violation(end_s, "I2", plan.cluster, f"it ends after {end_s} s, not {plan.makespan_s} s")
        not_ok = [u.vm for u in plan.unplaced if not self._is_not_wanted(self.cluster.vm_by_name[u.vm])]
        not_ok += [finding.subject for finding in plan.errors]
        if plan.ok and not_ok:
            yield Violation(0.0, "I2", ", ".join(not_ok), "the plan calls itself ok all the same")

    def _is_not_wanted(self, vm: VirtualMachine) -> bool:
        return vm.clustered and vm.priority == 0 and vm.state in (*RUNS, "failed")

    def everybody_once(self) -> Iterator[Violation]:
        plan = self.plan
        moves, roles = Counter(m.vm for m in plan.moves), Counter(m.name for m in plan.role_moves)
        unplaced = Counter(stays.vm for stays in plan.unplaced)
        for vm in self.cluster.vms:
            named = moves[vm.name] + roles[vm.name] + unplaced[vm.name]
            runs = vm.state in RUNS
            if vm.node not in self.lost:
                wanted, said = 0, "is on a node that is not lost"
            elif vm.clustered or runs:
                wanted, said = 1, "is lost"
            else:
                wanted, said = 0, "does not run and is not in the cluster's care"
            if named != wanted:
                yield Violation(0.0, "I2", vm.name, f"it {said}; the plan names it {named} times")
            restarts = vm.clustered and vm.priority > 0 and (runs or vm.state == "failed")
            if moves[vm.name] and not restarts:
                yield Violation(0.0, "I2", vm.name, "nobody starts it after a failover; the plan does")
            if roles[vm.name] and not (vm.clustered and vm.state in ("off", "saved")):
                yield Violation(0.0, "I2", vm.name, f"it is {vm.state}: nothing of it is handed over")

    def unplaced_with_reasons(self) -> Iterator[Violation]:
        for stays in self.plan.unplaced:
            vm = self.cluster.vm_by_name[stays.vm]
            yield from missing_reasons(self.cluster, stays, vm.node)
            told = {f.subject for f in self.plan.findings}
            if (not vm.clustered or self._is_not_wanted(vm)) and f"vm {vm.name}" not in told and not self.plan.errors:
                yield Violation(0.0, "I2", vm.name, "no finding says that nothing restarts it")

    def votes(self) -> Iterator[Violation]:
        holds = majority(self.cluster, self.lost)
        refused = any(finding.rule == "I6" for finding in self.plan.errors)
        subject = f"cluster {self.cluster.name}"
        if (holds is False) is not refused:
            left = "no majority is left" if holds is False else "a majority may be left"
            yield Violation(0.0, "I6", subject, f"{left}; the plan says otherwise")
        if refused and (self.plan.moves or self.plan.role_moves or self.plan.volume_moves):
            yield Violation(0.0, "I6", subject, "something is done although no majority is left")
        if holds is None and not any(finding.rule == "I6" for finding in self.plan.findings):
            yield Violation(0.0, "I6", subject, "the plan does not say that the cluster may end")

    # -------------------------------------------------------------- restarts

    def restarts(self) -> Iterator[Violation]:
        for move in self.plan.moves:
            vm = self.cluster.vm_by_name[move.vm]
            if move.source != vm.node:
                yield Violation(move.start_s, "I2", vm.name, f"it was on {vm.node}, not on {move.source}")
            if not 0 <= move.start_s < move.end_s:
                yield Violation(move.start_s, "I2", vm.name, "it is up before it begins")
            others = {name: node for name, node in self.restart_on.items() if name != vm.name}
            for rule, message in self.left.against(vm, move.target, others):
                yield Violation(move.start_s, rule, vm.name, f"on {move.target}: {message}")

    def room(self) -> Iterator[Violation]:
        needed: Counter[str] = Counter()
        for move in self.plan.moves:
            needed[move.target] += self.cluster.vm_by_name[move.vm].restart_mib
        for node, mib in needed.items():
            if mib > self.left.room_mib.get(node, 0):
                message = f"{mib} MiB restart there, {self.left.room_mib.get(node, 0)} MiB are free"
                yield Violation(0.0, "I3", node, message)

    def order(self) -> Iterator[Violation]:
        """Nobody begins before everybody of a higher priority has begun."""
        begun: list[tuple[int, Move]] = [(self.cluster.vm_by_name[move.vm].priority, move) for move in self.plan.moves]
        begun.sort(key=lambda entry: (-entry[0], entry[1].start_s))
        last: tuple[int, Move] | None = None
        for priority, move in begun:
            if last is not None and priority < last[0] and move.start_s < last[1].start_s - EPSILON_S:
                message = f"begins before {last[1].vm}, which is more important"
                yield Violation(move.start_s, "I2", move.vm, message)
            if last is None or move.start_s >= last[1].start_s:
                last = (priority, move)

    def nobody_left_out(self) -> Iterator[Violation]:
        """Whoever could restart as things are planned, or instead of less important VMs."""
        lost_vms = self.left.must_restart()
        free = dict(self.left.room_mib)
        for name, node in self.restart_on.items():
            free[node] = free.get(node, 0) - self.cluster.vm_by_name[name].restart_mib
        for vm in lost_vms:
            if vm.name not in self.restart_on:
                yield from self._could_restart(vm, free)
        if len(lost_vms) <= MOST_TRIED:
            best, planned = most_restarts(self.left), counted(lost_vms, set(self.restart_on))
            if best is not None and planned < best:
                message = f"by priority {list(best)} VMs could restart, planned are {list(planned)}"
                yield Violation(0.0, "I2", f"cluster {self.cluster.name}", message)

    def _could_restart(self, vm: VirtualMachine, free: dict[str, int]) -> Iterator[Violation]:
        for node in self.left.room_mib:
            less = [
                name
                for name, on in self.restart_on.items()
                if on == node and self.cluster.vm_by_name[name].priority < vm.priority
            ]
            others = {name: on for name, on in self.restart_on.items() if name not in less}
            room = free[node] + sum(self.cluster.vm_by_name[name].restart_mib for name in less)
            if vm.restart_mib <= room and not any(self.left.against(vm, node, others)):
                instead = f" instead of {', '.join(less)}" if free[node] < vm.restart_mib else ""
                yield Violation(0.0, "I2", vm.name, f"it could restart on {node}{instead}, and is left out")
                return

    # -------------------------------------------------------------- what does not run

    def handed_over(self) -> Iterator[Violation]:
        role_on = {role.name: role.node for role in self.cluster.roles}
        for move in self.plan.role_moves:
            vm = self.cluster.vm_by_name.get(move.name)
            is_on = vm.node if vm is not None else role_on[move.name]
            target = self.cluster.node_by_name[move.target]
            if move.source != is_on or is_on not in self.lost:
                yield Violation(move.start_s, "I2", move.name, f"it is on {is_on}, and handed over from {move.source}")
            usable = ("up",) if vm is not None else ("up", "paused")
            if move.target in self.lost or target.state not in usable:
                yield Violation(move.start_s, "R01", move.name, f"its target {move.target} is {target.state} or lost")
            if vm is not None:
                yield from self._at_rest(vm, move)
        moved = {move.name for move in self.plan.role_moves}
        for name, node in role_on.items():
            if self.plan.ok and node in self.lost and name not in moved:
                yield Violation(0.0, "R16", name, f"stays on {node}, which is lost")

    def _at_rest(self, vm: VirtualMachine, move: RoleMove) -> Iterator[Violation]:
        """A saved state is bound to its processor, and a disk in use to where it is used."""
        for rule, message in misfits(self.cluster, vm, vm.node, move.target, self.left.volume_state):
            yield Violation(move.start_s, rule, vm.name, f"on {move.target}: {message}")
        for other, on in (self.left.stays | self.restart_on).items():
            shared = set(vm.volumes) & set(self.cluster.vm_by_name[other].volumes)
            if on != move.target and any(self.cluster.volume_by_name[name].kind == "disk" for name in shared):
                yield Violation(move.start_s, "R11", vm.name, f"its disk is in use by {other} on {on}")

    def volumes(self) -> Iterator[Violation]:
        """I7: each has an owner that lives and reaches it, unless none does; a disk is with the VM that uses it."""
        there = [n.name for n in self.cluster.nodes if n.state in ("up", "paused") and n.name not in self.lost]
        moved = Counter(move.volume for move in self.plan.volume_moves)
        owner = {volume.name: volume.owner for volume in self.cluster.volumes}
        for move in self.plan.volume_moves:
            if move.source != owner[move.volume]:
                yield Violation(move.start_s, "I2", move.volume, f"{owner[move.volume]} owns it, not {move.source}")
        owner |= {move.volume: move.target for move in self.plan.volume_moves}
        told = {finding.subject for finding in self.plan.findings if finding.rule == "I7"}
        for volume in self.cluster.volumes:
            name = volume.name
            reaching = [node for node in there if not volume.reachable_from or node in volume.reachable_from]
            if moved[name] > 1:
                yield Violation(0.0, "I7", name, f"the plan moves it {moved[name]} times")
            if moved[name] and owner[name] not in reaching:
                yield Violation(0.0, "I7", name, f"{owner[name]} does not live or does not reach it")
            if owner[name] in self.lost and (reaching or f"volume {name}" not in told or self.plan.ok):
                yield Violation(0.0, "I7", name, f"stays with {owner[name]}, which is lost")
            for vm, node in self.restart_on.items() if volume.kind == "disk" else ():
                if name in self.cluster.vm_by_name[vm].volumes and owner[name] != node:
                    yield Violation(0.0, "R11", name, f"is with {owner[name]}, and {vm}, which uses it, on {node}")

    # -------------------------------------------------------------- what is told

    def said(self) -> Iterator[Violation]:
        told = {finding.subject for finding in self.plan.findings if finding.rule == "R19"}
        for name in self.restart_on:
            if not self.cluster.vm_by_name[name].configuration_in_cluster_is_current and f"vm {name}" not in told:
                yield Violation(0.0, "R19", name, "may come up wrongly configured, which no finding says")

    def afterwards(self) -> Iterator[Violation]:
        """What is called protected must at least pack by memory."""
        runs_on = self.left.stays | self.restart_on
        free = dict(self.left.room_mib)
        for name, node in self.restart_on.items():
            free[node] = free.get(node, 0) - self.cluster.vm_by_name[name].restart_mib
        for loss in self.plan.survives_loss:
            vms = [self.cluster.vm_by_name[name] for name, node in runs_on.items() if node == loss.node]
            needed = [vm.restart_mib for vm in vms if vm.clustered and vm.priority > 0]
            arriving = [vm.memory_mib for vm in vms if vm.name in self.left.also]
            if loss.node in self.lost:
                yield Violation(0.0, "I3", loss.node, "is lost already, and cannot be lost afterwards")
            if not loss.ok or arriving:
                continue
            try:
                packs = fit(needed, [max(0, mib) for node, mib in free.items() if node != loss.node])
            except Undecided:
                continue
            if not packs:
                yield Violation(0.0, "I3", loss.node, "its loss afterwards is called covered, and is not")
