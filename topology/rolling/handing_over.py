"""What leaves a node besides its running VMs when its turn comes: VMs that are off or saved, other roles, volumes.

They occupy no node and take no time. What shares a disk with a running VM follows it (R11); a Cluster Shared Volume
goes to the node that owns fewest among those that do not leave next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shunter.topology.eligibility import WHEREVER, FitNodes, disks_of
from shunter.topology.model import Cluster, VirtualMachine, Volume
from shunter.topology.plan import RoleMove, VolumeMove
from shunter.topology.planning import could_own
from shunter.topology.rolling.course import Course, Leg, Turn
from shunter.topology.rolling.strategy import close


@dataclass(slots=True)
class HandingOver:
    """Follows a course and hands over what each node that leaves has.

    `stuck`: node → what found no place where it may be, so that the node cannot leave after all. A disk follows its
    VM only from the node where both stand (R11).
    """

    cluster: Cluster
    role_moves: list[RoleMove] = field(default_factory=list)
    volume_moves: list[VolumeMove] = field(default_factory=list)
    stuck: dict[str, str] = field(default_factory=dict)
    _legs: dict[str, list[Leg]] = field(default_factory=dict)
    _at: dict[str, str] = field(init=False)
    _role_on: dict[str, str] = field(init=False)
    _owner: dict[str, str] = field(init=False)
    _members: tuple[str, ...] = field(init=False)
    _fit: FitNodes = field(init=False)
    _leaving: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._at = {vm.name: vm.node for vm in self.cluster.vms}
        self._role_on = {role.name: role.node for role in self.cluster.roles}
        self._owner = {volume.name: volume.owner for volume in self.cluster.volumes}
        self._members = tuple(node.name for node in self.cluster.nodes if node.state in ("up", "paused"))
        self._fit = FitNodes(self.cluster, [node.name for node in self.cluster.nodes], checks=WHEREVER)

    def follow(self, course: Course, closed: Sequence[str]) -> None:
        """`closed`: nodes that take nothing until their own turn is over."""
        for leg in course.legs:
            self._legs.setdefault(leg.vm, []).append(leg)
        events: list[tuple[float, int, Leg | Turn]] = [(leg.end_s, 0, leg) for leg in course.legs]
        events += [(turn.start_s, 1, turn) for turn in course.turns]
        turn_of = {turn.node: turn for turn in course.turns}
        for at_s, _, event in sorted(events, key=lambda event: event[:2]):
            if isinstance(event, Leg):
                if misplaced := self._arrived(event):
                    self.stuck.setdefault(event.source, misplaced)
                continue
            open_ = [name for name in self._members if self._is_open(name, turn_of.get(name), closed, at_s)]
            self._leaving = {turn.node for turn in course.turns if turn.start_s >= at_s}
            self._leaves(event.node, at_s, self._settled_first(open_, turn_of, at_s))

    def follow_back(self, legs: Sequence[Leg]) -> frozenset[str]:
        """After the course. The VMs that had better stay: what comes along with them may not be where they go."""
        self._leaving = set()
        for leg in legs:
            self._legs.setdefault(leg.vm, []).append(leg)
        in_order = sorted(legs, key=lambda leg: (leg.end_s, leg.vm))
        return frozenset([leg.vm for leg in in_order if self._arrived(leg)])

    def stands(self) -> Cluster:
        """The cluster with all VMs where they are by now."""
        return self.cluster.with_vms_on(self._at)

    def _is_open(self, node: str, turn: Turn | None, closed: Sequence[str], at_s: float) -> bool:
        """Whether a node takes anything at this moment."""
        if node in closed and (turn is None or self.cluster.node_by_name[node].paused_by != "us"):
            return False
        if turn is None:
            return True
        return at_s >= turn.end_s or (at_s < turn.start_s and node not in closed)

    @staticmethod
    def _settled_first(nodes: Sequence[str], turns: Mapping[str, Turn], at_s: float) -> list[str]:
        """Those that will not leave any more, then those that leave last."""
        return sorted(
            nodes, key=lambda name: -turns[name].start_s if name in turns and turns[name].start_s > at_s else -1e18
        )

    def _arrived(self, leg: Leg) -> str | None:
        """The VM and what follows it are there now. What of that may not be there, if anything."""
        vm = self.cluster.vm_by_name[leg.vm]
        self._at[leg.vm] = leg.target
        misplaced = None
        for disk in disks_of(self.cluster, vm):
            for other in self.cluster.vms_by_disk[disk]:
                if other.name != vm.name and not other.holds_memory and self._at[other.name] == leg.source:
                    if not self._keeps_rules([other], leg.target, leg.end_s):
                        misplaced = misplaced or other.name
                    self._give(other.name, leg.target, leg.end_s)
            if self._owner[disk] == leg.source:
                self._own(disk, leg.target, leg.end_s)
        return misplaced

    def _leaves(self, node: str, at_s: float, open_: Sequence[str]) -> None:
        moved: set[str] = set()
        for vm in self.cluster.vms:
            if self._at[vm.name] == node and not vm.holds_memory and vm.clustered and vm.name not in moved:
                unit = self._with_disks(vm, node)
                fitting = [name for name in open_ if all(name in self._fit.of(each) for each in unit)]
                fitting = [name for name in fitting if self._keeps_rules(unit, name, at_s)]
                moved |= {each.name for each in unit}
                if target := self._least_laden(fitting, self._at):
                    self._give_unit(unit, target, at_s)
                else:
                    self.stuck.setdefault(node, vm.name)
        for role in self.cluster.roles:
            if self._role_on[role.name] != node:
                continue
            if target := self._least_laden(open_, self._role_on):
                self.role_moves.append(RoleMove(name=role.name, source=node, target=target, start_s=at_s))
                self._role_on[role.name] = target
            else:
                self.stuck.setdefault(node, role.name)
        for volume in self.cluster.volumes:
            if self._owner[volume.name] == node:
                reaching = [name for name in open_ if not volume.reachable_from or name in volume.reachable_from]
                reaching = [name for name in reaching if could_own(self.cluster, volume.name, name, self._at)]
                if target := self._least_laden(reaching, self._owner):
                    self._own(volume.name, target, at_s)
                else:
                    self.stuck.setdefault(node, volume.name)

    def _keeps_rules(self, unit: Sequence[VirtualMachine], node: str, at_s: float) -> bool:
        """Whether these VMs may stand there from now on, whatever the others they are bound to do later."""
        names = {vm.name for vm in unit}
        for name in names:
            for rule in self.cluster.rules_by_vm.get(name, ()):
                for other in (each for each in rule.vms if not rule.soft and each not in names):
                    places = self._places_from(other, at_s)
                    if rule.kind.startswith("different"):
                        if any(close(self.cluster, rule, node, place) for place in places):
                            return False
                    elif not close(self.cluster, rule, node, places[-1]) and self._settles(other, places[-1]):
                        return False
        return True

    def _places_from(self, vm: str, at_s: float) -> list[str]:
        """Where it is at this moment and later, in this order."""
        later = [leg.target for leg in self._legs.get(vm, ()) if leg.end_s >= at_s]
        sources = [leg.source for leg in self._legs.get(vm, ()) if leg.end_s >= at_s]
        heading = self.cluster.heading.get(vm)
        under_way = [heading] if heading is not None and self._at[vm] == self.cluster.vm_by_name[vm].node else []
        return [*sources[:1], *under_way, *later] if later else [self._at[vm], *under_way]

    def _settles(self, vm: str, node: str) -> bool:
        """Whether it stays there; one in the cluster's care that does not run may leave with its node, and follow."""
        machine = self.cluster.vm_by_name[vm]
        return machine.holds_memory or not machine.clustered or node not in self._leaving

    def _with_disks(self, vm: VirtualMachine, node: str) -> list[VirtualMachine]:
        """The VM and what stands with it on one disk, on the same node."""
        unit = {vm.name: vm}
        for disk in disks_of(self.cluster, vm):
            for other in self.cluster.vms_by_disk[disk]:
                if self._at[other.name] == node and not other.holds_memory and other.clustered:
                    unit[other.name] = other
        return list(unit.values())

    @staticmethod
    def _least_laden(nodes: Sequence[str], at: Mapping[str, str]) -> str | None:
        """Of the nodes, in their order, the one that has fewest of these."""
        held = dict.fromkeys(nodes, 0)
        for node in at.values():
            if node in held:
                held[node] += 1
        return min(nodes, key=lambda name: held[name], default=None)

    def _give_unit(self, unit: Sequence[VirtualMachine], target: str, at_s: float) -> None:
        for each in unit:
            source = self._at[each.name]
            self._give(each.name, target, at_s)
            for disk in disks_of(self.cluster, each):
                if self._owner[disk] == source:
                    self._own(disk, target, at_s)

    def _give(self, name: str, target: str, at_s: float) -> None:
        self.role_moves.append(RoleMove(name=name, source=self._at[name], target=target, start_s=at_s))
        self._at[name] = target

    def _own(self, volume: str, target: str, at_s: float) -> None:
        if self._owner[volume] != target:
            self.volume_moves.append(VolumeMove(volume=volume, source=self._owner[volume], target=target, start_s=at_s))
            self._owner[volume] = target


def others_that_reach(cluster: Cluster, volume: Volume) -> list[str]:
    """The nodes besides its owner that could own the volume; none where it is offline."""
    if volume.state in ("offline", "failed"):
        return []
    return [
        node.name
        for node in cluster.nodes
        if node.name != volume.owner and (not volume.reachable_from or node.name in volume.reachable_from)
    ]
