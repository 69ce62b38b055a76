"""Simulated nights: the real engine evacuates or repairs a drawn cluster in virtual time while things go wrong; the
witness log and the report are rechecked, and on small clusters whether all was moved that could be.

A night is replayed exactly from its seed."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import async_solipsism
from brute_force import fewest_live_steps, most_placed_live
from drawing import draw_night, draw_tight_night

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import Fault, SimulatedCluster, draw_faults
from shunter.engine.audience import Progress, Waiting
from shunter.engine.evacuate import evacuate
from shunter.engine.holds import OwnHolds
from shunter.engine.repair import repair
from shunter.engine.stop import Running, Stop
from shunter.statemachines.lifecycle import Step
from shunter.statemachines.migration import MIGRATION
from shunter.statemachines.node import NODE
from shunter.statemachines.vm import VM
from shunter.statemachines.volume import VOLUME
from shunter.topology.clusterfile import cluster_json
from shunter.topology.model import Cluster
from shunter.topology.plan import Finding, Plan
from shunter.topology.precautions import USUAL_PRECAUTIONS, Precautions
from shunter.topology.recheck import Violation, check_log, check_plan, check_report

HowMany = Literal["none", "some", "many"]
LIFECYCLES = (MIGRATION, VM, NODE, VOLUME)
LONGEST_NIGHT_S = 48 * 3600.0
MOST_NODES, MOST_VMS = 4, 8


@dataclass(frozen=True)
class Night:
    """What a seed stands for. `nodes`: those to empty; none: the cluster is brought in order.

    `stop_at_s`: the operator asks to stop then; `running` says what of that which runs.
    `given`: these faults, in place of those that are drawn from the seed. `precautions`: of an evacuation.
    """

    seed: int
    cluster: Cluster
    nodes: tuple[str, ...]
    faults: HowMany
    noise: float
    stop_at_s: float | None = None
    running: Running = "finish"
    given: tuple[Fault, ...] | None = None
    precautions: Precautions = USUAL_PRECAUTIONS

    def replay(self, folder: Path) -> str:
        """Write the cluster file; return the command that runs the night again."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.cluster.name}.json"
        path.write_text(cluster_json(self.cluster) + "\n", encoding="utf-8")
        return (
            f"shunter simulate {' '.join(('evacuate', *self.nodes) if self.nodes else ('repair',))} --cluster {path} "
            f"--seed {self.seed} {said_of(self.precautions) if self.nodes else ''} "
            f"--faults {self.faults} --noise {self.noise:g} --log {folder / self.cluster.name}.log.jsonl"
        )


@dataclass
class Outcome:
    """How a night went. `states`: (lifecycle, state) that were entered."""

    night: Night
    violations: tuple[Violation, ...]
    states: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    moves: Counter[str] = field(default_factory=Counter)
    executed: bool = False
    ok: bool = False
    tried_out: bool = False
    """Whether it was found out, by trying, that nothing was left that could have moved."""


def draw(seed: int, *, stops: bool = False) -> Night:
    """The night of this seed; with `stops` the operator asks to stop at some time in it."""
    cluster, nodes = draw_night(seed)
    rng = random.Random(f"weather/{seed}")
    faults: HowMany = rng.choice(("none", "some", "some", "many", "many", "many"))
    noise = rng.choice((0.0, 0.3, 0.3))
    stop_at_s = rng.uniform(0, 60) if stops else None
    running: Running = rng.choice(("finish", "cancel"))
    night = Night(seed, cluster, tuple(nodes), faults, noise, stop_at_s, running)
    return replace(night, precautions=draw_precautions(seed))


def draw_precautions(seed: int) -> Precautions:
    rng = random.Random(f"precautions/{seed}")
    return Precautions(
        backups=rng.choice(("hold", "hold", "hold_then_proceed", "proceed")),
        backup_limit_s=rng.choice((30.0, 300.0, 3600.0)),
        refresh_drifted=rng.random() < 0.5,
    )


def said_of(precautions: Precautions) -> str:
    """On a command line."""
    refresh = " --refresh-drifted" if precautions.refresh_drifted else ""
    policy = precautions.backups.replace("_", "-")
    return f"--backups {policy} --backup-limit-s {precautions.backup_limit_s:g}{refresh}"


def draw_tight(seed: int) -> Night:
    """A night on a cluster that is small and has little room."""
    cluster, nodes = draw_tight_night(seed)
    rng = random.Random(f"tight weather/{seed}")
    faults: HowMany = rng.choice(("none", "some", "many"))
    return Night(seed, cluster, tuple(nodes), faults, rng.choice((0.0, 0.3)))


