"""What is rejected when a table is built, and how guards decide, shown on a lamp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, auto

import pytest

from shunter.statemachines.lifecycle import About, BadTable, Deadline, IllegalMove, Lifecycle, Row


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
    plugged_in: bool = True
    label: str = "lamp"


STATES = {
    Light.OFF: About("It is dark.", resting=True),
    Light.ON: About("It is bright.", deadline=Deadline(1, 1)),
    Light.LOST: About("Nobody knows.", deadline=Deadline(1, 1)),
}
TURN_ON = Row(Switch.TURN_ON, Light.OFF, Light.ON)
SEEN_OFF = Row(Switch.SEEN_OFF, (Light.ON, Light.LOST), Light.OFF)
LOSE = Row(Switch.LOSE, Light.ON, Light.LOST)
ROWS = (TURN_ON, SEEN_OFF, LOSE)
PLUGGED_IN = Row(Switch.TURN_ON, Light.OFF, Light.ON, only_if="plugged_in")
NOT_PLUGGED_IN = Row(Switch.TURN_ON, Light.OFF, Light.LOST, unless="plugged_in")


def lamp(*rows: Row[Light, Switch], states: dict[Light, About] = STATES) -> Lifecycle[Light, Switch]:
    return Lifecycle(
        noun="lamp",
        initial=Light.OFF,
        states=states,
        rows=rows,
        commands=frozenset({Switch.TURN_ON}),
        lost_sight=Light.LOST,
    )


def complaints(rows: Sequence[Row[Light, Switch]], states: dict[Light, About] = STATES) -> str:
    with pytest.raises(BadTable) as rejected:
        lamp(*rows, states=states)
    return str(rejected.value)


def test_a_sound_table_is_accepted() -> None:
    subject = Lamp()
    assert lamp(*ROWS).move(subject, Switch.TURN_ON, at_s=0.0).target is Light.ON


def test_a_state_that_nothing_leads_to_is_rejected() -> None:
    assert complaints([TURN_ON, SEEN_OFF, Row(Switch.LOSE, Light.ON, Light.OFF)]) == "lamp: nothing leads to lost"


def test_states_without_a_way_to_rest_are_rejected() -> None:
    rows = [TURN_ON, Row(Switch.SEEN_OFF, Light.LOST, Light.LOST), LOSE]
    assert complaints(rows) == "lamp: on has no way to rest; lamp: lost has no way to rest"


def test_two_rows_for_one_state_and_event_are_rejected() -> None:
    assert complaints([*ROWS, Row(Switch.TURN_ON, Light.OFF, Light.LOST)]) == "lamp: turn_on in off is ambiguous"


@pytest.mark.parametrize(
    "other",
    [
        Row(Switch.TURN_ON, Light.OFF, Light.LOST),
        Row(Switch.TURN_ON, Light.OFF, Light.LOST, only_if="plugged_in"),
        Row(Switch.TURN_ON, Light.OFF, Light.LOST, unless="on_fire"),
        Row(Switch.TURN_ON, Light.OFF, Light.LOST, only_if="on_fire", unless="plugged_in"),
    ],
    ids=["no guard", "the same side", "another guard", "two guards"],
)
def test_a_guarded_row_beside_another_is_rejected_unless_they_are_the_two_sides_of_one_guard(
    other: Row[Light, Switch],
) -> None:
    for rows in ([PLUGGED_IN, other], [other, PLUGGED_IN]):
        assert complaints([*rows, SEEN_OFF, LOSE]) == "lamp: turn_on in off is ambiguous"


def test_a_third_row_beside_the_two_sides_of_a_guard_is_rejected() -> None:
    third = Row(Switch.TURN_ON, Light.OFF, Light.OFF, only_if="on_fire")
    assert complaints([PLUGGED_IN, third, NOT_PLUGGED_IN, SEEN_OFF, LOSE]) == "lamp: turn_on in off is ambiguous"


def test_an_event_that_no_row_mentions_is_rejected() -> None:
    rows = [TURN_ON, SEEN_OFF, Row(Switch.SEEN_OFF, Light.OFF, Light.LOST)]
    assert complaints(rows) == "lamp: no row mentions event lose"


def test_a_command_out_of_what_is_lost_sight_of_is_rejected() -> None:
    rows = [*ROWS, Row(Switch.TURN_ON, Light.LOST, Light.ON)]
    assert complaints(rows) == "lamp: command turn_on in lost, where only observations are legal"


def test_a_state_that_says_nothing_of_the_world_is_rejected() -> None:
    told: dict[Light, About] = {Light.OFF: STATES[Light.OFF], Light.ON: STATES[Light.ON]}
    assert complaints(ROWS, told) == "lamp: state lost says nothing of the world"


def test_everything_that_is_wrong_with_a_table_is_said_at_once() -> None:
    said = complaints([TURN_ON, Row(Switch.TURN_ON, Light.ON, Light.ON), Row(Switch.LOSE, Light.OFF, Light.OFF)])
    assert said.split("; ") == [
        "lamp: no row mentions event seen_off",
        "lamp: on has no way to rest",
        "lamp: nothing leads to lost",
        "lamp: lost has no way to rest",
    ]


@pytest.mark.parametrize("rows", [(PLUGGED_IN, NOT_PLUGGED_IN), (NOT_PLUGGED_IN, PLUGGED_IN)])
@pytest.mark.parametrize(("plugged_in", "state"), [(True, Light.ON), (False, Light.LOST)])
def test_the_two_sides_of_a_guard_decide_where_an_event_leads(
    rows: tuple[Row[Light, Switch], ...], plugged_in: bool, state: Light
) -> None:
    subject = Lamp(plugged_in=plugged_in)
    lamp(*rows, SEEN_OFF, LOSE).move(subject, Switch.TURN_ON, at_s=0.0)
    assert subject.state is state


def test_a_guard_that_says_no_is_named_and_nothing_changes() -> None:
    elsewhere = Row(Switch.TURN_ON, Light.ON, Light.ON, only_if="on_fire")
    subject, lifecycle = Lamp(plugged_in=False), lamp(PLUGGED_IN, elsewhere, SEEN_OFF, LOSE)
    with pytest.raises(IllegalMove) as refusal:
        lifecycle.move(subject, Switch.TURN_ON, at_s=0.0)
    assert str(refusal.value) == "lamp: no turn_on while off (held back by plugged_in); legal: turn_on"
    assert subject.state is Light.OFF
