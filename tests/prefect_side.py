"""What tests of flows ask a Prefect server, and the small cluster they run on."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID

import httpx
from building import node, vm
from patience import PATIENCE_S
from prefect import Flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow_async
from prefect.states import Scheduled
from virtual import Notes

from shunter.flows.clusters import SimulatedClusterHost
from shunter.flows.embedded import EmbeddedServer
from shunter.flows.listeners import listening
from shunter.flows.locks import PrefectHolds
from shunter.flows.server import PrefectServer


class Asked:
    """What the server knows, asked for by plain HTTP."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._http = httpx.Client(base_url=server.api_url, timeout=PATIENCE_S)

    def find(self, what: str, **filters: Any) -> list[dict[str, Any]]:
        answer = self._http.post(f"{what}/filter", json=filters).raise_for_status().json()
        found: list[dict[str, Any]] = answer["events"] if what == "events" else answer
        return found

    def flow_run(self, name: str) -> dict[str, Any]:
        (run,) = self.find("flow_runs", flow_runs={"name": {"any_": [name]}})
        return run

    async def until(self, what: str, enough: int, **filters: Any) -> list[dict[str, Any]]:
        """What arrives in the background, awaited."""
        async with asyncio.timeout(PATIENCE_S):
            while len(found := self.find(what, **filters)) < enough:  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.2)
        return found


def small(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "nodes": [node(f"N{i}") for i in range(1, 5)],
        "vms": [vm("web-1"), vm("web-2"), vm("db-1", memory_mib=16384), vm("old-1", state="off"), vm("app-1", on="N2")],
        "volumes": [{"name": "CSV1", "owner": "N1"}],
    }


@asynccontextmanager
async def locks_of(cluster: str, name: str = "of a test") -> AsyncIterator[PrefectHolds]:
    """The locks of a run of that name."""
    log = logging.getLogger("test")
    async with PrefectServer.connected(log) as server, PrefectHolds.opened(server, cluster, log, None, name) as holds:
        yield holds


@contextmanager
def silent(server: EmbeddedServer) -> Iterator[None]:
    """Inside, it is there and answers nothing; what is asked of it meanwhile it does afterwards."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def deployed(
    client: PrefectClient, flow: Flow[..., Any], parameters: dict[str, Any], *, due: datetime | None = None
) -> UUID:
    """A flow run of a deployment, as the form makes it: at once, or `due` then. Nobody runs it yet."""
    deployment = await client.create_deployment(await client.create_flow(flow), f"of-a-test-{uuid.uuid4().hex[:8]}")
    state = None if due is None else Scheduled(scheduled_time=due)
    return (await client.create_flow_run_from_deployment(deployment, parameters=parameters, state=state)).id


async def taken_up(
    client: PrefectClient, flow: Flow[..., Any], number: UUID, notes: Notes, witness: TextIO | None = None
) -> FlowRun:
    """As a worker does: in a new process it would be."""
    found = await client.read_flow_run(number)
    with listening(notes, witness=witness):
        try:
            await run_flow_async(flow, flow_run=found, parameters=found.parameters, return_type="state")
        except Pause:
            assert not notes.steps
    return await client.read_flow_run(number)


@contextmanager
def hosted(
    name: str,
    folder: Path,
    *,
    cluster: dict[str, Any] | None = None,
    speed: float = 100.0,
    reboot_s: float = 60.0,
) -> Iterator[Path]:
    """A cluster (the small one) in a process of its own, which outlives flow runs, registered under `name`.

    Yields its witness log.
    """
    with hosted_at(name, folder, cluster=cluster, speed=speed, reboot_s=reboot_s) as (address, witness):
        SimulatedClusterHost(address=address).save(name, overwrite=True)  # its answer may get lost
        yield witness


@contextmanager
def hosted_at(
    name: str,
    folder: Path,
    *,
    cluster: dict[str, Any] | None = None,
    speed: float = 100.0,
    reboot_s: float = 60.0,
) -> Iterator[tuple[str, Path]]:
    """The same, which no Prefect server knows. Yields its address and its witness log."""
    file, witness = folder / f"{name}.json", folder / f"{name}.jsonl"
    file.write_text(json.dumps(cluster or small(name)), encoding="utf-8")
    options = ["--cluster", str(file), "--log", str(witness), "--speed", str(speed), "--reboot-s", str(reboot_s)]
    host = subprocess.Popen(
        [sys.executable, "-m", "shunter.clusters.simulated.host", *options], stdout=subprocess.PIPE, text=True
    )
    try:
        assert host.stdout is not None
        address = host.stdout.readline().strip().removeprefix("listening on ")
        yield address, witness
    finally:
        host.kill()
        host.communicate()


def rebooted(witness: Path) -> list[str]:
    """The nodes that were restarted, in order, by the witness log."""
    lines = [json.loads(line) for line in witness.read_text(encoding="utf-8").splitlines()]
    return [line["node"] for line in lines if line["what"] == "node_rebooted"]
