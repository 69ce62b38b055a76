"""What is kept up to date about losses is what judging each instant from the beginning says (I3)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunter.topology.recheck.absorbing import Losses
from shunter.topology.recheck.packing import Budget, Undecided, fit, taken, unabsorbed_loss

NODES = ("N1", "N2", "N3", "N4", "N5")


@given(
    items=st.lists(st.integers(1, 30), max_size=6),
    rooms=st.dictionaries(st.sampled_from(NODES), st.integers(0, 40), max_size=4),
)
def test_what_is_taken_fits_and_is_found_wherever_anything_fits(items: list[int], rooms: dict[str, int]) -> None:
    held = taken(items, rooms, Budget(10_000))
    assert (held is not None) is fit(items, list(rooms.values()))
    if held is not None:
        assert sum(held.values()) == sum(items)
        assert all(mib <= rooms[name] for name, mib in held.items())


def test_a_packing_that_greedy_choices_miss_is_found_within_the_budget_alone() -> None:
    rooms = {"N1": 15, "N2": 15}
    assert taken([6, 5, 5, 4, 4, 3, 3], rooms, Budget(1000)) == {"N1": 15, "N2": 15}
    budget = Budget(3)
    with pytest.raises(Undecided):
        taken([6, 5, 5, 4, 4, 3, 3], rooms, budget)
    assert budget.steps == 0


def test_more_pieces_of_a_size_than_there_is_room_for_need_no_search() -> None:
    assert taken([8, 8, 8], {"N1": 15, "N2": 15}, Budget(0)) is None
    assert taken([16, 16, 16, 8, 8], {"N1": 39, "N2": 31}, Budget(0)) is None


@given(chance=st.randoms(use_true_random=False), lost_nodes=st.sampled_from([1, 1, 2, 3]))
@settings(max_examples=300)
def test_after_whatever_happens_it_says_what_judging_afresh_says(chance: random.Random, lost_nodes: int) -> None:
    losses = Losses(lost_nodes)
    free: dict[str, int] = {}
    runs: dict[str, tuple[int, str]] = {}
    for number in range(chance.randint(0, 8)):
        runs[f"v{number}"] = (chance.randint(1, 12), chance.choice(NODES))
    for name, (mib, on) in runs.items():
        losses.put(name, mib, on)
    for _ in range(25):
        node = chance.choice(NODES)
        match chance.choice(("count", "count", "uncount", "free", "free", "put")):
            case "count" if node not in free:
                free[node] = chance.randint(-2, 30)
                losses.count(node, free[node])
            case "uncount":
                free.pop(node, None)
                losses.uncount(node)
            case "free":
                mib = chance.randint(-2, 30)
                losses.set_free(node, mib)
                free |= {node: mib} if node in free else {}
            case "put" if runs:
                name = chance.choice(sorted(runs))
                runs[name] = (runs[name][0], node)
                losses.put(name, runs[name][0], node)
        restart: dict[str, list[int]] = {}
        for mib, on in runs.values():
            restart.setdefault(on, []).append(mib)
        afresh = unabsorbed_loss(list(free), free, restart, lost_nodes)
        assert (losses.unabsorbed() is None) is (afresh is None)


def test_too_many_ways_to_lose_nodes_are_undecided_not_sound() -> None:
    losses = Losses(8)
    for number in range(60):
        losses.count(f"N{number}", 1)
    assert (losses.unabsorbed() or "").startswith("undecided: there are 2558620845 ways")


def test_a_search_that_would_take_too_long_is_undecided_and_costs_no_more_than_its_budget() -> None:
    even = [2 * (500 + 37 * i % 211) for i in range(60)]
    last = 2 - sum(even) % 24 + 1200
    room = (sum(even) + last - 2) // 12 + 1
    losses = Losses(1)
    losses.count("full", 0)
    for number, mib in enumerate([*even, last]):
        losses.put(f"v{number}", mib, "full")
    for number in range(12):
        losses.count(f"N{number}", room)
    for _ in range(20):
        assert losses.unabsorbed() == "undecided within its limit: whether the loss of full is absorbed"
    losses.count("big", sum(even) + last)
    assert losses.unabsorbed() is None
