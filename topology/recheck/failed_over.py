"""Holds the report of a failover against the witness log, start by start."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from shunter.topology.plan import Move, Plan
from shunter.topology.recheck.of_log import first_world, read_events, time_of
from shunter.topology.recheck.violation import EPSILON_S, Violation
from shunter.topology.recheck.world import World

HANDED_OVER = {"role_moved": "name", "volume_owner_changed": "volume"}


@dataclass(frozen=True, slots=True)
class _Started:
    vm: str
    node: str
    at_s: float
    by: str


@dataclass(frozen=True, slots=True)
class _Migrated:
    """A live migration of ours that arrived."""

    vm: str
    source: str
    target: str
    at_s: float


def check_failover(
    report: Plan,
    lines: Iterable[str | Mapping[str, object]],
    lost: Collection[str],
    started_at_s: float = 0.0,
    ended_at_s: float = float("inf"),
) -> tuple[Violation, ...]:
    """Where the report of a failover of the `lost` nodes and the witness log disagree; empty where they agree.

    `started_at_s`, `ended_at_s`: what the log's clock showed at second 0 of the report and when it was written; what
    the log tells of later times is not asked of it.
    """
    events, broken = read_events(lines)
    if broken or not events:
        return broken or (Violation(0.0, "log", "the log", "is empty"),)
    world, problem = first_world(events[0])
    if world is None:
        return (Violation(0.0, "log", "the log", problem),)
    starts: list[_Started] = []
    handed: list[tuple[str, str, float]] = []
    arrived: list[_Migrated] = []
    try:
        for event in events[1:]:
            if time_of(event) > ended_at_s:
                break
            if event["what"] == "vm_started":
                starts.append(_Started(event["vm"], event["node"], time_of(event), event["by"]))
            if event["what"] == "migration_ended" and event["by"] == "us" and event["outcome"] == "done":
                arrived.append(_Migrated(event["vm"], event["source"], event["target"], time_of(event)))
            if event["what"] in HANDED_OVER and event["by"] == "us" and time_of(event) >= started_at_s - EPSILON_S:
                handed.append((event[HANDED_OVER[event["what"]]], event["target"], time_of(event)))
            world.apply(event)
        return (
            *_disagreements(report, world, starts, frozenset(lost), started_at_s),
            *_of_handed_over(report, handed),
            *_of_room(report, [each for each in arrived if each.at_s >= started_at_s - EPSILON_S], started_at_s),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return (Violation(0.0, "log", "the log", f"cannot be read to its end: {error!r}"),)


def _disagreements(
    report: Plan, world: World, starts: list[_Started], lost: frozenset[str], zero_s: float
) -> Iterator[Violation]:
    if not report.executed:
        for start in starts:
            if start.by == "us" and start.at_s >= zero_s:
                yield Violation(start.at_s, "report", start.vm, "we started it, and the report says nothing was done")
        return
    yield from _of_moves(report, world, starts, zero_s)
    named = {move.vm for move in report.moves if move.outcome == "done"}
    unplaced = {stays.vm for stays in report.unplaced}
    told_of = named | unplaced | {finding.subject.removeprefix("vm ") for finding in report.findings}
    end_s = max((start.at_s for start in starts), default=zero_s)
    for name, vm in world.vms.items():
        hidden = world.node_state[vm.node] == "isolated" and vm.node in lost
        if name in unplaced and vm.holds_memory and not hidden:
            yield Violation(end_s, "report", name, f"called unplaced, but runs on {vm.node}")
        if vm.state == "failed" and vm.clustered and name not in told_of:
            yield Violation(end_s, "report", name, "is failed; the report does not say so")
    waiting = [name for name, vm in world.vms.items() if vm.state == "failed" and vm.clustered and vm.priority > 0]
    if report.ok and waiting:
        yield Violation(end_s, "report", report.cluster, f"calls itself ok while {waiting[0]} does not run")


def _of_handed_over(report: Plan, handed: list[tuple[str, str, float]]) -> Iterator[Violation]:
    told = {(move.name, move.target) for move in report.role_moves}
    told |= {(move.volume, move.target) for move in report.volume_moves}
    for name, target, at_s in handed:
        if (name, target) not in told:
            yield Violation(at_s, "report", name, f"we gave it to {target}; the report lacks that")


def _of_room(report: Plan, arrived: list[_Migrated], zero_s: float) -> Iterator[Violation]:
    """Each live migration that made room is one that happened, and each of ours is told."""
    for move in report.made_room:
        if move.outcome != "done":
            continue
        entry = next((each for each in arrived if _is_migration(each, move, zero_s)), None)
        if entry is None:
            message = f"the log does not know that it moved on live, {move.source} → {move.target}"
            yield Violation(zero_s + move.end_s, "report", move.vm, message)
        else:
            arrived.remove(entry)
    for each in arrived:
        message = f"the report lacks its migration {each.source} → {each.target}"
        yield Violation(each.at_s, "report", each.vm, message)


def _is_migration(entry: _Migrated, move: Move, zero_s: float) -> bool:
    same = (entry.vm, entry.source, entry.target) == (move.vm, move.source, move.target)
    return same and abs(entry.at_s - zero_s - move.end_s) <= EPSILON_S


def _of_moves(report: Plan, world: World, starts: list[_Started], zero_s: float) -> Iterator[Violation]:
    """Each move is a start that happened, and each start of ours is a move."""
    ours = [start for start in starts if start.by == "us" and start.at_s >= zero_s - EPSILON_S]
    for move in report.moves:
        if move.outcome != "done":
            continue
        entry = next((start for start in ours if _is(start, move, zero_s)), None)
        if entry is not None:
            ours.remove(entry)
        elif not any(_before(start, move, zero_s) for start in starts) and not _was_there(world, move):
            message = f"the log does not know that it was started on {move.target}"
            yield Violation(zero_s + move.end_s, "report", move.vm, message)
    for start in ours:
        if not any(move.vm == start.vm and move.target == start.node for move in report.moves):
            yield Violation(start.at_s, "report", start.vm, f"we started it on {start.node}; the report lacks that")


def _is(start: _Started, move: Move, zero_s: float) -> bool:
    within = zero_s + move.start_s - EPSILON_S <= start.at_s <= zero_s + move.end_s + EPSILON_S
    return (start.vm, start.node) == (move.vm, move.target) and within


def _before(start: _Started, move: Move, zero_s: float) -> bool:
    """The cluster's starts are known from looks: they were no later than a look says."""
    return (start.vm, start.node) == (move.vm, move.target) and start.at_s <= zero_s + move.end_s + EPSILON_S


def _was_there(world: World, move: Move) -> bool:
    """A live migration brought it there."""
    return world.vms[move.vm].node == move.target and world.runs(move.vm)
