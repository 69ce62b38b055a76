"""Judges a disturbed run by what the cluster saw, beside the same run undisturbed; shares nothing with the planners."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from disturbed.outcome import Ending, Event, begun, ending_of, longest_idle, spans
from disturbed.play import Played, leaves_folders
from shunter.topology.plan import Plan
from shunter.topology.recheck import check_log, check_report

LONGEST_WAIT_S = 30.0
"""Of real time: nothing waits longer after its cause is over."""
OBEYS_WITHIN_S = 3.0
CALLED_OFF_WITHIN_S = 10.0
SAME_TIME_S = 1e-3
CODE_OF_INTERRUPTED = 130
NEW = frozenset({"migration_started", "node_paused", "node_rebooted", "vm_started"})
FALSE_CAUSES = re.compile(r"held by another run|another run holds|is watched already|add a node", re.IGNORECASE)
TRACEBACK = "Traceback (most recent call last)"
MOST_SHOWN = 3
UNWRITTEN = re.compile(r"cannot be written|could not be written|No space left|Broken pipe", re.IGNORECASE)
FULL_FOLDER = "disk of the run's folder full"
WITHOUT_WITNESS = "disk of the witness log full"


@dataclass(frozen=True, slots=True)
class Fault:
    """`what`: which promise is broken, in a word or two."""

    what: str
    message: str

    def __str__(self) -> str:
        return f"{self.what}: {self.message}"


def judge(played: Played) -> tuple[Fault, ...]:
    """What is wrong with it; empty where nothing is."""
    if _nothing_was_begun(played):
        return tuple(_of_nothing(played))
    return tuple(fault for part in PARTS for fault in part(played))


# ------------------------------------------------------------------ a run that was told to end before it began


def _nothing_was_begun(played: Played) -> bool:
    return bool(played.cause.signals_s) and not any(event.get("by") == "us" for event in played.events)


def _of_nothing(played: Played) -> Iterator[Fault]:
    """One that has just been started may end by the signal itself, as any program does."""
    died_of_it = played.case.moment is None and played.code is not None and played.code < 0
    if played.code != CODE_OF_INTERRUPTED and not died_of_it:
        yield Fault("exit code", f"{_code(played)} of a run that was interrupted before it began anything")
    yield from _traceback(played)
    yield from _locks(played)


# ------------------------------------------------------------------ the cluster


def _interrupted(played: Played) -> bool:
    """Whether it was told to end, and had not done all before it could obey."""
    if not played.cause.signals_s:
        return False
    return played.code != played.case.twin.code or _ending(played) != played.case.twin.ending


def _ending(played: Played) -> Ending:
    case = played.case
    ending = ending_of(played.seen, played.events, case.nodes, rolling=case.procedure == "rolling")
    if case.procedure == "rolling" and case.disturbance == WITHOUT_WITNESS:
        back = frozenset(name for name, at_s in played.booted_s.items() if at_s)
        return Ending(back, ending.unplaced, ending.paused, ending.away, ending.moving)
    return ending


def _end_state(played: Played) -> Iterator[Fault]:
    ending, wanted = _ending(played), played.case.twin.ending
    if _interrupted(played):
        yield from _end_of_interrupted(played, ending)
        return
    for name in ("emptied", "unplaced", "paused", "away", "moving"):
        is_, was = getattr(ending, name), getattr(wanted, name)
        if is_ != was:
            yield Fault("end state", f"{name}: {_listed(is_)}; undisturbed: {_listed(was)}")


def _end_of_interrupted(played: Played, ending: Ending) -> Iterator[Fault]:
    wanted = played.case.twin.ending
    if ending.moving:
        yield Fault("interrupt", f"{_listed(ending.moving)} still on the way when the run had ended")
    if ending.away - wanted.away:
        yield Fault("interrupt", f"{_listed(ending.away)} not back when the run had ended")
    if ending.paused - wanted.paused:
        yield Fault("interrupt", f"{_listed(ending.paused - wanted.paused)} left paused")


def _log(played: Played) -> Iterator[Fault]:
    case = played.case
    whole = not _interrupted(played) and case.disturbance != WITHOUT_WITNESS and played.code is not None
    finished = case.nodes if case.procedure == "evacuation" and whole else ()
    rolled = tuple(case.twin.reboots) if case.procedure == "rolling" and whole else None
    for found in check_log(played.lines, finished=finished, rolled=rolled):
        yield Fault("log", str(found))


def _often(played: Played) -> Iterator[Fault]:
    """No VM migrates, and no node is rebooted, more often than undisturbed, but for a VM in flight at a kill."""
    twin = played.case.twin
    migrations = begun(played.events, "migration_started")
    if played.case.disturbance == WITHOUT_WITNESS:
        migrations = Counter(record["vm"] for record in played.migrated)
    for vm, times in migrations.items():
        most = twin.migrations[vm] + (vm in played.cause.in_flight)
        if times > most:
            yield Fault("moves", f"{vm} migrated {times} times, undisturbed {twin.migrations[vm]}")
    for node, times in begun(played.events, "node_rebooted").items():
        if times > twin.reboots[node]:
            yield Fault("moves", f"{node} was rebooted {times} times, undisturbed {twin.reboots[node]}")


def _waits(played: Played) -> Iterator[Fault]:
    case, cause = played.case, played.cause
    if played.code is None:
        yield Fault(
            "waits",
            f"did not end within {played.took_s - cause.lasted_s:.0f} s; undisturbed it takes "
            f"{case.twin.takes_s / case.speed:.0f} s",
        )
    if case.disturbance == WITHOUT_WITNESS:
        return
    idle_s, since_s = longest_idle(spans(played.events), cause.over_s, played.ended_s)
    allowed_s = LONGEST_WAIT_S + case.twin.idle_s / case.speed
    if idle_s / case.speed > allowed_s:
        after_s = (since_s - cause.over_s) / case.speed
        message = f"nothing happened for {idle_s / case.speed:.0f} s, from {after_s:.0f} s after the disturbance on"
        yield Fault("waits", message)


def _obeys(played: Played) -> Iterator[Fault]:
    """Nothing new starts after a signal; a second one calls off what runs."""
    case, signals_s = played.case, played.cause.signals_s
    if not signals_s:
        return
    until_s = signals_s[0] + OBEYS_WITHIN_S * case.speed
    late = [event for event in new_things(played.events) if event["t_s"] > until_s]
    if late:
        shown = "; ".join(f"{e['what']} {e.get('vm', e.get('node'))}" for e in late[:MOST_SHOWN])
        after_s = (late[0]["t_s"] - signals_s[0]) / case.speed
        yield Fault("interrupt", f"{len(late)} new things began from {after_s:.0f} s after it on: {shown}")
    if len(signals_s) > 1:
        last_s = signals_s[1] + CALLED_OFF_WITHIN_S * case.speed
        open_then = {e["vm"] for e in played.events if e["what"] == "migration_started" and e["t_s"] <= signals_s[1]}
        for event in played.events:
            if event["what"] == "migration_ended" and event["vm"] in open_then and event["t_s"] > last_s:
                yield Fault(
                    "interrupt", f"{event['vm']} was not called off: {event['outcome']} long after the second signal"
                )


def new_things(events: Sequence[Event]) -> Iterator[Event]:
    """What we began. A node that comes back paused, as it went away, is not paused anew."""
    just_back: set[str] = set()
    for event in events:
        node = event.get("node", "")
        comes_back = event["what"] == "node_paused" and node in just_back
        if event["what"] in NEW and event.get("by") == "us" and not comes_back:
            yield event
        (just_back.add if event["what"] == "node_up" else just_back.discard)(node)


# ------------------------------------------------------------------ what the run says


def _exit_code(played: Played) -> Iterator[Fault]:
    if played.code is None:
        return
    wanted = CODE_OF_INTERRUPTED if _interrupted(played) else played.case.twin.code
    if played.code != wanted:
        said = played.complaints.strip().splitlines()
        last = next((line for line in reversed(said) if line.startswith("shunter:")), said[-1] if said else "")
        yield Fault("exit code", f"{_code(played)}, not {wanted}; it said: {last.strip()[:200] or 'nothing'}")


def _code(played: Played) -> str:
    return "none" if played.code is None else f"{played.code}"


def _traceback(played: Played) -> Iterator[Fault]:
    if TRACEBACK in played.complaints:
        last = [line for line in played.complaints.splitlines() if line.strip()][-1]
        yield Fault("traceback", last.strip()[:200])


def _report(played: Played) -> Iterator[Fault]:
    if played.code is None:
        return
    report = played.report
    if report is None:
        yield Fault("report", "there is none")
        return
    if "output" not in played.case.disturbance:
        yield from _printed(played, report)
    if _interrupted(played) and not report.get("interrupted"):
        yield Fault("report", "does not say that it was interrupted")
    if not played.cause.signals_s and report.get("interrupted"):
        yield Fault("report", "says that it was interrupted")
    doubtful = [move["vm"] for move in report["moves"] if move.get("outcome") == "lost_sight"]
    if doubtful:
        yield Fault("report", f"leaves in doubt {_listed(doubtful)}")
    if played.case.disturbance != WITHOUT_WITNESS:
        yield from _told(played, report)
        yield from _turns(played, report)


def _folder(played: Played) -> Iterator[Fault]:
    """Every run that acts leaves a folder, and names it; what cannot be written is said."""
    kind = played.case.disturbance
    if played.code is None or not leaves_folders():
        return
    if kind != FULL_FOLDER and played.folder is None:
        yield Fault("folder", "the run left no folder with a report")
    if kind != "standard error closed" and played.folder is not None and played.folder.name not in played.complaints:
        yield Fault("folder", f"it does not name its folder {played.folder.name}")


def _unwritten(played: Played) -> Iterator[Fault]:
    kind = played.case.disturbance
    full = kind == "disk of --html full" or "output" in kind or (kind == FULL_FOLDER and leaves_folders())
    if full and played.code is not None and not UNWRITTEN.search(played.complaints):
        yield Fault("silence", "it does not say what it could not write")


def _printed(played: Played, report: Mapping[str, Any]) -> Iterator[Fault]:
    """Standard output is one JSON document, the report of the folder."""
    try:
        printed = json.loads(played.printed)
    except ValueError:
        yield Fault("report", f"standard output holds no report: {played.printed[:80]!r}")
        return
    if printed != report:
        yield Fault("report", "what was printed is not what lies in the run's folder")


def _told(played: Played, report: Mapping[str, Any]) -> Iterator[Fault]:
    """Each move of ours is told, and nothing else. A run that goes on with a rolling night tells all of it."""
    since_s = played.begun_s if played.case.procedure == "rolling" else played.last_begun_s
    migrated, started = _done(played.events, "migration_started"), _done(played.events, "vm_started")
    is_failover = played.case.procedure == "failover"
    moves = report.get("made_room", []) if is_failover else report["moves"]
    yield from _compared("migration", moves, migrated, since_s)
    if is_failover:
        yield from _compared("start", report["moves"], started, since_s)
    if played.last_begun_s == played.begun_s and not is_failover:
        zero_s = _zero_s(report, played.events)
        for found in check_report(
            Plan.model_validate_json(json.dumps(report)), played.lines, played.case.nodes, zero_s
        ):
            yield Fault("report", str(found))


Done = tuple[str, str, float, str]
"""VM, where it went, when that began, and who did it."""


def _done(events: Sequence[Event], what: str) -> list[Done]:
    """Starts of VMs, or migrations that arrived."""
    begun_s: dict[str, float] = {}
    found = []
    for event in events:
        if event["what"] == "vm_started" == what:
            found.append((event["vm"], event["node"], event["t_s"], event["by"]))
        elif event["what"] == "migration_started":
            begun_s[event["vm"]] = event["t_s"]
        elif event["what"] == "migration_ended" and event["outcome"] == "done" and what == "migration_started":
            found.append((event["vm"], event["target"], begun_s[event["vm"]], event["by"]))
    return found


def _compared(what: str, moves: list[Mapping[str, Any]], done: list[Done], since_s: float) -> Iterator[Fault]:
    said = Counter((move["vm"], move["target"]) for move in moves if move.get("outcome") == "done")
    was = Counter((vm, target) for vm, target, _, _ in done)
    must = Counter((vm, target) for vm, target, at_s, by in done if by == "us" and at_s >= since_s)
    for vm, target in sorted((said - was).keys()):
        yield Fault("report", f"tells a {what} of {vm} to {target} that never was")
    lacking = must - said
    if lacking:
        shown = _listed(f"{vm} → {target}" for vm, target in lacking)
        yield Fault("report", f"lacks {sum(lacking.values())} of {sum(must.values())} {what}s: {shown}")


def _zero_s(report: Mapping[str, Any], events: Sequence[Event]) -> float:
    """What the cluster's clock showed at second 0 of the report: what most of its moves agree on."""
    votes: Counter[float] = Counter()
    for move in report["moves"]:
        for event in events:
            same = event["what"] == "migration_started" and (event["vm"], event["target"]) == (
                move["vm"],
                move["target"],
            )
            if same:
                votes[round(event["t_s"] - move["start_s"], 3)] += 1
    return votes.most_common(1)[0][0] if votes else 0.0


