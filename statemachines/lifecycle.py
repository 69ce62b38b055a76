"""A lifecycle is one table: states, events, rows. This file alone knows the `transitions` library.

A move happens in memory, at once, and its result is a value (`Step`) that whoever asked for it publishes. An illegal
move changes nothing.

LifecycleError
├── BadTable      a table rejected at import: unreachable state, trap, ambiguous rows, unused event
└── IllegalMove   an event the subject's state does not allow; names subject, event, state, legal events
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from transitions import EventData, Machine, Transition

logging.getLogger("transitions").setLevel(logging.WARNING)


class LifecycleError(Exception):
    """A lifecycle was built or used wrongly."""


class BadTable(LifecycleError):
    """The table of a lifecycle is unsound."""


class IllegalMove(LifecycleError):
    """An event that the subject's state does not allow. Nothing changed."""

    def __init__(self, subject: str, event: str, state: str, legal: Sequence[str], held_back_by: str = "") -> None:
        self.subject, self.event, self.state, self.legal = subject, event, state, tuple(legal)
        guard = f" (held back by {held_back_by})" if held_back_by else ""
        super().__init__(f"{subject}: no {event} while {state}{guard}; legal: {', '.join(legal) or 'nothing'}")


@dataclass(frozen=True, slots=True)
class Deadline:
    """How long a subject may stay in a state: `factor` times what was estimated for it, at least `floor_s` seconds."""

    factor: float
    floor_s: float

    def after_s(self, estimate_s: float) -> float:
        return max(self.floor_s, self.factor * estimate_s)

    def __str__(self) -> str:
        return f"{self.factor:g} × estimate, at least {self.floor_s:g} s"


AfterRestart = Literal["nothing", "go on", "look", "give up"]
S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class About:
    """What is true of the world while a subject is in a state, and what is owed.

    `deadline` None: nothing limits the stay, and `truth` says what it waits for. `after_restart`: what to do with a
    subject that is found in this state by a new process. In a resting state nothing is owed.
    """

    truth: str
    resting: bool = False
    deadline: Deadline | None = None
    after_restart: AfterRestart = "look"


@dataclass(frozen=True, slots=True)
class Row(Generic[S, E]):
    """`event` leads from any of `sources` to `target`, if the subject's `only_if` is true and `unless` is false."""

    event: E
    sources: S | tuple[S, ...]
    target: S
    only_if: str | None = None
    unless: str | None = None

    def each_source(self) -> tuple[S, ...]:
        return self.sources if isinstance(self.sources, tuple) else (self.sources,)


class Step(NamedTuple):
    """One move of one subject: the same value is event, log line and row of a report. `at_s`: the cluster's clock."""

    lifecycle: str
    subject: str
    event: str
    source: str
    target: str
    at_s: float
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.subject}: {self.source} → {self.target}" + (f" ({self.reason})" if self.reason else "")


class Subject(Protocol[S]):
    """What a lifecycle moves. Nothing but `Lifecycle.move` assigns `state`."""

    state: S

    @property
    def label(self) -> str: ...


