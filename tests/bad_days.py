"""Bad days: nodes are emptied, others are lost meanwhile, and what the cluster leaves lying is brought to run again.

The real engine in virtual time, evacuation, failover and return; witness log and reports are rechecked, and at the end
nothing may lie that could run. A day is replayed exactly from its seed.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import async_solipsism
from drawing import draw_night, draw_tight_night
from failing_over import Told, fail_over_and_tell, failing_over, unless_others_did
from nights import LONGEST_NIGHT_S, HowMany, Listener, Outcome, draw_precautions

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import Fault, SimulatedCluster, draw_faults
from shunter.clusters.simulated.rules import start_refusal
from shunter.engine.evacuate import evacuate
from shunter.engine.failover import fail_over
from shunter.engine.holds import Holds, OwnHolds
from shunter.engine.resume import resume
from shunter.engine.stop import Stop
from shunter.topology.clusterfile import cluster_json
from shunter.topology.homes import Before, FailbackPolicy
from shunter.topology.model import Cluster
from shunter.topology.precautions import Precautions
from shunter.topology.quorum import votes_of
from shunter.topology.recheck import Violation, check_failover, check_log, check_report
from shunter.topology.recheck.fitness import close
from shunter.topology.recheck.most_restarts import counted, most_restarts
from shunter.topology.recheck.restarted import Left
from shunter.topology.recheck.violation import EPSILON_S

SETTLES_S = 2 * 3600.0


@dataclass(frozen=True)
class BadDay:
    """What a seed stands for. `nodes`: those to empty, which come back at the end and take VMs back as `failback` says;
    `beside`: failovers begin while they are being emptied.
    """

    seed: int
    cluster: Cluster
    nodes: tuple[str, ...]
    faults: HowMany
    noise: float
    beside: bool
    failback: FailbackPolicy
    precautions: Precautions

    def replay(self, folder: Path) -> str:
        """Write the cluster file; return how to spend the day again."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.cluster.name}.json"
        path.write_text(cluster_json(self.cluster) + "\n", encoding="utf-8")
        return f"python benchmarks/bad_days.py --first {self.seed} --seeds 1 --processes 1   # cluster: {path}"


@dataclass
class Diary:
    """Everything that is left behind of a day."""

    lines: list[str] = field(default_factory=list)
    evacuation: Told | None = None
    failovers: list[Told] = field(default_factory=list)
    returns: list[Told] = field(default_factory=list)
    after: Cluster | None = None

    @property
    def told(self) -> list[Told]:
        return [*([self.evacuation] if self.evacuation is not None else []), *self.failovers, *self.returns]


def draw(seed: int) -> BadDay:
    """Odd seeds are small clusters with little room."""
    cluster, nodes = draw_tight_night(seed) if seed % 2 else draw_night(seed)
    rng = random.Random(f"bad day/{seed}")
    leaving = tuple(nodes or [rng.choice(cluster.nodes).name])
    if rng.random() < 0.3:
        cluster = _with_a_dead_node(cluster, leaving, rng)
    return BadDay(
        seed,
        cluster,
        leaving,
        faults=rng.choice(("some", "some", "many")),
        noise=rng.choice((0.0, 0.3)),
        beside=rng.random() < 0.5,
        failback=rng.choice(("none", "preferred", "as-before", "as-before")),
        precautions=draw_precautions(seed),
    )


def _with_a_dead_node(cluster: Cluster, leaving: tuple[str, ...], rng: random.Random) -> Cluster:
    moving = {node for migration in cluster.migrations for node in (migration.source, migration.target)}
    others = [n.name for n in cluster.nodes if n.state == "up" and n.name not in leaving and n.name not in moving]
    return died(cluster, rng.choice(others)) if len(others) > 1 else cluster


def died(cluster: Cluster, dead: str) -> Cluster:
    """A node was lost before, and the cluster gave up what ran there."""
    nodes = [n.model_copy(update={"state": "down"}) if n.name == dead else n for n in cluster.nodes]
    vms = [
        vm.model_copy(update={"state": "failed", "backup": False}) if vm.node == dead and vm.holds_memory else vm
        for vm in cluster.vms
    ]
    fields = {name: getattr(cluster, name) for name in Cluster.model_fields}
    return Cluster(**{**fields, "nodes": tuple(nodes), "vms": tuple(vms)})


