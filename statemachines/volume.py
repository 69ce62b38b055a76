"""The lifecycle of a volume (I7, R18): which node coordinates it, whether it serves, and by which way.

Whatever was asked for, and whatever others do meanwhile, a look tells how the volume serves.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, auto

from shunter.statemachines.lifecycle import About, Deadline, Lifecycle, Row


class State(StrEnum):
    ONLINE = auto()
    REDIRECTED_BACKUP = auto()
    REDIRECTED_STUCK = auto()
    REDIRECTED_NO_PATH = auto()
    REDIRECTED_BY_DESIGN = auto()
    REDIRECTED_BY_USER = auto()
    MAINTENANCE = auto()
    CHANGING_OWNER = auto()
    RESTORING = auto()
    OFFLINE = auto()
    FAILED = auto()
    LOST_SIGHT = auto()


class Event(StrEnum):
    CHANGE_OWNER = auto()
    RESTORE = auto()
    ANSWER_LOST = auto()
    SEEN_ONLINE = auto()
    SEEN_REDIRECTED_BACKUP = auto()
    SEEN_REDIRECTED_STUCK = auto()
    SEEN_REDIRECTED_NO_PATH = auto()
    SEEN_REDIRECTED_BY_DESIGN = auto()
    SEEN_REDIRECTED_BY_USER = auto()
    SEEN_MAINTENANCE = auto()
    SEEN_OFFLINE = auto()
    SEEN_FAILED = auto()


STATES = {
    State.ONLINE: About("The volume serves; one node that is up owns it.", resting=True, after_restart="nothing"),
    State.REDIRECTED_BACKUP: About(
        "A backup is under way, and the I/O of all nodes goes through the owner meanwhile.",
        resting=True,
        after_restart="nothing",
    ),
    State.REDIRECTED_STUCK: About(
        "The backup is over and the I/O of all nodes goes through the owner still (R18); migrations pause until direct "
        "I/O is restored, by us or by a person.",
        resting=True,
        after_restart="look",
    ),
    State.REDIRECTED_NO_PATH: About(
        "A node has no direct path to the volume; its I/O goes through the owner.", resting=True, after_restart="look"
    ),
    State.REDIRECTED_BY_DESIGN: About(
        "I/O goes through the owner because the file system works so; that is healthy.",
        resting=True,
        after_restart="nothing",
    ),
    State.REDIRECTED_BY_USER: About(
        "An operator has redirected the I/O through the owner, and ends that.", resting=True, after_restart="nothing"
    ),
    State.MAINTENANCE: About(
        "An operator has taken the volume into maintenance, and ends that.", resting=True, after_restart="nothing"
    ),
    State.CHANGING_OWNER: About(
        "Another node was asked to own the volume; it serves meanwhile.", deadline=Deadline(1.0, 120.0)
    ),
    State.RESTORING: About("The cluster was asked to restore direct I/O.", deadline=Deadline(1.0, 120.0)),
    State.OFFLINE: About(
        "The volume does not serve: no node that is up reaches it, or it was taken offline.",
        resting=True,
        after_restart="look",
    ),
    State.FAILED: About(
        "The volume does not serve, and the cluster has given it up.", resting=True, after_restart="look"
    ),
    State.LOST_SIGHT: About(
        "An answer was lost: only a look tells who owns it and how it serves.", deadline=Deadline(1.0, 300.0)
    ),
}

SERVING = (
    State.ONLINE,
    State.REDIRECTED_BACKUP,
    State.REDIRECTED_STUCK,
    State.REDIRECTED_NO_PATH,
    State.REDIRECTED_BY_DESIGN,
    State.REDIRECTED_BY_USER,
    State.MAINTENANCE,
)
IN_HAND = (State.CHANGING_OWNER, State.RESTORING)
_SEEN = {
    State.ONLINE: Event.SEEN_ONLINE,
    State.REDIRECTED_BACKUP: Event.SEEN_REDIRECTED_BACKUP,
    State.REDIRECTED_STUCK: Event.SEEN_REDIRECTED_STUCK,
    State.REDIRECTED_NO_PATH: Event.SEEN_REDIRECTED_NO_PATH,
    State.REDIRECTED_BY_DESIGN: Event.SEEN_REDIRECTED_BY_DESIGN,
    State.REDIRECTED_BY_USER: Event.SEEN_REDIRECTED_BY_USER,
    State.MAINTENANCE: Event.SEEN_MAINTENANCE,
    State.OFFLINE: Event.SEEN_OFFLINE,
    State.FAILED: Event.SEEN_FAILED,
}

VOLUME = Lifecycle(
    noun="volume",
    initial=State.ONLINE,
    states=STATES,
    commands=frozenset({Event.CHANGE_OWNER, Event.RESTORE}),
    lost_sight=State.LOST_SIGHT,
    rows=(
        Row(Event.CHANGE_OWNER, SERVING, State.CHANGING_OWNER),
        Row(Event.RESTORE, (State.REDIRECTED_BACKUP, State.REDIRECTED_STUCK), State.RESTORING),
        Row(Event.ANSWER_LOST, IN_HAND, State.LOST_SIGHT),
        *(Row(event, tuple(State), seen) for seen, event in _SEEN.items()),
    ),
)


@dataclass(slots=True, eq=False)
class VolumeLife:
    name: str
    state: State = State.ONLINE

    @property
    def label(self) -> str:
        return f"volume {self.name}"
