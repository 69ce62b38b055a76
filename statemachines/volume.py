"""The lifecycle of a volume (I7): which node coordinates it, and whether it serves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, auto

from shunter.statemachines.lifecycle import About, Deadline, Lifecycle, Row


class State(StrEnum):
    ONLINE = auto()
    CHANGING_OWNER = auto()
    OFFLINE = auto()
    LOST_SIGHT = auto()


class Event(StrEnum):
    CHANGE_OWNER = auto()
    OWNER_CHANGED = auto()
    OWNER_KEPT = auto()
    ANSWER_LOST = auto()
    SEEN_ONLINE = auto()
    SEEN_OFFLINE = auto()


STATES = {
    State.ONLINE: About("The volume serves; one node that is up owns it.", resting=True, after_restart="nothing"),
    State.CHANGING_OWNER: About(
        "Another node was asked to own the volume; it serves meanwhile.", deadline=Deadline(1.0, 120.0)
    ),
    State.OFFLINE: About(
        "The volume does not serve: no node that is up reaches it, or it was taken offline.",
        resting=True,
        after_restart="look",
    ),
    State.LOST_SIGHT: About("An answer was lost: only a look tells who owns it.", deadline=Deadline(1.0, 300.0)),
}

VOLUME = Lifecycle(
    noun="volume",
    initial=State.ONLINE,
    states=STATES,
    commands=frozenset({Event.CHANGE_OWNER}),
    lost_sight=State.LOST_SIGHT,
    rows=(
        Row(Event.CHANGE_OWNER, State.ONLINE, State.CHANGING_OWNER),
        Row(Event.OWNER_CHANGED, State.CHANGING_OWNER, State.ONLINE),
        Row(Event.OWNER_KEPT, State.CHANGING_OWNER, State.ONLINE),
        Row(Event.ANSWER_LOST, State.CHANGING_OWNER, State.LOST_SIGHT),
        Row(Event.SEEN_ONLINE, (State.OFFLINE, State.LOST_SIGHT), State.ONLINE),
        Row(Event.SEEN_OFFLINE, (State.ONLINE, State.CHANGING_OWNER, State.LOST_SIGHT), State.OFFLINE),
    ),
)


@dataclass(slots=True, eq=False)
class VolumeLife:
    name: str
    state: State = State.ONLINE

    @property
    def label(self) -> str:
        return f"volume {self.name}"