def spend(day: BadDay) -> Outcome:
    """Live through the day in virtual time, and check all that it left behind."""
    diary = Diary()
    try:
        with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
            runner.run(_live(day, diary))
    except Exception as error:  # noqa: BLE001  whatever ends a day is what this looks for
        return Outcome(day, (Violation(0.0, "crash", "the day", repr(error)),))
    reports = [told.report for told in diary.told]
    fewer = as_many_as_possible(day)
    return Outcome(
        day,
        (*_judge(day, diary), *(fewer or ())),
        tried_out=fewer is not None,
        states=Counter((step.lifecycle, step.target) for told in diary.told for step in told.listener.steps),
        faults=Counter(event["do"] for line in diary.lines if (event := json.loads(line))["what"] == "fault_injected"),
        moves=Counter(
            f"{report.kind} {move.outcome}" for report in reports if report.executed for move in report.moves
        ),
        executed=any(report.executed for report in reports),
        ok=all(report.ok for report in reports),
    )


def as_many_as_possible(day: BadDay) -> tuple[Violation, ...] | None:
    """Whether at least as many VMs run after the loss of a node that the cluster does nothing about as an exact search
    says can where nobody makes room, the most important first; None where that is too much to try, or nothing would
    run.
    """
    stands = died(day.cluster, random.Random(f"dead/{day.seed}").choice(day.cluster.nodes).name)
    gone = [node.name for node in stands.nodes if node.state not in ("up", "paused")]
    left = Left(stands, frozenset(gone))
    most = most_restarts(left)
    isolated = any(node.state == "isolated" for node in stands.nodes)
    if most is None or isolated or not votes_of(stands).is_majority or stands.migrations:
        return None
    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        after = runner.run(_failed_over(stands, gone))
    run = counted(left.must_restart(), {vm.name for vm in after.vms if vm.holds_memory})
    message = f"{run} VMs run after the loss of {', '.join(gone)}, by priority; {most} can"
    return (Violation(0.0, "I2", day.cluster.name, message),) if run < most else ()


async def _failed_over(cluster: Cluster, gone: Sequence[str]) -> Cluster:
    world = SimulatedCluster(cluster, clock=Clock())
    await fail_over(world, gone, holds=OwnHolds(), audience=Listener())
    after = await world.look()
    await world.close()
    return after


# ---------------------------------------------------------------------- the day


def losses_of(day: BadDay) -> tuple[Fault, ...]:
    """What goes wrong: as in every night, and on most days a node that is not emptied is lost in the middle."""
    faults = draw_faults(day.cluster, day.seed, day.faults, bad_days=True)
    rng = random.Random(f"loss/{day.seed}")
    others = [node.name for node in day.cluster.nodes if node.name not in day.nodes and node.state == "up"]
    if not others or rng.random() < 0.2:
        return faults
    node, at_s = rng.choice(others), round(rng.uniform(1.0, 120.0), 3)
    how = rng.choice(("node_down", "node_down", "node_down", "node_isolated"))
    loss = [Fault(do=how, node=node, at_s=at_s)]
    if rng.random() < 0.4:
        back = "node_back" if how == "node_isolated" else "node_up"
        loss.append(Fault(do=back, node=node, at_s=round(at_s + rng.uniform(5.0, 1500.0), 3)))
    return (*faults, *loss)


async def _live(day: BadDay, diary: Diary) -> None:
    world = SimulatedCluster(day.cluster, clock=Clock(), seed=day.seed, noise=day.noise, faults=losses_of(day))
    try:
        async with asyncio.timeout(LONGEST_NIGHT_S):
            holds = OwnHolds()
            async with failing_over(world, holds, when=day.beside) as diary.failovers:
                await _evacuate(day, world, diary, holds)
            await _fail_over_what_lies(world, diary)
            await world.clock.sleep(max(0.0, SETTLES_S - world.clock.now_s()))  # faults that come later
            await _fail_over_what_lies(world, diary)
            diary.after = await world.look()
            for node in day.nodes:
                await _bring_back(day, node, world, diary)
    finally:
        diary.lines += world.witness.lines
        await world.close()


