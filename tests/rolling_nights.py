"""Simulated nights of rolling maintenance: the real engine takes a drawn cluster through it in virtual time, and things
go wrong; plan, witness log and report are rechecked, and how every node stands in the morning.

A night is replayed exactly from its seed."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import async_solipsism
from drawing import draw_filled, draw_rolling_night
from failing_over import Told, failing_over, unless_others_did
from nights import HowMany, Listener, draw_precautions

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import Fault, SimulatedCluster, draw_faults
from shunter.engine.holds import OwnHolds
from shunter.engine.maintain import Budget, maintain
from shunter.topology.clusterfile import cluster_json
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.recheck import Violation, check_failover, check_log, check_plan, check_report
from shunter.topology.recheck.violation import EPSILON_S
from shunter.topology.rolling import RollingPolicy, forecast

LONGEST_TURN_S = 3 * 3600.0
"""Of one node, its deadlines and the run's patience taken together, besides three times its maintenance."""


@dataclass(frozen=True)
class RollingNight:
    """What a seed stands for. `nodes`: those to maintain; none: all. `balances`: the cluster gives nodes that are back
    VMs by itself. `beside`: nodes that are lost are failed over while it goes on. `bad_day`: among the faults are those
    of bad days. `given`: these faults, in place of those that are drawn from the seed.
    """

    seed: int
    cluster: Cluster
    nodes: tuple[str, ...]
    policy: RollingPolicy
    budget: Budget
    faults: HowMany
    noise: float
    balances: bool
    beside: bool = False
    bad_day: bool = False
    given: tuple[Fault, ...] | None = None

    def replay(self, folder: Path) -> str:
        """Write the cluster file; return how to spend the night again."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.cluster.name}.json"
        path.write_text(cluster_json(self.cluster) + "\n", encoding="utf-8")
        again = f"python benchmarks/rolling_nights.py --first {self.seed} --seeds 1 --processes 1"
        return f"{again}   # cluster: {path}"

    def drawn_faults(self, rolling_s: float) -> tuple[Fault, ...]:
        if self.given is not None:
            return self.given
        return draw_faults(self.cluster, self.seed, self.faults, rolling_s=rolling_s, bad_days=self.bad_day)


@dataclass
class Spent:
    """What a night left behind: the report, the witness log, and how the cluster stands."""

    report: Plan
    lines: list[str]
    after: Cluster
    failovers: list[Told]


@dataclass
class Outcome:
    """How a night went. `turns`: how nodes' turns ended; `states`: (lifecycle, state) that were entered."""

    night: RollingNight
    violations: tuple[Violation, ...]
    states: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    moves: Counter[str] = field(default_factory=Counter)
    turns: Counter[str] = field(default_factory=Counter)
    executed: bool = False
    ok: bool = False
    planned_s: float = 0.0
    took_s: float = 0.0


def draw(seed: int) -> RollingNight:
    cluster, nodes = draw_rolling_night(seed)
    rng = random.Random(f"rolling weather/{seed}")
    names = nodes or [node.name for node in cluster.nodes]
    maintenance_s = rng.choice((120.0, 300.0, 600.0, 1800.0))
    policy = RollingPolicy(
        maintenance_s=maintenance_s,
        reserve_nodes=rng.choice(("auto", "auto", "auto", 0, 1)),
        parallel=rng.choice((None, None, 1, 2, 3)),
        order=tuple(rng.sample(names, 1)) if rng.random() < 0.2 else (),
        apart=(tuple(rng.sample(names, 2)),) if len(names) > 1 and rng.random() < 0.15 else (),
        one_fault_domain=rng.random() < 0.1,
        window_s=maintenance_s * rng.uniform(1, 2 * len(names)) if rng.random() < 0.15 else None,
        prefer=rng.choice(("time", "time", "moves")),
        failback=rng.choice(("none", "none", "as_it_was", "spread")),
        precautions=draw_precautions(seed),
    )
    budget = Budget(
        failed_nodes=rng.choice((0, 0, 1, 8)),
        retries=rng.choice((0, 0, 1, 2)),
        stop_after_s=maintenance_s * rng.uniform(1, 2 * len(names)) if rng.random() < 0.1 else None,
    )
    faults: HowMany = rng.choice(("none", "some", "some", "many", "many", "many"))
    noise = rng.choice((0.0, 0.3, 0.3))
    night = RollingNight(seed, cluster, tuple(nodes), policy, budget, faults, noise, rng.random() < 0.5)
    return replace(
        night,
        beside=random.Random(f"beside/{seed}").random() < 0.3,
        bad_day=random.Random(f"rolling bad day/{seed}").random() < 0.3,
    )


