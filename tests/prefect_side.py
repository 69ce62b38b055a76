"""What tests of flows ask a Prefect server, and the small cluster they run on."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
from building import node, vm
from patience import PATIENCE_S

from shunter.flows.clusters import SimulatedClusterHost
from shunter.flows.embedded import EmbeddedServer
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
    file, witness = folder / f"{name}.json", folder / f"{name}.jsonl"
    file.write_text(json.dumps(cluster or small(name)), encoding="utf-8")
    options = ["--cluster", str(file), "--log", str(witness), "--speed", str(speed), "--reboot-s", str(reboot_s)]
    host = subprocess.Popen(
        [sys.executable, "-m", "shunter.clusters.simulated.host", *options], stdout=subprocess.PIPE, text=True
    )
    try:
        assert host.stdout is not None
        address = host.stdout.readline().strip().removeprefix("listening on ")
        SimulatedClusterHost(address=address).save(name)
        yield witness
    finally:
        host.kill()
        host.communicate()


def rebooted(witness: Path) -> list[str]:
    """The nodes that were restarted, in order, by the witness log."""
    lines = [json.loads(line) for line in witness.read_text(encoding="utf-8").splitlines()]
    return [line["node"] for line in lines if line["what"] == "node_rebooted"]
