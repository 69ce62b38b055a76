"""A watch as Prefect shows it: an event and a log line for each occurrence, one artifact that is kept up to date."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from types import TracebackType
from typing import Self
from uuid import UUID

import httpx
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.events import emit_event

from shunter.engine.watch import Glance, Watcher
from shunter.flows.artifacts import artifact_key
from shunter.flows.marked import plain
from shunter.flows.server import Logger
from shunter.flows.watch_document import LATEST, state_document, state_headline
from shunter.topology.watching.condition import Occurrence

WRITE_EVERY_S = 15.0
LAST_WORD_DEADLINE_S = 10.0
LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO}
MOST_RELATED = 60
"""Prefect takes a hundred, its own among them, and refuses an event that has more."""
MOST_VMS = 1000


class WatchAudience:
    """Use as an async context manager, inside the flow run. No trouble with the Prefect server ends the watch."""

    def __init__(self, cluster: str, began_s: float, log: Logger, also: Watcher | None) -> None:
        self._cluster, self._began_s, self._log, self._also = cluster, began_s, log, also
        self._glance: Glance | None = None
        self._latest: deque[Occurrence] = deque(maxlen=LATEST)
        self._artifact: UUID | None = None
        self._written = ""
        self._over = asyncio.Event()
        self._writer: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write(), name="artifact of the watch")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        await asyncio.wait({self._writer}, timeout=LAST_WORD_DEADLINE_S)
        if not self._writer.done():
            self._writer.cancel()
            await asyncio.wait({self._writer})
        elif error is None:
            self._writer.result()

    # -------------------------------------------------------------- what the engine tells

    def occurred(self, occurrence: Occurrence) -> None:
        self._latest.append(occurrence)
        remedy = "" if occurrence.remedy == "nothing" else f". {occurrence.remedy}"
        self._log.log(LEVELS[occurrence.severity], "%s: %s%s", occurrence.subject, occurrence.message, remedy)
        self._emit(occurrence)
        if self._also:
            self._also.occurred(occurrence)

    def looked(self, glance: Glance) -> None:
        self._glance = glance
        if self._also:
            self._also.looked(glance)

    # -------------------------------------------------------------- what Prefect gets

    def _emit(self, occurrence: Occurrence) -> None:
        """Prefect adds flow run, flow and deployment to what is related by itself."""
        noun, _, name = occurrence.subject.partition(" ")
        of_cluster = noun == "cluster"
        related = [("node", node) for node in occurrence.nodes] + [("vm", vm) for vm in occurrence.vms]
        payload = occurrence.model_dump(mode="json")
        payload["vms"] = payload["vms"][:MOST_VMS]
        emit_event(
            event=f"shunter.watch.{occurrence.what}",
            resource={
                "prefect.resource.id": f"shunter.{noun}.{name}"
                if of_cluster
                else f"shunter.{noun}.{self._cluster}.{name}",
                "prefect.resource.name": name,
                "shunter.cluster": self._cluster,
                "shunter.severity": occurrence.severity,
            },
            related=[
                {"prefect.resource.id": f"shunter.{role}.{self._cluster}.{each}", "prefect.resource.role": role}
                for role, each in related[:MOST_RELATED]
                if (role, each) != (noun, name)
            ],
            payload=payload,
        )

    async def _write(self) -> None:
        while not self._over.is_set():
            await self._show()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), WRITE_EVERY_S if self._artifact else 0.5)
        await self._show()

    async def _show(self) -> None:
        """Keep the one artifact up to date, where something on it is no longer so."""
        if self._glance is None:
            return
        text = state_document(self._glance, list(self._latest), self._began_s)
        if text == self._written:
            return
        headline = plain(state_headline(self._glance))
        try:
            if self._artifact is None:
                key = artifact_key("watch", self._cluster)
                self._artifact = await acreate_markdown_artifact(text, key=key, description=headline)
            else:
                async with get_client() as client:
                    await client.update_artifact(self._artifact, ArtifactUpdate(data=text, description=headline))
            self._written = text
        except httpx.HTTPError as error:
            self._log.warning("the artifact of the watch could not be left on the Prefect server: %s", error)
