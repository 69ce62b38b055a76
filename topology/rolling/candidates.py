"""Strategies that are worth a forecast, the most promising first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import ceil

from shunter.topology.rolling.strategy import Strategy


def candidates(
    nodes: Sequence[str],
    drains_s: Mapping[str, float],
    vms: Mapping[str, int],
    parallel: int,
    first: Sequence[str] = (),
) -> Iterator[Strategy]:
    """`drains_s`: what emptying each node takes; `vms`: how many run on it. `parallel`: how many may be away at once
    at most. `first`: nodes whose turns come first.
    """
    seen: set[Strategy] = set()
    for at_once, share in _seeds(len(nodes), parallel):
        for ahead, longest_first, spread in product((at_once, 2, 1, 0), (True, False), ("latest", "roomiest")):
            seeds = max(1, min(share, at_once))
            order = _order(nodes, drains_s, vms, seeds, longest_first=longest_first, first=first)
            strategy = Strategy(order, at_once, seeds, ahead, "latest" if spread == "latest" else "roomiest")
            if strategy not in seen:
                seen.add(strategy)
                yield strategy


def fewest_moves(
    nodes: Sequence[str],
    drains_s: Mapping[str, float],
    vms: Mapping[str, int],
    parallel: int,
    first: Sequence[str] = (),
) -> Iterator[Strategy]:
    """One seed, that with fewest VMs: everybody else moves once."""
    for ahead, longest_first, spread in product((parallel, 1), (True, False), ("latest", "roomiest")):
        order = _order(nodes, drains_s, vms, 1, longest_first=longest_first, first=first)
        yield Strategy(order, parallel, 1, ahead, "latest" if spread == "latest" else "roomiest")


def _seeds(count: int, parallel: int) -> Iterator[tuple[int, int]]:
    """(away at once, seeds): as many as may be, or as few as need the same number of rounds."""
    even = ceil(count / ceil(count / parallel))
    for at_once in dict.fromkeys((parallel, even)):
        for seeds in dict.fromkeys((at_once, ceil(at_once * 3 / 4), ceil(at_once / 2), 2, 1)):
            yield at_once, min(seeds, at_once)


def _order(
    nodes: Sequence[str],
    drains_s: Mapping[str, float],
    vms: Mapping[str, int],
    seeds: int,
    *,
    longest_first: bool,
    first: Sequence[str],
) -> tuple[str, ...]:
    """The seeds are those that are asked for first, then those with fewest VMs."""
    rest = [name for name in nodes if name not in first]
    begin = sorted(rest, key=lambda name: (vms[name], name))[: max(0, seeds - len(first))]
    sign = -1 if longest_first else 1
    others = sorted((name for name in rest if name not in begin), key=lambda name: (sign * drains_s[name], name))
    return (*first, *begin, *others)
