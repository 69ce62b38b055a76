"""Reads the plan of a rolling maintenance again, as of_plan.py reads the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from shunter.topology.model import Cluster
from shunter.topology.plan import Maintenance, Move, Plan, RoleMove, UnderWay, VolumeMove
from shunter.topology.recheck.absorbing import Losses
from shunter.topology.recheck.claims import missing_reasons, unknown_names
from shunter.topology.recheck.degraded import is_said_beforehand
from shunter.topology.recheck.fitness import apart, running_on_its_disks
from shunter.topology.recheck.others import after_others
from shunter.topology.recheck.replay import Replay
from shunter.topology.recheck.turns import asked_once, in_order, kept_clear
from shunter.topology.recheck.unfolding import Happening, unfolded
from shunter.topology.recheck.violation import Violation
from shunter.topology.recheck.votes import lost_majority
from shunter.topology.recheck.waiting import waits

SAME_TIME_S = 1e-3


def check_rolling(cluster: Cluster, plan: Plan, nodes: Collection[str]) -> tuple[Violation, ...]:
    """What is wrong with this plan to maintain `nodes` (none: all of the cluster); empty where it is sound.

    Checked: I1 to I6, I8, R08, R11, R13, R15 to R17, R20, and that the figures of time agree (R12). A node that was
    paused before counts for the reserve and takes VMs only where we had paused it and only from its return on. A plan
    that a finding refuses keeps no reserve; the rest is checked all the same.
    """
    unknown = tuple(unknown_names(cluster, plan))
    if unknown:
        return unknown
    night = _Night(cluster, plan)
    found = [
        *asked_once(cluster, plan, nodes),
        *after_others(cluster, plan),
        *in_order(plan),
        *kept_clear(plan),
        *_said(plan),
        *waits(plan),
        *night.unfold(),
        *_unplaced(cluster, plan, night.replay),
        *_times(plan),
    ]
    return tuple(sorted(found, key=lambda violation: violation.at_s))


def _said(plan: Plan) -> Iterator[Violation]:
    """Whoever moves though its node is not maintained needs a reason; what stays undone is not called ok."""
    maintained = {turn.node for turn in plan.maintenance}
    for move in plan.moves:
        if move.source not in maintained and not move.why:
            message = f"nothing says why it moves from {move.source}, which is not maintained"
            yield Violation(move.start_s, "I2", move.vm, message)
    if plan.ok and (plan.unplaced or plan.untouched or plan.errors):
        names = [u.vm for u in plan.unplaced] + [u.node for u in plan.untouched] + [f.subject for f in plan.errors]
        yield Violation(0.0, "I2", ", ".join(names), "the plan calls itself ok all the same")


def _unplaced(cluster: Cluster, plan: Plan, end: Replay) -> Iterator[Violation]:
    untouched = {entry.node for entry in plan.untouched}
    for name, times in Counter(stays.vm for stays in plan.unplaced).items():
        if times > 1:
            yield Violation(0.0, "I2", name, f"is named as unplaced {times} times")
    for stays in plan.unplaced:
        yield from missing_reasons(cluster, stays, end.runs_on[stays.vm])
        if stays.node not in untouched:
            message = f"is named as unplaced on {stays.node}, which is not among the untouched nodes"
            yield Violation(0.0, "I2", stays.vm, message)


def _times(plan: Plan) -> Iterator[Violation]:
    ends = [move.end_s for move in plan.moves] + [turn.end_s for turn in plan.maintenance]
    ends += [move.start_s for move in plan.role_moves] + [move.start_s for move in plan.volume_moves]
    last_s = max(ends, default=0.0)
    if abs(plan.makespan_s - last_s) > SAME_TIME_S:
        message = f"is said to be done at {plan.makespan_s:g} s, and its last end is at {last_s:g} s"
        yield Violation(last_s, "R12", "the plan", message)
    if plan.maintenance and plan.lower_bound_s > plan.makespan_s + SAME_TIME_S:
        message = f"takes {plan.makespan_s:g} s, less than its lower bound of {plan.lower_bound_s:g} s"
        yield Violation(last_s, "R12", "the plan", message)


class _Night:
    """The plan played instant by instant."""

    def __init__(self, cluster: Cluster, plan: Plan) -> None:
        self.cluster, self.plan = cluster, plan
        self.replay = Replay(cluster, {volume.name: volume.state for volume in cluster.volumes})
        self.owner = {volume.name: volume.owner for volume in cluster.volumes}
        self.role_on = {role.name: role.node for role in cluster.roles}
        self.running = frozenset(vm.name for vm in cluster.vms if vm.holds_memory)
        self.under_way: dict[str, Move] = {}
        self.members = {node.name for node in cluster.nodes if node.state in ("up", "paused")}
        self.resumed: set[str] = set()
        """Nodes that we had paused before, once their maintenance is over."""
        self.losses = Losses(plan.reserve_nodes) if plan.reserve_nodes and not plan.errors else None

    def unfold(self) -> Iterator[Violation]:
        if self.losses:
            for node in self.cluster.nodes:
                if node.state == "up":
                    self.losses.count(node.name, self._free_mib(node.name))
            for name in self.running:
                self._restarts_from(name)
        last = None
        for together in unfolded(self.plan):
            for happening in together:
                yield from self._happens(happening)
            yield from self._disks_apart(together)
            why = self._unabsorbed(together)
            if why and last is None:
                at_s = together[0][0] if together else 0.0
                message = f"reserve of {self.plan.reserve_nodes}: {why}"
                yield Violation(at_s, "I3", f"cluster {self.cluster.name}", message)
            last = why
        yield from self._apart_at_the_end()

    def _happens(self, happening: Happening) -> Iterator[Violation]:
        at_s, kind, what = happening
        if isinstance(what, Maintenance):
            match kind:
                case "goes":
                    yield from self._goes(what, at_s)
                case "comes back":
                    self._comes_back(what.node)
                case _:
                    self._paused(what.node)
        elif isinstance(what, UnderWay):
            if what.vm in self.replay.heading:
                self._arrive_from_before(what.vm)
        elif isinstance(what, RoleMove):
            yield from self._role_changes(what)
        elif isinstance(what, VolumeMove):
            yield from self._volume_changes(what)
        elif kind == "leaves":
            yield from self._leaves(what, at_s)
        else:
            self._arrives(what)

    # -------------------------------------------------------------- nodes

    def _paused(self, node: str) -> None:
        if self.losses:
            self.losses.uncount(node)

    def _goes(self, turn: Maintenance, at_s: float) -> Iterator[Violation]:
        node = turn.node
        state = self.cluster.node_by_name[node].state
        if state not in ("up", "paused"):
            yield Violation(at_s, "R01", node, f"is to be maintained, and is {state}")
        yield from self._left_behind(node, at_s)
        why = lost_majority(self.cluster, node, self.members)
        if why:
            yield Violation(at_s, "I6", node, f"goes although {why}")
        self.members.discard(node)

    def _left_behind(self, node: str, at_s: float) -> Iterator[Violation]:
        for vm in self.cluster.vms:
            if node not in self.replay.places[vm.name]:
                continue
            if self.replay.runs_on[vm.name] == node and vm.name in self.replay.heading:
                # the migration that takes it away is over by then, or the node would not go
                self._arrive_from_before(vm.name)
            elif vm.holds_memory:
                yield Violation(at_s, "I5", node, f"goes with {vm.name} on it")
            elif vm.clustered:
                yield Violation(at_s, "R16", node, f"goes with {vm.name} on it, which is {vm.state}")
        for role, on in self.role_on.items():
            if on == node:
                yield Violation(at_s, "R16", node, f"goes with the role {role} on it")
        for volume, owner in self.owner.items():
            if owner == node:
                yield Violation(at_s, "I5", node, f"goes while it owns {volume}")

    def _comes_back(self, node: str) -> None:
        before = self.cluster.node_by_name[node]
        self.members.add(node)
        if before.state == "paused" and before.paused_by == "us":
            self.resumed.add(node)
        if self.losses and (before.state == "up" or node in self.resumed):
            self.losses.count(node, self._free_mib(node))

    def _not_a_target(self, name: str, move: Move | RoleMove | VolumeMove) -> Iterator[Violation]:
        if move.target == move.source:
            yield Violation(move.start_s, "I2", name, f"it is moved from {move.source} to where it is")
        node = self.cluster.node_by_name[move.target]
        if node.state != "up" and move.target not in self.resumed:
            rule = "I8" if node.state == "paused" else "R01"
            yield Violation(move.start_s, rule, name, f"its target {move.target} is {node.state}")

    # -------------------------------------------------------------- VMs

    def _leaves(self, move: Move, at_s: float) -> Iterator[Violation]:
        vm = self.cluster.vm_by_name[move.vm]
        is_on = self.replay.runs_on[vm.name]
        if vm.name in self.under_way:
            yield Violation(at_s, "I2", vm.name, "it moves on before it has arrived")
        elif move.source != is_on:
            yield Violation(at_s, "I2", vm.name, f"it is on {is_on}, not on {move.source}")
        if not vm.holds_memory:
            yield Violation(at_s, "I2", vm.name, f"is {vm.state}: only what runs can move live")
        if vm.backup and not is_said_beforehand(self.plan, vm.name):
            yield Violation(at_s, "R17", vm.name, "a backup of it is under way")
        if self.cluster.node_by_name[move.source].state not in ("up", "paused"):
            state = self.cluster.node_by_name[move.source].state
            yield Violation(at_s, "R01", vm.name, f"{move.source} is {state}: nothing moves live from it")
        others = running_on_its_disks(self.cluster, vm, self.running)
        if others:
            yield Violation(at_s, "R11", vm.name, f"shares a disk with {', '.join(others)}, running too")
        yield from self._not_a_target(vm.name, move)
        yield from self.replay.start(move, at_s)
        self.under_way[vm.name] = move

    def _arrives(self, move: Move) -> None:
        self.under_way.pop(move.vm, None)
        self.replay.end(move)
        self._restarts_from(move.vm)

    def _arrive_from_before(self, vm: str) -> None:
        source = self.replay.runs_on[vm]
        self.replay.arrive(vm)
        self._restarts_from(vm)
        if self.losses:
            self.losses.set_free(source, self._free_mib(source))

    def _role_changes(self, move: RoleMove) -> Iterator[Violation]:
        vm = self.cluster.vm_by_name.get(move.name)
        is_on = self.replay.runs_on[move.name] if vm else self.role_on[move.name]
        if move.source != is_on:
            yield Violation(move.start_s, "I2", move.name, f"it is on {is_on}, not on {move.source}")
        if vm and vm.holds_memory:
            yield Violation(move.start_s, "I2", move.name, "it runs: only a live migration may move it")
        yield from self._not_a_target(move.name, move)
        yield from self.replay.change_node(move)
        if vm is None:
            self.role_on[move.name] = move.target

    def _volume_changes(self, move: VolumeMove) -> Iterator[Violation]:
        volume = self.cluster.volume_by_name[move.volume]
        if move.source != self.owner[move.volume]:
            yield Violation(
                move.start_s, "I7", move.volume, f"its owner is {self.owner[move.volume]}, not {move.source}"
            )
        if volume.reachable_from and move.target not in volume.reachable_from:
            yield Violation(move.start_s, "R08", move.volume, f"{move.target} does not reach it")
        yield from self._not_a_target(move.volume, move)
        self.owner[move.volume] = move.target

    # -------------------------------------------------------------- at each instant

    def _free_mib(self, node: str) -> int:
        return self.cluster.node_by_name[node].for_vms_mib - self.replay.used_mib[node]

    def _restarts_from(self, name: str) -> None:
        vm = self.cluster.vm_by_name[name]
        if self.losses and vm.priority > 0:
            self.losses.put(name, vm.restart_mib, self.replay.runs_on[name])

    def _unabsorbed(self, together: list[Happening]) -> str | None:
        if not self.losses:
            return None
        for _, _, what in together:
            if isinstance(what, Move):
                for node in (what.source, what.target):
                    self.losses.set_free(node, self._free_mib(node))
        return self.losses.unabsorbed()

    def _disks_apart(self, together: list[Happening]) -> Iterator[Violation]:
        """R11: when a running VM has arrived, its disks and what else stands on them are there, too."""
        for at_s, kind, what in together:
            if not isinstance(what, Move) or kind != "arrives":
                continue
            for name in self.cluster.vm_by_name[what.vm].volumes:
                if self.cluster.volume_by_name[name].kind == "disk":
                    yield from self._disk_apart(name, at_s)

    def _disk_apart(self, disk: str, at_s: float) -> Iterator[Violation]:
        # what is neither in the cluster's care nor running stays, whatever becomes of its disk
        home = self.cluster.volume_by_name[disk].owner
        on_it = [
            vm.name for vm in self.cluster.vms_by_disk[disk] if vm.node == home and (vm.clustered or vm.holds_memory)
        ]
        on = {self.replay.runs_on[name] for name in on_it} | ({self.owner[disk]} if on_it else set())
        if len(on) > 1:
            yield Violation(at_s, "R11", disk, f"it and the VMs on it are on {' and '.join(sorted(on))}")

    def _apart_at_the_end(self) -> Iterator[Violation]:
        end_s = max((move.end_s for move in self.plan.moves), default=0.0)
        moved = [move.vm for move in self.plan.moves] + [move.name for move in self.plan.role_moves]
        for rule, message in apart(self.cluster, moved, self.replay.runs_on | self.replay.heading):
            yield Violation(end_s, "I4", f"rule {rule}", message)
        touched = {disk for name in moved if name in self.cluster.vm_by_name for disk in self._disks_of(name)}
        touched |= {move.volume for move in self.plan.volume_moves}
        for disk in sorted(touched):
            if self.cluster.volume_by_name[disk].kind == "disk":
                yield from self._disk_apart(disk, end_s)

    def _disks_of(self, vm: str) -> tuple[str, ...]:
        return self.cluster.vm_by_name[vm].volumes
