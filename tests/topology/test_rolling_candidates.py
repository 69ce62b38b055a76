"""Which strategies of a rolling run are forecast, where nodes differ in size (R16)."""

from __future__ import annotations

from shunter.topology.rolling.candidates import Turns, candidates
from shunter.topology.rolling.floor import Memory

SMALL_MIB, LARGE_MIB = 1000, 2000


def turns(rooms_mib: dict[str, int], *, first: tuple[str, ...] = ()) -> Turns:
    nodes = tuple(rooms_mib)
    memory = Memory(rooms_mib, (), sum(rooms_mib.values()) // 2, 0, 1)
    drains_s = {name: mib / 10 for name, mib in rooms_mib.items()}
    return Turns(nodes, drains_s, dict.fromkeys(nodes, 5), memory, memory.most_away(), first)


def of_two_sizes(count: int = 16) -> dict[str, int]:
    return {f"N{i}": LARGE_MIB if i % 2 else SMALL_MIB for i in range(1, count + 1)}


def sizes_in(order: tuple[str, ...], rooms_mib: dict[str, int]) -> str:
    """The order as runs of sizes: "LSL" is large nodes, small ones, large ones."""
    of = ["L" if rooms_mib[name] == LARGE_MIB else "S" for name in order]
    return "".join(size for i, size in enumerate(of) if not i or of[i - 1] != size)


def test_early_among_them_is_one_with_small_nodes_between_the_large_ones() -> None:
    rooms_mib = of_two_sizes()
    early = [strategy for strategy, _ in zip(candidates(turns(rooms_mib)), range(4), strict=False)]
    assert "LSL" in [sizes_in(strategy.order, rooms_mib) for strategy in early]


def test_each_has_every_node_once_and_those_that_are_wished_for_first() -> None:
    rooms_mib = of_two_sizes()
    found = list(candidates(turns(rooms_mib, first=("N2", "N7"))))
    assert all(sorted(strategy.order) == sorted(rooms_mib) for strategy in found)
    assert all(strategy.order[:2] == ("N2", "N7") for strategy in found)


def test_none_is_forecast_twice() -> None:
    found = list(candidates(turns(of_two_sizes())))
    assert len(found) == len(set(found))
