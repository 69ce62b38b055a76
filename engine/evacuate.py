"""Emptying nodes (R16): pause, move running VMs live, then what is off or saved, then volumes, then look.

A node is paused without the cluster's own drain, so that the pairing stays ours (R15). A finished evacuation leaves it
paused; a run that ends before its first move undoes its own pause (I8).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from shunter.clusters.port import ClusterPort, Unreachable
from shunter.engine import report
from shunter.engine.audience import Audience, Waiting
from shunter.engine.care import Care
from shunter.engine.crew import Crew
from shunter.engine.direct_io import planned_on_direct_io
from shunter.engine.dispatch import Dispatcher
from shunter.engine.goals import Emptied
from shunter.engine.holds import Holds
from shunter.engine.lives import Lives
from shunter.engine.looking import change_or_stop, look
from shunter.engine.migrate import StartMigration, run_here
from shunter.engine.pausing import Pausing
from shunter.engine.rest import Rest
from shunter.engine.stop import Stop
from shunter.statemachines import node as node_life
from shunter.topology.choosing import ReserveNodes
from shunter.topology.eligibility import verdicts
from shunter.topology.memory import memory
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.plan import Finding, Move, Plan
from shunter.topology.planning import emptied_nodes, leaving, plan_evacuation
from shunter.topology.precautions import Precautions
from shunter.topology.preflight import with_requirements

RESTART_PATIENCE_S = 180.0
MOST_RETURNS = 3


async def evacuate(
    cluster: ClusterPort,
    nodes: Sequence[str],
    *,
    reserve_nodes: ReserveNodes = "auto",
    precautions: Precautions | None = None,
    holds: Holds,
    audience: Audience,
    start: StartMigration = run_here,
    stop: Stop | None = None,
    undo_pause: bool = False,
) -> Plan:
    """Empty these nodes; return the report, or the plan itself (`executed` false) when a finding forbids the run.

    `precautions`: what is done about backups and drifted configurations; by default backups are waited for.
    `start` carries a single migration out. `stop` asks the run to end early; cancelling it does the same, and then
    CancelledError is raised once every VM is in a known place. `undo_pause`: resume what we paused if stopped early.
    Raises RequestError (unknown node): nothing was touched; and Unreachable, which says what had been touched, if
    anything.
    """
    precautions = precautions or Precautions()
    seen = await cluster.look()
    emptied = emptied_nodes(seen, nodes)

    def planned(seen: Cluster) -> Plan:
        return with_requirements(seen, plan_evacuation(seen, emptied, reserve_nodes, precautions))

    seen, plan = await planned_on_direct_io(cluster, seen, planned, audience)
    started_s = cluster.clock.now_s()
    audience.planned(plan, started_s)
    if plan.errors:
        return plan
    run = _Evacuation(
        cluster, plan, emptied, reserve_nodes, precautions, holds, audience, start, stop or Stop(), undo_pause, seen
    )
    return await run.carry_out(started_s)


@dataclass(slots=True, eq=False)
class _Evacuation:
    cluster: ClusterPort
    plan: Plan
    emptied: tuple[str, ...]
    reserve_nodes: ReserveNodes
    precautions: Precautions
    holds: Holds
    audience: Audience
    start: StartMigration
    stop: Stop
    undo_pause: bool
    before: Cluster
    lives: Lives = field(init=False)
    care: Care = field(init=False)
    pausing: Pausing = field(init=False)
    crew: Crew = field(init=False)
    dispatcher: Dispatcher = field(init=False)
    rest: Rest = field(init=False)

    def __post_init__(self) -> None:
        to_leave = [vm.name for vm in leaving(self.before, self.emptied)]
        self.lives = Lives(self.before, to_leave, self.cluster.clock, self.audience)
        self.care = Care(self.precautions, self.cluster, self.lives)
        self.pausing = Pausing(self.cluster, self.lives)
        self.crew = Crew(self.cluster, self.holds, self.lives, self.audience, self.care, self.start)
        self.dispatcher = Dispatcher(Emptied(self.emptied, self.reserve_nodes), self.crew, self.stop)
        planned = {move.name: move.target for move in self.plan.role_moves}
        self.rest = Rest(
            self.cluster, self.lives, self.emptied, self.reserve_nodes, self.crew.tried, planned, self.care
        )

    async def carry_out(self, started_s: float) -> Plan:
        """Do it. Raises Unreachable when the cluster stays out of reach, and says what had been touched."""
        try:
            return await self._carry_out(started_s)
        except Unreachable as error:
            paused = ", ".join(self.pausing.ours) or "nothing"
            asked = "; ".join(errand.label for errand in self.crew.errands) or "nothing"
            raise Unreachable(
                f"{error}. Until then this run had paused {paused} and moved {asked}: look at these nodes and VMs, "
                "then run it again"
            ) from error

    async def _carry_out(self, started_s: float) -> Plan:
        cancelled: asyncio.CancelledError | None = None
        try:
            await self.pausing.pause(self.emptied)
            if not self.pausing.refused:
                await self._move_everything()
        except asyncio.CancelledError as error:
            # what follows only looks and gives back, and must happen all the same
            cancelled = error
            self.stop.request(running=self.stop.running)
        seen = await self._last_look()
        touched = bool(self.crew.errands or self.rest.role_moves or self.rest.volume_moves)
        if (self.stop.asked and self.undo_pause) or (self._occupied(seen) and not touched):
            await self.pausing.undo()
        if cancelled is not None:
            raise cancelled
        return await self._report(seen, started_s)

    async def _move_everything(self) -> None:
        seen = await look(self.cluster)
        self.lives.observe(seen)
        for name in self.emptied:
            life = self.lives.nodes[name]
            if life.state is node_life.State.PAUSED:
                self.lives.step(node_life.NODE, life, node_life.Event.DRAIN)
        to_move = {vm.name: vm for vm in leaving(seen, self.emptied) if vm.holds_memory}
        planned = [m for m in self.plan.moves if m.vm in to_move or self._still_makes_room(seen, m)]
        await self.dispatcher.run(seen, planned)
        for _ in range(MOST_RETURNS):
            back = await self._await_restarts()
            if self.stop.asked or not self._has_come_back(back):
                break
            await self.pausing.pause(self.emptied)
            await self.dispatcher.run(back, ())
        if not self.stop.asked:
            await self.rest.move_roles()
        if not self.stop.asked:
            await self._await_backups_of_volumes()
        if not self.stop.asked:
            await self.rest.move_volumes()

    def _still_makes_room(self, seen: Cluster, move: Move) -> bool:
        vm = seen.vm_by_name[move.vm]
        return move.source not in self.emptied and vm.holds_memory and vm.node == move.source

    async def _await_backups_of_volumes(self) -> None:
        """A volume whose I/O a backup redirects keeps its owner until that is done, as long as that may take."""
        backups = self.care.backups
        while True:
            seen = await self.care.attend(await look(self.cluster))
            self.lives.observe(seen)
            held = [v.name for v in seen.volumes if v.owner in self.emptied and backups.is_volume_waited_for(v.name)]
            if self.stop.asked or not held:
                return
            self.audience.waiting(tuple(map(backups.waiting_volume, held)))
            await change_or_stop(self.cluster, seen, self.care.changes_in_s() or RESTART_PATIENCE_S, self.stop)

    # -------------------------------------------------------------- the end

    async def _await_restarts(self) -> Cluster:
        """Give the cluster time to restart what a lost node ran; that is its own to do."""
        until_s = self.cluster.clock.now_s() + RESTART_PATIENCE_S
        while True:
            seen = await look(self.cluster)
            self.lives.observe(seen)
            left_s = until_s - self.cluster.clock.now_s()
            down = [*(vm.name for vm in self._crashed(seen)), *self.lives.incidents.lying(seen)]
            if self.stop.asked or left_s <= 0 or not down:
                return seen
            crashed = ", ".join(dict.fromkeys(down))
            self.audience.waiting((Waiting(crashed, "waits to be restarted by the cluster", until_s),))
            await change_or_stop(self.cluster, seen, left_s, self.stop)

    def _has_come_back(self, seen: Cluster) -> bool:
        """Whether VMs run again, or anew, on a node of ours that nobody has said to stay, or that can go by now."""
        return any(
            vm.holds_memory and (vm.name not in self.dispatcher.unplaced or self._can_go(seen, vm))
            for name in self.emptied
            if seen.node_by_name[name].state in ("up", "paused")
            for vm in seen.vms_by_node[name]
        )

    def _can_go(self, seen: Cluster, vm: VirtualMachine) -> bool:
        """Whether what stood against it has passed, as while a lost node was waited for."""
        return any(
            seen.free_mib(node.name) >= vm.memory_mib and not verdicts(seen, vm, node.name, emptied=self.emptied)
            for node in seen.nodes
        )

    async def _last_look(self) -> Cluster:
        await self._await_restarts()
        self.audience.waiting(())
        seen = await look(self.cluster)
        self.lives.observe(seen)
        for name in self.emptied:
            life = self.lives.nodes[name]
            if life.state is node_life.State.DRAINING:
                empty = not self._occupied_node(seen, name)
                event = node_life.Event.SEEN_EMPTY if empty else node_life.Event.STOP_DRAINING
                self.lives.step(node_life.NODE, life, event)
        return seen

    def _crashed(self, seen: Cluster) -> list[VirtualMachine]:
        """VMs that ran on our nodes at the start and run nowhere now."""
        return [
            vm
            for name in self.lives.vms
            if (vm := seen.vm_by_name[name]).state == "failed"
            and (was := self.before.vm_by_name[name]).holds_memory
            and was.node in self.emptied
        ]

    def _occupied(self, seen: Cluster) -> bool:
        return any(self._occupied_node(seen, name) for name in self.emptied)

    def _occupied_node(self, seen: Cluster, name: str) -> bool:
        under_way = any(name in (move.source, move.target) for move in seen.migrations)
        return under_way or bool(leaving(seen, (name,))) or any(volume.owner == name for volume in seen.volumes)

    async def _report(self, seen: Cluster, started_s: float) -> Plan:
        log = await self.cluster.migration_log()
        moves = report.moves(self.crew.errands, log, self.plan, started_s)
        self.rest.note_followers(self.crew.errands, seen, moves, started_s)
        known = self.dispatcher.unplaced | self.rest.unplaced
        unplaced = report.unplaced(
            seen, leaving(seen, self.emptied), self.emptied, known=known, why=lambda vm: self._why_it_stays(seen, vm)
        )
        known_before = {(finding.rule, finding.subject) for finding in self.plan.findings}
        came_up = [finding for about, finding in self.dispatcher.findings.items() if about not in known_before]
        findings = (
            *self.care.findings(self.plan.findings, seen),
            *came_up,
            *self.pausing.findings(),
            *self.rest.findings,
            *self.lives.incidents.findings(seen, started_s),
            *self._fates(seen, moves),
            *self._kept_by_backups(seen),
            *(under_way := self._under_way(seen)),
        )
        volumes_stay = any(volume.owner in self.emptied for volume in seen.volumes)
        in_doubt = any(move.outcome == "lost_sight" for move in moves)
        errors = any(finding.severity == "error" for finding in findings) or bool(self._crashed(seen))
        return Plan(
            cluster=self.plan.cluster,
            ok=not (unplaced or volumes_stay or under_way or in_doubt or errors or self.stop.asked),
            executed=True,
            reserve_nodes=self.plan.reserve_nodes,
            findings=findings,
            moves=moves,
            role_moves=self.rest.role_moves_since(started_s),
            volume_moves=self.rest.volume_moves_since(started_s),
            unplaced=unplaced,
            makespan_s=max((move.end_s for move in moves), default=0.0),
            lower_bound_s=self.plan.lower_bound_s,
            interrupted=self.stop.asked,
            degraded_backups=tuple(self.care.backups.degraded),
            memory=memory(self.before, seen, self.emptied, self.plan.reserve_nodes),
        )

    def _why_it_stays(self, seen: Cluster, vm: VirtualMachine) -> report.Why:
        state = seen.node_by_name[vm.node].state
        if state not in ("up", "paused"):
            return report.Why(f"{vm.node} is {state}: nothing can be moved from it until it is back")
        if self.stop.asked:
            return report.Why("the run was stopped before it could move")
        if waits_for := self.care.why_nothing_moves(seen):
            return report.Why(waits_for)
        if denied := report.why_denied(self.crew.denied()):
            return denied
        was_here = self.before.vm_by_name[vm.name].node == vm.node
        return report.Why("it could not be moved" if was_here else "it came to this node during the run")

    def _under_way(self, seen: Cluster) -> list[Finding]:
        """Migrations of others that have not ended within our patience."""
        return [
            Finding(
                rule="R15",
                severity="warning",
                subject=f"vm {move.vm}",
                message=f"{move.vm} is still on its way from {move.source} to {move.target}, moved by somebody else",
                remedy="wait until this migration is over, then run it again",
            )
            for move in seen.migrations
            if move.source in self.emptied or move.target in self.emptied
        ]

    def _kept_by_backups(self, seen: Cluster) -> list[Finding]:
        """Volumes that stay because their backup would break if their owner changed."""
        return [
            Finding(
                rule="R17",
                severity="warning",
                subject=f"volume {volume.name}",
                message=f"{volume.name} stays with {volume.owner}: a backup that redirects its I/O is still under way",
                remedy=f"wait until the backup of {volume.name} is done, then run it again",
            )
            for volume in seen.volumes
            if volume.owner in self.emptied and self.care.holds_volume(seen, volume.name)
        ]

    def _fates(self, seen: Cluster, moves: Sequence[Move]) -> list[Finding]:
        """VMs that are not where this run left them: restarted by the cluster, moved by somebody, or failed."""
        moved = {move.vm: move.target for move in moves if move.outcome == "done"}
        moved |= {move.name: move.target for move in self.rest.role_moves}
        found = []
        for name in self.lives.vms:
            vm, was = seen.vm_by_name[name], self.before.vm_by_name[name]
            if was.node not in self.emptied:
                continue
            crashed = vm.state == "failed" and was.holds_memory
            if not crashed and (vm.node in self.emptied or vm.node == moved.get(name)):
                continue
            by_us = f"was moved to {moved[name]} and" if name in moved else f"left {was.node} without us:"
            message = f"{name} {by_us} it is {vm.state} on {vm.node} now"
            remedy = f"check its service if it was restarted; the cluster's log on {was.node} tells who moved it"
            if crashed:
                message = f"{name} ran on {was.node} and is failed on {vm.node} now: the cluster did not restart it"
                remedy = f"start it where it fits (Start-ClusterGroup {name}), or free memory for it"
            found.append(Finding(rule="I2", severity="warning", subject=f"vm {name}", message=message, remedy=remedy))
        return found
