"""Bringing a cluster in order: the moves of `plan_repair`, each start after a fresh look, then the proof by looking."""

from __future__ import annotations

from dataclasses import dataclass, field

from shunter.clusters.port import ClusterPort, Unreachable
from shunter.engine import report
from shunter.engine.audience import Audience
from shunter.engine.care import Care
from shunter.engine.crew import Crew
from shunter.engine.dispatch import Dispatcher
from shunter.engine.goals import InOrder
from shunter.engine.holds import Holds
from shunter.engine.lives import Lives
from shunter.engine.looking import look
from shunter.engine.migrate import StartMigration, run_here
from shunter.engine.rest import Rest
from shunter.engine.stop import Stop
from shunter.topology.choosing import ReserveNodes
from shunter.topology.memory import memory
from shunter.topology.model import Cluster
from shunter.topology.plan import Finding, Plan
from shunter.topology.precautions import Precautions
from shunter.topology.preflight import with_requirements
from shunter.topology.repair import choose_repair, plan_repair


async def repair(
    cluster: ClusterPort,
    *,
    reserve_nodes: ReserveNodes = "auto",
    holds: Holds,
    audience: Audience,
    start: StartMigration = run_here,
    stop: Stop | None = None,
) -> Plan:
    """Make the fewest live moves after which nothing stands where it must not; return the report, or the plan itself
    (`executed` false) when a finding forbids the run or nothing need move.

    `start`, `stop`, and cancelling it: as in `evacuate`. Raises RequestError: nothing was touched; and Unreachable,
    which says what had been touched, if anything.
    """
    seen = await cluster.look()
    plan = with_requirements(seen, plan_repair(seen, reserve_nodes))
    started_s = cluster.clock.now_s()
    audience.planned(plan, started_s)
    if plan.errors or not (plan.moves or plan.role_moves):
        return plan
    return await _Repair(cluster, plan, reserve_nodes, holds, audience, start, stop or Stop(), seen).carry_out(
        started_s
    )


@dataclass(slots=True, eq=False)
class _Repair:
    cluster: ClusterPort
    plan: Plan
    reserve_nodes: ReserveNodes
    holds: Holds
    audience: Audience
    start: StartMigration
    stop: Stop
    before: Cluster
    lives: Lives = field(init=False)
    care: Care = field(init=False)
    crew: Crew = field(init=False)
    dispatcher: Dispatcher = field(init=False)
    rest: Rest = field(init=False)

    def __post_init__(self) -> None:
        names = [*(move.vm for move in self.plan.moves), *(move.name for move in self.plan.role_moves)]
        self.lives = Lives(self.before, names, self.cluster.clock, self.audience)
        self.care = Care(Precautions(), self.cluster, self.lives)
        self.crew = Crew(self.cluster, self.holds, self.lives, self.audience, self.care, self.start)
        goal = InOrder(self.reserve_nodes, {move.vm: move.target for move in reversed(self.plan.moves)})
        self.dispatcher = Dispatcher(goal, self.crew, self.stop)
        self.rest = Rest(self.cluster, self.lives, (), self.reserve_nodes, self.crew.tried, {}, self.care)

    async def carry_out(self, started_s: float) -> Plan:
        """Do it. Raises Unreachable when the cluster stays out of reach, and says what had been touched."""
        try:
            await self.dispatcher.run(self.before, self.plan.moves)
            for role_move in () if self.stop.asked else self.plan.role_moves:
                await self.rest.move_vm(role_move.name, role_move.source, role_move.target)
            seen = await look(self.cluster)
        except Unreachable as error:
            asked = "; ".join(errand.label for errand in self.crew.errands) or "nothing"
            message = f"{error}. Until then this run had moved {asked}: look at these VMs, then run it again"
            raise Unreachable(message) from error
        self.lives.observe(seen)
        self.audience.waiting(())
        return await self._report(seen, started_s)

    async def _report(self, seen: Cluster, started_s: float) -> Plan:
        moves = report.moves(self.crew.errands, await self.cluster.migration_log(), self.plan, started_s)
        self.rest.note_followers(self.crew.errands, seen, moves, started_s)
        left = choose_repair(seen, 0)
        names = [*left.placement.unplaced, *left.placement.targets]
        why = report.why_denied(self.crew.denied()) or report.Why("it could not be moved in this run")
        if self.stop.asked:
            why = report.Why("the run was stopped before it could move")
        unplaced = report.unplaced(
            seen,
            [seen.vm_by_name[name] for name in dict.fromkeys(names)],
            (),
            known={**left.placement.unplaced, **self.dispatcher.unplaced},
            why=lambda _: why,
        )
        known = {(finding.rule, finding.subject) for finding in self.plan.findings}
        came_up = [finding for about, finding in self.dispatcher.findings.items() if about not in known]
        standing = [finding for finding in left.findings if (finding.rule, finding.subject) not in known]
        findings: tuple[Finding, ...] = (
            *self.care.findings(self.plan.findings, seen),
            *self.lives.incidents.findings(seen, started_s),
            *came_up,
            *standing,
        )
        in_doubt = any(move.outcome == "lost_sight" for move in moves)
        errors = any(finding.severity == "error" for finding in findings)
        return self.plan.model_copy(
            update={
                "executed": True,
                "ok": not (unplaced or in_doubt or errors or self.stop.asked),
                "findings": findings,
                "moves": moves,
                "role_moves": self.rest.role_moves_since(started_s),
                "volume_moves": self.rest.volume_moves_since(started_s),
                "unplaced": unplaced,
                "makespan_s": max((move.end_s for move in moves), default=0.0),
                "interrupted": self.stop.asked,
                "degraded_backups": tuple(self.care.backups.degraded),
                "memory": memory(self.before, seen, (), self.plan.reserve_nodes),
            }
        )
