"""What the migration's lifecycle promises of a VM on its way (R01, R14)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shunter.statemachines.migration import MIGRATION, Event, Migration, State

# R01: one node owns the VM at any instant; who it is in each state, as far as it is known.
OWNER = {
    State.PLANNED: "source",
    State.WAITING: "source",
    State.CHECKING: "source",
    State.PREPARING: "source",
    State.UNLOADING_OFFLOAD: "source",
    State.COPYING: "source",
    State.SWITCHING: "passing",
    State.SETTLING: "target, unconfirmed",
    State.RESTORING_OFFLOAD: "target",
    State.DONE: "target",
    State.REFUSED: "source",
    State.ROLLED_BACK: "source",
    State.CANCELLED: "source",
    State.OVERTAKEN: "somebody else",
    State.LOST_SIGHT: "unknown",
}
TAKEN_UP = (State.UNLOADING_OFFLOAD, State.COPYING, State.SWITCHING, State.SETTLING, State.LOST_SIGHT)
CHANGES = {
    (Event.SWITCH_BEGAN, "source", "passing"),
    (Event.SWITCHED_OVER, "passing", "target, unconfirmed"),
    (Event.ANSWER_LOST, "source", "unknown"),
    (Event.ANSWER_LOST, "passing", "unknown"),
    (Event.ANSWER_LOST, "target, unconfirmed", "unknown"),
}
LOOKS = {Event.SEEN_ON_SOURCE, Event.SEEN_ON_TARGET, Event.SEEN_CANCELLED, Event.SEEN_ELSEWHERE}


def walk(migration: Migration, data: st.DataObject) -> list[State]:
    """A random life to its end, or until it has become tedious; the states it went through."""
    states = [migration.state]
    for _ in range(30):
        legal = MIGRATION.legal(migration.state)
        if not legal:
            break
        MIGRATION.move(migration, data.draw(st.sampled_from(legal)), at_s=0.0)
        states.append(migration.state)
    return states


@given(source=st.booleans(), target=st.booleans(), data=st.data())
def test_r14_a_migration_unloads_and_restores_offload_exactly_where_its_nodes_support_it(
    source: bool, target: bool, data: st.DataObject
) -> None:
    states = walk(Migration("web-1", "N1", "N3", source_offloads=source, target_offloads=target), data)
    assert source or State.UNLOADING_OFFLOAD not in states
    assert target or State.RESTORING_OFFLOAD not in states
    for earlier, later in pairwise(states):
        if later is State.COPYING:
            assert earlier is (State.UNLOADING_OFFLOAD if source else State.PREPARING)
        if later is State.DONE and earlier is not State.LOST_SIGHT:
            assert earlier is (State.RESTORING_OFFLOAD if target else State.SETTLING)


@pytest.mark.parametrize(
    ("source", "target", "way"),
    [
        (False, False, "preparing copying switching settling done"),
        (True, False, "preparing unloading_offload copying switching settling done"),
        (False, True, "preparing copying switching settling restoring_offload done"),
        (True, True, "preparing unloading_offload copying switching settling restoring_offload done"),
    ],
)
def test_r14_the_way_of_a_migration_that_nothing_disturbs(source: bool, target: bool, way: str) -> None:
    migration = Migration("web-1", "N1", "N3", source_offloads=source, target_offloads=target)
    happens = [
        *(Event.ENQUEUE, Event.CHECK, Event.PREPARE, Event.PREPARED),
        *([Event.OFFLOAD_UNLOADED] if source else []),
        *(Event.SWITCH_BEGAN, Event.SWITCHED_OVER, Event.SEEN_ON_TARGET),
        *([Event.OFFLOAD_RESTORED] if target else []),
    ]
    states = [MIGRATION.move(migration, event, at_s=0.0).target for event in happens]
    assert states == ["waiting", "checking", *way.split()]


def test_r01_every_state_says_whose_the_vm_is() -> None:
    assert set(OWNER) == set(State)


@given(data=st.data())
def test_r01_the_vm_changes_hands_only_in_the_switch_or_by_a_look(data: st.DataObject) -> None:
    migration = Migration("web-1", "N1", "N3", source_offloads=data.draw(st.booleans()))
    for _ in range(30):
        legal = MIGRATION.legal(migration.state)
        if not legal:
            break
        event = data.draw(st.sampled_from(legal))
        step = MIGRATION.move(migration, event, at_s=0.0)
        hands = (OWNER[State(step.source)], OWNER[State(step.target)])
        assert hands[0] == hands[1] or event in LOOKS or (event, *hands) in CHANGES


def test_r01_once_the_cluster_has_taken_a_move_up_only_observations_lead_on() -> None:
    for state in TAKEN_UP:
        assert not MIGRATION.commands.intersection(MIGRATION.legal(state)), state


def test_r01_a_move_that_was_taken_up_ends_only_with_a_look() -> None:
    ends = {
        row.event
        for row in MIGRATION.rows
        if MIGRATION.resting(row.target) and set(TAKEN_UP).intersection(row.each_source())
    }
    assert ends == LOOKS


def test_r01_from_every_state_in_which_the_cluster_moves_the_vm_it_may_be_found_on_its_source() -> None:
    for state in (State.PREPARING, *TAKEN_UP):
        assert Event.SEEN_ON_SOURCE in MIGRATION.legal(state)
        assert MIGRATION.states[state].deadline is not None


def test_r01_an_answer_may_be_lost_wherever_the_cluster_was_asked() -> None:
    lost = {source for row in MIGRATION.rows if row.event is Event.ANSWER_LOST for source in row.each_source()}
    assert lost == {State.PREPARING, *TAKEN_UP} - {State.LOST_SIGHT}


def test_r15_nothing_is_asked_of_the_cluster_before_both_nodes_are_held_and_looked_at() -> None:
    (ask,) = (row for row in MIGRATION.rows if row.target is State.PREPARING)
    assert ask.each_source() == (State.CHECKING,)
    (check,) = (row for row in MIGRATION.rows if row.target is State.CHECKING)
    assert check.each_source() == (State.WAITING,)
