"""Reads a plan again: whether everybody it names is where it says, may go there, and is what the plan claims of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from shunter.topology.model import Cluster
from shunter.topology.plan import Move, Plan, RoleMove, VolumeMove
from shunter.topology.recheck.claims import missing_reasons, unknown_names
from shunter.topology.recheck.degraded import is_said_beforehand
from shunter.topology.recheck.fitness import apart, running_on_its_disks
from shunter.topology.recheck.homecoming import once_resumed, reasons_of_stayers
from shunter.topology.recheck.mending import left_in_disorder
from shunter.topology.recheck.of_failover import check_failover_plan
from shunter.topology.recheck.of_rolling import check_rolling
from shunter.topology.recheck.others import after_others, once_arrived
from shunter.topology.recheck.replay import Replay, events_of
from shunter.topology.recheck.reserve import spent_reserve
from shunter.topology.recheck.violation import Violation
from shunter.topology.recheck.waiting import detours, legs_of, waits


def check_plan(cluster: Cluster, plan: Plan, nodes: Collection[str]) -> tuple[Violation, ...]:
    """What is wrong with this plan to empty `nodes` (spelled as in the cluster); empty where it is sound.

    A rolling maintenance of `nodes` (none: of all) is judged by `of_rolling`, the failover of `nodes` by `of_failover`;
    what follows is about the other kinds.
    Of a resume, whose node takes VMs from the start, `of_resume` knows whether those move that should.
    `nodes`: none for a repair, after which nothing may stand where it must not unless the plan says so. Checked: I1,
    I2, I3 with the reserve the plan names, I4, I7, R08, R11, R13, R15 to R17, R20. A plan that a finding refuses keeps
    no reserve; the rest is checked all the same. What was out of order before and is not touched is held against a
    repair alone.
    """
    if plan.kind == "rolling_maintenance":
        return check_rolling(cluster, plan, nodes)
    if plan.kind == "failover":
        return check_failover_plan(cluster, plan, nodes)
    unknown = tuple(unknown_names(cluster, plan))
    if unknown:
        return unknown
    too_soon: tuple[Violation, ...] = ()
    if plan.under_way:
        too_soon, cluster = tuple(after_others(cluster, plan)), once_arrived(cluster, plan)
    if plan.kind == "resume":
        cluster = once_resumed(cluster, plan)
    check = _PlanCheck(cluster, plan, frozenset(nodes))
    found = [
        *too_soon,
        *check.everybody_once(),
        *check.said_why(),
        *detours(plan),
        *waits(plan),
        *check.nothing_forgotten(),
        *check.each_from_where_it_is(),
        *check.unplaced_with_reasons(),
        *check.volumes(),
        *check.units_of_disks(),
        *check.replay(),
    ]
    if plan.reserve_nodes and not plan.errors:
        found += spent_reserve(cluster, plan, check.emptied, check.volume_state)
    return tuple(sorted(found, key=lambda violation: violation.at_s))


@dataclass(slots=True)
class _PlanCheck:
    cluster: Cluster
    plan: Plan
    emptied: frozenset[str]
    volume_state: dict[str, str] = field(init=False)
    ends_on: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.volume_state = {volume.name: volume.state for volume in self.cluster.volumes}
        self.ends_on = {vm.name: vm.node for vm in self.cluster.vms}
        self.ends_on |= {vm: legs[-1].target for vm, legs in legs_of(self.plan).items()}
        self.ends_on |= {m.name: m.target for m in self.plan.role_moves if m.name in self.cluster.vm_by_name}

    # -------------------------------------------------------------- who is in the plan

    def everybody_once(self) -> Iterator[Violation]:
        plan = self.plan
        moved = legs_of(plan)
        # a VM that a repair moves may be out of order there, too: then it is named with the node where it ends
        staying = [u.vm for u in plan.unplaced if plan.kind != "repair" or u.node == self.cluster.vm_by_name[u.vm].node]
        named = Counter([*moved, *(m.name for m in plan.role_moves), *staying])
        for name, times in named.items():
            if times > 1:
                yield Violation(0.0, "I2", name, f"the plan names it {times} times")
        for vm in self.cluster.vms:
            if vm.node in self.emptied and (vm.clustered or vm.holds_memory) and not named[vm.name]:
                yield Violation(0.0, "I2", vm.name, f"must leave {vm.node}; the plan does not say what becomes of it")
        if plan.ok and (plan.unplaced or plan.errors):
            names = [u.vm for u in plan.unplaced] + [finding.subject for finding in plan.errors]
            yield Violation(0.0, "I2", ", ".join(names), "the plan calls itself ok all the same")

    def said_why(self) -> Iterator[Violation]:
        """Whoever moves though its node is not emptied: that is nobody's wish, so it needs a reason."""
        for move in self.plan.moves:
            if move.source not in self.emptied and not move.why and self.plan.kind != "migration":
                message = f"nothing says why it moves from {move.source}, which is not to be emptied"
                yield Violation(move.start_s, "I2", move.vm, message)

    def nothing_forgotten(self) -> Iterator[Violation]:
        """What is no VM: a plan that calls itself ok moves it all."""
        if not self.plan.ok:
            return
        moved = {move.name for move in self.plan.role_moves} | {move.volume for move in self.plan.volume_moves}
        for role in self.cluster.roles:
            if role.node in self.emptied and role.name not in moved:
                yield Violation(0.0, "R16", role.name, f"stays on {role.node}, which is to be emptied")
        for volume in self.cluster.volumes:
            if volume.owner in self.emptied and volume.name not in moved:
                yield Violation(0.0, "I7", volume.name, f"stays with {volume.owner}, which is to be emptied")

    def each_from_where_it_is(self) -> Iterator[Violation]:
        on = {vm.name: vm.node for vm in self.cluster.vms}
        owned_by = {role.name: role.node for role in self.cluster.roles}
        first = {name: legs[0] for name, legs in legs_of(self.plan).items()}
        for move in self.plan.moves:
            vm = self.cluster.vm_by_name[move.vm]
            yield from self._ends(move, move.vm, vm.node if move is first[move.vm] else move.source)
            if not vm.holds_memory:
                yield Violation(move.start_s, "I2", vm.name, f"is {vm.state}: only what runs can move live")
            if vm.backup and not is_said_beforehand(self.plan, vm.name):
                yield Violation(move.start_s, "R17", vm.name, "a backup of it is under way")
            state = self.cluster.node_by_name[move.source].state
            if state not in ("up", "paused") and not self.plan.errors:
                yield Violation(move.start_s, "R01", vm.name, f"{move.source} is {state}: nothing moves live from it")
        for role_move in self.plan.role_moves:
            name = role_move.name
            yield from self._ends(role_move, name, on.get(name) or owned_by[name])
            if name in on and self.cluster.vm_by_name[name].holds_memory:
                yield Violation(role_move.start_s, "I2", name, "it runs: only a live migration may move it")

    def _ends(self, move: Move | RoleMove | VolumeMove, name: str, is_on: str) -> Iterator[Violation]:
        if move.source != is_on:
            yield Violation(move.start_s, "I2", name, f"it is on {is_on}, not on {move.source}")
        if move.target == move.source:
            yield Violation(move.start_s, "I2", name, f"it is moved from {move.source} to where it is")
        state = self.cluster.node_by_name[move.target].state
        if move.target in self.emptied:
            yield Violation(move.start_s, "R16", name, f"its target {move.target} is being emptied")
        elif state != "up":
            rule = "I8" if state == "paused" else "R01"
            yield Violation(move.start_s, rule, name, f"its target {move.target} is {state}")

    def unplaced_with_reasons(self) -> Iterator[Violation]:
        if self.plan.kind == "resume":
            yield from reasons_of_stayers(self.cluster, self.plan)
            return
        for stays in self.plan.unplaced:
            is_on = self.ends_on[stays.vm] if self.plan.kind == "repair" else self.cluster.vm_by_name[stays.vm].node
            yield from missing_reasons(self.cluster, stays, is_on)

    # -------------------------------------------------------------- volumes and disks

    def volumes(self) -> Iterator[Violation]:
        for name, times in Counter(move.volume for move in self.plan.volume_moves).items():
            if times > 1:
                yield Violation(0.0, "I7", name, f"the plan moves it {times} times")
        for move in self.plan.volume_moves:
            volume = self.cluster.volume_by_name[move.volume]
            yield from self._ends(move, move.volume, volume.owner)
            if volume.reachable_from and move.target not in volume.reachable_from:
                yield Violation(move.start_s, "R08", move.volume, f"{move.target} does not reach it")

    def units_of_disks(self) -> Iterator[Violation]:
        """R11: what stands on one disk stays together, and the disk with it; two running VMs cannot leave it live."""
        running = frozenset(vm.name for vm in self.cluster.vms if vm.holds_memory)
        for move in self.plan.moves:
            others = running_on_its_disks(self.cluster, self.cluster.vm_by_name[move.vm], running)
            if others:
                message = f"shares a disk with {', '.join(others)}, running too"
                yield Violation(move.start_s, "R11", move.vm, message)
        owner = {volume.name: volume.owner for volume in self.cluster.volumes}
        owner |= {move.volume: move.target for move in self.plan.volume_moves}
        for disk in (volume for volume in self.cluster.volumes if volume.kind == "disk"):
            # what is neither in the cluster's care nor running stays, whatever becomes of its disk
            on_it = [
                vm
                for vm in self.cluster.vms
                if disk.name in vm.volumes and vm.node == disk.owner and (vm.clustered or vm.holds_memory)
            ]
            ends = {self.ends_on[vm.name] for vm in on_it} | ({owner[disk.name]} if on_it else set())
            if len(ends) > 1:
                message = f"it and the VMs on it end on {' and '.join(sorted(ends))}"
                yield Violation(0.0, "R11", disk.name, message)

    # -------------------------------------------------------------- over time

    def replay(self) -> Iterator[Violation]:
        replay = Replay(self.cluster, self.volume_state)
        for at_s, starts, move in events_of(self.plan):
            if isinstance(move, RoleMove):
                yield from replay.change_node(move)
            elif starts:
                yield from replay.start(move, at_s)
            else:
                replay.end(move)
        end_s = max((move.end_s for move in self.plan.moves), default=0.0)
        if self.plan.kind == "repair":
            yield from left_in_disorder(self.plan, Replay(self.cluster, self.volume_state), replay, end_s)
            return
        moved = [move.vm for move in self.plan.moves] + [move.name for move in self.plan.role_moves]
        arriving = {m.vm: m.target for m in self.cluster.migrations if self.ends_on[m.vm] == m.source}
        for rule, message in apart(self.cluster, moved, self.ends_on | arriving):
            yield Violation(end_s, "I4", f"rule {rule}", message)
