"""What a command hands over to be run: a flow, what it will do, and how its cluster is simulated where it is."""

# ruff: noqa: PLC0415  (Prefect reads its settings while it is imported: not before they are made)
from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shunter.clusters.simulated import Fault
from shunter.commands.cluster_choice import cluster_of_file, is_file
from shunter.commands.returning import Asked as Return
from shunter.commands.rolling import Asked
from shunter.commands.screens.words import listed
from shunter.engine.failover import failover_of
from shunter.engine.rolling import Budget
from shunter.topology.choosing import ReserveNodes
from shunter.topology.failover import lost_nodes
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.planning import emptied_nodes, plan_evacuation, plan_migration
from shunter.topology.precautions import USUAL_PRECAUTIONS, Precautions, is_held_by_backups
from shunter.topology.repair import plan_repair
from shunter.topology.rolling.policy import wanted_nodes


@dataclass(frozen=True, slots=True)
class Job:
    """A flow to run here. `plan`: what it will do, from a look at the cluster; `flow`: starts it (imports included).

    `nodes`: those that will be empty, for headlines. `speed` None: real time. Of a cluster that is simulated here:
    `log`, for its witness log, and `faults`, what goes wrong in it. `waits_for_backups`: a plan that moves nothing
    because backups hold VMs is carried out all the same.
    """

    title: str
    cluster: str
    plan: Callable[[Cluster], Plan]
    flow: Callable[[], Awaitable[Plan]]
    nodes: Sequence[str] = ()
    speed: float | None = None
    log: Path | None = None
    faults: Sequence[Fault] = ()
    waits_for_backups: bool = False

    def is_in_vain(self, plan: Plan) -> bool:
        """Whether the flow would touch nothing."""
        if plan.errors:
            return True
        waits = (self.waits_for_backups and is_held_by_backups(plan)) or plan.resumes
        return not (plan.moves or plan.role_moves or plan.maintenance or self.nodes or waits)


def evacuation(
    nodes: Sequence[str],
    cluster: str,
    *,
    reserve_nodes: ReserveNodes = "auto",
    precautions: Precautions = USUAL_PRECAUTIONS,
    speed: float | None = None,
    undo_pause: bool = False,
    log: Path | None = None,
) -> Job:
    """Raises RequestError for an unknown node."""
    names = emptied_nodes(cluster_of_file(cluster), nodes) if is_file(cluster) else tuple(nodes)

    async def flow() -> Plan:
        from shunter.flows.evacuate import evacuate_nodes

        return await evacuate_nodes(
            cluster,
            list(names),
            reserve_nodes,
            speed,
            undo_pause=undo_pause,
            backups=precautions.backups,
            backup_limit_s=precautions.backup_limit_s,
            refresh_drifted=precautions.refresh_drifted,
        )

    def plan(seen: Cluster) -> Plan:
        return plan_evacuation(seen, names, reserve_nodes, precautions)

    return Job(f"Emptying {listed(names)}", cluster, plan, flow, names, speed, log)


def repair(
    cluster: str, *, reserve_nodes: ReserveNodes = "auto", speed: float | None = None, log: Path | None = None
) -> Job:
    async def flow() -> Plan:
        from shunter.flows.repair import repair_placement

        return await repair_placement(cluster, reserve_nodes, speed)

    return Job("Bringing the cluster in order", cluster, lambda c: plan_repair(c, reserve_nodes), flow, (), speed, log)


def failover(nodes: Sequence[str], cluster: str, *, speed: float | None = None, log: Path | None = None) -> Job:
    """Raises RequestError for an unknown node."""
    names = lost_nodes(cluster_of_file(cluster), nodes) if is_file(cluster) else tuple(nodes)

    async def flow() -> Plan:
        from shunter.flows.failover import failover

        return await failover(cluster, list(names), speed)

    return Job(f"Failing over {listed(names)}", cluster, lambda seen: failover_of(seen, names), flow, names, speed, log)


def returning(asked: Return, cluster: str, *, speed: float | None = None, log: Path | None = None) -> Job:
    """Raises RequestError for an unknown node, or a file of homes that is none."""
    if is_file(cluster):
        cluster_of_file(cluster).find_node(asked.node)
    homes = dict(asked.homes) if asked.homes is not None else None

    async def flow() -> Plan:
        from shunter.flows.resume import resume_node

        return await resume_node(
            cluster,
            asked.node,
            asked.failback,
            homes,
            asked.reserve_nodes,
            asked.whoever_paused,
            speed,
            backups=asked.precautions.backups,
            backup_limit_s=asked.precautions.backup_limit_s,
            refresh_drifted=asked.precautions.refresh_drifted,
        )

    title = f"Bringing {asked.node} back"
    return Job(title, cluster, asked.plan, flow, (), speed, log, waits_for_backups=True)


def migration(
    vm: str,
    node: str,
    cluster: str,
    *,
    precautions: Precautions = USUAL_PRECAUTIONS,
    speed: float | None = None,
    log: Path | None = None,
) -> Job:
    async def flow() -> Plan:
        from shunter.flows.migrate import live_migrate

        return await live_migrate(
            cluster,
            vm,
            node,
            speed,
            backups=precautions.backups,
            backup_limit_s=precautions.backup_limit_s,
            refresh_drifted=precautions.refresh_drifted,
        )

    def plan(seen: Cluster) -> Plan:
        return plan_migration(seen, vm, node, precautions)

    return Job(f"Moving {vm} to {node}", cluster, plan, flow, (), speed, log, waits_for_backups=True)


def maintenance(
    asked: Asked,
    cluster: str,
    budget: Budget,
    *,
    speed: float | None = None,
    log: Path | None = None,
) -> Job:
    """Raises RequestError for an unknown node."""
    if is_file(cluster):
        wanted_nodes(cluster_of_file(cluster), asked.nodes, asked.policy)

    async def flow() -> Plan:
        from shunter.flows.maintain import rolling_maintenance

        policy = asked.policy
        return await rolling_maintenance(
            cluster,
            list(asked.nodes),
            maintenance_s=policy.maintenance_s,
            parallel=policy.parallel,
            reserve_nodes=policy.reserve_nodes,
            prefer=policy.prefer,
            window_s=policy.window_s,
            failback=policy.failback,
            first=list(policy.order),
            apart=[list(group) for group in policy.apart],
            one_fault_domain=policy.one_fault_domain,
            backups=policy.precautions.backups,
            backup_limit_s=policy.precautions.backup_limit_s,
            refresh_drifted=policy.precautions.refresh_drifted,
            retries=budget.retries,
            failed_nodes=budget.failed_nodes,
            warn_after_s=budget.warn_after_s,
            stop_after_s=budget.stop_after_s,
            speed=speed,
        )

    what = listed(asked.nodes) if asked.nodes else "all nodes"
    return Job(f"Maintaining {what}", cluster, asked.plan, flow, (), speed, log, waits_for_backups=True)
