"""`shunter simulate …`: the real engine on a simulated cluster in virtual time. One seed, one outcome."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TextIO, cast

import async_solipsism
from rich.status import Status

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import Fault, SimulatedCluster, draw_faults, read_faults
from shunter.commands import output
from shunter.commands.cluster_choice import cluster_of_file, path_of
from shunter.engine.audience import Progress, Waiting
from shunter.engine.evacuate import evacuate
from shunter.engine.holds import OwnHolds
from shunter.engine.repair import repair
from shunter.flows.spoken import duration
from shunter.statemachines.lifecycle import Step
from shunter.topology.choosing import ReserveNodes, check_reserve
from shunter.topology.errors import RequestError
from shunter.topology.jsontext import read_text, shown
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.planning import emptied_nodes

SILENT_S = 2.0
DRAWN = ("none", "some", "many")


def simulate(
    nodes: Sequence[str],
    cluster: str,
    *,
    seed: int,
    faults: str,
    noise: float,
    log: Path | None,
    reserve_nodes: ReserveNodes,
    as_json: bool,
    pictures: output.Pictures,
) -> Plan:
    """Run it, write the witness log, show the report. `nodes`: those to empty; none: the cluster is brought in order.

    Raises RequestError.
    """
    seen = cluster_of_file(cluster)
    names = emptied_nodes(seen, nodes) if nodes else ()
    check_reserve(reserve_nodes)
    trouble = _faults(faults, seen, seed)
    patience = Patience()
    with ExitStack() as stack:
        witness = stack.enter_context(output.opened(log)) if log else None
        stack.callback(patience.over)
        runner = stack.enter_context(asyncio.Runner(loop_factory=async_solipsism.EventLoop))
        report = runner.run(
            _night(
                seen,
                names,
                seed=seed,
                faults=trouble,
                noise=noise,
                witness=witness,
                reserve_nodes=reserve_nodes,
                patience=patience,
            )
        )
    output.show(report, names, seen, as_json=as_json, pictures=pictures, forecast_s=patience.forecast_s)
    return report


async def _night(
    cluster: Cluster,
    nodes: Sequence[str],
    *,
    seed: int,
    faults: Sequence[Fault],
    noise: float,
    witness: TextIO | None,
    reserve_nodes: ReserveNodes,
    patience: Patience,
) -> Plan:
    world = SimulatedCluster(cluster, clock=Clock(), seed=seed, noise=noise, faults=faults, log=witness)
    try:
        if not nodes:
            return await repair(world, reserve_nodes=reserve_nodes, holds=OwnHolds(), audience=patience)
        return await evacuate(world, nodes, reserve_nodes=reserve_nodes, holds=OwnHolds(), audience=patience)
    finally:
        await world.close()


def _faults(plan: str, cluster: Cluster, seed: int) -> tuple[Fault, ...]:
    """`plan`: none, some, many, or a file."""
    if plan in DRAWN:
        return draw_faults(cluster, seed, cast("Literal['none', 'some', 'many']", plan))
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

    def over(self) -> None:
        if self._status is not None:
            self._status.stop()
