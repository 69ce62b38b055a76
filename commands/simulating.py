"""`shunter simulate …`: the real engine on a simulated cluster in virtual time. One seed, one outcome."""

# ruff: noqa: PLC0415  (each procedure imports what it runs: together they take half a second)
from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO, cast

import async_solipsism
from rich.status import Status

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import Fault, SimulatedCluster, draw_faults, read_faults
from shunter.commands import output
from shunter.commands.cluster_choice import cluster_of_file, path_of
from shunter.engine.audience import Audience, Progress, Waiting
from shunter.engine.holds import OwnHolds
from shunter.flows.spoken import duration
from shunter.statemachines.lifecycle import Step
from shunter.topology.errors import RequestError
from shunter.topology.jsontext import read_text, shown
from shunter.topology.model import Cluster
from shunter.topology.plan import Finding, Plan

if TYPE_CHECKING:
    from shunter.commands.returning import Asked as Return
    from shunter.commands.rolling import Asked
    from shunter.topology.choosing import ReserveNodes
    from shunter.topology.precautions import Precautions
    from shunter.topology.rolling.strategy import Strategy

SILENT_S = 2.0
DRAWN = ("none", "some", "many")


@dataclass(frozen=True, slots=True)
class Weather:
    """What a simulated night is like. `faults`: none, some, many, or a file. `log`: for the witness log."""

    seed: int
    faults: str
    noise: float
    log: Path | None


Procedure = Callable[[SimulatedCluster, Audience], Awaitable[Plan]]


def evacuation(
    nodes: Sequence[str],
    cluster: str,
    weather: Weather,
    *,
    reserve_nodes: ReserveNodes,
    precautions: Precautions,
    as_json: bool,
    pictures: output.Pictures,
) -> Plan:
    """Raises RequestError."""
    from shunter.engine.evacuate import evacuate
    from shunter.topology.choosing import check_reserve
    from shunter.topology.planning import emptied_nodes

    seen = cluster_of_file(cluster)
    names = emptied_nodes(seen, nodes)
    check_reserve(reserve_nodes)

    async def procedure(world: SimulatedCluster, audience: Audience) -> Plan:
        return await evacuate(
            world,
            names,
            reserve_nodes=reserve_nodes,
            precautions=precautions,
            holds=OwnHolds(),
            audience=audience,
        )

    return _shown(Night(seen, weather, procedure), names, as_json=as_json, pictures=pictures)


def repairs(
    cluster: str, weather: Weather, *, reserve_nodes: ReserveNodes, as_json: bool, pictures: output.Pictures
) -> Plan:
    """Raises RequestError."""
    from shunter.engine.repair import repair
    from shunter.topology.choosing import check_reserve

    seen = cluster_of_file(cluster)
    check_reserve(reserve_nodes)

    async def procedure(world: SimulatedCluster, audience: Audience) -> Plan:
        return await repair(world, reserve_nodes=reserve_nodes, holds=OwnHolds(), audience=audience)

    return _shown(Night(seen, weather, procedure), (), as_json=as_json, pictures=pictures)


def failover(nodes: Sequence[str], cluster: str, weather: Weather, *, as_json: bool, pictures: output.Pictures) -> Plan:
    """The nodes that are up are lost first. Raises RequestError."""
    from shunter.engine.failover import fail_over
    from shunter.topology.failover import lost_nodes

    seen = cluster_of_file(cluster)
    names = lost_nodes(seen, nodes)

    async def procedure(world: SimulatedCluster, audience: Audience) -> Plan:
        before = world.now()
        for name in names:
            world.presence.lose(name)
        return await fail_over(world, names, holds=OwnHolds(), audience=audience, before=before)

    return _shown(Night(seen, weather, procedure), names, as_json=as_json, pictures=pictures)


def returning(asked: Return, cluster: str, weather: Weather, *, as_json: bool, pictures: output.Pictures) -> Plan:
    """Raises RequestError."""
    from shunter.engine.resume import resume
    from shunter.topology.choosing import check_reserve

    seen = cluster_of_file(cluster)
    name, before = seen.find_node(asked.node).name, asked.known(seen)
    check_reserve(asked.reserve_nodes)

    async def procedure(world: SimulatedCluster, audience: Audience) -> Plan:
        return await resume(
            world,
            name,
            failback=asked.failback,
            before=before,
            reserve_nodes=asked.reserve_nodes,
            whoever_paused=asked.whoever_paused,
            precautions=asked.precautions,
            holds=OwnHolds(),
            audience=audience,
        )

    return _shown(Night(seen, weather, procedure), (), as_json=as_json, pictures=pictures)


