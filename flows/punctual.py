"""Whether a run is still wanted when it is taken up: what a schedule started counts from when it was due.

A worker that was away for days takes up at once whatever was due meanwhile, and a run that crashed, or that waited for
approval, begins anew hours later. Prefect keeps, through all of that, for when a run was scheduled first and when it
started first (`expected_start_time`, `start_time`); its later states tell of later times.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prefect import get_run_logger
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.events import emit_event

from shunter.flows.errors import RunRefused
from shunter.flows.parameters import spoken
from shunter.flows.spoken import duration

BY_HAND_WITHIN = timedelta(seconds=60)
"""A run that is to start when it is made is one by hand: Prefect's forms and `prefect deployment run` make it so."""
AT_ONCE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Counted:
    """From when a run counts. `since`: None where that is its own start, just now. `by_schedule`: it was due then; else
    somebody started it then for the first time. `again`: it was begun before, and suspended, or tried and lost.
    """

    since: datetime | None = None
    by_schedule: bool = False
    again: bool = False

    def passed_s(self, now: datetime) -> float:
        """How long it has counted by now."""
        return 0.0 if self.since is None else max((now - self.since).total_seconds(), 0.0)


@dataclass(frozen=True, slots=True)
class Punctual:
    """How late a run may be. `start_within_s`: taken up later, a scheduled one is refused. `window_s`: so long no node
    leaves that would not be back; `node_s`: what the maintenance of one takes.
    """

    start_within_s: float
    window_s: float | None = None
    node_s: float = 0.0

    def too_late(self, counted: Counted, now: datetime) -> str:
        """Why the run must not begin any more; empty where it may."""
        if counted.since is None:
            return ""
        passed_s = counted.passed_s(now)
        when = f"{'was due' if counted.by_schedule else 'started first'} at {counted.since:%Y-%m-%d %H:%M:%S} UTC"
        if counted.by_schedule and passed_s > self.start_within_s:
            return (
                f"this run {when} and is taken up {duration(passed_s)} later; {duration(self.start_within_s)} are "
                "allowed (start_within_s). Start it by hand if it is still wanted, or allow more"
            )
        if self.window_s is not None and self.window_s - passed_s < self.node_s:
            left_s = max(self.window_s - passed_s, 0.0)
            return (
                f"this run {when}, and {duration(left_s)} are left of its window of {duration(self.window_s)}: no node "
                f"would be back in time (maintenance_s: {duration(self.node_s)}). Start it by hand when there is time"
            )
        return ""

    def last_start(self, counted: Counted, now: datetime) -> datetime | None:
        """Until when it may begin; None where that has no end."""
        limits_s = [self.start_within_s] if counted.by_schedule else []
        limits_s += [self.window_s - self.node_s] if self.window_s is not None else []
        return (counted.since or now) + timedelta(seconds=min(limits_s)) if limits_s else None


def now() -> datetime:
    """The time of day: what was due is known by it alone."""
    return datetime.now(UTC)


def counted_from(run: FlowRun) -> Counted:
    """`run`: while it is running."""
    due, made = run.expected_start_time, run.created
    is_apart = due is not None and made is not None and abs(due - made) > BY_HAND_WITHIN
    begun = run.state.timestamp if run.state is not None else None
    # the number of its runs does not tell of those that ended in a suspension
    again = run.start_time is not None and begun is not None and begun - run.start_time > AT_ONCE
    again |= bool(run.empirical_policy.pause_keys)
    if due is not None and (run.auto_scheduled or is_apart):
        return Counted(due.astimezone(UTC), by_schedule=True, again=again)
    if run.start_time is not None and again:
        return Counted(run.start_time.astimezone(UTC), again=True)
    return Counted()


def counted() -> Counted:
    """From when the flow run counts in which this is called."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    return counted_from(run) if run is not None else Counted()


def refuse_late(asked: Punctual, cluster: str) -> Counted:
    """From when this flow run counts. Raises RunRefused where it comes too late; a log line and an event say so, too.

    `cluster`: as it was asked for.
    """
    known = counted()
    why = asked.too_late(known, now())
    if why:
        say_late(cluster, why, known)
        touched = (
            "Nothing was touched this time; a run by hand goes on from there" if known.again else "Nothing was touched"
        )
        raise RunRefused(f"{why}. {touched}")
    return known


def say_late(cluster: str, why: str, known: Counted) -> None:
    """What an automation may catch. Prefect adds flow run and deployment to what the event is about by itself."""
    get_run_logger().error("too late: %s", why)
    name = spoken(cluster)
    emit_event(
        event="shunter.run.refused_late",
        resource={
            "prefect.resource.id": f"shunter.cluster.{name}.{name}",
            "prefect.resource.name": name,
            "shunter.cluster": name,
        },
        payload={
            "reason": why,
            "counts_from": known.since.isoformat() if known.since else None,
            "late_s": round(known.passed_s(now()), 1),
        },
    )
