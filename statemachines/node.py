"""The lifecycle of a node while it is emptied and maintained (R16, I5, I8)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, auto

from shunter.statemachines.lifecycle import About, Deadline, Lifecycle, Row


class State(StrEnum):
    UP = auto()
    PAUSING = auto()
    PAUSED = auto()
    DRAINING = auto()
    DRAINED = auto()
    IN_MAINTENANCE = auto()
    REJOINING = auto()
    RESUMING = auto()
    DOWN = auto()
    ISOLATED = auto()
    LOST_SIGHT = auto()


class Event(StrEnum):
    PAUSE = auto()
    DRAIN = auto()
    RESUME = auto()
    STOP_DRAINING = auto()
    SEEN_PAUSED = auto()
    SEEN_UP = auto()
    SEEN_EMPTY = auto()
    SEEN_OCCUPIED = auto()
    SEEN_DOWN = auto()
    SEEN_ISOLATED = auto()
    BEGIN_MAINTENANCE = auto()
    SEEN_BACK = auto()
    PROVEN_BACK = auto()
    ANSWER_LOST = auto()


STATES = {
    State.UP: About("The node runs VMs and takes more.", resting=True, after_restart="nothing"),
    State.PAUSING: About("The cluster was asked to place nothing new on the node.", deadline=Deadline(1.0, 120.0)),
    State.PAUSED: About(
        "Nothing new is placed on the node; what runs there runs on.", resting=True, after_restart="nothing"
    ),
    State.DRAINING: About(
        "The node is paused and its VMs leave one by one; the run's patience limits it.", after_restart="go on"
    ),
    State.DRAINED: About(
        "A fresh look found nothing running on the node and no volume owned by it; it stays paused.",
        resting=True,
        after_restart="nothing",
    ),
    State.IN_MAINTENANCE: About(
        "The node is empty and its maintenance is under way; it may be down meanwhile.", deadline=Deadline(3.0, 900.0)
    ),
    State.REJOINING: About(
        "The node is a member again after its maintenance; its volumes and storage are not proven healthy yet.",
        deadline=Deadline(1.0, 900.0),
    ),
    State.RESUMING: About("The cluster was asked to use the node again.", deadline=Deadline(1.0, 120.0)),
    State.DOWN: About("The node is not a running member of the cluster.", resting=True, after_restart="look"),
    State.ISOLATED: About(
        "The other nodes do not hear the node; it still runs its VMs, and nothing may start them elsewhere.",
        resting=True,
        after_restart="look",
    ),
    State.LOST_SIGHT: About(
        "An answer was lost, or the node did not come back in time: only a look tells how it is.",
        deadline=Deadline(1.0, 300.0),
    ),
}

_MEMBER = (State.UP, State.PAUSING, State.PAUSED, State.DRAINING, State.DRAINED, State.RESUMING)
_IN_TURN = (State.IN_MAINTENANCE, State.REJOINING)

NODE = Lifecycle(
    noun="node",
    initial=State.UP,
    states=STATES,
    commands=frozenset({Event.PAUSE, Event.DRAIN, Event.RESUME, Event.STOP_DRAINING, Event.BEGIN_MAINTENANCE}),
    lost_sight=State.LOST_SIGHT,
    rows=(
        Row(Event.PAUSE, State.UP, State.PAUSING),
        Row(
            Event.SEEN_PAUSED,
            (State.UP, State.PAUSING, State.RESUMING, State.DOWN, State.ISOLATED, State.LOST_SIGHT, *_IN_TURN),
            State.PAUSED,
        ),
        Row(Event.DRAIN, State.PAUSED, State.DRAINING),
        Row(Event.SEEN_EMPTY, State.DRAINING, State.DRAINED),
        Row(Event.SEEN_OCCUPIED, State.DRAINED, State.PAUSED),
        Row(Event.STOP_DRAINING, State.DRAINING, State.PAUSED),
        Row(Event.BEGIN_MAINTENANCE, State.DRAINED, State.IN_MAINTENANCE),
        Row(Event.SEEN_BACK, State.IN_MAINTENANCE, State.REJOINING),
        Row(Event.PROVEN_BACK, State.REJOINING, State.PAUSED),
        Row(Event.RESUME, (State.PAUSED, State.DRAINED), State.RESUMING),
        Row(
            Event.SEEN_UP,
            (*_MEMBER[1:], State.DOWN, State.ISOLATED, State.LOST_SIGHT, *_IN_TURN),
            State.UP,
        ),
        Row(Event.ANSWER_LOST, (State.PAUSING, State.RESUMING, *_IN_TURN), State.LOST_SIGHT),
        Row(Event.SEEN_DOWN, (*_MEMBER, State.ISOLATED, State.LOST_SIGHT, *_IN_TURN), State.DOWN),
        Row(Event.SEEN_ISOLATED, (*_MEMBER, State.DOWN, State.LOST_SIGHT, *_IN_TURN), State.ISOLATED),
    ),
)


@dataclass(slots=True, eq=False)
class NodeLife:
    name: str
    state: State = State.UP

    @property
    def label(self) -> str:
        return f"node {self.name}"
