"""A run as Prefect shows it: events, log lines, artifacts. What happens is also told to who listens in this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Sequence
from types import TracebackType
from typing import Any, Self

from prefect.events import emit_event

from shunter.clusters.clock import Clock
from shunter.engine.audience import Audience, Progress, Waiting
from shunter.flows import artifacts
from shunter.flows.markdown import headline
from shunter.flows.progress import HowFar, MovesHowFar, how_far, vm_of
from shunter.flows.restarts_seen import node_told
from shunter.flows.server import Logger
from shunter.flows.turns_seen import TurnsSeen
from shunter.flows.unanswered import is_unanswered, what_came
from shunter.statemachines.lifecycle import Step
from shunter.topology.plan import Finding, Plan

PROGRESS_EVERY_S = 2.0
PROGRESS_AGAIN_S = 10.0
"""While nothing happens: what is left gets less all the same."""
LAST_WORD_DEADLINE_S = 10.0
TROUBLE = frozenset({"refused", "rolled_back", "overtaken", "lost_sight", "failed", "down", "offline"})


class ServerVoice:
    """Says to whoever listens at the moment that the Prefect server is silent. `audience`: that of the run, as soon as
    there is one; until then whoever listens in this process.
    """

    def __init__(self, also: Audience | None) -> None:
        self.audience: RunAudience | None = None
        self._also = also

    def say(self, text: str) -> None:
        """Empty once it answers again."""
        if self.audience is not None:
            self.audience.hear_of_server(text)
        elif self._also is not None:
            self._also.waiting(_waits_for_server(text))


def _waits_for_server(text: str) -> tuple[Waiting, ...]:
    return (Waiting("the run", f"begins nothing: {text}", float("inf")),) if text else ()


class RunAudience:
    """Use as an async context manager, inside the flow run. No trouble with the Prefect server fails the run."""

    def __init__(self, cluster: str, nodes: Sequence[str], clock: Clock, log: Logger, also: Audience | None) -> None:
        self._clock = clock
        self._cluster, self._nodes, self._log, self._also = cluster, nodes, log, also
        self._plan: Plan | None = None
        self._how_far: HowFar = MovesHowFar()
        self._turns = TurnsSeen()
        self._failed: set[str] = set()
        self._waiting: tuple[Waiting, ...] = ()
        self._of_server: tuple[Waiting, ...] = ()
        self._changed, self._over = asyncio.Event(), asyncio.Event()
        self._writer: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write(), name="artifacts of the run")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop_writing()

    async def report(self, plan: Plan) -> None:
        """Leave the report. `plan`: what the run returned."""
        await self._stop_writing()
        if not self._writer.cancelled():
            self._writer.result()
        for turn in plan.maintenance if plan.executed else ():
            if turn.outcome == "failed" and turn.node not in self._failed:
                self._node_failed(turn.node, turn.reason or "")
        await self._kept(artifacts.leave_report(plan, self._nodes))

    async def fall_silent(self) -> None:
        """Nobody is there to be told anything more."""
        self._writer.cancel()
        await self._stop_writing()

    async def leave_note(self, text: str) -> None:
        """Leave a sentence in place of a report."""
        await self._stop_writing()
        if self._plan is not None:
            await self._kept(artifacts.leave_note(self._plan, text))

    async def _stop_writing(self) -> None:
        self._over.set()
        self._changed.set()
        await asyncio.wait({self._writer}, timeout=LAST_WORD_DEADLINE_S)
        if not self._writer.done():
            self._writer.cancel()
            await asyncio.wait({self._writer})

    def unfinished(self) -> list[str]:
        """The nodes of a rolling run whose turn has begun and is not over, each with how far it is."""
        away = [f"{node} is in maintenance" for node in self._turns.in_maintenance()]
        return away + [f"{node} is paused" for node in self._turns.emptying()]

    # -------------------------------------------------------------- what the engine tells

    def planned(self, plan: Plan, at_s: float) -> None:
        self._plan, self._how_far = plan, how_far(plan)
        self._how_far.planned(plan, at_s)
        self._turns.planned(plan, at_s)
        self._log.info(headline(plan, self._nodes))
        for found in plan.findings:
            self._log_finding(found)
        self._changed.set()
        if self._also:
            self._also.planned(plan, at_s)

    def stepped(self, step: Step) -> None:
        self._log.log(logging.WARNING if step.target in TROUBLE else logging.INFO, "%s", step)
        self._emit(step)
        self._turns.stepped(step)
        for node in self._turns.failed.keys() - self._failed:
            self._node_failed(node, self._turns.failed[node])
        self._failed &= self._turns.failed.keys()
        self._how_far.stepped(step)
        if step.lifecycle in ("migration", "node", "vm"):
            self._changed.set()
        if self._also:
            self._also.stepped(step)

    def progressed(self, progress: Progress) -> None:
        self._how_far.progressed(progress)
        self._changed.set()
        if self._also:
            self._also.progressed(progress)

    def waiting(self, waiting: tuple[Waiting, ...]) -> None:
        self._waiting = waiting
        self._how_far.waiting((*self._of_server, *waiting))
        self._changed.set()
        if self._also:
            self._also.waiting((*self._of_server, *waiting))

    def hear_of_server(self, text: str) -> None:
        """What is to be said of the Prefect server; empty: nothing."""
        self._of_server = _waits_for_server(text)
        self.waiting(self._waiting)

    def warned(self, finding: Finding, at_s: float) -> None:
        """An event of its own, which an automation may send on."""
        self._log_finding(finding)
        payload = {"subject": finding.subject, "reason": finding.message, "remedy": finding.remedy, "at_s": at_s}
        self._tell("shunter.run.warning", "cluster", self._cluster, {**payload, "rule": finding.rule})
        if self._also:
            self._also.warned(finding, at_s)

    def _log_finding(self, found: Finding) -> None:
        level = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO}[found.severity]
        self._log.log(level, "%s %s: %s. %s", found.rule, found.subject, found.message, found.remedy)

    # -------------------------------------------------------------- what Prefect gets

    def _emit(self, step: Step) -> None:
        noun, name = subject_of(step)
        payload = {"subject": step.subject, "event": step.event, "from": step.source, "to": step.target}
        self._tell(
            f"shunter.{step.lifecycle}.{step.target}",
            noun,
            name,
            {**payload, "reason": step.reason, "at_s": step.at_s},
            nodes_of(step),
        )

    def _node_failed(self, node: str, why: str) -> None:
        """Once a node and failure: what an automation may wake somebody up for."""
        self._failed.add(node)
        self._log.error("the maintenance of %s failed: %s", node, why)
        self._tell("shunter.node.maintenance_failed", "node", node, {"subject": f"node {node}", "reason": why})

    def _tell(
        self, event: str, noun: str, name: str, payload: dict[str, Any], nodes: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Prefect adds flow run, flow and deployment to what is related by itself."""
        emit_event(
            event=event,
            resource={
                "prefect.resource.id": f"shunter.{noun}.{self._cluster}.{name}",
                "prefect.resource.name": name,
                "shunter.cluster": self._cluster,
            },
            related=[
                {"prefect.resource.id": f"shunter.node.{self._cluster}.{node}", "prefect.resource.role": role}
                for role, node in nodes
            ],
            payload=payload,
        )

    async def _write(self) -> None:
        bar: artifacts.ProgressBar | None = None
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), PROGRESS_AGAIN_S)
            self._changed.clear()
            if self._plan is None:
                continue
            if bar is None:
                bar = artifacts.ProgressBar(self._plan)
                await self._kept(artifacts.leave_plan(self._plan, self._nodes))
            await self._show(bar)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), PROGRESS_EVERY_S)
        if bar is not None:
            await self._show(bar)

    async def _show(self, bar: artifacts.ProgressBar) -> None:
        now_s = self._clock.now_s()
        told = self._how_far.told(None if self._over.is_set() else now_s)
        await self._kept(bar.show(self._how_far.percent(now_s), told))

    async def _kept(self, writing: Awaitable[None]) -> None:
        try:
            await writing
        except Exception as error:
            if not is_unanswered(error):
                raise
            self._log.warning("an artifact could not be left on the Prefect server: %s", what_came(error))


def subject_of(step: Step) -> tuple[str, str]:
    """What a step is about, as noun and name: "vm", "web-1"; "node", "N1"; "volume", "CSV1"."""
    if step.lifecycle == "migration":
        return "vm", vm_of(step)
    return step.lifecycle, step.subject.removeprefix(f"{step.lifecycle} ")


def nodes_of(step: Step) -> list[tuple[str, str]]:
    """The two nodes of a migration's step with their parts in it; the one on which a VM is, starts or has failed."""
    if (node := node_told(step)) is not None:
        return [("node", node)]
    if step.lifecycle != "migration":
        return []
    source, _, target = step.subject.rpartition(": ")[2].partition(" → ")
    return [("source", source), ("target", target)]
