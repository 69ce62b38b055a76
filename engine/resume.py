"""Bringing a node back: proof of its health by a fresh look, the order, a look that it takes VMs, then failback.

Resuming and moving are apart: the cluster's own failback is not used, so that the pairing and the reserve stay ours
(R15, I3). A node that was resumed stays so, whatever becomes of the moves.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from shunter.clusters.port import ClusterPort, Unreachable
from shunter.engine import report
from shunter.engine.audience import Audience, Waiting
from shunter.engine.care import Care
from shunter.engine.crew import Crew
from shunter.engine.direct_io import planned_on_direct_io
from shunter.engine.dispatch import Dispatcher
from shunter.engine.holds import Denied, Holds, hold_patiently
from shunter.engine.homeward import Homeward
from shunter.engine.lives import Lives
from shunter.engine.looking import change_or_stop, look
from shunter.engine.migrate import StartMigration, run_here
from shunter.engine.pausing import Pausing
from shunter.engine.rest import Rest
from shunter.engine.stop import Stop
from shunter.topology.choosing import ReserveNodes
from shunter.topology.homes import Before, FailbackPolicy, choose_homes
from shunter.topology.memory import memory
from shunter.topology.model import Cluster, VirtualMachine
from shunter.topology.plan import Finding, Move, Plan, Severity, Unplaced, Verdict
from shunter.topology.planning import scheduled
from shunter.topology.precautions import USUAL_PRECAUTIONS, Precautions
from shunter.topology.resuming import plan_resume

RESTART_PATIENCE_S = 180.0


async def resume(
    cluster: ClusterPort,
    node: str,
    *,
    failback: FailbackPolicy = "none",
    before: Before | None = None,
    reserve_nodes: ReserveNodes = "auto",
    whoever_paused: bool = False,
    precautions: Precautions = USUAL_PRECAUTIONS,
    holds: Holds,
    audience: Audience,
    start: StartMigration = run_here,
    stop: Stop | None = None,
) -> Plan:
    """Let a node take VMs again and take VMs back as `failback` says; return the report, or the plan itself (`executed`
    false) when a finding forbids the run or nothing is to be done.

    `before`: where VMs were, for `as-before`. `whoever_paused`: also a node that no run of ours paused (I8).
    `precautions`, `start`, `stop`, and cancelling it: as in `evacuate`. Raises RequestError (unknown node):
    nothing was touched; and Unreachable, which says what had been touched, if anything.
    """

    def planned(seen: Cluster) -> Plan:
        return plan_resume(
            seen,
            node,
            failback,
            before,
            reserve_nodes=reserve_nodes,
            whoever_paused=whoever_paused,
            precautions=precautions,
        )

    seen, plan = await planned_on_direct_io(cluster, await cluster.look(), planned, audience)
    started_s = cluster.clock.now_s()
    audience.planned(plan, started_s)
    if plan.errors or not (plan.resumes or plan.moves or plan.unplaced):
        return plan
    return await _Return(cluster, plan, precautions, holds, audience, start, stop or Stop(), seen).carry_out(started_s)


@dataclass(slots=True, eq=False)
class _Return:
    cluster: ClusterPort
    plan: Plan
    precautions: Precautions
    holds: Holds
    audience: Audience
    start: StartMigration
    stop: Stop
    before: Cluster
    node: str = field(init=False)
    lives: Lives = field(init=False)
    care: Care = field(init=False)
    pausing: Pausing = field(init=False)
    goal: Homeward = field(init=False)
    crew: Crew = field(init=False)
    dispatcher: Dispatcher = field(init=False)
    rest: Rest = field(init=False)
    asked: bool = False
    denied: Denied | None = None

    def __post_init__(self) -> None:
        assert self.plan.node is not None  # noqa: S101  the plan of a resume names its node
        self.node = self.plan.node
        homes = {move.vm: move.target for move in self.plan.moves}
        homes |= {stays.vm: stays.verdicts[0].target for stays in self.plan.unplaced}
        coming_along = [move.name for move in self.plan.role_moves]
        self.lives = Lives(self.before, [*homes, *coming_along], self.cluster.clock, self.audience)
        self.care = Care(self.precautions, self.cluster, self.lives)
        self.pausing = Pausing(self.cluster, self.lives)
        self.goal = Homeward(homes, self.plan.reserve_nodes)
        self.crew = Crew(self.cluster, self.holds, self.lives, self.audience, self.care, self.start)
        self.dispatcher = Dispatcher(self.goal, self.crew, self.stop)
        self.rest = Rest(self.cluster, self.lives, (), self.plan.reserve_nodes, self.crew.tried, {}, self.care)

    async def carry_out(self, started_s: float) -> Plan:
        """Do it. Raises Unreachable when the cluster stays out of reach, and says what had been touched."""
        try:
            return await self._carry_out(started_s)
        except Unreachable as error:
            resumed = f"asked for the return of {self.node}" if self.asked else "resumed nothing"
            moved = "; ".join(errand.label for errand in self.crew.errands) or "nothing"
            raise Unreachable(
                f"{error}. Until then this run had {resumed} and moved {moved}: look at the node and these VMs, then "
                "run it again"
            ) from error

    async def _carry_out(self, started_s: float) -> Plan:
        cancelled: asyncio.CancelledError | None = None
        try:
            if self.plan.resumes:
                await self._resume()
            if self.goal.homes and not self.stop.asked and self.denied is None:
                await self._take_back()
        except asyncio.CancelledError as error:
            cancelled = error
            self.stop.request(running=self.stop.running)
        seen = await self._last_look()
        if cancelled is not None:
            raise cancelled
        return await self._report(seen, started_s)

    # -------------------------------------------------------------- the node

    async def _resume(self) -> None:
        """Held meanwhile, so that no other run of ours begins a migration at it."""
        hold = await hold_patiently(
            self.holds, self.node, self.audience, self.cluster.clock, give_up=lambda: self.stop.asked
        )
        if isinstance(hold, Denied):
            self.denied = None if self.stop.asked else hold
            return
        try:
            self.lives.observe(await look(self.cluster))
            self.asked = not self.stop.asked
            if self.asked:
                await self.pausing.resume(self.node)
        finally:
            await hold.release()

    # -------------------------------------------------------------- failback

    async def _take_back(self) -> None:
        """From where everything stands now; if the node did not come back, that is what stands against it."""
        seen = await look(self.cluster)
        self.lives.observe(seen)
        open_ = {name: home for name, home in self.goal.away(seen).items() if name not in seen.heading}
        placement = choose_homes(self.care.as_decided_on(seen), open_, self.plan.reserve_nodes)
        await self.dispatcher.run(seen, scheduled(seen, placement))

    async def _last_look(self) -> Cluster:
        """Once the cluster has restarted what it lost meanwhile, or was waited for long enough."""
        until_s = self.cluster.clock.now_s() + RESTART_PATIENCE_S
        while True:
            seen = await look(self.cluster)
            self.lives.observe(seen)
            left_s, crashed = until_s - self.cluster.clock.now_s(), self._crashed(seen)
            if self.stop.asked or left_s <= 0 or not crashed:
                self.audience.waiting(())
                return seen
            names = ", ".join(vm.name for vm in crashed)
            self.audience.waiting((Waiting(names, "waits to be restarted by the cluster", until_s),))
            await change_or_stop(self.cluster, seen, left_s, self.stop)

    def _crashed(self, seen: Cluster) -> list[VirtualMachine]:
        return [seen.vm_by_name[name] for name in self.goal.homes if seen.vm_by_name[name].state == "failed"]

    # -------------------------------------------------------------- the report

    async def _report(self, seen: Cluster, started_s: float) -> Plan:
        moves = report.moves(self.crew.errands, await self.cluster.migration_log(), self.plan, started_s)
        self.rest.note_followers(self.crew.errands, seen, moves, started_s)
        unplaced = tuple(
            Unplaced(vm=name, node=seen.vm_by_name[name].node, verdicts=self._why_away(name, home))
            for name, home in self.goal.away(seen).items()
        )
        known = {(finding.rule, finding.subject) for finding in self.plan.findings}
        came_up = [finding for about, finding in self.dispatcher.findings.items() if about not in known]
        findings = (
            *self.care.findings(self.plan.findings, seen),
            *self.lives.incidents.findings(seen, started_s),
            *came_up,
            *self._of_node(seen),
            *self._fates(seen, moves),
        )
        in_doubt = any(move.outcome == "lost_sight" for move in moves)
        errors = any(finding.severity == "error" for finding in findings)
        return self.plan.model_copy(
            update={
                "executed": self.denied is None,
                "ok": not (unplaced or in_doubt or errors or self._crashed(seen) or self.stop.asked),
                "findings": findings,
                "moves": self.plan.moves if self.denied is not None else moves,
                "role_moves": self.rest.role_moves_since(started_s),
                "volume_moves": self.rest.volume_moves_since(started_s),
                "unplaced": unplaced,
                "makespan_s": max((move.end_s for move in moves), default=0.0),
                "interrupted": self.stop.asked,
                "degraded_backups": tuple(self.care.backups.degraded),
                "memory": memory(self.before, seen, (), self.plan.reserve_nodes) if self.goal.homes else (),
            }
        )

    def _why_away(self, name: str, home: str) -> tuple[Verdict, ...]:
        if self.stop.asked:
            reason, remedy = "the run was stopped before it could move", "run it again"
            return (Verdict(target=home, rule="R16", reason=reason, remedy=remedy),)
        known = (*self.goal.staying.get(name, ()), *self.dispatcher.unplaced.get(name, ()))
        reason, remedy = "it could not be moved in this run", "run it again"
        return tuple(verdict for verdict in known if verdict.target == home) or (
            Verdict(target=home, rule="R16", reason=reason, remedy=remedy),
        )

    def _of_node(self, seen: Cluster) -> list[Finding]:
        """What the last look says of the node, where that is not what was wanted."""
        state = seen.node_by_name[self.node].state
        if state == "up":
            return []
        severity: Severity = "error"
        if self.stop.asked and not self.asked:
            message, remedy, severity = f"{self.node} was not resumed: the run was stopped", "run it again", "warning"
        elif self.denied is not None:
            message, remedy = str(self.denied), "wait until it can be had, then run it again"
        elif state == "paused":
            why = self.pausing.not_resumed.get(self.node, "the cluster did not do it")
            message = f"{self.node} could not be resumed: {why}"
            remedy = f"resume it by hand (Resume-ClusterNode {self.node} -Failback NoFailback), then run it again"
        else:
            message = f"{self.node} is {state}: it went while it was brought back"
            remedy = "find out why; its own event log and that of the cluster tell"
        return [Finding(rule="I8", severity=severity, subject=f"node {self.node}", message=message, remedy=remedy)]

    def _fates(self, seen: Cluster, moves: tuple[Move, ...]) -> list[Finding]:
        """VMs that are not where this run left them: failed, restarted by the cluster, or moved by somebody."""
        done = {move.vm: move.target for move in moves if move.outcome == "done"}
        found = []
        for name in self.goal.homes:
            vm, was = seen.vm_by_name[name], self.before.vm_by_name[name]
            left_on = done.get(name, was.node)
            if vm.state == "failed":
                message = f"{name} ran on {left_on} and is failed on {vm.node} now: the cluster did not restart it"
                remedy = f"start it where it fits (Start-ClusterGroup {name}), or free memory for it"
            elif vm.node != left_on:
                message = f"{name} was left on {left_on}, and it is {vm.state} on {vm.node} now"
                remedy = f"check its service if it was restarted; the cluster's log on {left_on} tells who moved it"
            else:
                continue
            found.append(Finding(rule="I2", severity="warning", subject=f"vm {name}", message=message, remedy=remedy))
        return found
