"""`shunter watch` and `simulate watch`: the flow run here, or the same engine in virtual time.

One look at a cluster file needs no flow: that cluster lives in this process, and no time passes in it.
"""

# ruff: noqa: PLC0415  (Prefect reads its settings while it is imported; what a look does not need, it does not wait for)
from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TextIO, cast

import async_solipsism

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import Fault, SimulatedCluster, draw_faults
from shunter.commands import output, streams
from shunter.commands.cluster_choice import cluster_of_file, is_file
from shunter.commands.interrupts import spare
from shunter.commands.run_thread import Requests
from shunter.commands.screens.watch import WatchLines, WatchScreen, print_end
from shunter.commands.screens.words import clock
from shunter.commands.simulating import DRAWN, Weather, faults_of
from shunter.engine.audience import Nobody
from shunter.engine.control import Control
from shunter.engine.holds import OwnHolds
from shunter.engine.stop import Stop
from shunter.engine.watch import Glance, NoWatcher, Watcher, WatchPolicy, watch
from shunter.flows.errors import WatchCancelled
from shunter.topology.errors import RequestError
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.watching.condition import Occurrence
from shunter.topology.watching.hysteresis import Patience
from shunter.topology.watching.report import Watch


@dataclass(frozen=True, slots=True)
class Asked:
    """`for_s` None: until Ctrl-C. `how`: text, json (one document at the end) or json_lines (as it happens)."""

    cluster: str
    for_s: float | None
    on_node_lost: str
    look_every_s: float
    backup_limit_s: float
    how: str
    log: Path | None

    @property
    def is_one_look(self) -> bool:
        return self.for_s == 0

    @property
    def policy(self) -> WatchPolicy:
        return WatchPolicy(
            look_every_s=self.look_every_s,
            patience=Patience(backup_s=self.backup_limit_s),
            on_node_lost=cast("Literal['nothing', 'failover']", self.on_node_lost),
        )