def draw_calm(seed: int) -> RollingNight:
    """A night in which nothing goes wrong, on a cluster of 4 to 16 nodes that are filled as is usual."""
    rng = random.Random(f"calm/{seed}")
    cluster = draw_filled(rng, rng.choice((4, 5, 6, 8, 8, 10, 12, 16)))
    policy = RollingPolicy(maintenance_s=rng.choice((600.0, 900.0, 1800.0)))
    return RollingNight(seed, cluster, (), policy, Budget(), "none", 0.3, balances=False)


def spend(night: RollingNight) -> Outcome:
    """Run the night in virtual time, and check all that it left behind."""
    listener = Listener()
    try:
        spent = carried_out(night, listener)
    except Exception as error:  # noqa: BLE001  whatever ends a night is what this looks for
        return Outcome(night, (Violation(0.0, "crash", "the run", repr(error)),))
    report, plan = spent.report, listener.plan
    assert plan is not None
    return Outcome(
        night,
        tuple(judge(night, listener, spent)),
        states=Counter((step.lifecycle, step.target) for step in listener.steps),
        faults=Counter(line["do"] for line in map(json.loads, spent.lines) if line["what"] == "fault_injected"),
        moves=Counter(str(move.outcome) for move in report.moves) if report.executed else Counter(),
        turns=Counter(str(turn.outcome) for turn in report.maintenance) if report.executed else Counter(),
        executed=report.executed,
        ok=report.ok,
        planned_s=plan.makespan_s,
        took_s=report.makespan_s,
    )


def carried_out(night: RollingNight, listener: Listener) -> Spent:
    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        return runner.run(_run(night, listener))


async def _run(night: RollingNight, listener: Listener) -> Spent:
    planned = forecast(night.cluster, night.nodes, night.policy)
    world = SimulatedCluster(
        night.cluster,
        clock=Clock(),
        seed=night.seed,
        noise=night.noise,
        faults=night.drawn_faults(planned[0].makespan_s or night.policy.maintenance_s),
        reboot_s=night.policy.maintenance_s,
        balances=night.balances,
    )
    try:
        holds = OwnHolds()
        async with asyncio.timeout(longest_s(night)), failing_over(world, holds, when=night.beside) as failovers:
            report = await maintain(
                world,
                night.nodes,
                night.policy,
                holds=holds,
                audience=listener,
                budget=night.budget,
                planned=planned,
            )
            return Spent(report, list(world.witness.lines), await world.look(), failovers)
    finally:
        await world.close()


def longest_s(night: RollingNight) -> float:
    """A night that lasts longer waits for something that does not come."""
    nodes = len(night.nodes) or len(night.cluster.nodes)
    turn_s = 3 * night.policy.maintenance_s + LONGEST_TURN_S
    return nodes * (1 + night.budget.retries) * turn_s


# ------------------------------------------------------------------ judging


def judge(night: RollingNight, listener: Listener, spent: Spent) -> Iterator[Violation]:
    plan, report = listener.plan, spent.report
    assert plan is not None
    for found in check_plan(night.cluster, plan, night.nodes):
        yield replace(found, message=f"as planned: {found.message}")
    done = [turn.node for turn in report.maintenance if turn.outcome == "done"] if report.executed else []
    given_up = [turn.node for turn in report.maintenance if turn.outcome == "failed"]
    at_once = night.policy.parallel or len(night.cluster.nodes)
    may_degrade = night.policy.precautions.backups != "hold"
    yield from check_log(
        spent.lines, rolled=done, kept_paused=given_up, at_once=at_once, backups_may_degrade=may_degrade
    )
    disagree = check_report(report, spent.lines, night.nodes, listener.began_at_s)
    yield from unless_others_did(disagree, [told.report for told in spent.failovers])
    for told in spent.failovers:
        against = check_failover(told.report, told.log, told.lost, told.listener.began_at_s, told.ended_s + EPSILON_S)
        yield from unless_others_did(
            against, [report, *(other.report for other in spent.failovers if other is not told)]
        )
    yield from _in_the_morning(night, report, spent.after)
    yield from _in_the_order_asked_for(night, plan, report)
    yield from _to_and_fro(spent.lines)
    if night.faults == "none" and night.given is None and report.executed:
        yield from unless_others_did(_undisturbed(night, plan, report), [told.report for told in spent.failovers])


