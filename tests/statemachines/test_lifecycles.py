"""What holds for every lifecycle, found by walking each at random."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shunter.statemachines.drawing import LIFECYCLES
from shunter.statemachines.lifecycle import Deadline, IllegalMove, Lifecycle
from shunter.statemachines.migration import Migration
from shunter.statemachines.node import NodeLife
from shunter.statemachines.vm import VmLife
from shunter.statemachines.volume import VolumeLife

SUBJECTS: dict[str, Callable[[bool, bool], Any]] = {
    "migration": lambda one, other: Migration("web-1", "N1", "N3", source_offloads=one, target_offloads=other),
    "vm": lambda *_: VmLife("web-1"),
    "volume": lambda *_: VolumeLife("CSV1"),
    "node": lambda *_: NodeLife("N1"),
}
LABELS = {"migration": "web-1: N1 → N3", "vm": "vm web-1", "volume": "volume CSV1", "node": "node N1"}

each_lifecycle = pytest.mark.parametrize("lifecycle", LIFECYCLES, ids=lambda lifecycle: lifecycle.noun)


def events_of(lifecycle: Lifecycle[Any, Any]) -> list[Any]:
    events: type[StrEnum] = type(lifecycle.rows[0].event)
    return list(events)


def begun(lifecycle: Lifecycle[Any, Any], data: st.DataObject) -> Any:
    """A subject at the beginning of its life; what its guards ask is drawn."""
    return SUBJECTS[lifecycle.noun](data.draw(st.booleans()), data.draw(st.booleans()))


def moved_somewhere(lifecycle: Lifecycle[Any, Any], data: st.DataObject) -> Any:
    """A subject after a legal walk of up to a dozen moves."""
    subject = begun(lifecycle, data)
    for _ in range(data.draw(st.integers(0, 12))):
        legal = lifecycle.legal(subject.state)
        if not legal:
            break
        lifecycle.move(subject, data.draw(st.sampled_from(legal)), at_s=0.0)
    return subject


@each_lifecycle
@given(data=st.data())
def test_an_illegal_move_changes_nothing_and_its_error_says_what_would_be_legal(
    lifecycle: Lifecycle[Any, Any], data: st.DataObject
) -> None:
    subject = moved_somewhere(lifecycle, data)
    before, legal = subject.state, lifecycle.legal(subject.state)
    for event in set(events_of(lifecycle)) - set(legal):
        with pytest.raises(IllegalMove) as refusal:
            lifecycle.move(subject, event, at_s=1.5)
        error = refusal.value
        assert subject.state is before
        assert (error.subject, error.event, error.state) == (LABELS[lifecycle.noun], event, before)
        assert error.legal == legal
        named = ", ".join(legal) if legal else "nothing"
        assert str(error) == f"{LABELS[lifecycle.noun]}: no {event} while {before}; legal: {named}"


@each_lifecycle
@given(data=st.data())
def test_a_legal_move_follows_its_row_and_gives_a_step_that_tells_it(
    lifecycle: Lifecycle[Any, Any], data: st.DataObject
) -> None:
    subject = moved_somewhere(lifecycle, data)
    legal = lifecycle.legal(subject.state)
    if not legal:
        return
    before, event = subject.state, data.draw(st.sampled_from(legal))
    step = lifecycle.move(subject, event, at_s=1.5, reason="because")
    assert (before, subject.state) in {
        (source, row.target) for row in lifecycle.rows if row.event is event for source in row.each_source()
    }
    assert (step.source, step.target, step.subject) == (before, subject.state, LABELS[lifecycle.noun])
    assert (step.lifecycle, step.event, step.at_s, step.reason) == (lifecycle.noun, event, 1.5, "because")
    assert str(step) == f"{LABELS[lifecycle.noun]}: {before} → {subject.state} (because)"


@each_lifecycle
@given(data=st.data())
def test_from_wherever_a_walk_leads_there_is_a_way_to_rest(lifecycle: Lifecycle[Any, Any], data: st.DataObject) -> None:
    subject = moved_somewhere(lifecycle, data)
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
def test_what_is_lost_sight_of_owes_a_look_within_a_deadline(lifecycle: Lifecycle[Any, Any]) -> None:
    about = lifecycle.states[lifecycle.lost_sight]
    assert not about.resting
    assert about.deadline is not None
    assert about.after_restart == "look"


@each_lifecycle
def test_one_look_is_enough_to_know_again(lifecycle: Lifecycle[Any, Any]) -> None:
    found = {row.target for row in lifecycle.rows if lifecycle.lost_sight in row.each_source()}
    assert [state for state in found if not lifecycle.resting(state)] == []


@each_lifecycle
def test_only_a_lost_answer_leads_out_of_sight(lifecycle: Lifecycle[Any, Any]) -> None:
    assert {row.event for row in lifecycle.rows if row.target is lifecycle.lost_sight} == {"answer_lost"}


@each_lifecycle
def test_a_state_that_does_not_rest_has_a_deadline_or_says_what_limits_it(lifecycle: Lifecycle[Any, Any]) -> None:
    for state, about in lifecycle.states.items():
        says_it = about.truth.endswith("at once.") or "the run's patience limits" in about.truth
        assert about.resting or about.deadline is not None or says_it, state


@each_lifecycle
def test_a_deadline_that_passes_leads_somewhere(lifecycle: Lifecycle[Any, Any]) -> None:
    for state, about in lifecycle.states.items():
        if about.deadline is not None and state is not lifecycle.lost_sight:
            assert {"answer_lost", "postpone"} & set(lifecycle.legal(state)), state


@each_lifecycle
def test_a_resting_state_has_no_deadline(lifecycle: Lifecycle[Any, Any]) -> None:
    assert [state for state, about in lifecycle.states.items() if about.resting and about.deadline] == []


@each_lifecycle
def test_every_state_says_what_is_true_in_whole_sentences(lifecycle: Lifecycle[Any, Any]) -> None:
    for about in lifecycle.states.values():
        assert about.truth[0].isupper()
        assert about.truth.endswith(".")


def test_a_deadline_follows_the_estimate_and_has_a_floor() -> None:
    assert Deadline(factor=3.0, floor_s=120.0).after_s(100.0) == 300.0
    assert Deadline(factor=3.0, floor_s=120.0).after_s(10.0) == 120.0