async def _evacuate(day: BadDay, world: SimulatedCluster, diary: Diary, holds: Holds) -> None:
    listener = Listener()
    report = await evacuate(world, day.nodes, precautions=day.precautions, holds=holds, audience=listener, stop=Stop())
    diary.evacuation = Told(report, listener, list(world.witness.lines), world.clock.now_s())


async def _bring_back(day: BadDay, node: str, world: SimulatedCluster, diary: Diary) -> None:
    listener, stands, told_before = Listener(), world.now(), len(world.witness.lines)
    homes = {vm.name: vm.node for vm in day.cluster.vms if vm.node == node}
    report = await resume(
        world,
        node,
        failback=day.failback,
        before=Before(homes, ours=day.cluster.node_by_name[node].state == "up"),
        precautions=day.precautions,
        holds=OwnHolds(),
        audience=listener,
    )
    first = {"t_s": listener.began_at_s, "what": "cluster", "cluster": json.loads(cluster_json(stands))}
    log = [json.dumps(first), *world.witness.lines[told_before:]]
    diary.returns.append(Told(report, listener, log, world.clock.now_s()))


async def _fail_over_what_lies(world: SimulatedCluster, diary: Diary) -> None:
    """Of nodes that are lost, and of those that are back, or on which a VM did not come up."""
    seen = await world.look()
    lies = {vm.node for vm in seen.vms if vm.state == "failed" and vm.clustered}
    lost = [node.name for node in seen.nodes if node.state in ("down", "isolated", "quarantined") or node.name in lies]
    if lost:
        diary.failovers.append(await fail_over_and_tell(world, lost))


# ---------------------------------------------------------------------- the judge


def _judge(day: BadDay, diary: Diary) -> list[Violation]:
    found = list(check_log(diary.lines, backups_may_degrade=day.precautions.backups != "hold"))
    if (told := diary.evacuation) is not None:
        disagree = check_report(told.report, told.log, day.nodes, told.listener.began_at_s)
        found += unless_others_did(disagree, [other.report for other in diary.failovers])
    for told in diary.failovers:
        disagree = check_failover(told.report, told.log, told.lost, told.listener.began_at_s, told.ended_s + EPSILON_S)
        found += unless_others_did(disagree, [other.report for other in diary.told if other is not told])
    for told in diary.returns:
        disagree = check_report(told.report, told.log, (), told.listener.began_at_s)
        found += unless_others_did(disagree, [other.report for other in diary.told if other is not told])
    return [*found, *_left_lying(diary)]


def _left_lying(diary: Diary) -> list[Violation]:
    """VMs that do not run at the end although a node could start them, by the simulated cluster's own rules."""
    seen = diary.after
    assert seen is not None
    if not any(node.state in ("up", "paused") for node in seen.nodes):
        return []  # the cluster has stopped
    if not diary.failovers or diary.failovers[-1].report.errors:
        return []
    in_vain = {
        (move.vm, move.target) for told in diary.failovers for move in told.report.moves if move.outcome != "done"
    }
    lying = [vm for vm in seen.vms if vm.state == "failed" and vm.clustered and vm.priority > 0]
    could = [
        (vm.name, node.name)
        for vm in lying
        for node in seen.nodes
        if (vm.name, node.name) not in in_vain
        and start_refusal(seen, vm, node.name) is None
        and _rules_allow(seen, vm.name, node.name)
    ]
    return [Violation(0.0, "I2", vm, f"lies although {node} could run it") for vm, node in could]


def _rules_allow(seen: Cluster, vm: str, node: str) -> bool:
    """The simulated cluster takes rules that are broken already less seriously than we do."""
    for rule in seen.affinity_rules:
        others = [seen.vm_by_name[name] for name in rule.vms if name != vm]
        near = [close(seen, rule.kind, other.node, node) for other in others if other.holds_memory]
        if vm in rule.vms and not rule.soft and (any(near) if rule.kind.startswith("different") else not all(near)):
            return False
    return True