@dataclass(frozen=True, eq=False)
class Lifecycle(Generic[S, E]):
    """The states and rows of one noun. `commands` are the events that ask for something; the others observe."""

    noun: str
    initial: S
    states: Mapping[S, About]
    rows: Sequence[Row[S, E]]
    commands: frozenset[E]
    lost_sight: S
    _machine: Machine = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _reject_unsound(self)
        table = [
            {
                "trigger": row.event,
                "source": source,
                "dest": row.target,
                "conditions": row.only_if,
                "unless": row.unless,
            }
            for row in self.rows
            for source in row.each_source()
        ]
        machine = Machine(
            model=None, initial=None, auto_transitions=False, states=type(self.initial), transitions=table
        )
        object.__setattr__(self, "_machine", machine)

    def legal(self, state: S) -> tuple[E, ...]:
        """The events that have a row for this state (guards not asked), in the order of the table."""
        return tuple(dict.fromkeys(row.event for row in self.rows if state in row.each_source()))

    def move(self, subject: Subject[S], event: E, *, at_s: float, reason: str = "") -> Step:
        """Move the subject. Raises IllegalMove, and then nothing has changed."""
        before = subject.state
        # these are the machine's; what its own `trigger` does besides is for callbacks, of which a table has none
        transitions = self._machine.events[event].transitions.get(before.name)
        if transitions is None:
            raise IllegalMove(subject.label, event, before, self.legal(before))
        for transition in transitions:
            if not transition.conditions or self._is_open(transition, subject):
                assert transition.dest is not None  # noqa: S101  every row has a target
                self._machine.set_state(transition.dest, subject)
                return Step(self.noun, subject.label, event, before, subject.state, at_s, reason)
        rows = [row for row in self.rows if row.event is event and before in row.each_source()]
        guards = ", ".join(row.only_if or f"not {row.unless}" for row in rows)
        raise IllegalMove(subject.label, event, before, self.legal(before), guards)

    def _is_open(self, transition: Transition, subject: Subject[S]) -> bool:
        """Whether its guards let the subject pass."""
        about = EventData(None, None, self._machine, subject, (), {})
        return all(guard.check(about) for guard in transition.conditions)

    def resting(self, state: S) -> bool:
        return self.states[state].resting


def _reject_unsound(table: Lifecycle[S, E]) -> None:
    """Raise BadTable with everything that is wrong with the table."""
    wrong = [
        *_undescribed(table),
        *_unused_events(table),
        *_ambiguous(table.noun, table.rows),
        *_unreachable_and_trapped(table),
        *_commands_out_of_sight(table),
    ]
    if wrong:
        raise BadTable("; ".join(wrong))


def _undescribed(table: Lifecycle[S, E]) -> Iterable[str]:
    for state in type(table.initial):
        if state not in table.states:
            yield f"{table.noun}: state {state} says nothing of the world"


def _unused_events(table: Lifecycle[S, E]) -> Iterable[str]:
    used = {row.event for row in table.rows}
    for event in type(table.rows[0].event):
        if event not in used:
            yield f"{table.noun}: no row mentions event {event}"


def _ambiguous(noun: str, rows: Sequence[Row[S, E]]) -> Iterable[str]:
    """Two rows for one state and event are sound only as the two sides of one guard."""
    by_cause: dict[tuple[S, E], list[Row[S, E]]] = {}
    for row in rows:
        for source in row.each_source():
            by_cause.setdefault((source, row.event), []).append(row)
    for (source, event), same in by_cause.items():
        if len(same) == 1:
            continue
        first, second = same[0], same[-1]
        guard = first.only_if or first.unless
        sides = {(first.only_if, first.unless), (second.only_if, second.unless)}
        if len(same) > 2 or guard is None or sides != {(guard, None), (None, guard)}:
            yield f"{noun}: {event} in {source} is ambiguous"


def _unreachable_and_trapped(table: Lifecycle[S, E]) -> Iterable[str]:
    onward: dict[S, set[S]] = {state: set() for state in type(table.initial)}
    for row in table.rows:
        for source in row.each_source():
            onward[source].add(row.target)
    for state in onward:
        if state not in _reached_from({table.initial}, onward):
            yield f"{table.noun}: nothing leads to {state}"
        if not any(table.states[s].resting for s in _reached_from({state}, onward) if s in table.states):
            yield f"{table.noun}: {state} has no way to rest"


def _reached_from(start: set[S], onward: Mapping[S, set[S]]) -> set[S]:
    reached, fresh = set(start), set(start)
    while fresh:
        fresh = {target for state in fresh for target in onward[state]} - reached
        reached |= fresh
    return reached


def _commands_out_of_sight(table: Lifecycle[S, E]) -> Iterable[str]:
    """What is lost sight of can only be looked at: no command leads out of it."""
    for row in table.rows:
        if table.lost_sight in row.each_source() and row.event in table.commands:
            yield f"{table.noun}: command {row.event} in {table.lost_sight}, where only observations are legal"
