"""What was told of each subject, and what is to be told now: each change once, and of what flaps that it does.

A subject that changes again and again is said to flap, once, and then nothing more until it has been the same for a
while; then its state is told, with the number of changes. Times are the cluster's own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from shunter.topology.watching.condition import Condition, Key, Kind, Standing
from shunter.topology.watching.conditions import Conditions


@dataclass(frozen=True, slots=True)
class Patience:
    """`most_changes` within `within_s` is flapping; it is over after `quiet_s` without one. A backup that runs for
    longer than `backup_s` is told of once more.
    """

    most_changes: int = 4
    within_s: float = 600.0
    quiet_s: float = 600.0
    backup_s: float = 4 * 3600.0


class Manner(Enum):
    """How a change is to be told. PASSED: it came and went between two looks."""

    CHANGED = auto()
    PASSED = auto()
    FLAPS = auto()
    SETTLED = auto()


@dataclass(frozen=True, slots=True)
class Track:
    """What is known of a subject. `changes`: when it changed, as far back as it matters; `times`: since it flaps.

    `now` None: nothing is wrong with it. `began_s`: since when something is. `told`: what was told last.
    """

    now: Condition | None = None
    told: Condition | None = None
    began_s: float = 0.0
    changes: tuple[float, ...] = ()
    flapping: bool = False
    times: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    key: Key
    manner: Manner
    before: Condition | None
    now: Condition | None
    times: int = 1


Tracks = Mapping[Key, Track]
UNKNOWN = Track()


def compare(
    tracks: Tracks, found: Conditions, at_s: float, patience: Patience, passed: Collection[Key] = ()
) -> tuple[Tracks, tuple[Change, ...]]:
    """What is known after this look, and what is to be told: first what is over, then what has begun.

    `passed`: what came and went since the last look.
    """
    after: dict[Key, Track] = {}
    told: list[Change] = []
    over = (key for key in tracks if key not in found)
    for key in dict.fromkeys((*over, *found, *passed)):
        track, change = _follow(key, tracks.get(key, UNKNOWN), found.get(key), at_s, patience, passed=key in passed)
        if track.now is not None or track.flapping or track.changes:
            after[key] = track
        if change is not None:
            told.append(change)
    return after, tuple(told)


def _follow(
    key: Key, track: Track, now: Condition | None, at_s: float, patience: Patience, *, passed: bool
) -> tuple[Track, Change | None]:
    changes = 2 * passed if _state(track.now) == _state(now) else 1
    recent = tuple(t for t in track.changes if t > at_s - patience.within_s) + (at_s,) * changes
    began_s = track.began_s if track.now is not None and not passed else at_s
    seen = replace(track, now=now, began_s=began_s, changes=recent)
    if track.flapping:
        times = track.times + changes
        if changes or at_s < track.changes[-1] + patience.quiet_s:
            return replace(seen, changes=recent if changes else track.changes, times=times), None
        settled = Change(key, Manner.SETTLED, track.told, now, times)
        return replace(seen, told=now, changes=(), flapping=False, times=0), settled
    if not changes:
        return replace(seen, told=now), None
    if len(recent) >= patience.most_changes:
        return (
            replace(seen, flapping=True, times=len(recent)),
            Change(key, Manner.FLAPS, track.told, now, len(recent)),
        )
    manner = Manner.PASSED if changes > 1 else Manner.CHANGED
    return replace(seen, told=now), Change(key, manner, track.told, now)


def _state(condition: Condition | None) -> str | None:
    return condition.state if condition is not None else None


def look_again_s(tracks: Tracks, patience: Patience) -> float | None:
    """When something is to be told at the latest although nothing changes; None: never."""
    due = [track.changes[-1] + patience.quiet_s for track in tracks.values() if track.flapping]
    due += [
        track.began_s + patience.backup_s
        for key, track in tracks.items()
        if key.kind is Kind.BACKUP and track.now is not None and track.now.state == "running"
    ]
    return min(due, default=None)


def with_overlong_backups(found: Conditions, tracks: Tracks, at_s: float, patience: Patience) -> Conditions:
    """The same conditions, with backups that have been running for too long told apart (R17)."""
    return {
        key: replace(
            condition,
            state="overlong",
            severity="warning",
            message=f"{condition.message}; it has been so for {patience.backup_s / 3600:g} h or more",
            remedy=f"look whether the backup of {key.name} still gets on, and end it if not (vssadmin list writers)",
        )
        if key.kind is Kind.BACKUP
        and (known := tracks.get(key)) is not None
        and known.now is not None
        and at_s >= known.began_s + patience.backup_s
        else condition
        for key, condition in found.items()
    }


def standing(tracks: Tracks) -> tuple[Standing, ...]:
    """What is not as it should be now, the gravest first."""
    grave = {"error": 0, "warning": 1, "info": 2}
    return tuple(sorted(_standing(tracks), key=lambda each: grave[each.severity]))


def _standing(tracks: Tracks) -> Iterator[Standing]:
    for key, track in tracks.items():
        if track.now is not None:
            yield Standing(
                rule=track.now.rule,
                severity=track.now.severity,
                subject=key.subject,
                state=track.now.state,
                since_s=track.began_s,
                message=track.now.message,
                remedy=track.now.remedy,
                flapping=track.flapping,
            )
