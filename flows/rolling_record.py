"""What must outlive a rolling run that does not reach its end: which nodes are done, and what it paused (I8).

Kept as a Prefect variable a cluster, JSON that a person can read; written ahead of each pause, removed when a run has
finished everything. The next run believes it only as far as the cluster bears it out. A run that simulates a cluster
of its own keeps none: the next one starts another.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Self

from pydantic import Field, ValidationError

from shunter.clusters.port import ClusterError, ClusterPort, MigrationRecord
from shunter.engine.looking import look
from shunter.engine.one_night import Earlier, EarlierTurn
from shunter.flows.records import Records
from shunter.flows.server import Logger
from shunter.topology.model import Cluster, Value
from shunter.topology.plan import Plan

MOST_RUNS = 8
"""As many names of runs are kept."""


class Known(Value):
    """Seconds are the cluster's clock. `began_s`: when the first of the runs began that belong together; `told_s`: when
    this was written. `runs`: their names, in order. `done`: node → when it was back; `began`: node → when it was paused
    and its maintenance began. `paused`: node → since when a run that has not given it back was about to empty it.
    `failed`: node → why.
    """

    cluster: str
    began_s: float
    told_s: float
    written: str = ""
    flow_run: str | None = None
    runs: tuple[str, ...] = ()
    done: dict[str, float] = Field(default_factory=dict)
    began: dict[str, tuple[float, float]] = Field(default_factory=dict)
    paused: dict[str, float] = Field(default_factory=dict)
    failed: dict[str, str] = Field(default_factory=dict)


def variable_name(cluster: str) -> str:
    """Prefect takes lowercase letters, digits, dashes and underscores; two clusters never share a name."""
    slug = re.sub(r"[^a-z0-9]+", "-", cluster.lower()).strip("-")
    if slug != cluster:
        slug = f"{slug[:80]}-{hashlib.sha256(cluster.encode()).hexdigest()[:8]}"
    return f"shunter-rolling-maintenance-{slug[:200]}"


def disbelief(known: Known, cluster: str, now_s: float, within_s: float) -> str:
    """Why an earlier run is not gone on with; empty where it is."""
    if known.cluster != cluster:
        return f"it is of the cluster {known.cluster}"
    if now_s < known.told_s:
        return "the cluster's clock was started anew since then"
    if now_s - known.told_s > within_s:
        return f"it was over {now_s - known.told_s:.0f} s ago, more than {within_s:.0f} s"
    return ""


class Record:
    """Of one cluster, kept by the one rolling run that holds it. Use `opened`."""

    def __init__(self, cluster: ClusterPort, known: Known, log: Logger, records: Records, *, goes_on: bool) -> None:
        self.known, self.goes_on = known, goes_on
        self._opened_with = known
        self._cluster, self._log, self._records = cluster, log, records

    @classmethod
    async def opened(
        cls,
        cluster: ClusterPort,
        seen: Cluster,
        log: Logger,
        records: Records,
        *,
        within_s: float,
        flow_run: str | None,
    ) -> Self:
        """What an earlier run left behind, if it is believed. `within_s`: how long ago that run may have ended. Raises
        PrefectUnreachable.
        """
        now_s = cluster.clock.now_s()
        runs = (flow_run,) if flow_run else ()
        fresh = Known(cluster=seen.name, began_s=now_s, told_s=now_s, flow_run=flow_run, runs=runs)
        before = await _read(seen.name, log, records)
        if before is None:
            return cls(cluster, fresh, log, records, goes_on=False)
        doubt = disbelief(before, seen.name, now_s, within_s)
        if doubt:
            log.info("an earlier rolling run did not finish, and is not gone on with: %s", doubt)
            return cls(cluster, fresh, log, records, goes_on=False)
        log.info(
            "going on with %s, begun at second %.0f: done %s; paused %s; failed %s",
            ", ".join(before.runs) or "an earlier rolling run",
            before.began_s,
            *(", ".join(names) or "none" for names in (before.done, before.paused, before.failed)),
        )
        known = before.model_copy(update={"flow_run": flow_run, "runs": (*before.runs[-MOST_RUNS:], *runs)})
        return cls(cluster, known, log, records, goes_on=True)

    async def resume_what_was_left(self, seen: Cluster) -> None:
        """Nodes that an earlier run paused and whose maintenance did not fail take VMs again (I8), before it is planned
        what is left.
        """
        for node in self._left_paused(seen):
            if node not in self.known.failed:
                self._log.info("%s was left paused by an earlier run: it is resumed", node)
                await self._cluster.resume_node(node)
                self._forget_pause(node)

    async def resume_what_is_mended(self, seen: Cluster, report: Plan) -> None:
        """Nodes whose maintenance failed in an earlier run, which left them paused, and that are done now (I8)."""
        done = {turn.node for turn in report.maintenance if turn.outcome == "done"}
        for node in self._left_paused(seen):
            if node in done:
                self._log.info("%s, which failed and was left paused by an earlier run, is done: it is resumed", node)
                await self._cluster.resume_node(node)

    def _left_paused(self, seen: Cluster) -> list[str]:
        return _still_paused(self.known, seen)

    # -------------------------------------------------------------- while the run goes on

    async def before_node(self, node: str) -> None:
        """Written ahead: from now on we may pause it."""
        if (await look(self._cluster)).node_by_name[node].state == "up":
            await self._write(paused={**self.known.paused, node: self._now_s()})

    async def after_node(self, node: str, began_s: float | None) -> None:
        """`began_s`: when its maintenance began."""
        paused_s = self.known.paused.get(node, began_s)
        self._forget_pause(node)
        failed = {name: why for name, why in self.known.failed.items() if name != node}
        began = dict(self.known.began)
        if paused_s is not None and began_s is not None:
            began[node] = paused_s, round(began_s, 1)
        await self._write(done={**self.known.done, node: self._now_s()}, failed=failed, began=began)

    async def earlier(self, log: Sequence[MigrationRecord]) -> Earlier | None:
        """What this run goes on with, for its report. `log`: the cluster's, of migrations. A node that was away when
        the run before died, and has started anew since, was maintained in that night like any other.
        """
        if not self.goes_on:
            return None
        known = self._opened_with
        turns = {
            node: EarlierTurn(*known.began[node], ended_s)
            for node, ended_s in known.done.items()
            if node in known.began
        }
        for node, paused_s in known.paused.items():
            booted_s = await self._booted_s(node)
            if node not in turns and booted_s is not None and booted_s > paused_s:
                left_at_s = [each.ended_s for each in log if each.source == node and paused_s < each.ended_s < booted_s]
                turns[node] = EarlierTurn(paused_s, max(left_at_s, default=paused_s), booted_s)
        return Earlier(known.runs[:-1] or ("an earlier run",), known.began_s, turns)

    async def _booted_s(self, node: str) -> float | None:
        try:
            return await self._cluster.booted_s(node)
        except ClusterError:
            return None  # what cannot be asked is not known to have started

    async def close(self, seen: Cluster, report: Plan) -> None:
        """At the end of a run. `seen`: a look after it."""
        if report.ok:
            await self._remove()
        elif report.executed:
            failed = {turn.node: turn.reason or "" for turn in report.maintenance if turn.outcome == "failed"}
            still = {node.name for node in seen.nodes if node.state != "up"}
            paused = {node: since_s for node, since_s in self.known.paused.items() if node in still}
            await self._write(paused=paused, failed={**self.known.failed, **failed})

    def _now_s(self) -> float:
        return round(self._cluster.clock.now_s(), 1)  # people read it

    def _forget_pause(self, node: str) -> None:
        paused = {name: since_s for name, since_s in self.known.paused.items() if name != node}
        self.known = self.known.model_copy(update={"paused": paused})

    async def _write(self, **change: dict[str, float] | dict[str, str] | dict[str, tuple[float, float]]) -> None:
        written = datetime.now(UTC).isoformat(timespec="seconds")
        now = {"told_s": self._now_s(), "written": written}
        self.known = self.known.model_copy(update={**change, **now})
        await self._records.keep(variable_name(self.known.cluster), self.known.model_dump(mode="json"))

    async def _remove(self) -> None:
        await self._records.forget(variable_name(self.known.cluster))


async def left_paused(records: Records, seen: Cluster, log: Logger) -> dict[str, str]:
    """Nodes that an unfinished rolling run had paused and whose maintenance did not fail, and the name of the run that
    was the last to go on with it. Raises PrefectUnreachable.
    """
    known = await _read(seen.name, log, records)
    return (
        {node: known.flow_run or "" for node in _still_paused(known, seen) if node not in known.failed} if known else {}
    )


async def paused_by(records: Records, seen: Cluster, log: Logger) -> dict[str, str]:
    """Nodes that an unfinished rolling run has paused, with run and purpose. Raises PrefectUnreachable."""
    known = await _read(seen.name, log, records)
    if known is None:
        return {}
    run = f"the rolling run {known.flow_run or 'of another day'}"
    return {
        node: f"{run}, in which its maintenance failed: {why}"
        if (why := known.failed.get(node))
        else f"{run}, for its maintenance"
        for node in _still_paused(known, seen)
    }


def _still_paused(known: Known, seen: Cluster) -> list[str]:
    paused = [node.name for node in seen.nodes if node.state == "paused" and node.paused_by != "elsewhere"]
    return [node for node in paused if node in known.paused]


async def _read(cluster: str, log: Logger, records: Records) -> Known | None:
    found = await records.read(variable_name(cluster))
    try:
        return None if found is None else Known.model_validate_json(json.dumps(found))
    except ValidationError as error:
        log.warning("the variable %s is not what a run wrote, and is left aside: %s", variable_name(cluster), error)
    return None