def _turns(played: Played, report: Mapping[str, Any]) -> Iterator[Fault]:
    """The report calls done the nodes that were rebooted and came back, all of the night."""
    if played.case.procedure != "rolling":
        return
    said = {turn["node"] for turn in report["maintenance"] if turn.get("outcome") == "done"}
    went = begun(played.events, "node_rebooted").keys()
    if said != went:
        yield Fault("report", f"calls done {_listed(said)}; rebooted were {_listed(went)}")


def _causes(played: Played) -> Iterator[Fault]:
    """No other run took part, and there was room."""
    found = {match.group(0) for match in FALSE_CAUSES.finditer(f"{played.printed}\n{played.complaints}")}
    if found and played.case.disturbance != "run killed, started again":
        yield Fault("false cause", f"it says: {_listed(found)}")


def _states(played: Played) -> Iterator[Fault]:
    """The flow run's state is as the exit code has it, and no dead run is said to be running."""
    if played.code is None:
        return
    if not played.states:
        yield Fault("state", "the server knows no such flow run")
        return
    *dead, (name, kind) = played.states
    wanted = {0: "Completed", 1: "Partly done", CODE_OF_INTERRUPTED: "Interrupted"}.get(played.code)
    if wanted is not None and not name.startswith(wanted):
        yield Fault("state", f"the flow run is {name} ({kind}), the exit code {played.code}")
    if wanted is None and kind in ("COMPLETED", "RUNNING", "PENDING"):
        yield Fault("state", f"the flow run is {name} ({kind}), the exit code {played.code}")
    for name, kind in dead:
        if kind in ("RUNNING", "PENDING"):
            yield Fault("state", f"the run that was killed is still {name}")


def _locks(played: Played) -> Iterator[Fault]:
    if played.locks and played.code is not None:
        yield Fault("locks", f"still taken after the end: {_listed(played.locks)}")


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"


PARTS: tuple[Callable[[Played], Iterator[Fault]], ...] = (
    _end_state,
    _log,
    _often,
    _waits,
    _obeys,
    _exit_code,
    _traceback,
    _report,
    _folder,
    _unwritten,
    _causes,
    _states,
    _locks,
)
