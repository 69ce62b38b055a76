"""The lifecycle of one live migration: one VM, one source, one target, one attempt (R01, R14, R15)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, auto

from shunter.statemachines.lifecycle import About, Deadline, Lifecycle, Row


class State(StrEnum):
    PLANNED = auto()
    WAITING = auto()
    CHECKING = auto()
    PREPARING = auto()
    UNLOADING_OFFLOAD = auto()
    COPYING = auto()
    SWITCHING = auto()
    SETTLING = auto()
    RESTORING_OFFLOAD = auto()
    DONE = auto()
    REFUSED = auto()
    ROLLED_BACK = auto()
    OVERTAKEN = auto()
    CANCELLED = auto()
    LOST_SIGHT = auto()


class Event(StrEnum):
    ENQUEUE = auto()
    CHECK = auto()
    PREPARE = auto()
    POSTPONE = auto()
    REFUSE = auto()
    CANCEL = auto()
    PREPARED = auto()
    OFFLOAD_UNLOADED = auto()
    SWITCH_BEGAN = auto()
    SWITCHED_OVER = auto()
    SEEN_ON_TARGET = auto()
    OFFLOAD_RESTORED = auto()
    SEEN_ON_SOURCE = auto()
    SEEN_CANCELLED = auto()
    SEEN_ELSEWHERE = auto()
    ANSWER_LOST = auto()


COMMANDS = frozenset({Event.ENQUEUE, Event.CHECK, Event.PREPARE, Event.POSTPONE, Event.REFUSE, Event.CANCEL})

STATES = {
    State.PLANNED: About(
        "A plan names the VM and its target; nothing is reserved. The run enqueues it at once.",
        after_restart="give up",
    ),
    State.WAITING: About(
        "The move is wanted and waits until its two nodes are idle; the run's patience limits the wait.",
        after_restart="give up",
    ),
    State.CHECKING: About(
        "Both nodes are held, and a fresh look decides whether the move is still right.",
        deadline=Deadline(1.0, 60.0),
        after_restart="give up",
    ),
    State.PREPARING: About(
        "The cluster was asked to move the VM and makes the target ready; the VM runs on its source.",
        deadline=Deadline(1.0, 120.0),
    ),
    State.UNLOADING_OFFLOAD: About(
        "The source takes the VM's TCP connections from the adapter back into software (R14).",
        deadline=Deadline(1.0, 120.0),
    ),
    State.COPYING: About(
        "Memory is copied while the VM runs on its source and goes on writing.", deadline=Deadline(3.0, 120.0)
    ),
    State.SWITCHING: About(
        "The VM stands still for a moment: its state passes from source to target.", deadline=Deadline(3.0, 120.0)
    ),
    State.SETTLING: About(
        "The target reports the VM as running; its network is announced; a look has not yet confirmed it.",
        deadline=Deadline(1.0, 120.0),
    ),
    State.RESTORING_OFFLOAD: About(
        "The VM runs on the target, whose adapter takes its TCP connections over again (R14). No look shows when that "
        "is done, and nothing depends on it: the run goes on at once.",
    ),
    State.DONE: About("A look found the VM on the target.", resting=True, after_restart="nothing"),
    State.REFUSED: About(
        "Nothing happened: the check or the cluster said no; the VM runs on its source.",
        resting=True,
        after_restart="nothing",
    ),
    State.ROLLED_BACK: About(
        "The move failed and a look found the VM on its source, untouched.", resting=True, after_restart="nothing"
    ),
    State.OVERTAKEN: About(
        "A look found the VM neither on its source nor on the target: its source went down, or somebody moved it.",
        resting=True,
        after_restart="nothing",
    ),
    State.CANCELLED: About(
        "The move was called off; the VM runs on its source.", resting=True, after_restart="nothing"
    ),
    State.LOST_SIGHT: About(
        "An answer was lost: the VM may be on its source, on its way, or on the target. Only a look can tell.",
        deadline=Deadline(3.0, 300.0),
    ),
}

_ASKED = (State.PREPARING, State.UNLOADING_OFFLOAD, State.COPYING, State.SWITCHING, State.SETTLING)

MIGRATION = Lifecycle(
    noun="migration",
    initial=State.PLANNED,
    states=STATES,
    commands=COMMANDS,
    lost_sight=State.LOST_SIGHT,
    rows=(
        Row(Event.ENQUEUE, State.PLANNED, State.WAITING),
        Row(Event.CHECK, State.WAITING, State.CHECKING),
        Row(Event.POSTPONE, (State.CHECKING, State.PREPARING), State.WAITING),
        Row(Event.PREPARE, State.CHECKING, State.PREPARING),
        Row(Event.REFUSE, (State.CHECKING, State.PREPARING), State.REFUSED),
        Row(Event.CANCEL, (State.PLANNED, State.WAITING, State.CHECKING), State.CANCELLED),
        Row(Event.PREPARED, State.PREPARING, State.UNLOADING_OFFLOAD, only_if="source_offloads"),
        Row(Event.PREPARED, State.PREPARING, State.COPYING, unless="source_offloads"),
        Row(Event.OFFLOAD_UNLOADED, State.UNLOADING_OFFLOAD, State.COPYING),
        Row(Event.SWITCH_BEGAN, State.COPYING, State.SWITCHING),
        Row(Event.SWITCHED_OVER, State.SWITCHING, State.SETTLING),
        Row(Event.SEEN_ON_TARGET, State.SETTLING, State.RESTORING_OFFLOAD, only_if="target_offloads"),
        Row(Event.SEEN_ON_TARGET, State.SETTLING, State.DONE, unless="target_offloads"),
        Row(Event.OFFLOAD_RESTORED, State.RESTORING_OFFLOAD, State.DONE),
        Row(Event.SEEN_ON_SOURCE, (*_ASKED, State.LOST_SIGHT), State.ROLLED_BACK),
        Row(Event.SEEN_CANCELLED, (*_ASKED, State.LOST_SIGHT), State.CANCELLED),
        Row(Event.SEEN_ELSEWHERE, (*_ASKED, State.LOST_SIGHT), State.OVERTAKEN),
        Row(Event.ANSWER_LOST, _ASKED, State.LOST_SIGHT),
        Row(Event.SEEN_ON_TARGET, State.LOST_SIGHT, State.DONE),
    ),
)


@dataclass(slots=True, eq=False)
class Migration:
    """One attempt to move one VM. `*_offloads`: whether that node supports TCP offload (R14)."""

    vm: str
    source: str
    target: str
    attempt: int = 1
    source_offloads: bool = False
    target_offloads: bool = False
    state: State = State.PLANNED

    @property
    def label(self) -> str:
        return f"{self.vm}: {self.source} → {self.target}"
