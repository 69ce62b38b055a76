"""Holds a report against the witness log, move by move."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from shunter.topology.plan import Move, Plan, RoleMove, VolumeMove
from shunter.topology.recheck.degraded import Degraded, degraded_as_told
from shunter.topology.recheck.homecoming import came_back
from shunter.topology.recheck.maintained import Comings, turns_agree
from shunter.topology.recheck.of_log import first_world, read_events, time_of
from shunter.topology.recheck.standing import disorders
from shunter.topology.recheck.violation import Violation
from shunter.topology.recheck.world import Event, World

SAME_TIME_S = 1e-3
REPORTED_AS = {
    "done": ("done",),
    "failed": ("failed",),
    "source_lost": ("failed",),
    "target_lost": ("failed",),
    "cancelled": ("cancelled",),
}


@dataclass(frozen=True, slots=True)
class _Migration:
    vm: str
    source: str
    target: str
    start_s: float
    end_s: float | None
    outcome: str


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of node or owner, or a refusal. `ours`: it can only have been ours; else others may have done it."""

    name: str
    source: str
    target: str
    at_s: float
    ours: bool


@dataclass(slots=True)
class _Told:
    """What the log tells that a report must agree with. Times count as in the report."""

    world: World
    degraded: Degraded
    migrations: list[_Migration] = field(default_factory=list)
    refusals: list[_Change] = field(default_factory=list)
    roles: list[_Change] = field(default_factory=list)
    volumes: list[_Change] = field(default_factory=list)
    answers_lost_s: list[float] = field(default_factory=list)
    comings: Comings = field(default_factory=Comings)
    earlier: set[tuple[str, float]] = field(default_factory=set)
    """Target and end of migrations that were under way before the log began."""
    ended_s: float = 0.0


def check_report(
    report: Plan,
    lines: Iterable[str | Mapping[str, object]],
    nodes: Collection[str],
    started_at_s: float = 0.0,
) -> tuple[Violation, ...]:
    """Where the report of an evacuation of `nodes` and the witness log disagree; empty where they agree.

    `nodes`: none for a repair; one that calls itself ok must have left nothing out of order. Of a rolling maintenance
    those that were to be maintained (none: all): each has its turn as the log tells it, or is named as untouched.
    `started_at_s`: what the log's clock showed at second 0 of the report. A plan that was not carried out is a report
    of no moves.
    """
    events, broken = read_events(lines)
    if broken or not events:
        return broken or (Violation(0.0, "log", "the log", "is empty"),)
    world, problem = first_world(events[0])
    if world is None:
        return (Violation(0.0, "log", "the log", problem),)
    try:
        return tuple(_disagreements(report, _told(world, events[1:], started_at_s), frozenset(nodes)))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return (Violation(0.0, "log", "the log", f"cannot be read to its end: {error!r}"),)


def _disagreements(report: Plan, told: _Told, nodes: frozenset[str]) -> Iterator[Violation]:
    moves = report.moves if report.executed else ()
    role_moves = report.role_moves if report.executed else ()
    volume_moves = report.volume_moves if report.executed else ()
    yield from _moves(moves, told)
    yield from _changes("changes its node", [(m.name, m) for m in role_moves], told.roles)
    yield from _changes("changes its owner", [(m.volume, m) for m in volume_moves], told.volumes)
    yield from _staying(report, told)
    if report.executed:
        yield from degraded_as_told(report, told.degraded, told.world)
    if report.kind == "rolling_maintenance":
        yield from turns_agree(told.world.cluster, report, nodes, told.comings)
    elif report.kind == "resume":
        yield from came_back(report, told.world, told.ended_s)
    else:
        yield from _everybody(report, told, nodes)


def _told(world: World, events: Iterable[Event], zero_s: float) -> _Told:
    told = _Told(world, Degraded(world))
    before: Event = {}
    for event in events:
        at_s = told.ended_s = time_of(event) - zero_s
        match event["what"]:
            case "migration_ended":
                _note_end(told, event, at_s, zero_s)
            case "migration_refused":
                told.refusals.append(_refusal(world, event, before, at_s))
            case "role_moved":
                told.roles.append(_change(told, event, event["name"], at_s))
            case "volume_owner_changed":
                told.volumes.append(_change(told, event, event["volume"], at_s))
            case "fault_injected" if event.get("do") == "answer_lost":
                told.answers_lost_s.append(at_s)
        told.comings.note(event, at_s)
        told.degraded.note(world, event, at_s)
        world.apply(event)
        before = event
    for flight in world.flights.values():
        if flight.by == "us" and flight.vm not in world.begun_before:
            start_s = flight.started_s - zero_s
            told.migrations.append(_Migration(flight.vm, *flight.nodes, start_s, None, "under way"))
    return told


