"""Rolling maintenance: every node is emptied, maintained, proven to be back, and only then counted on again (I3–I6).

The plan is a forecast, not a script. Each turn of the loop begins with a fresh look, from which the same decision that
made the forecast says which VM starts now and which node leaves. Where the world is no longer as planned (a node fails,
VMs come and go), order and number of nodes at once are planned anew, and what is under way goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from shunter.clusters.port import ClusterError, ClusterPort
from shunter.engine.audience import Audience, Waiting
from shunter.engine.control import Control
from shunter.engine.direct_io import planned_on_direct_io
from shunter.engine.holds import Holds
from shunter.engine.looking import change_or_stop, look
from shunter.engine.maintenance import Action, Hooks, Reboot
from shunter.engine.migrate import StartMigration, run_here
from shunter.engine.rolling import Budget, Rolling
from shunter.statemachines.node import NODE, State
from shunter.topology.model import Cluster
from shunter.topology.plan import Finding, Plan, Untouched
from shunter.topology.preflight import with_requirements
from shunter.topology.quorum import MEMBER
from shunter.topology.rolling import RollingPolicy
from shunter.topology.rolling.hindrances import of_pause
from shunter.topology.rolling.lateness import in_what_is_left
from shunter.topology.rolling.policy import wanted_nodes
from shunter.topology.rolling.strategy import Strategy

__all__ = ["Budget", "maintain"]


async def maintain(
    cluster: ClusterPort,
    nodes: Sequence[str] = (),
    policy: RollingPolicy | None = None,
    *,
    holds: Holds,
    audience: Audience,
    start: StartMigration = run_here,
    control: Control | None = None,
    action: Action | None = None,
    hooks: Hooks | None = None,
    budget: Budget | None = None,
    planned: tuple[Plan, Strategy] | None = None,
    counts_from_s: float | None = None,
    done_since_s: float | None = None,
    away: Collection[str] = (),
    left_paused: Mapping[str, str] | None = None,
) -> Plan:
    """Take these nodes (none: all) through their maintenance; return the report, or the plan itself (`executed` false)
    when a finding forbids the run or no node can be maintained.

    `planned`: what `forecast` says of the cluster as it stands, where that is known already. `counts_from_s`: from when
    the window and the budget's seconds count, by the cluster's clock; None: from the plan. `done_since_s`: goes on
    with a run that was begun then (the cluster's clock): nodes that have started since count as done, and what it left
    paused by us takes VMs again, after its maintenance or without. `away`: nodes that it may have taken away; those
    that are not back are waited for first, as long as their maintenance may last, and those that are not done go
    first. `left_paused`: nodes that other runs have left paused on purpose, and which (node → run): they stay paused,
    and have no turn unless they are named. `control`: asked to stop, nothing new
    begins; what is away is brought back. Cancelling it does the same, and then CancelledError is raised.

    Raises RequestError (unknown node): nothing was touched; and Unreachable, which says what had been touched.
    """
    policy = policy or RollingPolicy()
    control = control or Control()
    seen = await _once_back(cluster, away, policy.maintenance_s, audience, control)
    gone_on_with = {*away, *(_paused_by_us(seen) if done_since_s is not None else ())} - (left_paused or {}).keys()
    kept = {} if nodes else _kept_paused(seen, gone_on_with, left_paused or {})
    if kept:
        nodes = [node.name for node in seen.nodes if node.name not in kept]
        policy = _without(policy, seen, kept)
    done = await _done_since(cluster, wanted_nodes(seen, nodes, policy), done_since_s)
    policy = _begun_first(policy, seen, [name for name in away if name in wanted_nodes(seen, nodes, policy)], done)
    left = [name for name in wanted_nodes(seen, nodes, policy) if name not in done]
    if done:
        policy = policy.model_copy(update={"order": tuple(n for n in policy.order if seen.find_node(n).name in left)})
    passed_s = 0.0 if counts_from_s is None else max(cluster.clock.now_s() - counts_from_s, 0.0)
    if done and not left:
        found, strategy = _nothing_left(seen, policy), Strategy((), 1)
    elif done or planned is None:
        found, strategy = in_what_is_left(_once_given_back(seen, done), left if done else nodes, policy, passed_s)
    else:
        found, strategy = planned
    said = tuple(_is_done(name, booted_s) for name, booted_s in done.items())
    found = found.model_copy(
        update={
            "findings": (*found.findings, *said),
            "untouched": (*(each for each in found.untouched if each.node not in kept), *kept.values()),
            "ok": found.ok and not kept,
        }
    )
    seen, plan = await planned_on_direct_io(cluster, seen, lambda seen: with_requirements(seen, found), audience)
    started_s = cluster.clock.now_s()
    audience.planned(plan, started_s)
    run = Rolling(
        cluster,
        plan,
        strategy,
        policy,
        holds,
        audience,
        start,
        control,
        action or Reboot(),
        hooks or Hooks(),
        budget or Budget(),
        seen,
        started_s,
        started_s if counts_from_s is None else counts_from_s,
        goes_on=done_since_s is not None,
        done=frozenset(done),
        left_paused=frozenset(left_paused or ()),
    )
    if plan.errors or not (plan.maintenance or run.pausing.ours or run.awaited.all):
        return plan
    return await run.carry_out()


async def _once_back(
    cluster: ClusterPort, away: Collection[str], maintenance_s: float, audience: Audience, control: Control
) -> Cluster:
    """A look that shows these nodes as members again, or that they do not come."""
    deadline = NODE.states[State.IN_MAINTENANCE].deadline
    assert deadline is not None  # noqa: S101  the table says so
    until_s = cluster.clock.now_s() + deadline.after_s(maintenance_s)
    seen = await cluster.look()
    while left := [node.name for node in seen.nodes if node.name in away and node.state not in MEMBER]:
        left_s = until_s - cluster.clock.now_s()
        if left_s <= 0 or control.asked:
            break
        reason = "was taken away by the run that this one goes on with, and is not back yet"
        audience.waiting(tuple(Waiting(f"node {name}", reason, until_s) for name in left))
        await change_or_stop(cluster, seen, left_s, control)
        seen = await look(cluster)
    audience.waiting(())
    return seen


async def _done_since(cluster: ClusterPort, nodes: Sequence[str], since_s: float | None) -> dict[str, float]:
    """Of these nodes those that have started since, and when."""
    found = {}
    for node in nodes if since_s is not None else ():
        try:
            booted_s = await cluster.booted_s(node)
        except ClusterError:
            continue  # what cannot be asked is not known to be done
        if booted_s is not None and since_s is not None and booted_s > since_s:
            found[node] = booted_s
    return found


def _without(policy: RollingPolicy, seen: Cluster, kept: Collection[str]) -> RollingPolicy:
    """The policy for a run in which these have no turn."""
    return policy.model_copy(update={"order": tuple(n for n in policy.order if seen.find_node(n).name not in kept)})


def _begun_first(policy: RollingPolicy, seen: Cluster, begun: Sequence[str], done: Collection[str]) -> RollingPolicy:
    """What an earlier run has half emptied goes first: its VMs have moved for it already."""
    first = [name for name in begun if name not in done]
    rest = [name for name in policy.order if seen.find_node(name).name not in first]
    return policy.model_copy(update={"order": (*first, *rest)})


def _paused_by_us(seen: Cluster) -> set[str]:
    return {node.name for node in seen.nodes if node.state == "paused" and node.paused_by == "us"}


def _kept_paused(seen: Cluster, gone_on_with: Collection[str], left_paused: Mapping[str, str]) -> dict[str, Untouched]:
    """The nodes that were paused before, and not by the run that this one goes on with: they stay so."""
    found = {node.name: of_pause(node, left_paused.get(node.name, "")) for node in seen.nodes}
    return {name: why for name, why in found.items() if why is not None and name not in gone_on_with}


def _nothing_left(seen: Cluster, policy: RollingPolicy) -> Plan:
    reserve = 0 if policy.reserve_nodes == "auto" else policy.reserve_nodes
    return Plan(kind="rolling_maintenance", cluster=seen.name, ok=True, reserve_nodes=reserve)


def _once_given_back(seen: Cluster, done: Collection[str]) -> Cluster:
    """As the cluster will be at once: what we left paused on nodes that are done is given back before anything else."""
    return seen.with_nodes(
        tuple(
            node.model_copy(update={"state": "up", "paused_by": None})
            if node.name in done and node.state == "paused" and node.paused_by == "us"
            else node
            for node in seen.nodes
        )
    )


def _is_done(node: str, booted_s: float) -> Finding:
    return Finding(
        rule="R16",
        severity="info",
        subject=f"node {node}",
        message=f"{node} has started anew at {booted_s:.0f} s, since the run was begun: it counts as done",
        remedy="nothing; to maintain it once more, start a run without going on",
    )
