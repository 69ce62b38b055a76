"""New owners for what lost nodes owned and did not run: volumes, VMs off or saved, other roles (I7, R08, R11)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from shunter.topology.capacity import available
from shunter.topology.eligibility import RESUME, FitNodes, Question, disks_of
from shunter.topology.model import Cluster, VirtualMachine, Volume
from shunter.topology.plan import Finding, RoleMove, Verdict, VolumeMove
from shunter.topology.quorum import members
from shunter.topology.requirements.differing import listed


@dataclass(slots=True)
class HandedOver:
    """`stuck`: what stays without a living owner. `unplaced`: VMs that do not run and go nowhere, and why."""

    volume_moves: list[VolumeMove] = field(default_factory=list)
    role_moves: list[RoleMove] = field(default_factory=list)
    stuck: list[Finding] = field(default_factory=list)
    unplaced: dict[str, tuple[Verdict, ...]] = field(default_factory=dict)


def hand_over(cluster: Cluster, lost: Collection[str], targets: Mapping[str, str], at_s: float) -> HandedOver:
    """What becomes of it once `targets` (VM → node) are restarted. `at_s`: when the cluster does it."""
    return _HandingOver(cluster, lost, targets, at_s).all_of_it()


class _HandingOver:
    def __init__(self, cluster: Cluster, lost: Collection[str], targets: Mapping[str, str], at_s: float) -> None:
        self.cluster, self.lost, self.targets, self.at_s = cluster, lost, targets, at_s
        self.nodes = available(cluster, lost)
        self.fit = FitNodes(cluster, self.nodes, checks=RESUME)
        there = [node.name for node in members(cluster) if node.name not in lost]
        self.owned = {name: sum(volume.owner == name for volume in cluster.volumes) for name in there}
        self.held = {name: sum(role.node == name for role in cluster.roles) for name in there}
        self.at_rest = [
            vm for name in lost for vm in cluster.vms_by_node[name] if vm.clustered and vm.state in ("off", "saved")
        ]
        self.owner = {volume.name: volume.owner for volume in cluster.volumes}
        self.done = HandedOver()

    def all_of_it(self) -> HandedOver:
        for volume in self.cluster.volumes:
            self._volume(volume)
        for vm in self.at_rest:
            self._vm(vm)
        for role in self.cluster.roles:
            if role.node in self.lost:
                self._role(role.name, role.node)
        return self.done

    # -------------------------------------------------------------- volumes

    def _volume(self, volume: Volume) -> None:
        user = self._user(volume)
        if volume.owner not in self.lost and (user in (None, volume.owner) or not self._is_started(volume)):
            return
        reaching = [name for name in self.owned if not volume.reachable_from or name in volume.reachable_from]
        if not reaching:
            self.done.stuck.append(self._unreached(volume))
            return
        target = user if user is not None and user in reaching else self._new_owner(volume, reaching)
        self.owned[target] += 1
        self.owner[volume.name] = target
        self.done.volume_moves.append(
            VolumeMove(volume=volume.name, source=volume.owner, target=target, start_s=self.at_s)
        )

    def _user(self, volume: Volume) -> str | None:
        """Where the VM restarts, or else runs, that the disk follows (R11)."""
        users = self._users(volume.name)
        started = [node for name, node in users.items() if name in self.targets]
        return next(iter(started or users.values()), None)

    def _users(self, disk: str) -> dict[str, str]:
        """VM → node of those that run on with this disk, or restart."""
        found = {}
        for vm in self.cluster.vms_by_disk.get(disk, ()):
            if vm.name in self.targets:
                found[vm.name] = self.targets[vm.name]
            elif vm.holds_memory and vm.node not in self.lost:
                found[vm.name] = vm.node
        return found

    def _is_started(self, volume: Volume) -> bool:
        return any(vm.name in self.targets for vm in self.cluster.vms_by_disk.get(volume.name, ()))

    def _new_owner(self, volume: Volume, reaching: Sequence[str]) -> str:
        """A node that takes VMs rather than a paused one, of these where what is off on it may go, and owns fewest."""
        on_it = [vm for vm in self.at_rest if volume.kind == "disk" and volume.name in vm.volumes]
        takes = [name for name in reaching if name in self.nodes]
        welcome = {name: sum(name in self.fit.of(vm) for vm in on_it) for name in takes}
        return min(takes or reaching, key=lambda name: (-welcome.get(name, 0), self.owned[name]))

    def _unreached(self, volume: Volume) -> Finding:
        on_it = [vm.name for vm in self.cluster.vms if volume.name in vm.volumes and vm.state != "off"]
        needs = f", and what needs it does not run: {listed(on_it)}" if on_it else ""
        return Finding(
            rule="I7",
            severity="warning",
            subject=f"volume {volume.name}",
            message=f"no node that is left reaches {volume.name}: it stays without an owner, offline{needs}",
            remedy=f"connect another node to {volume.name}, or bring {listed(volume.reachable_from)} back"
            if volume.reachable_from
            else "bring a node back",
        )

    # -------------------------------------------------------------- VMs that do not run, and other roles

    def _vm(self, vm: VirtualMachine) -> None:
        follows = {node for disk in disks_of(self.cluster, vm) for node in self._with(disk)}
        able = [name for name in self.fit.of(vm) if follows <= {name}]
        if not able:
            self.done.unplaced[vm.name] = self._against(vm)
            return
        calm = [name for name in able if not self._breaks_rule(vm, name)] or able
        wished = next((name for name in vm.preferred_owners if name in calm), None)
        target = wished if wished is not None else min(calm, key=self.held.__getitem__)
        self._hand(vm.name, vm.node, target)

    def _with(self, disk: str) -> set[str]:
        """The node that whoever is on the disk must be on; several where that cannot be."""
        return set(self._users(disk).values()) or {self.owner[disk]}

    def _breaks_rule(self, vm: VirtualMachine, node: str) -> bool:
        """A VM that does not run breaks no rule yet; better it never has to be moved for one."""
        for rule in self.cluster.rules_by_vm.get(vm.name, ()):
            apart = rule.kind == "different_node"
            if rule.kind in ("different_node", "same_node"):
                others = {self.targets.get(name, self.cluster.vm_by_name[name].node) for name in rule.vms}
                others.difference_update(self.lost)
                if others and (node in others) is apart:
                    return True
        return False

    def _against(self, vm: VirtualMachine) -> tuple[Verdict, ...]:
        found: list[Verdict] = []
        for node in self.cluster.nodes:
            if node.name == vm.node:
                continue
            if node.name in self.lost:
                found.append(lost_too(node.name))
                continue
            ask = Question(self.cluster, vm, node)
            found += (verdict for check in RESUME for verdict in check(ask))
            for disk in disks_of(self.cluster, vm):
                if node.name in self.nodes and self._with(disk) != {node.name}:
                    where = listed(sorted(self._with(disk)))
                    reason = f"disk {disk}, on which {vm.name} is, is then on {where}"
                    if self.owner[disk] in self.lost:
                        reason = f"disk {disk}, on which {vm.name} is, has no living owner"
                    remedy = f"give {vm.name} a disk of its own, or make {where} fit for it"
                    found.append(Verdict(target=node.name, rule="R11", reason=reason, remedy=remedy))
        return tuple(found)

    def _role(self, name: str, node: str) -> None:
        takes = [other for other in self.held if other in self.nodes] or list(self.held)
        if takes:
            self._hand(name, node, min(takes, key=self.held.__getitem__))
            return
        self.done.stuck.append(
            Finding(
                rule="R16",
                severity="warning",
                subject=f"role {name}",
                message=f"{name} stays on {node}: no node is left that could take it",
                remedy="bring a node back",
            )
        )

    def _hand(self, name: str, source: str, target: str) -> None:
        self.held[target] += 1
        self.done.role_moves.append(RoleMove(name=name, source=source, target=target, start_s=self.at_s))


def lost_too(node: str) -> Verdict:
    return Verdict(target=node, rule="R01", reason=f"{node} is lost, too", remedy="bring one of the lost nodes back")