class Shown(Watcher, Protocol):
    """A watcher that is set up before the watch and taken down after it."""

    def note(self, text: str) -> None:
        """Say this to whoever sits here."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


# ------------------------------------------------------------------ for real


def run(asked: Asked, speed: float | None) -> Watch:
    """Raises RequestError, RunRefused, Unreachable and PrefectUnreachable."""
    if is_file(asked.cluster):
        seen = cluster_of_file(asked.cluster)  # a bad file is found before anything is waited for
        if asked.is_one_look:
            return _look(asked, seen)
    watched = _run_flow(asked, speed)
    _show(watched, asked)
    return watched


def _run_flow(asked: Asked, speed: float | None) -> Watch:
    from shunter.commands.run_thread import run_beside
    from shunter.commands.running import wait_for_prefect
    from shunter.flows.settings import prefect_at_hand

    console = output.messages()
    with prefect_at_hand(quiet=True) as prefect:
        wait_for_prefect(prefect, console)
        spare("the watch is over; how things stand follows")
        try:
            return run_beside(lambda requests: _run(asked, speed, requests))
        except WatchCancelled as error:
            return error.watch


async def _run(asked: Asked, speed: float | None, requests: Requests) -> Watch:
    from shunter.commands.seeing_through import run_needs_prefect
    from shunter.flows.listeners import listening
    from shunter.flows.watch import watch_cluster

    stop, gone = Control(), asyncio.Event()

    def unheard() -> None:
        gone.set()
        stop.request()

    async with AsyncExitStack() as stack:
        watcher = await stack.enter_async_context(_watcher(asked))
        stack.enter_context(requests.answered_by(_stopping(stop, watcher.note)))
        if asked.on_node_lost == "nothing" and asked.how != "json":
            stack.enter_context(streams.when_broken(unheard))
        witness = stack.enter_context(output.opened(asked.log)) if asked.log else None
        stack.enter_context(listening(stop=stop, witness=witness, watcher=watcher))
        stack.enter_context(run_needs_prefect(lambda: asked.on_node_lost != "nothing"))
        watched = await watch_cluster(
            asked.cluster,
            for_s=asked.for_s,
            on_node_lost=cast("Literal['nothing', 'failover']", asked.on_node_lost),
            look_every_s=asked.look_every_s,
            backup_limit_s=asked.backup_limit_s,
            speed=speed,
        )
    if gone.is_set() and (lost := streams.unwritten()) is not None:
        raise RequestError(f"{lost}: nobody hears this watch, which has ended; nothing was touched")
    return watched


def _watcher(asked: Asked) -> Shown:
    """Who shows what happens: on a terminal a live table below lines, else lines."""
    if asked.how == "json_lines":
        return JsonLines(sys.stdout)
    if asked.how == "json":
        return WatchLines(output.messages(), _time_of_day, begins=asked.for_s is None)
    console = output.results()
    return (WatchScreen if output.can_redraw(console) else WatchLines)(console, _time_of_day)


def _time_of_day(_at_s: float) -> str:
    return f"{datetime.now():%H:%M:%S}"  # noqa: DTZ005 - for the eye of somebody who sits here


def _stopping(stop: Control, tell: Callable[[str], None]) -> Callable[[], None]:
    """A request to end ends the watch; a failover that goes on is asked to come to its end first."""

    def ask() -> None:
        stop.request()
        tell("the watch ends; a failover that is under way comes to its end first")

    return ask


# ------------------------------------------------------------------ in virtual time


def simulate(asked: Asked, weather: Weather) -> Watch:
    """Raises RequestError."""
    seen = cluster_of_file(asked.cluster)
    faults = _faults(asked, seen, weather)
    lines = WatchLines(output.results(), clock) if asked.how == "text" else None
    watcher: Watcher = lines or (JsonLines(sys.stdout) if asked.how == "json_lines" else NoWatcher())
    return _shown(asked, lambda witness: _watched(asked, seen, watcher, weather, faults=faults, witness=witness))


def _look(asked: Asked, seen: Cluster) -> Watch:
    calm = Weather(seed=0, faults="none", noise=0.0, log=asked.log)

    async def looked(witness: TextIO | None) -> Watch:
        async with _watcher(asked) as watcher:
            return await _watched(asked, seen, watcher, calm, witness=witness)

    return _shown(asked, looked)


async def _watched(
    asked: Asked,
    seen: Cluster,
    watcher: Watcher,
    weather: Weather,
    *,
    faults: Sequence[Fault] = (),
    witness: TextIO | None,
) -> Watch:
    world = SimulatedCluster(
        seen, clock=Clock(), seed=weather.seed, noise=weather.noise, faults=faults, log=witness, most_glimpses=1
    )

    async def failed_over(nodes: Sequence[str], before: Cluster, stop: Stop) -> Plan:
        from shunter.engine.failover import fail_over

        return await fail_over(world, nodes, holds=OwnHolds(), audience=Nobody(), stop=stop, before=before)

    try:
        return await watch(world, asked.policy, watcher=watcher, for_s=asked.for_s, fail_over=failed_over)
    finally:
        await world.close()


def _shown(asked: Asked, work: Callable[[TextIO | None], Coroutine[Any, Any, Watch]]) -> Watch:
    """Watch in virtual time, write the witness log, show what is left."""
    with ExitStack() as stack:
        witness = stack.enter_context(output.opened(asked.log)) if asked.log else None
        runner = stack.enter_context(asyncio.Runner(loop_factory=async_solipsism.EventLoop))
        watched = runner.run(work(witness))
    _show(watched, asked)
    return watched


def _faults(asked: Asked, seen: Cluster, weather: Weather) -> Sequence[Fault]:
    """Drawn ones are spread over the time that is watched, with everything that can go wrong. Raises RequestError."""
    if weather.faults in DRAWN:
        amount = cast("Literal['none', 'some', 'many']", weather.faults)
        return draw_faults(seen, weather.seed, amount, rolling_s=asked.for_s, bad_days=True)
    return faults_of(weather.faults, seen, weather.seed, asked.for_s)


def _show(watched: Watch, asked: Asked) -> None:
    match asked.how:
        case "json":
            sys.stdout.buffer.write(watched.to_json().encode() + b"\n")
            sys.stdout.flush()
        case "text":
            print_end(watched, output.results())


class JsonLines:
    """Writes each occurrence as a line of JSON, at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def occurred(self, occurrence: Occurrence) -> None:
        self._stream.buffer.write(occurrence.model_dump_json().encode() + b"\n")
        self._stream.flush()

    def looked(self, glance: Glance) -> None: ...

    def note(self, text: str) -> None:
        output.complain(text)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...