def spend(night: Night) -> Outcome:
    """Run the night in virtual time, and check all that it left behind."""
    listener = Listener()
    lines: list[str] = []
    try:
        report, left = _spent(night, listener, lines)
    except Exception as error:  # noqa: BLE001  whatever ends a night is what this looks for
        return Outcome(night, (Violation(0.0, "crash", "the run", repr(error)),))
    behind = left_behind(night, report, left)
    return Outcome(
        night,
        (*_judge(night, report, listener, lines), *(behind or ())),
        states=Counter((step.lifecycle, step.target) for step in listener.steps),
        faults=Counter(event["do"] for line in lines if (event := json.loads(line))["what"] == "fault_injected"),
        moves=Counter(str(move.outcome) for move in report.moves) if report.executed else Counter(),
        executed=report.executed,
        ok=report.ok,
        tried_out=behind is not None,
    )


def recorded(night: Night) -> tuple[Plan, list[str]]:
    """The report and the witness log of a night."""
    lines: list[str] = []
    return _spent(night, Listener(), lines)[0], lines


def _spent(night: Night, listener: Listener, lines: list[str]) -> tuple[Plan, Cluster]:
    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        return runner.run(_run(night, listener, lines))


async def _run(night: Night, listener: Listener, lines: list[str]) -> tuple[Plan, Cluster]:
    """The report, and how the cluster stands at the end."""
    drawn = draw_faults(night.cluster, night.seed, night.faults) if night.given is None else night.given
    world = SimulatedCluster(night.cluster, clock=Clock(), seed=night.seed, noise=night.noise, faults=drawn)
    stop = Stop()
    if night.stop_at_s is not None:
        asyncio.get_running_loop().call_later(night.stop_at_s, lambda: stop.request(running=night.running))
    try:
        async with asyncio.timeout(LONGEST_NIGHT_S):
            report = await _work(night, world, listener, stop)
            return report, await world.look()
    finally:
        lines += world.witness.lines
        await world.close()


async def _work(night: Night, world: SimulatedCluster, listener: Listener, stop: Stop) -> Plan:
    if not night.nodes:
        return await repair(world, holds=OwnHolds(), audience=listener, stop=stop)
    return await evacuate(
        world,
        night.nodes,
        precautions=night.precautions,
        holds=OwnHolds(),
        audience=listener,
        stop=stop,
        undo_pause=night.running == "cancel",
    )


def left_behind(night: Night, report: Plan, at_the_end: Cluster) -> tuple[Violation, ...] | None:
    """What could still have been moved when the run ended; None where nobody can tell by trying: large clusters, runs
    that were refused or stopped, and VMs given up because their migrations failed again and again.
    """
    given_up = any(verdict.rule == "R01" for stays in report.unplaced for verdict in stays.verdicts)
    if len(at_the_end.nodes) > MOST_NODES or len(at_the_end.vms) > MOST_VMS or given_up:
        return None
    if not report.executed or report.interrupted or report.errors or at_the_end.migrations:
        return None
    try:
        more = _could_move(at_the_end, night.nodes)
    except ValueError:
        return None
    if more == "undecided":
        return None
    message = f"{more} more could have {'left' if night.nodes else 'been mended'}"
    return (Violation(report.makespan_s, "I2", night.cluster.name, message),) if more else ()


def _could_move(cluster: Cluster, nodes: Sequence[str]) -> int | Literal["undecided"]:
    if nodes:
        return most_placed_live(cluster, [name for name in nodes if cluster.node_by_name[name].state != "down"])
    return fewest_live_steps(cluster) or 0


def _judge(night: Night, report: Plan, listener: Listener, lines: Sequence[str]) -> tuple[Violation, ...]:
    plan = listener.plan
    assert plan is not None
    moved = report.executed and bool(report.moves or report.role_moves or report.volume_moves)
    finished = night.nodes if moved and not report.interrupted else ()
    return (
        *check_plan(night.cluster, plan, night.nodes),
        *check_log(lines, finished, backups_may_degrade=night.precautions.backups != "hold"),
        *check_report(report, lines, night.nodes, listener.began_at_s),
    )


@dataclass
class Listener:
    plan: Plan | None = None
    began_at_s: float = 0.0
    steps: list[Step] = field(default_factory=list)

    def planned(self, plan: Plan, at_s: float) -> None:
        self.plan, self.began_at_s = plan, at_s

    def stepped(self, step: Step) -> None:
        self.steps.append(step)

    def progressed(self, progress: Progress) -> None:
        pass

    def waiting(self, waiting: tuple[Waiting, ...]) -> None:
        pass

    def warned(self, finding: Finding, at_s: float) -> None:
        pass
