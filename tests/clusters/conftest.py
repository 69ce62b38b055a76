"""Simulated clusters for tests: in virtual time, and behind a real host on the loopback interface."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import async_solipsism
import pytest

from shunter.clusters.clock import Clock
from shunter.clusters.port import ClusterPort
from shunter.clusters.simulated import RemoteCluster, SimulatedCluster, read_faults
from shunter.clusters.simulated.host import hosted
from shunter.topology.model import Cluster

Log = list[dict[str, Any]]
Play = Callable[..., Log]
OnEither = Callable[[Cluster, Callable[[ClusterPort], Awaitable[None]]], Log]


@pytest.fixture
def play() -> Play:
    """Run a script on a simulated cluster in virtual time, let the rest happen, and return the witness log."""

    def run(
        cluster: Cluster,
        script: Callable[[SimulatedCluster], Awaitable[None]] | None = None,
        *,
        faults: Sequence[dict[str, Any]] = (),
        then_s: float = 300.0,
        **options: Any,
    ) -> Log:
        async def body() -> Log:
            planned = read_faults(json.dumps(list(faults)), cluster)
            world = SimulatedCluster(cluster, clock=Clock(), faults=planned, **options)
            if script is not None:
                await script(world)
            await world.clock.sleep(then_s)
            await world.close()
            return [json.loads(line) for line in world.witness.lines]

        with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
            return runner.run(body())

    return run


@pytest.fixture(params=["in this process", "in another"])
def on_either(request: pytest.FixtureRequest, play: Play) -> OnEither:
    """Run a script on the port of a simulated cluster, and on that of one that is reached over a real socket."""

    def remotely(cluster: Cluster, script: Callable[[ClusterPort], Awaitable[None]]) -> Log:
        async def body() -> Log:
            world = SimulatedCluster(cluster, clock=Clock(500))
            async with hosted(world) as address, RemoteCluster.connected(address) as remote:
                await script(remote)
            await world.close()
            return [json.loads(line) for line in world.witness.lines]

        return asyncio.run(body())

    return play if request.param == "in this process" else remotely
