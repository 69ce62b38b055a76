"""Whether VMs pack into what nodes have free is decided as trying everything decides it (I3)."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shunter.topology.recheck.packing import Undecided, fit, unabsorbed_loss


@given(items=st.lists(st.integers(1, 30), max_size=6), rooms=st.lists(st.integers(0, 40), max_size=4))
def test_fit_decides_as_trying_every_assignment_does(items: list[int], rooms: list[int]) -> None:
    def holds(assignment: tuple[int, ...]) -> bool:
        return all(
            sum(item for item, at in zip(items, assignment, strict=True) if at == room) <= rooms[room]
            for room in range(len(rooms))
        )

    everything = any(holds(assignment) for assignment in product(range(len(rooms)), repeat=len(items)))
    assert fit(items, rooms) is everything


def test_a_packing_that_greedy_choices_miss_is_found() -> None:
    assert fit([7, 6, 5, 4, 4, 4], [15, 15])
    assert fit([6, 5, 5, 4, 4, 3, 3], [15, 15])
    assert not fit([8, 8, 8], [15, 15])


def test_a_search_that_would_take_too_long_says_so() -> None:
    even = [2 * (500 + 37 * i % 211) for i in range(60)]
    last = 2 - sum(even) % 24 + 1200
    # each room wastes its odd MiB, so that the items need 2 MiB more than there are, which no sum shows
    room = (sum(even) + last - 2) // 12 + 1
    assert sum(even) + last == 12 * (room - 1) + 2
    with pytest.raises(Undecided):
        fit([*even, last], [room] * 12)


def test_the_loss_that_cannot_be_absorbed_is_named() -> None:
    free = {"N1": 10, "N2": 5, "N3": 4}
    assert unabsorbed_loss(free, free, {"N1": [4, 5], "N2": [6], "N3": [10]}, 1) is None
    why = unabsorbed_loss(free, free, {"N1": [5, 5]}, 1)
    assert why == "the VMs of N1 (10 MiB) do not pack into what is left (9 MiB)"
    why = unabsorbed_loss(free, free, {"N1": [9]}, 1)
    assert why == "the VMs of N1 (9 MiB) do not pack into what is left (9 MiB)"


def test_the_loss_of_all_nodes_is_absorbed_by_none() -> None:
    assert unabsorbed_loss(["N1"], {"N1": 10}, {"N1": [1]}, 1) is not None
    assert unabsorbed_loss(["N1"], {"N1": 10}, {}, 3) is None


def test_too_many_ways_to_lose_nodes_are_undecided_not_sound() -> None:
    names = [f"N{i}" for i in range(60)]
    why = unabsorbed_loss(names, dict.fromkeys(names, 1), {}, 8)
    assert why is not None
    assert why.startswith("undecided")