def _note_end(told: _Told, event: Event, at_s: float, zero_s: float) -> None:
    flight = told.world.flights.get(event["vm"])
    if flight is not None and flight.vm in told.world.begun_before:
        told.earlier.add((flight.target, at_s))
    elif flight is not None and flight.by == "us":
        start_s = flight.started_s - zero_s
        told.migrations.append(_Migration(flight.vm, *flight.nodes, start_s, at_s, event["outcome"]))


def _refusal(world: World, event: Event, before: Event, at_s: float) -> _Change:
    """Ours, and to be reported, unless a node was busy (then we only wait) or somebody else had asked."""
    elsewhere = before.get("do") == "migration_elsewhere" and before.get("vm") == event["vm"]
    busy = any(world.flight_at(node) for node in (event["source"], event["target"]))
    ours = event.get("by", "elsewhere" if elsewhere else "us") == "us" and not busy
    return _Change(event["vm"], event["source"], event["target"], at_s, ours)


def _change(told: _Told, event: Event, name: str, at_s: float) -> _Change:
    """From a node that is lost the cluster takes; what shares a disk follows a VM that another run or somebody else
    moves (R11)."""
    world, ends = told.world, (event["source"], event["target"])
    followed = (event["target"], at_s) in told.earlier or any(
        flight.by != "us" and flight.nodes == ends for flight in world.flights.values()
    )
    by_us = event.get("by", "us") == "us"
    ours = by_us and not followed and world.node_state[event["source"]] in ("up", "paused")
    return _Change(name, *ends, at_s, ours)


def _moves(moves: Iterable[Move], told: _Told) -> Iterator[Violation]:
    left = list(told.migrations)
    refusals, answers_lost_s = list(told.refusals), list(told.answers_lost_s)
    for move in moves:
        ends = (move.source, move.target)
        entry = next((m for m in left if _is(m, move)), None)
        if entry is not None:
            left.remove(entry)
            yield from _agree(move, entry)
            continue
        refusal = next((r for r in refusals if _was_refused(r, move)), None)
        lost_s = next((at_s for at_s in answers_lost_s if abs(at_s - move.start_s) <= SAME_TIME_S), None)
        if refusal is not None:
            refusals.remove(refusal)
            if move.outcome not in ("refused", "lost_sight"):
                message = f"the log says {' → '.join(ends)} was refused, the report {move.outcome}"
                yield Violation(move.start_s, "report", move.vm, message)
        elif lost_s is not None and move.outcome in ("failed", "cancelled", "lost_sight"):
            # the order never reached the cluster; it is honest to report that it was given
            answers_lost_s.remove(lost_s)
        else:
            message = f"the report's move {' → '.join(ends)} ({move.outcome}) is not in the log"
            yield Violation(move.start_s, "report", move.vm, message)
    for entry in left:
        message = f"the report lacks its migration {entry.source} → {entry.target} ({entry.outcome})"
        yield Violation(entry.start_s, "report", entry.vm, message)
    for refusal in refusals:
        if refusal.ours:
            message = f"the report lacks that {refusal.source} → {refusal.target} was refused"
            yield Violation(refusal.at_s, "report", refusal.name, message)


def _was_refused(refusal: _Change, move: Move) -> bool:
    same = (refusal.name, refusal.source, refusal.target) == (move.vm, move.source, move.target)
    return same and abs(refusal.at_s - move.start_s) <= SAME_TIME_S


def _is(entry: _Migration, move: Move) -> bool:
    same = (entry.vm, entry.source, entry.target) == (move.vm, move.source, move.target)
    return same and abs(entry.start_s - move.start_s) <= SAME_TIME_S


