"""Watching a cluster: looks at intervals and whenever something changes; what happens is told once.

What there is to tell is decided in `topology/watching`; here is who looks when, and what is remembered in between.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from shunter.clusters.port import ClusterPort, Unreachable
from shunter.engine.stop import Stop
from shunter.topology.errors import ShunterError
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan, Severity
from shunter.topology.quorum import votes_of
from shunter.topology.watching.condition import NORMAL, Condition, Key, Kind, Occurrence, Standing
from shunter.topology.watching.conditions import Conditions, conditions
from shunter.topology.watching.cover import cover, matters
from shunter.topology.watching.hysteresis import (
    Patience,
    Tracks,
    compare,
    look_again_s,
    standing,
    with_overlong_backups,
)
from shunter.topology.watching.occurrences import lost_nodes, tell, unseen_restarts
from shunter.topology.watching.report import Watch

LEAST_BETWEEN_LOOKS_S = 1.0
"""What changes within a moment is seen together."""
MOST_BETWEEN_LOOKS_S = 8.0
"""While VM after VM fails or starts again nobody looks more often than that, so that they are told of together."""
OUT_OF_REACH_LOOK_S = 5.0
MOST_KEPT = 1_000
"""For the report; a watch of months must not grow. Of all that is told there is a count."""

FailOver = Callable[[Sequence[str], Cluster, Stop], Awaitable[Plan]]
"""Given the nodes that were lost, a snapshot from before, and what asks it to end early."""


@dataclass(frozen=True, slots=True)
class WatchPolicy:
    """`look_every_s`: at the latest. `cover_every_s`: never more often is decided what the loss of each node would mean
    (N+1), and only when something changed that matters to it. `unreachable_after_s`: so long no look may succeed before
    that is told. `on_node_lost`: whether a failover is started for a node that the cluster has declared down.
    """

    look_every_s: float = 30.0
    cover_every_s: float = 60.0
    unreachable_after_s: float = 20.0
    patience: Patience = field(default_factory=Patience)
    on_node_lost: Literal["nothing", "failover"] = "nothing"


@dataclass(frozen=True, slots=True)
class Glance:
    """How things stand after a look. `reachable` false: `cluster` is as it was seen last."""

    at_s: float
    cluster: Cluster
    standing: tuple[Standing, ...]
    reachable: bool


class Watcher(Protocol):
    """Listens to a watch. Every call returns at once."""

    def occurred(self, occurrence: Occurrence) -> None: ...

    def looked(self, glance: Glance) -> None: ...


class NoWatcher:
    """Hears nothing: for callers who want the report alone."""

    def occurred(self, occurrence: Occurrence) -> None: ...

    def looked(self, glance: Glance) -> None: ...


async def watch(
    cluster: ClusterPort,
    policy: WatchPolicy,
    *,
    watcher: Watcher,
    stop: Stop | None = None,
    for_s: float | None = None,
    fail_over: FailOver | None = None,
) -> Watch:
    """Watch until `for_s` of the cluster's seconds have passed (0: one look; None: until `stop` asks for an end).

    Whatever is wrong at the first look is told as well. `fail_over` is called where the policy wants that: once for
    each loss that is told, one call at a time, never where no majority is left; the watch ends when it has ended.
    Raises Unreachable where the first look does not succeed.
    """
    seen = await cluster.look()
    watching = _Watching(cluster, policy, watcher, stop or Stop(), fail_over, seen, cluster.clock.now_s())
    return await watching.go_on(for_s)


@dataclass(slots=True, eq=False)
class _Watching:
    cluster: ClusterPort
    policy: WatchPolicy
    watcher: Watcher
    stop: Stop
    fail_over: FailOver | None
    seen: Cluster
    started_s: float
    tracks: Tracks = field(default_factory=dict)
    kept: deque[Occurrence] = field(default_factory=lambda: deque(maxlen=MOST_KEPT))
    told: Counter[str] = field(default_factory=Counter)
    """What happened → how often it was told."""
    looks: int = 0
    pause_s: float = LEAST_BETWEEN_LOOKS_S
    covered: Conditions = field(default_factory=dict)
    covered_of: Cluster | None = None
    """The snapshot for which `covered` was decided, and when that was."""
    covered_s: float = 0.0
    out_of_reach_s: float | None = None
    there: dict[str, Cluster] = field(default_factory=dict)
    """Node → the last snapshot in which it was not down."""
    lost: dict[str, Cluster] = field(default_factory=dict)
    """Nodes for which a failover is to be started → the snapshot from before."""
    failover: asyncio.Task[None] | None = None

    @property
    def now_s(self) -> float:
        return self.cluster.clock.now_s()

    async def go_on(self, for_s: float | None) -> Watch:
        end_s = self.started_s + for_s if for_s is not None else None
        try:
            self._take_in(self.seen)
            while not self.stop.asked and (end_s is None or self.now_s < end_s):
                await self._wait(end_s)
                await self._look()
        finally:
            await self._end_failover()
        left = standing(self.tracks)
        return Watch(
            cluster=self.seen.name,
            ok=not any(each.severity == "error" for each in left),
            seconds=self.now_s - self.started_s,
            told=self.told.total(),
            counts=dict(sorted(self.told.items())),
            occurrences=tuple(self.kept),
            standing=left,
            interrupted=self.stop.asked,
        )

    # ------------------------------------------------------------------ looking

    async def _wait(self, end_s: float | None) -> None:
        """Until it is time to look again, or something changes, or an end is asked for."""
        await self._unless_stopped(self.cluster.clock.sleep(self._moment_s(end_s)))
        if self.out_of_reach_s is not None:
            await self._unless_stopped(self.cluster.clock.sleep(OUT_OF_REACH_LOOK_S))
            return
        due = [self.now_s + self.policy.look_every_s, end_s, look_again_s(self.tracks, self.policy.patience)]
        if self._cover_is_due():
            due.append(self.covered_s + self.policy.cover_every_s)
        within_s = min(each for each in due if each is not None) - self.now_s
        if within_s > 0:
            await self._unless_stopped(self._until_change(within_s))

    def _moment_s(self, end_s: float | None) -> float:
        return self.pause_s if end_s is None else min(self.pause_s, end_s - self.now_s)

    async def _until_change(self, within_s: float) -> None:
        try:
            await self.cluster.wait_for_change(self.seen, within_s)
        except Unreachable:
            return  # the look that follows finds out

    async def _unless_stopped(self, waiting: Coroutine[Any, Any, None]) -> None:
        if self.stop.asked:
            waiting.close()
            return
        tasks = {asyncio.create_task(waiting), asyncio.create_task(self.stop.wait())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        try:
            seen = await self.cluster.look()
        except Unreachable as error:
            self._miss(error)
            return
        self.out_of_reach_s = None
        self._take_in(seen)

    def _miss(self, error: Unreachable) -> None:
        if self.out_of_reach_s is None:
            self.out_of_reach_s = self.now_s
        if self.now_s - self.out_of_reach_s < self.policy.unreachable_after_s:
            return
        reach = Condition(
            state="unreachable",
            severity="error",
            message=f"{self.seen.name} cannot be looked at: {error}",
            remedy="look whether the cluster, the network and this machine's way to it are up",
        )
        key = Key(Kind.REACH, f"cluster {self.seen.name}")
        others = {known: track for known, track in self.tracks.items() if known != key}
        self.tracks = {known: track for known, track in self.tracks.items() if known == key}
        self._compare({key: reach}, None, self.seen)
        self.tracks = {**others, **self.tracks}  # nothing is known of those, not even that they stay as they are
        self.watcher.looked(Glance(self.now_s, self.seen, standing(self.tracks), reachable=False))

    def _take_in(self, seen: Cluster) -> None:
        before = self.seen if self.looks else None
        self.looks += 1
        self._cover(seen)
        patience = self.policy.patience
        found = with_overlong_backups({**conditions(seen), **self.covered}, self.tracks, self.now_s, patience)
        occurrences = self._compare(found, before, seen)
        self.seen = seen
        of_vms_alone = bool(occurrences) and all(each.what.startswith("vm_") for each in occurrences)
        self.pause_s = min(2 * self.pause_s, MOST_BETWEEN_LOOKS_S) if of_vms_alone else LEAST_BETWEEN_LOOKS_S
        for node in lost_nodes(occurrences):
            if node in self.there:
                self.lost.setdefault(node, self.there[node])
        self.there.update((node.name, seen) for node in seen.nodes if node.state != "down")
        self.watcher.looked(Glance(self.now_s, seen, standing(self.tracks), reachable=True))
        self._start_failover()

    def _compare(self, found: Conditions, before: Cluster | None, seen: Cluster) -> Sequence[Occurrence]:
        passed = unseen_restarts(before, seen) if before is not None else ()
        patience = self.policy.patience
        self.tracks, changes = compare(self.tracks, found, self.now_s, patience, passed)
        occurrences = tell(changes, before, seen, self.now_s, patience)
        for each in occurrences:
            self._say(each)
        return occurrences

    def _say(self, occurrence: Occurrence) -> None:
        self.told[occurrence.what] += 1
        self.kept.append(occurrence)
        self.watcher.occurred(occurrence)

    # ------------------------------------------------------------------ N+1

    def _cover(self, seen: Cluster) -> None:
        """Decide what the loss of each node would mean, if that may be different, but not too often."""
        if self.covered_of is None or (
            self.now_s >= self.covered_s + self.policy.cover_every_s and matters(self.covered_of, seen)
        ):
            self.covered, self.covered_of, self.covered_s = cover(seen), seen, self.now_s

    def _cover_is_due(self) -> bool:
        return self.covered_of is not None and matters(self.covered_of, self.seen)

    # ------------------------------------------------------------------ failover

    def _start_failover(self) -> None:
        """For the nodes that are still lost: one run at a time, and none where no majority is left."""
        if self.failover is not None and self.failover.done():
            self.failover.result()
            self.failover = None
        self.lost = {node: was for node, was in self.lost.items() if self._is_down(node)}
        wanted = self.fail_over is not None and self.policy.on_node_lost == "failover"
        if not (wanted and self.lost) or self.stop.asked or not votes_of(self.seen).is_majority:
            return
        if self.failover is None:
            nodes, before = tuple(self.lost), next(iter(self.lost.values()))
            self.lost = {}
            self.failover = asyncio.create_task(self._fail_over(nodes, before), name="failover")

    def _is_down(self, node: str) -> bool:
        known = self.seen.node_by_name.get(node)
        return known is not None and known.state == "down"

    async def _fail_over(self, nodes: tuple[str, ...], before: Cluster) -> None:
        assert self.fail_over is not None  # noqa: S101  asked before it is started
        named = " and ".join(nodes)
        self._say(self._of_failover("failover_started", nodes, "info", f"failover of {named} begins"))
        try:
            plan = await self.fail_over(nodes, before, self.stop)
        except ShunterError as error:
            ended = self._of_failover(
                "failover_failed", nodes, "error", f"failover of {named} did not succeed: {error}"
            )
        else:
            severity, what = _came_to(plan)
            ended = self._of_failover("failover_ended", nodes, severity, f"failover of {named} is over: {what}")
        self._say(ended)

    def _of_failover(self, what: str, nodes: tuple[str, ...], severity: Severity, message: str) -> Occurrence:
        return Occurrence(
            at_s=self.now_s,
            what=what,
            severity=severity,
            subject=f"node {nodes[0]}" if len(nodes) == 1 else f"cluster {self.seen.name}",
            message=message,
            remedy="nothing" if severity == "info" else "see the report of the failover",
            before=NORMAL if what == "failover_started" else "under way",
            state="under way" if what == "failover_started" else NORMAL,
            nodes=nodes,
        )

    async def _end_failover(self) -> None:
        """What has begun ends well, also when the watch is cancelled."""
        if self.failover is None:
            return
        try:
            await asyncio.shield(self.failover)
        except asyncio.CancelledError:
            self.stop.request()
            await asyncio.wait({self.failover})
            raise


def _came_to(plan: Plan) -> tuple[Severity, str]:
    """How grave the end of a failover is, and in words what it came to."""
    if plan.errors and not plan.executed:
        return "warning", f"nothing was touched: {'; '.join(found.message for found in plan.errors)}"
    doubtful = [move.vm for move in plan.in_doubt]
    if doubtful:
        return "error", f"it is not known what became of {', '.join(doubtful)}: look where they run"
    left = ", ".join(each.vm for each in plan.unplaced)
    told = f"these do not run: {left}" if left else "nothing is left that could run and does not"
    return "info" if plan.ok else "warning", told
