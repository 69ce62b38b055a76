"""What a run leaves on the Prefect server to be looked at: plan, progress, report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import UUID

from prefect.artifacts import acreate_markdown_artifact, acreate_progress_artifact, aupdate_progress_artifact

from shunter.flows.markdown import check_document, check_headline, document, headline
from shunter.flows.marked import plain
from shunter.topology.plan import Plan
from shunter.topology.preflight import Check


def artifact_key(what: str, cluster: str) -> str:
    """The key of an artifact, as Prefect wants it: lowercase letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", f"{what} {cluster}".lower()).strip("-")


async def leave_plan(plan: Plan, nodes: Sequence[str]) -> None:
    """Raises httpx.HTTPError."""
    await acreate_markdown_artifact(
        document(plan, nodes),
        key=artifact_key(f"{plan.kind} plan", plan.cluster),
        description=plain(headline(plan, nodes)),
    )


async def leave_report(plan: Plan, nodes: Sequence[str]) -> None:
    """Raises httpx.HTTPError."""
    await acreate_markdown_artifact(
        document(plan, nodes),
        key=artifact_key(f"{plan.kind} report", plan.cluster),
        description=plain(headline(plan, nodes)),
    )


async def leave_check(check: Check) -> None:
    """Raises httpx.HTTPError."""
    await acreate_markdown_artifact(
        check_document(check), key=artifact_key("check", check.cluster), description=plain(check_headline(check))
    )


async def leave_note(plan: Plan, text: str) -> None:
    """A sentence where a report is looked for. Raises httpx.HTTPError."""
    await acreate_markdown_artifact(
        plain(text), key=artifact_key(f"{plan.kind} report", plan.cluster), description=plain(text)
    )


class ProgressBar:
    """One progress artifact, created when it is shown first."""

    def __init__(self, plan: Plan) -> None:
        self._key = artifact_key(f"{plan.kind} progress", plan.cluster)
        self._id: UUID | None = None

    async def show(self, percent: float, description: str) -> None:
        """`percent`: 0 to 100. Raises httpx.HTTPError."""
        if self._id is None:
            self._id = await acreate_progress_artifact(percent, key=self._key, description=plain(description))
        else:
            await aupdate_progress_artifact(self._id, percent, description=plain(description))
