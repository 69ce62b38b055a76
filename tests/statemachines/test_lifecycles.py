"""What holds for every lifecycle, found by walking each at random, and what is rejected at import."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shunter.statemachines.drawing import LIFECYCLES, document
from shunter.statemachines.lifecycle import About, BadTable, Deadline, IllegalMove, Lifecycle, Row
from shunter.statemachines.migration import MIGRATION, Event, Migration, State
from shunter.statemachines.node import NodeLife
from shunter.statemachines.vm import VmLife
from shunter.statemachines.volume import VolumeLife

SUBJECTS: dict[str, Callable[[], Any]] = {
    "migration": lambda: Migration("web-1", "N1", "N3"),
    "vm": lambda: VmLife("web-1"),
    "volume": lambda: VolumeLife("CSV1"),
    "node": lambda: NodeLife("N1"),
}


def allowed(lifecycle: Lifecycle[Any, Any], subject: Any, event: Any) -> bool:
    """Whether some row leads on, its guards being asked."""
    return any(
        row.event is event
        and subject.state in row.each_source()
        and (row.only_if is None or getattr(subject, row.only_if))
        and (row.unless is None or not getattr(subject, row.unless))
        for row in lifecycle.rows
    )


each_lifecycle = pytest.mark.parametrize("lifecycle", LIFECYCLES, ids=lambda lifecycle: lifecycle.noun)


def events_of(lifecycle: Lifecycle[Any, Any]) -> list[Any]:
    return list(type(lifecycle.rows[0].event))


@each_lifecycle
@given(data=st.data())
def test_no_illegal_move_changes_anything_and_the_error_says_what_would_be_legal(
    lifecycle: Lifecycle[Any, Any], data: st.DataObject
) -> None:
    subject = SUBJECTS[lifecycle.noun]()
    for event in data.draw(st.lists(st.sampled_from(events_of(lifecycle)), max_size=25)):
        before = subject.state
        if not allowed(lifecycle, subject, event):
            with pytest.raises(IllegalMove) as refusal:
                lifecycle.move(subject, event, at_s=1.5)
            error = refusal.value
            assert subject.state is before
            assert (error.subject, error.event, error.state) == (subject.label, event, before)
            assert error.legal == lifecycle.legal(before)
            assert all(part in str(error) for part in (subject.label, str(event), str(before), *error.legal))
        else:
            step = lifecycle.move(subject, event, at_s=1.5, reason="because")
            assert (step.source, step.target, step.subject) == (before, subject.state, subject.label)
            assert (step.lifecycle, step.event, step.at_s, step.reason) == (lifecycle.noun, event, 1.5, "because")


@each_lifecycle
@given(data=st.data())
def test_from_wherever_a_walk_leads_there_is_a_way_to_rest(lifecycle: Lifecycle[Any, Any], data: st.DataObject) -> None:
    subject = SUBJECTS[lifecycle.noun]()
    for _ in range(data.draw(st.integers(0, 12))):
        legal = [event for event in lifecycle.legal(subject.state) if allowed(lifecycle, subject, event)]
        if not legal:
            break
        lifecycle.move(subject, data.draw(st.sampled_from(legal)), at_s=0.0)
    reached, fresh = {subject.state}, [subject.state]
    while fresh:
        state = fresh.pop()
        for row in lifecycle.rows:
            if state in row.each_source() and row.target not in reached:
                reached.add(row.target)
                fresh.append(row.target)
    assert any(lifecycle.resting(state) for state in reached)


@each_lifecycle
def test_what_is_lost_sight_of_can_only_be_looked_at(lifecycle: Lifecycle[Any, Any]) -> None:
    legal = lifecycle.legal(lifecycle.lost_sight)
    assert legal
    assert not lifecycle.commands.intersection(legal)
    assert all(event.startswith("seen_") for event in legal)


@each_lifecycle
def test_every_state_that_does_not_rest_has_a_deadline_or_says_what_limits_it(lifecycle: Lifecycle[Any, Any]) -> None:
    for state, about in lifecycle.states.items():
        limited = about.deadline is not None or "patience" in about.truth or state == lifecycle.initial
        assert about.resting or limited, state


@each_lifecycle
def test_every_state_says_what_is_true_and_what_a_new_process_does(lifecycle: Lifecycle[Any, Any]) -> None:
    for about in lifecycle.states.values():
        assert about.truth.endswith(".")
        assert about.after_restart in ("nothing", "go on", "look", "give up")


def test_a_deadline_follows_the_estimate_and_has_a_floor() -> None:
    assert Deadline(factor=3.0, floor_s=120.0).after_s(100.0) == 300.0
    assert Deadline(factor=3.0, floor_s=120.0).after_s(10.0) == 120.0


def walked(*events: Event, **nodes: bool) -> list[State]:
    migration = Migration("web-1", "N1", "N3", **nodes)
    states = []
    for event in events:
        MIGRATION.move(migration, event, at_s=0.0)
        states.append(migration.state)
    return states


START = (Event.ENQUEUE, Event.CHECK, Event.PREPARE, Event.PREPARED)


@pytest.mark.parametrize("supported", [True, False])
def test_r14_offload_is_unloaded_before_the_copy_only_where_the_source_has_it(supported: bool) -> None:
    first = State.UNLOADING_OFFLOAD if supported else State.COPYING
    assert walked(*START, source_offloads=supported)[-1] is first


@pytest.mark.parametrize("supported", [True, False])
def test_r14_offload_is_restored_only_where_the_target_supports_it(supported: bool) -> None:
    last = State.RESTORING_OFFLOAD if supported else State.DONE
    events = (*START, Event.SWITCH_BEGAN, Event.SWITCHED_OVER, Event.SEEN_ON_TARGET)
    assert walked(*events, target_offloads=supported)[-1] is last


def test_r01_only_a_look_makes_a_migration_done() -> None:
    for row in MIGRATION.rows:
        if row.target is State.DONE:
            assert row.event in (Event.SEEN_ON_TARGET, Event.OFFLOAD_RESTORED)


def test_r01_from_every_state_in_which_the_cluster_moves_the_vm_it_may_be_found_on_its_source() -> None:
    for state in (State.PREPARING, State.UNLOADING_OFFLOAD, State.COPYING, State.SWITCHING, State.SETTLING):
        assert Event.SEEN_ON_SOURCE in MIGRATION.legal(state)


def test_the_document_is_what_the_tables_say(pytestconfig: pytest.Config) -> None:
    written = (pytestconfig.rootpath / "docs" / "lifecycles.md").read_text(encoding="utf-8")
    assert written == document(), "run python -m shunter.statemachines.drawing docs/lifecycles.md"


# ------------------------------------------------------------------ what is rejected at import


class Light(StrEnum):
    OFF = auto()
    ON = auto()
    LOST = auto()


class Switch(StrEnum):
    TURN_ON = auto()
    SEEN_OFF = auto()
    LOSE = auto()


@dataclass(slots=True)
class Lamp:
    state: Light = Light.OFF
    label: str = "lamp"


SOUND_STATES = {
    Light.OFF: About("It is dark.", resting=True),
    Light.ON: About("It is bright.", deadline=Deadline(1, 1)),
    Light.LOST: About("Nobody knows.", deadline=Deadline(1, 1)),
}
SOUND_ROWS: list[Row[Light, Switch]] = [
    Row(Switch.TURN_ON, Light.OFF, Light.ON),
    Row(Switch.SEEN_OFF, (Light.ON, Light.LOST), Light.OFF),
    Row(Switch.LOSE, Light.ON, Light.LOST),
]


def lamp(
    rows: list[Row[Light, Switch]] | None = None, states: dict[Light, About] | None = None
) -> Lifecycle[Light, Switch]:
    return Lifecycle(
        noun="lamp",
        initial=Light.OFF,
        states=states or SOUND_STATES,
        rows=rows or SOUND_ROWS,
        commands=frozenset({Switch.TURN_ON}),
        lost_sight=Light.LOST,
    )


def test_a_sound_table_is_accepted() -> None:
    subject = Lamp()
    assert lamp().move(subject, Switch.TURN_ON, at_s=0.0).target is Light.ON


@pytest.mark.parametrize(
    ("rows", "states", "complaint"),
    [
        ([SOUND_ROWS[0], SOUND_ROWS[1], Row(Switch.LOSE, Light.OFF, Light.OFF)], None, "nothing leads to lost"),
        (
            [SOUND_ROWS[0], Row(Switch.SEEN_OFF, Light.LOST, Light.LOST), SOUND_ROWS[2]],
            None,
            "on has no way to rest",
        ),
        ([*SOUND_ROWS, Row(Switch.TURN_ON, Light.OFF, Light.LOST)], None, "turn_on in off is ambiguous"),
        (SOUND_ROWS[:2], None, "no row mentions event lose"),
        ([*SOUND_ROWS, Row(Switch.TURN_ON, Light.LOST, Light.ON)], None, "command turn_on in lost"),
        (
            None,
            {Light.OFF: SOUND_STATES[Light.OFF], Light.ON: SOUND_STATES[Light.ON]},
            "lost says nothing of the world",
        ),
    ],
)
def test_an_unsound_table_is_rejected_when_it_is_built(
    rows: list[Row[Light, Switch]] | None, states: dict[Light, About] | None, complaint: str
) -> None:
    with pytest.raises(BadTable, match=complaint):
        lamp(rows, states)