def maintenance(asked: Asked, cluster: str, weather: Weather, *, as_json: bool, pictures: output.Pictures) -> Plan:
    """Raises RequestError."""
    from shunter.commands.rolling import searching
    from shunter.topology.rolling import forecast

    seen = cluster_of_file(cluster)
    with searching() as progress:
        planned = forecast(seen, asked.nodes, asked.policy, progress)
    night = maintenance_night(seen, asked, weather, planned)
    return _shown(night, (), as_json=as_json, pictures=pictures)


def maintenance_night(seen: Cluster, asked: Asked, weather: Weather, planned: tuple[Plan, Strategy]) -> Night:
    """A simulated night in which these nodes are maintained. `planned`: what was forecast for this cluster.

    With faults the cluster's own balancer is at work, too.
    """
    from shunter.engine.maintain import maintain

    async def procedure(world: SimulatedCluster, audience: Audience) -> Plan:
        return await maintain(world, asked.nodes, asked.policy, holds=OwnHolds(), audience=audience, planned=planned)

    return Night(
        seen,
        weather,
        procedure,
        reboot_s=asked.maintenance_s,
        rolling_s=planned[0].makespan_s or asked.maintenance_s,
        balances=weather.faults != "none",
    )


@dataclass(frozen=True, slots=True)
class Night:
    """A run in virtual time. `reboot_s`: what a reboot takes; `rolling_s`: of a rolling run, how long it should take.
    `balances`: the cluster moves VMs by itself when a node has come back.
    """

    cluster: Cluster
    weather: Weather
    procedure: Procedure
    reboot_s: float = 600.0
    rolling_s: float | None = None
    balances: bool = False

    def faults(self) -> tuple[Fault, ...]:
        """What will go wrong. Raises RequestError (a bad fault plan)."""
        return faults_of(self.weather.faults, self.cluster, self.weather.seed, self.rolling_s)

    def spend(self, audience: Audience, witness: TextIO | None = None) -> Plan:
        """Raises RequestError (a bad fault plan)."""
        faults = self.faults()
        with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
            return runner.run(self._spend(audience, faults, witness))

    async def _spend(self, audience: Audience, faults: Sequence[Fault], witness: TextIO | None) -> Plan:
        world = SimulatedCluster(
            self.cluster,
            clock=Clock(),
            seed=self.weather.seed,
            noise=self.weather.noise,
            faults=faults,
            log=witness,
            reboot_s=self.reboot_s,
            balances=self.balances,
            most_glimpses=1,
        )
        try:
            return await self.procedure(world, audience)
        finally:
            await world.close()


def _shown(night: Night, names: Sequence[str], *, as_json: bool, pictures: output.Pictures) -> Plan:
    """Run it, write the witness log, show the report. `names`: nodes to be emptied, for headlines."""
    patience = Patience()
    night.faults()  # a bad fault plan is found before a log is begun
    with ExitStack() as stack:
        witness = stack.enter_context(output.opened(night.weather.log)) if night.weather.log else None
        stack.callback(patience.over)
        report = night.spend(patience, witness)
    output.show(report, names, night.cluster, as_json=as_json, pictures=pictures, forecast_s=patience.forecast_s)
    return report


def faults_of(plan: str, cluster: Cluster, seed: int, rolling_s: float | None) -> tuple[Fault, ...]:
    """`plan`: none, some, many, or a file."""
    if plan in DRAWN:
        amount = cast("Literal['none', 'some', 'many']", plan)
        return draw_faults(cluster, seed, amount, rolling_s=rolling_s)
    try:
        return read_faults(read_text(path_of(plan)), cluster)
    except RequestError as error:
        raise RequestError(f"--faults {shown(plan)}, which is none of {', '.join(DRAWN)}: {error}") from error


@dataclass(slots=True)
class Patience:
    """An audience that says how far the simulation is, once it takes long."""

    forecast_s: float | None = None
    _begun_s: float = field(default_factory=time.monotonic)
    _status: Status | None = None
    _done: int = 0

    def planned(self, plan: Plan, at_s: float) -> None:  # noqa: ARG002  an audience's
        self.forecast_s = plan.makespan_s

    def stepped(self, step: Step) -> None:
        self._done += step.lifecycle == "migration" and step.target == "done"
        if time.monotonic() - self._begun_s < SILENT_S:
            return
        if self._status is None:
            self._status = output.messages().status("simulating")
            self._status.start()
        self._status.update(f"simulating: {duration(step.at_s)} of the cluster's time, {self._done} VMs moved")

    def progressed(self, progress: Progress) -> None:
        pass

    def waiting(self, waiting: tuple[Waiting, ...]) -> None:
        pass

    def warned(self, finding: Finding, at_s: float) -> None:
        pass

    def over(self) -> None:
        if self._status is not None:
            self._status.stop()
