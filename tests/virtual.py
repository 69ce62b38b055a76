"""Runs of the real engine on a simulated cluster in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import async_solipsism

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import SimulatedCluster, read_faults
from shunter.engine.audience import Progress, Waiting
from shunter.engine.evacuate import evacuate
from shunter.engine.failover import fail_over
from shunter.engine.holds import OwnHolds
from shunter.engine.maintain import maintain
from shunter.engine.repair import repair
from shunter.engine.resume import resume
from shunter.statemachines.lifecycle import Step
from shunter.topology.model import Cluster
from shunter.topology.plan import Finding, Plan
from shunter.topology.rolling import RollingPolicy

T = TypeVar("T")


def in_virtual_time(coroutine: Callable[[], Awaitable[T]]) -> T:
    async def body() -> T:
        return await coroutine()

    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        return runner.run(body())


@dataclass
class Notes:
    """An audience that writes everything down."""

    plan: Plan | None = None
    began_s: float = 0.0
    steps: list[Step] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    waits: list[tuple[Waiting, ...]] = field(default_factory=list)
    warnings: list[tuple[Finding, float]] = field(default_factory=list)

    def planned(self, plan: Plan, at_s: float) -> None:
        self.plan, self.began_s = plan, at_s

    def stepped(self, step: Step) -> None:
        self.steps.append(step)

    def progressed(self, progress: Progress) -> None:
        self.progress.append(progress)

    def waiting(self, waiting: tuple[Waiting, ...]) -> None:
        self.waits.append(waiting)

    def warned(self, finding: Finding, at_s: float) -> None:
        self.warnings.append((finding, at_s))

    def of(self, subject: str) -> list[str]:
        """The states that a subject went through."""
        return [step.target for step in self.steps if step.subject == subject]


@dataclass
class Night:
    """One simulated run: the report, the witness log, what the audience heard, and the cluster at the end."""

    report: Plan
    log: list[dict[str, Any]]
    notes: Notes
    after: Cluster

    def happened(self, what: str, **fields: Any) -> list[dict[str, Any]]:
        return [line for line in self.log if line["what"] == what and fields.items() <= line.items()]


def evacuated(
    cluster: Cluster,
    nodes: Sequence[str] = ("N1",),
    *,
    faults: Sequence[dict[str, Any]] = (),
    seed: int = 0,
    **options: Any,
) -> Night:
    """Evacuate these nodes of a simulated cluster. `options` go to `evacuate`, except `noise`."""

    def procedure(world: SimulatedCluster, **given: Any) -> Awaitable[Plan]:
        return evacuate(world, nodes, **given)

    return _spent(cluster, procedure, faults, seed, options)


def repaired(cluster: Cluster, *, faults: Sequence[dict[str, Any]] = (), seed: int = 0, **options: Any) -> Night:
    """Bring a simulated cluster in order. `options` go to `repair`, except `noise`."""
    return _spent(cluster, repair, faults, seed, options)


def returned(
    cluster: Cluster, node: str = "N1", *, faults: Sequence[dict[str, Any]] = (), seed: int = 0, **options: Any
) -> Night:
    """Bring this node of a simulated cluster back. `options` go to `resume`, except `noise`."""

    def procedure(world: SimulatedCluster, **given: Any) -> Awaitable[Plan]:
        return resume(world, node, **given)

    return _spent(cluster, procedure, faults, seed, options)


def failed_over(
    cluster: Cluster,
    nodes: Sequence[str] = ("N1",),
    *,
    how: Literal["lose", "isolate"] | None = "lose",
    faults: Sequence[dict[str, Any]] = (),
    seed: int = 0,
    **options: Any,
) -> Night:
    """Fail these nodes of a simulated cluster over. `how` they go before, if at all. `options` go to `fail_over`."""

    def procedure(world: SimulatedCluster, **given: Any) -> Awaitable[Plan]:
        for name in nodes if how is not None else ():
            getattr(world.presence, how)(name)
        return fail_over(world, nodes, **given)

    return _spent(cluster, procedure, faults, seed, options)


def maintained(
    cluster: Cluster,
    nodes: Sequence[str] = (),
    *,
    faults: Sequence[dict[str, Any]] = (),
    seed: int = 0,
    maintenance_s: float = 600.0,
    **options: Any,
) -> Night:
    """Take these nodes of a simulated cluster (none: all) through their maintenance. `options` go to `maintain` or, if
    they are fields of it, to the policy; `noise` and `balances` to the simulated cluster.
    """
    told = {name: options.pop(name) for name in tuple(options) if name in RollingPolicy.model_fields}
    policy = RollingPolicy(maintenance_s=maintenance_s, **told)
    options.setdefault("holds", OwnHolds())

    def procedure(world: SimulatedCluster, **given: Any) -> Awaitable[Plan]:
        return maintain(world, nodes, policy, **{**given, **options})

    of_world = {name: options.pop(name) for name in ("noise", "balances") if name in options}
    return _spent(cluster, procedure, faults, seed, {"reboot_s": maintenance_s, **of_world})


def _spent(
    cluster: Cluster,
    procedure: Callable[..., Awaitable[Plan]],
    faults: Sequence[dict[str, Any]],
    seed: int,
    options: dict[str, Any],
) -> Night:
    of_world = {name: options.pop(name) for name in ("noise", "reboot_s", "balances") if name in options}

    async def night() -> Night:
        planned = read_faults(json.dumps(list(faults)), cluster)
        world = SimulatedCluster(cluster, clock=Clock(), seed=seed, faults=planned, **of_world)
        notes = Notes()
        report = await procedure(world, **{"holds": OwnHolds(), "audience": notes, **options})
        log = [json.loads(line) for line in world.witness.lines]
        after = await world.look()
        await world.close()
        return Night(report, log, notes, after)

    return in_virtual_time(night)