def _in_the_morning(night: RollingNight, report: Plan, after: Cluster) -> Iterator[Violation]:
    """Nothing of ours is under way, and what we left paused is named with what to do."""
    told = {finding.subject for finding in report.findings if finding.remedy}
    paused = {node.name for node in after.nodes if node.state == "paused" and node.paused_by == "us"}
    paused -= {node.name for node in night.cluster.nodes if node.state == "paused"}
    for name in sorted(paused):
        if f"node {name}" not in told:
            yield Violation(report.makespan_s, "I8", name, "is left paused by us, and no finding says so")
    for turn in report.maintenance if report.executed else ():
        if turn.outcome == "failed" and f"node {turn.node}" not in told:
            yield Violation(turn.end_s, "I5", turn.node, "failed, and no finding says what to do")
    for move in after.migrations:
        if move.by == "us" and report.executed:
            yield Violation(report.makespan_s, "I2", move.vm, "is still under way by us")


def _to_and_fro(lines: Sequence[str]) -> Iterator[Violation]:
    """No VM of ours leaves the same node twice while nothing but our own migrations happens."""
    left: set[tuple[str, str]] = set()
    for line in map(json.loads, lines):
        is_ours = line["what"].startswith("migration_") and line["by"] == "us"
        if not is_ours:
            left.clear()
        elif line.get("outcome") == "done":
            if (line["vm"], line["source"]) in left:
                yield Violation(
                    line["t_s"], "R16", line["vm"], f"left {line['source']} twice, and nothing else happened"
                )
            left.add((line["vm"], line["source"]))


def _in_the_order_asked_for(night: RollingNight, plan: Plan, report: Plan) -> Iterator[Violation]:
    """No node leaves before one that was to go first, unless that is said: in the plan, or in the report."""
    begun_s = {turn.node: turn.start_s for turn in report.maintenance} if report.executed else {}
    told = {finding.subject for finding in report.findings if " to go before " in finding.message}
    left_out = {each.node for each in plan.untouched}
    for i, node in enumerate(night.policy.order):
        if node in begun_s and node not in left_out and f"node {node}" not in told:
            for other, at_s in begun_s.items():
                if at_s < begun_s[node] and other not in night.policy.order[:i]:
                    yield Violation(at_s, "R16", other, f"left before {node}, which was to go first")


def _undisturbed(night: RollingNight, plan: Plan, report: Plan) -> Iterator[Violation]:
    """Where nothing goes wrong, all that was planned is done, and the reserve holds at every instant.

    Storage that is being rebuilt at the start is never done with it here, so that no node may leave: the plan must have
    said so beforehand, and the report must say it of each node.
    """
    limits = (night.policy.window_s, night.budget.stop_after_s)
    left = {turn.node for turn in plan.maintenance} - {t.node for t in report.maintenance if t.outcome == "done"}
    if night.cluster.storage_jobs:
        foretold = {finding.subject for finding in plan.findings if finding.severity == "warning"}
        for job in night.cluster.storage_jobs:
            told = {each.node for each in report.untouched if job.name in each.reason}
            if f"storage job {job.name}" in foretold:
                left -= told
    if left and limits == (None, None):
        yield Violation(report.makespan_s, "R16", ", ".join(sorted(left)), "was planned and not done, undisturbed")
    if night.balances or night.cluster.migrations:
        return
    carried_out = report.model_copy(update={"executed": False, "lower_bound_s": 0.0})
    for found in check_plan(night.cluster, carried_out, night.nodes):
        # a VM that does not run follows, by its rule, only when its node's turn comes; a limit may end the run before
        if found.invariant != "R12" and not (left and found.invariant == "I4"):
            yield replace(found, message=f"as carried out: {found.message}")
