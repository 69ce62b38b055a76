"""A rolling run as Prefect carries it out: what is known of an earlier one, the hold on the cluster, steering."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from prefect.runtime import flow_run

from shunter.clusters.port import Failed
from shunter.engine.looking import look
from shunter.engine.maintain import Budget, maintain
from shunter.engine.maintenance import Hooks
from shunter.engine.one_night import one_report
from shunter.flows.actions import action_of
from shunter.flows.clusters import is_file
from shunter.flows.emptied_record import paused_on_purpose
from shunter.flows.listeners import Together
from shunter.flows.punctual import say_late
from shunter.flows.rolling_record import Record
from shunter.flows.run import Means
from shunter.flows.steering import steered
from shunter.flows.turns_seen import TurnsSeen
from shunter.topology.plan import Plan
from shunter.topology.rolling import RollingPolicy
from shunter.topology.rolling.lateness import late_finding


@dataclass(frozen=True, slots=True)
class RollingRun:
    """What was asked for. `go_on_within_s`: how long ago a run may have ended that is gone on with."""

    cluster: str
    nodes: tuple[str, ...]
    policy: RollingPolicy
    budget: Budget
    action: str
    own_action: Callable[[str], Awaitable[None]] | None
    go_on_within_s: float

    async def procedure(self, means: Means) -> Plan:
        """Raises what `maintain` raises."""
        turns = TurnsSeen()
        seen = await look(means.cluster)
        record = None
        if not is_file(self.cluster):  # a cluster that starts from a file ends with this run
            record = await Record.opened(
                means.cluster,
                seen,
                means.log,
                means.records,
                within_s=self.go_on_within_s,
                flow_run=flow_run.get_name(),
            )
        begun: tuple[str, ...] = ()
        left_paused: dict[str, str] = {}
        if record is not None and record.goes_on:
            begun = tuple(record.known.paused)
            await record.resume_what_was_left(seen)
        if record is not None:
            left_paused = await paused_on_purpose(means.records, means.cluster, await look(means.cluster), means.log)
        async with steered(means.records.server, means.stop, turns, means.log):
            report = await maintain(
                means.cluster,
                self.nodes,
                self.policy,
                holds=means.holds,
                audience=Together(means.audience, turns),
                start=means.start,
                control=means.stop,
                action=action_of(self.action, self.own_action, means.stop),
                hooks=_hooks(means, record, turns),
                budget=self.budget,
                counts_from_s=means.counts_from_s,
                done_since_s=record.known.began_s if record is not None and record.goes_on else None,
                away=begun,
                left_paused=left_paused,
            )
        if (late := late_finding(report)) is not None:
            say_late(self.cluster, f"{late.subject}: {late.message}", means.counted)
        if record is not None:
            log = await means.cluster.migration_log()
            earlier = await record.earlier(log)
            if earlier is not None and report.executed:
                report = one_report(report, earlier, turns.planned_s, log)
            after = await look(means.cluster)
            await record.resume_what_is_mended(after, report)
            await record.close(after, report)
        return report


def _hooks(means: Means, record: Record | None, turns: TurnsSeen) -> Hooks:
    async def before_node(node: str) -> None:
        if means.whole is not None and (not_ours := await means.whole.why_not_ours()):
            raise Failed(f"the lock on the cluster was lost: {not_ours}")
        if record is not None:
            await record.before_node(node)

    async def after_node(node: str) -> None:
        if record is not None:
            await record.after_node(node, turns.began.get(node))

    return Hooks(before_node=before_node, after_node=after_node)
