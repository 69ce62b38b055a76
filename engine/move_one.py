"""One VM goes live to one node that was asked for (R01, R09)."""

from __future__ import annotations

from shunter.clusters.port import ClusterPort
from shunter.engine import report
from shunter.engine.audience import Audience
from shunter.engine.care import Care
from shunter.engine.crew import Crew
from shunter.engine.direct_io import planned_on_direct_io
from shunter.engine.dispatch import Dispatcher
from shunter.engine.goals import MovedTo
from shunter.engine.holds import Holds
from shunter.engine.lives import Lives
from shunter.engine.migrate import StartMigration, run_here
from shunter.engine.stop import Stop
from shunter.topology.memory import memory
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.planning import plan_migration
from shunter.topology.precautions import Precautions
from shunter.topology.preflight import with_requirements


async def move_one(
    cluster: ClusterPort,
    vm: str,
    target: str,
    *,
    precautions: Precautions | None = None,
    holds: Holds,
    audience: Audience,
    start: StartMigration = run_here,
    stop: Stop | None = None,
) -> Plan:
    """Move one running VM to `target`; return the report, or the plan itself where the VM may not go there.

    `precautions`: what is done about a backup of it, and about a drifted configuration; by default a backup is waited
    for. Raises RequestError (unknown VM or node) and Unreachable; nothing was touched then.
    """
    care_for = precautions or Precautions()

    def planned(seen: Cluster) -> Plan:
        return with_requirements(seen, plan_migration(seen, vm, target, care_for))

    before, plan = await planned_on_direct_io(cluster, await cluster.look(), planned, audience)
    started_s = cluster.clock.now_s()
    audience.planned(plan, started_s)
    if plan.errors or not (plan.moves or _is_only_held(plan)):
        return plan
    goal = MovedTo(before.find_vm(vm).name, before.find_node(target).name)
    lives = Lives(before, [goal.vm], cluster.clock, audience)
    care = Care(care_for, cluster, lives)
    stop = stop or Stop()
    crew = Crew(cluster, holds, lives, audience, care, start)
    dispatcher = Dispatcher(goal, crew, stop)
    await dispatcher.run(before, plan.moves)
    seen = await cluster.look()
    moves = report.moves(crew.errands, await cluster.migration_log(), plan, started_s)
    # a plan that had to wait for a backup knows nothing of what follows the VM
    plan = plan if plan.moves else planned(before.with_backups({goal.vm: False}))
    why = report.why_denied(crew.denied()) or report.Why("it could not be moved")
    if stop.asked:
        why = report.Why("the run was stopped before it could move")
    staying = [] if seen.vm_by_name[goal.vm].node == goal.target else [seen.vm_by_name[goal.vm]]
    findings = care.findings(plan.findings, seen)
    return plan.model_copy(
        update={
            "executed": True,
            "ok": not (staying or any(finding.severity == "error" for finding in findings)),
            "findings": findings,
            "moves": moves,
            "role_moves": tuple(m for m in plan.role_moves if seen.vm_by_name[m.name].node == m.target),
            "volume_moves": tuple(m for m in plan.volume_moves if seen.volume_by_name[m.volume].owner == m.target),
            "unplaced": report.unplaced(seen, staying, (), known=dispatcher.unplaced, why=lambda _: why),
            "makespan_s": max((move.end_s for move in moves), default=0.0),
            "interrupted": stop.asked,
            "degraded_backups": tuple(care.backups.degraded),
            "memory": memory(before, seen, (), 0),
        }
    )


def _is_only_held(plan: Plan) -> bool:
    """Whether nothing but a backup stands against the move: the run waits for that."""
    against = [verdict for stays in plan.unplaced for verdict in stays.verdicts]
    return bool(against) and all(verdict.rule == "R17" for verdict in against)
