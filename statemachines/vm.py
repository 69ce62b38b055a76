"""The lifecycle of a VM as a run sees it (R01): commands move it, looks confirm where it got to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, auto

from shunter.statemachines.lifecycle import About, Deadline, Lifecycle, Row


class State(StrEnum):
    RUNNING = auto()
    PAUSED = auto()
    MIGRATING = auto()
    OFF = auto()
    SAVED = auto()
    FAILED = auto()
    CHANGING_NODE = auto()
    STARTING = auto()
    LOST_SIGHT = auto()


class Event(StrEnum):
    MIGRATE = auto()
    CHANGE_NODE = auto()
    START = auto()
    SEEN_RUNNING = auto()
    SEEN_PAUSED = auto()
    SEEN_OFF = auto()
    SEEN_SAVED = auto()
    SEEN_FAILED = auto()
    ANSWER_LOST = auto()


STATES = {
    State.RUNNING: About("The VM serves its users on exactly one node.", resting=True, after_restart="nothing"),
    State.PAUSED: About("The VM holds its memory on one node and stands still.", resting=True, after_restart="nothing"),
    State.MIGRATING: About(
        "The VM serves its users while its memory is copied to another node; both nodes hold room for it.",
        deadline=Deadline(3.0, 300.0),
    ),
    State.OFF: About("The VM holds no memory; one node would start it.", resting=True, after_restart="nothing"),
    State.SAVED: About(
        "The VM's memory lies on storage; one node would resume it.", resting=True, after_restart="nothing"
    ),
    State.FAILED: About(
        "The VM runs nowhere although it should; the cluster restarts it, or a person must.",
        resting=True,
        after_restart="look",
    ),
    State.CHANGING_NODE: About("Another node takes over a VM that does not run.", deadline=Deadline(1.0, 120.0)),
    State.STARTING: About("A node was asked to start a VM that runs nowhere.", deadline=Deadline(1.0, 300.0)),
    State.LOST_SIGHT: About("An answer was lost: only a look tells where the VM is.", deadline=Deadline(3.0, 300.0)),
}

_NOT_RUNNING = (State.OFF, State.SAVED, State.FAILED)
_IN_HAND = (State.MIGRATING, State.CHANGING_NODE, State.STARTING)

VM = Lifecycle(
    noun="vm",
    initial=State.RUNNING,
    states=STATES,
    commands=frozenset({Event.MIGRATE, Event.CHANGE_NODE, Event.START}),
    lost_sight=State.LOST_SIGHT,
    rows=(
        Row(Event.MIGRATE, (State.RUNNING, State.PAUSED), State.MIGRATING),
        Row(Event.CHANGE_NODE, _NOT_RUNNING, State.CHANGING_NODE),
        Row(Event.START, State.FAILED, State.STARTING),
        Row(Event.ANSWER_LOST, _IN_HAND, State.LOST_SIGHT),
        Row(Event.SEEN_RUNNING, (State.PAUSED, *_NOT_RUNNING, *_IN_HAND, State.LOST_SIGHT), State.RUNNING),
        Row(Event.SEEN_PAUSED, (State.RUNNING, *_NOT_RUNNING, *_IN_HAND, State.LOST_SIGHT), State.PAUSED),
        Row(
            Event.SEEN_OFF,
            (State.RUNNING, State.PAUSED, State.SAVED, State.FAILED, *_IN_HAND, State.LOST_SIGHT),
            State.OFF,
        ),
        Row(
            Event.SEEN_SAVED,
            (State.RUNNING, State.PAUSED, State.OFF, State.FAILED, *_IN_HAND, State.LOST_SIGHT),
            State.SAVED,
        ),
        Row(
            Event.SEEN_FAILED,
            (State.RUNNING, State.PAUSED, State.OFF, State.SAVED, *_IN_HAND, State.LOST_SIGHT),
            State.FAILED,
        ),
    ),
)


@dataclass(slots=True, eq=False)
class VmLife:
    name: str
    state: State = State.RUNNING

    @property
    def label(self) -> str:
        return f"vm {self.name}"
