"""What leaves a node after its running VMs: VMs that are off or saved, other roles, and the ownership of volumes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from shunter.clusters.port import ClusterPort, Failed, OutcomeUnknown, Refused
from shunter.engine.care import Care
from shunter.engine.followers import Followers, followers
from shunter.engine.lives import Lives
from shunter.engine.looking import look, within_deadline
from shunter.engine.migrate import Errand
from shunter.statemachines import vm as vm_life
from shunter.statemachines import volume as volume_life
from shunter.topology.choosing import ReserveNodes, choose_targets
from shunter.topology.eligibility import verdicts
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.placement import Placement
from shunter.topology.plan import Finding, Move, RoleMove, Verdict, VolumeMove
from shunter.topology.planning import leaving, plan_role_moves, plan_volume_moves
from shunter.topology.reasons import Tried

MOST_TRIES = 3


@dataclass(slots=True, eq=False)
class Rest:
    """Moves what does not run, as `planned` where that still holds. `avoided`: nodes that are given nothing as long as
    there are others, the first of them least of all. `one_volume`: held while a volume changes its owner; shared by all
    that move volumes in a run.

    `*_moves`: what a look confirmed; `unplaced`: VMs that stay, and why.
    """

    cluster: ClusterPort
    lives: Lives
    emptied: tuple[str, ...]
    reserve_nodes: ReserveNodes
    tried: Tried
    planned: Mapping[str, str]
    care: Care | None = None
    avoided: Sequence[str] = ()
    one_volume: asyncio.Lock = field(default_factory=asyncio.Lock)
    role_moves: list[RoleMove] = field(default_factory=list)
    volume_moves: list[VolumeMove] = field(default_factory=list)
    unplaced: dict[str, tuple[Verdict, ...]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    async def move_roles(self) -> None:
        """VMs that are off or saved, then other roles. Every try begins with a look, so nothing is done twice."""
        tried = dict(self.tried)
        for _ in range(MOST_TRIES):
            seen = await look(self.cluster)
            self.lives.observe(seen)
            vms = [vm for vm in leaving(seen, self._up(seen)) if not vm.holds_memory]
            for vm in vms:
                self.lives.take_in(vm)
            placement = self._placement(seen, vms, tried)
            self.unplaced = placement.unplaced
            if not placement.targets:
                break
            going = dict(placement.targets)
            for name, chosen in placement.targets.items():
                others = {vm: target for vm, target in going.items() if vm != name}
                target = going[name] = self._as_planned(seen, name, tried, others) or chosen
                refused = await self.move_vm(name, seen.vm_by_name[name].node, target)
                if refused:
                    tried[name, target] = refused
                    self.unplaced[name] = tuple(verdict for (vm, _), verdict in tried.items() if vm == name)
        for _ in range(MOST_TRIES):
            seen = await look(self.cluster)
            planned = plan_role_moves(self._offered(seen), self._up(seen), 0.0)
            if not planned:
                break
            for move in planned:
                await self.move_role(move)

    def _placement(self, seen: Cluster, vms: Sequence[VirtualMachine], tried: Tried) -> Placement:
        offered = choose_targets(self._offered(seen), vms, self.emptied, 0, tried=tried, search=False).placement
        if not offered.unplaced or not self.avoided:
            return offered
        return choose_targets(seen, vms, self.emptied, 0, tried=tried, search=False).placement

    def _offered(self, seen: Cluster) -> Cluster:
        """The cluster without what is to be avoided; with some of it, the last first, where nothing else is there."""
        up = {node.name for node in seen.nodes if node.state == "up"} - set(self.emptied)
        avoided = [name for name in self.avoided if name in up]
        while avoided and not up - set(avoided):
            avoided.pop()
        if not avoided:
            return seen
        return seen.with_nodes(
            tuple(n.model_copy(update={"state": "paused"}) if n.name in avoided else n for n in seen.nodes)
        )

    def _as_planned(self, seen: Cluster, name: str, tried: Tried, others: Mapping[str, str]) -> str | None:
        """The target that the plan named, if nothing stands against it now. `others`: VM → node, where these go."""
        target = self.planned.get(name)
        if target is None or (name, target) in tried:
            return None
        return None if verdicts(seen, seen.vm_by_name[name], target, promised=others) else target

    async def move_vm(self, name: str, source: str, target: str) -> Verdict | None:
        """Move one VM that does not run, unless it went along with another; the verdict if that was refused."""
        life = self.lives.vms[name]
        before = await look(self.cluster)
        if before.vm_by_name[name].node != source or before.vm_by_name[name].holds_memory:
            return None
        if self.care is not None:
            await self.care.drift.refresh(before.vm_by_name[name])
        refusal = None
        self.lives.step(vm_life.VM, life, vm_life.Event.CHANGE_NODE, f"to {target}")
        at_s = self.cluster.clock.now_s()
        try:
            async with within_deadline(self.cluster.clock, vm_life.STATES[life.state]):
                await self.cluster.move_role(name, target)
        except OutcomeUnknown as error:
            self.lives.step(vm_life.VM, life, vm_life.Event.ANSWER_LOST, str(error))
        except (Refused, Failed) as error:
            remedy = f"move it by hand (Move-ClusterGroup {name} -Node {target}) and see what the cluster says"
            refusal = Verdict(target=target, rule="R16", reason=f"the cluster refused: {error}", remedy=remedy)
        seen = await look(self.cluster)
        self.lives.observe_vm(seen.vm_by_name[name], life)
        if seen.vm_by_name[name].node == target:
            self.role_moves.append(RoleMove(name=name, source=source, target=target, start_s=at_s))
            self.note(followers(before, seen, name, target), source, target, at_s)
        return refusal

    async def move_role(self, move: RoleMove) -> None:
        at_s = self.cluster.clock.now_s()
        problem = ""
        try:
            async with within_deadline(self.cluster.clock, vm_life.STATES[vm_life.State.CHANGING_NODE]):
                await self.cluster.move_role(move.name, move.target)
        except (OutcomeUnknown, Refused, Failed) as error:
            problem = str(error)
        seen = await look(self.cluster)
        if any(role.name == move.name and role.node == move.target for role in seen.roles):
            self.role_moves.append(move.model_copy(update={"start_s": at_s}))
        elif problem:
            self._say("R16", f"role {move.name}", f"{move.name} stays on {move.source}: {problem}")

    async def move_volumes(self) -> None:
        """Give every volume of the emptied nodes another owner that is up (I7), one at a time. One whose backup is
        under way, and is waited for, stays: its backup would break.
        """
        stuck: Sequence[Finding] = ()
        for _ in range(MOST_TRIES):
            seen = await look(self.cluster)
            self.lives.observe(seen)
            staying = {vm.name: vm.node for vm in seen.vms if vm.node not in self.emptied}
            planned, stuck = plan_volume_moves(self._offered(seen), self._up(seen), staying, (), 0.0)
            if stuck:
                planned, stuck = plan_volume_moves(seen, self._up(seen), staying, (), 0.0)
            planned = tuple(move for move in planned if not (self.care and self.care.holds_volume(seen, move.volume)))
            if not planned:
                break
            for move in planned:
                async with self.one_volume:
                    await self.move_volume(move)
        self.findings += stuck

    async def move_volume(self, move: VolumeMove) -> None:
        life = self.lives.volumes[move.volume]
        if life.state not in volume_life.SERVING:
            return
        self.lives.step(volume_life.VOLUME, life, volume_life.Event.CHANGE_OWNER, f"to {move.target}")
        at_s = self.cluster.clock.now_s()
        problem = ""
        try:
            async with within_deadline(self.cluster.clock, volume_life.STATES[life.state]):
                await self.cluster.move_volume(move.volume, move.target)
        except OutcomeUnknown as error:
            problem = str(error)
            self.lives.step(volume_life.VOLUME, life, volume_life.Event.ANSWER_LOST, problem)
        except (Refused, Failed) as error:
            problem = str(error)
        volume = (await look(self.cluster)).volume_by_name[move.volume]
        self.lives.observe_volume(volume.state, life, f"owned by {volume.owner}")
        if volume.owner == move.target:
            self.volume_moves.append(move.model_copy(update={"start_s": at_s}))
        elif problem:
            self._say("I7", f"volume {move.volume}", f"{move.volume} stays with {volume.owner}: {problem}")

    def note_followers(self, errands: Iterable[Errand], seen: Cluster, moves: Sequence[Move], started_s: float) -> None:
        """What followed the VMs of these errands. `seen`: the last look; `moves`: the report's, whose seconds count
        from `started_s`.
        """
        ends: dict[tuple[str, str], list[float]] = {}
        for move in moves:
            if move.outcome == "done":
                ends.setdefault((move.vm, move.target), []).append(started_s + move.end_s)
        for errand in errands:
            errand.look_back(seen)
            if errand.came_along != Followers():
                ended_s = started_s if errand.ended_s is None else errand.ended_s
                known_s = ends.get((errand.migration.vm, errand.migration.target), [ended_s])
                # a VM may have come there several times
                arrived_s = min(known_s, key=lambda end_s: abs(end_s - ended_s))
                self.note(errand.came_along, *errand.nodes, arrived_s)

    def note(self, came_along: Followers, source: str, target: str, at_s: float) -> None:
        """What followed a VM that shares a disk with it was moved by us, too (R11)."""
        self.role_moves += [RoleMove(name=n, source=source, target=target, start_s=at_s) for n in came_along.vms]
        self.volume_moves += [
            VolumeMove(volume=disk, source=owner, target=target, start_s=at_s) for disk, owner in came_along.disks
        ]

    def role_moves_since(self, started_s: float) -> tuple[RoleMove, ...]:
        return tuple(move.model_copy(update={"start_s": move.start_s - started_s}) for move in self.role_moves)

    def volume_moves_since(self, started_s: float) -> tuple[VolumeMove, ...]:
        return tuple(move.model_copy(update={"start_s": move.start_s - started_s}) for move in self.volume_moves)

    def _up(self, seen: Cluster) -> tuple[str, ...]:
        """Those of the emptied nodes that are members; what a lost node ran is the cluster's to bring back."""
        return tuple(name for name in self.emptied if seen.node_by_name[name].state in ("up", "paused"))

    def _say(self, rule: str, subject: str, message: str) -> None:
        self.findings.append(
            Finding(rule=rule, severity="warning", subject=subject, message=message, remedy="move it by hand")
        )
