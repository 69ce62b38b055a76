"""What tests of flows ask a Prefect server, and the small cluster they run on."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from building import node, vm

from shunter.flows.embedded import EmbeddedServer


class Asked:
    """What the server knows, asked for by plain HTTP."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._http = httpx.Client(base_url=server.api_url)

    def find(self, what: str, **filters: Any) -> list[dict[str, Any]]:
        answer = self._http.post(f"{what}/filter", json=filters).raise_for_status().json()
        found: list[dict[str, Any]] = answer["events"] if what == "events" else answer
        return found

    def flow_run(self, name: str) -> dict[str, Any]:
        (run,) = self.find("flow_runs", flow_runs={"name": {"any_": [name]}})
        return run

    async def until(self, what: str, enough: int, **filters: Any) -> list[dict[str, Any]]:
        """What arrives in the background, awaited."""
        async with asyncio.timeout(20):
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