def _agree(move: Move, entry: _Migration) -> Iterator[Violation]:
    if move.outcome == "lost_sight":
        return
    if entry.end_s is None:
        yield Violation(entry.start_s, "report", move.vm, f"it is under way still; the report calls it {move.outcome}")
        return
    if abs(entry.end_s - move.end_s) > SAME_TIME_S:
        message = f"the log ends it at {entry.end_s:g} s, the report at {move.end_s:g} s"
        yield Violation(entry.end_s, "report", move.vm, message)
    if move.outcome not in REPORTED_AS[entry.outcome]:
        yield Violation(entry.end_s, "report", move.vm, f"the log says {entry.outcome}, the report {move.outcome}")


def _changes(
    what: str, reported: Iterable[tuple[str, RoleMove | VolumeMove]], logged: Iterable[_Change]
) -> Iterator[Violation]:
    left = list(logged)
    for name, move in reported:
        entries = [entry for entry in left if _tells_of(entry, name, move, left)]
        in_time = (entry for entry in entries if entry.at_s >= move.start_s - SAME_TIME_S)
        entry = next(in_time, entries[0] if entries else None)
        if entry is None:
            message = f"the log does not know that it {what}: {move.source} → {move.target}"
            yield Violation(move.start_s, "report", name, message)
            continue
        left.remove(entry)
        if entry.at_s < move.start_s - SAME_TIME_S:
            message = f"it {what} at {entry.at_s:g} s; the report lets that begin at {move.start_s:g} s"
            yield Violation(entry.at_s, "report", name, message)
    for entry in left:
        if entry.ours:
            message = f"the report does not know that it {what}: {entry.source} → {entry.target}"
            yield Violation(entry.at_s, "report", entry.name, message)


def _tells_of(entry: _Change, name: str, move: RoleMove | VolumeMove, logged: Sequence[_Change]) -> bool:
    """Whether the report's move is this one; between its looks the cluster may have changed the owner, too."""
    if (entry.name, entry.target) != (name, move.target):
        return False
    took = ((c.source, c.target) for c in logged if c.name == name and not c.ours and c.at_s <= entry.at_s)
    return move.source == entry.source or (move.source, entry.source) in took


def _staying(report: Plan, told: _Told) -> Iterator[Violation]:
    """What is unplaced is still there, or in a plan that was not carried out will be."""
    arriving = {} if report.executed else {other.vm: other.target for other in report.under_way}
    for unplaced in report.unplaced:
        is_on = arriving.get(unplaced.vm, told.world.vms[unplaced.vm].node)
        if is_on != unplaced.node:
            message = f"unplaced on {unplaced.node}, but on {is_on} at the end"
            yield Violation(told.ended_s, "report", unplaced.vm, message)


def _everybody(report: Plan, told: _Told, nodes: Collection[str]) -> Iterator[Violation]:
    """Every VM that ran on these nodes has left them by a move, is named as unplaced, or a finding tells its fate."""
    end_s, world = told.ended_s, told.world
    staying = {unplaced.vm for unplaced in report.unplaced}
    told_of = {finding.subject.removeprefix("vm ") for finding in report.findings}
    if report.executed:
        told_of |= {move.vm for move in report.moves if move.outcome == "done"}
        told_of |= {move.name for move in report.role_moves}
    for name, vm in world.cluster.vm_by_name.items():
        # of a VM that somebody else moves at this moment, nobody can say where it is
        if vm.node not in nodes or not vm.holds_memory or name in staying or name in told_of or name in world.flights:
            continue
        now = world.vms[name]
        if now.node not in nodes:
            yield Violation(end_s, "report", name, f"left {vm.node} for {now.node}; the report does not say how")
        elif report.executed:
            yield Violation(end_s, "report", name, f"is on {now.node} still; the report does not say why")
    occupied = any(vm.node in nodes and vm.holds_memory for vm in world.vms.values())
    if report.ok and report.executed and (staying or occupied):
        yield Violation(end_s, "report", report.cluster, "the report calls itself ok though VMs stay")
    if report.ok and report.kind == "repair":
        yield from _out_of_order(world, end_s)


def _out_of_order(world: World, end_s: float) -> Iterator[Violation]:
    """Of what others move at this moment nobody can say where it stands."""
    place = {name: vm.node for name, vm in world.vms.items()}
    used_mib = {node: world.used_mib(node) for node in world.node_state}
    for entry in disorders(world.cluster, place, used_mib):
        if not entry.vms & world.flights.keys():
            message = f"the report of the repair calls itself ok, and {entry.message}"
            yield Violation(end_s, entry.rule, entry.subject, message)
