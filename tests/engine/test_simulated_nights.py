"""Nights in which things go wrong: whatever happens, no invariant breaks, and the report tells what really happened.

`benchmarks/simulated_nights.py` runs thousands of the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

import pytest
from bad_days import BadDay
from bad_days import draw as draw_bad_day
from bad_days import spend as spend_bad_day
from building import cluster, vm
from nights import LIFECYCLES, Night, Outcome, draw, draw_tight, spend
from rolling_nights import Outcome as RollingOutcome
from rolling_nights import RollingNight
from rolling_nights import draw as draw_rolling
from rolling_nights import spend as spend_rolling

from shunter.clusters.simulated import read_faults
from shunter.topology.model import VolumeState

AnyNight = Night | RollingNight | BadDay

SOME_AND_MORE = [0, 50, *(pytest.param(first, marks=pytest.mark.heavy) for first in (100, 150))]
"""Where fifty seeds begin; the second half is run by `.ci/run` alone."""


def spent(night: AnyNight) -> Outcome | RollingOutcome:
    if isinstance(night, RollingNight):
        return spend_rolling(night)
    return spend_bad_day(night) if isinstance(night, BadDay) else spend(night)


def states_entered(nights: Iterable[AnyNight], replays: Path) -> Counter[tuple[str, str]]:
    """Spend the nights; fail on the first that breaks an invariant, with the command that replays it."""
    states: Counter[tuple[str, str]] = Counter()
    for night in nights:
        outcome = spent(night)
        found = "\n".join(map(str, outcome.violations))
        assert not outcome.violations, f"seed {night.seed}:\n{found}\n{night.replay(replays)}"
        states += outcome.states
    return states


@pytest.mark.parametrize("first", SOME_AND_MORE)
def test_no_invariant_breaks_in_a_night_with_faults(first: int, tmp_path: Path) -> None:
    states_entered((draw(seed) for seed in range(first, first + 50)), tmp_path)


@pytest.mark.parametrize("first", SOME_AND_MORE)
def test_where_there_is_little_room_every_vm_that_can_be_moved_is_moved(first: int, tmp_path: Path) -> None:
    states_entered((draw_tight(seed) for seed in range(first, first + 50)), tmp_path)


@pytest.mark.parametrize("first", [10_000, 10_050])
def test_no_invariant_breaks_when_the_operator_stops_the_run(first: int, tmp_path: Path) -> None:
    states_entered((draw(seed, stops=True) for seed in range(first, first + 50)), tmp_path)


@pytest.mark.parametrize("first", SOME_AND_MORE)
def test_on_a_bad_day_nothing_lies_that_could_run_and_no_invariant_breaks(first: int, tmp_path: Path) -> None:
    states_entered((draw_bad_day(seed) for seed in range(first, first + 50)), tmp_path)


def storage_night() -> Night:
    """A volume is in each of its states for a while, as hours go by until the backup of the last VM is over."""
    of = cluster(
        3,
        [vm("web"), vm("db", backup=True)],
        volumes=[{"name": "CSV1", "owner": "N2"}],
        windows_version="2008R2",
    )
    states = get_args(VolumeState)
    shown = [{"do": "volume_state", "volume": "CSV1", "state": s, "at_s": 60.0 * i} for i, s in enumerate(states, 1)]
    backup = [
        {"do": "backup_starts", "volume": "CSV1", "at_s": 1800},
        {"do": "backup_ends", "volume": "CSV1", "outcome": "aborted", "at_s": 1900},
        {"do": "backup_ends", "vm": "db", "at_s": 2000},
    ]
    faults = read_faults(json.dumps([*shown, *backup]), of)
    return Night(0, of, ("N1",), "none", 0.0, given=faults)


def night_that_loses_a_source() -> Night:
    """Its node is lost while the VM is copied from it: the migration is overtaken."""
    of = cluster(3, [vm("web", memory_mib=32768)])
    return Night(0, of, ("N1",), "none", 0.0, given=read_faults('[{"do": "node_down", "node": "N1", "at_s": 5}]', of))


def nights_of_every_kind() -> Iterator[AnyNight]:
    yield storage_night()
    yield night_that_loses_a_source()
    for seed in range(20_000, 20_060):
        yield draw(seed)
        yield draw(seed, stops=True)
        yield draw_rolling(seed)
        yield draw_bad_day(seed)


def test_every_state_of_every_lifecycle_is_entered_in_some_night(tmp_path: Path) -> None:
    left = {(about.noun, state) for about in LIFECYCLES for state in about.states if state != about.initial}
    for night in nights_of_every_kind():
        left -= states_entered([night], tmp_path).keys()
        if not left:
            break
    assert left == set()


def test_a_seed_gives_the_same_night_again() -> None:
    one, other = spend(draw(7)), spend(draw(7))
    assert (one.night, one.states, one.faults, one.moves) == (other.night, other.states, other.faults, other.moves)
