"""Strategies that are worth a forecast, the most promising first."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, product, zip_longest
from math import ceil
from typing import Literal

from shunter.topology.rolling.floor import Memory
from shunter.topology.rolling.rounds import MOST_STATES, largest_groups
from shunter.topology.rolling.strategy import Strategy

Spread = Literal["latest", "roomiest"]
SPREADS: tuple[Spread, ...] = ("latest", "roomiest")
FEW_AHEAD = 2


@dataclass(frozen=True)
class Turns:
    """What the order of the turns is chosen from. `drains_s`: what emptying each node takes; `vms`: how many run on it.
    `parallel`: how many may be away at once at most. `first`: nodes whose turns come first, as they are wished for.
    """

    nodes: tuple[str, ...]
    drains_s: dict[str, float]
    vms: dict[str, int]
    memory: Memory
    parallel: int
    first: tuple[str, ...] = ()

    @property
    def away_mib(self) -> int | None:
        """How much memory may be away at once; None where all nodes are alike."""
        rooms = self.memory.rooms_mib
        if len(set(rooms.values())) <= 1:
            return None
        return max(1, self.memory.empty_mib - (max(rooms.values()) if self.memory.reserve_nodes else 0))

    def seeds_of(self, order: Sequence[str], most: int) -> int:
        """How many of the first may be seeds, at least one: no more of all VMs move twice than so many nodes have."""
        allowed = sum(self.vms.values()) * self.parallel / len(self.nodes)
        count, moved = 0, 0
        for name in order[:most]:
            moved += self.vms[name]
            if moved > allowed and count:
                break
            count += 1
        return max(1, count)

    def with_fewest_first(self, seeds: int, *, longest_first: bool) -> tuple[str, ...]:
        """The nodes with fewest VMs, then the others by what emptying them takes."""
        begin = sorted(self._rest(), key=lambda name: (self.vms[name], name))[: max(0, seeds - len(self.first))]
        return self._completed(begin, longest_first=longest_first)

    def by_drain(self, *, longest_first: bool) -> tuple[str, ...]:
        return self._completed((), longest_first=longest_first)

    def in_rounds(self, *, longest_first: bool) -> tuple[str, ...] | None:
        """In the fewest groups that may be away together, the group with fewest VMs first; None where there are too
        many sizes.
        """
        groups = self._groups(longest_first=longest_first)
        if groups is None:
            return None
        groups.sort(key=lambda group: (sum(self.vms[name] for name in group), group))
        return tuple(dict.fromkeys((*self.first, *(name for group in groups for name in group))))

    def large_before_small(self, count: int, *, longest_begin: bool) -> tuple[str, ...]:
        """So many of the largest nodes, then the others, the smallest first."""
        rooms = self.memory.rooms_mib
        largest = sorted(self._sorted(self._rest(), not longest_begin), key=lambda name: rooms[name], reverse=True)
        begin = largest[: max(0, count - len(self.first))]
        others = [name for name in self._sorted(self._rest(), longest_first=True) if name not in begin]
        others.sort(key=lambda name: rooms[name])
        return (*self.first, *self._sorted(begin, longest_first=True), *others)

    def _groups(self, *, longest_first: bool) -> list[list[str]] | None:
        rooms = self.memory.rooms_mib
        sizes = sorted(Counter(rooms.values()).items())
        if len(sizes) != 2 or (sizes[0][1] + 1) * (sizes[1][1] + 1) > MOST_STATES:
            return None
        may = largest_groups(sizes, self.memory.may_be_away)

        @cache
        def fewest(left: tuple[int, ...]) -> tuple[tuple[int, ...], ...] | None:
            if not any(left):
                return ()
            ways = []
            for group in may:
                taken = tuple(min(n, away) for n, away in zip(left, group, strict=True))
                rest = fewest(tuple(n - t for n, t in zip(left, taken, strict=True))) if any(taken) else None
                if rest is not None:
                    ways.append((taken, *rest))
            return min(ways, key=lambda way: (len(way), way), default=None)

        way = fewest(tuple(count for _, count in sizes))
        if way is None:
            return None
        of_size = {mib: self._sorted([n for n in rooms if rooms[n] == mib], longest_first) for mib, _ in sizes}
        return [
            [of_size[mib].pop(0) for (mib, _), count in zip(sizes, taken, strict=True) for _ in range(count)]
            for taken in way
        ]

    def _rest(self) -> list[str]:
        return [name for name in self.nodes if name not in self.first]

    def _sorted(self, names: Sequence[str], longest_first: bool) -> list[str]:
        sign = -1 if longest_first else 1
        return sorted(names, key=lambda name: (sign * self.drains_s[name], name))

    def _completed(self, begin: Sequence[str], *, longest_first: bool) -> tuple[str, ...]:
        others = [name for name in self._rest() if name not in begin]
        return (*self.first, *begin, *self._sorted(others, longest_first))


def candidates(turns: Turns) -> Iterator[Strategy]:
    """For the shortest run. Where nodes differ in size, ways to begin with large ones take turns with the others."""
    seen: set[Strategy] = set()
    pairs = zip_longest(_of_all(turns), _large_before_small(turns))
    for strategy in chain.from_iterable(pairs):
        if strategy is not None and strategy not in seen:
            seen.add(strategy)
            yield strategy


def _of_all(turns: Turns) -> Iterator[Strategy]:
    even = ceil(len(turns.nodes) / ceil(len(turns.nodes) / turns.parallel))
    at_once = tuple(dict.fromkeys((turns.parallel, even)))
    shares = (1.0, 0.75, 0.5, 0.25)
    for share, few, parallel in product(shares, (True, False), at_once):
        for ahead in (FEW_AHEAD, parallel) if few else (1, 0):
            yield from _with(turns, parallel, ceil(parallel * share), ahead)


def _large_before_small(turns: Turns) -> Iterator[Strategy]:
    """Large nodes begin while they have only their own VMs, and small ones follow: those that are done then have room
    for many of the large ones that are left, which otherwise would wait for one another.
    """
    away_mib = turns.away_mib
    if away_mib is None:
        return
    fitting = max(1, away_mib // max(turns.memory.rooms_mib.values()))
    half, most = ceil(turns.parallel / 2), turns.parallel
    for ahead, also, longest_begin, more, spread in product(
        (half, most), (ceil(fitting / 4), most, 0), (False, True), (1, 0), SPREADS
    ):
        order = turns.large_before_small(fitting + more, longest_begin=longest_begin)
        seeds = turns.seeds_of(order, fitting + more + also)
        yield Strategy(order, turns.parallel, seeds, ahead, spread, away_mib, turns.first)


def with_seeds(turns: Turns, seeds: int) -> Iterator[Strategy]:
    """For few moves: the seeds are those with fewest VMs, and with one of them everybody else moves once. More of them
    take less time and more moves.
    """
    for longest_first, ahead in product((True, False), (FEW_AHEAD, turns.parallel)):
        order = turns.with_fewest_first(seeds, longest_first=longest_first)
        for spread in SPREADS if longest_first else SPREADS[:1]:
            yield Strategy(order, turns.parallel, seeds, ahead, spread, turns.away_mib, turns.first)


def neighbours(best: Strategy, number: int, fixed: int, turns: Turns) -> Strategy:
    """A strategy a little different from the best so far. `number`: which; the same number draws the same. `fixed`:
    so many of the first nodes keep their places.
    """
    rng = random.Random(number)
    order, count = list(best.order), len(best.order)
    if count - fixed < 2:
        return best
    if number % 4 == 0:
        i = rng.randrange(fixed, count)
        order.insert(rng.randrange(fixed, count), order.pop(i))
    for _ in range(1 + number % 3):
        i, j = rng.sample(range(fixed, count), 2)
        order[i], order[j] = order[j], order[i]
    ahead = max(0, best.ahead + rng.choice((-1, 0, 0, 0, 1)))
    seeds = turns.seeds_of(order, best.parallel) if number % 5 == 0 else turns.seeds_of(order, best.seeds)
    return replace(best, order=tuple(order), ahead=ahead, seeds=seeds)


def _with(turns: Turns, parallel: int, seeds: int, ahead: int) -> Iterator[Strategy]:
    away_mib = turns.away_mib
    for longest_first in (True, False):
        orders = [turns.with_fewest_first(seeds, longest_first=longest_first)]
        if away_mib is not None:
            by_rounds = turns.in_rounds(longest_first=longest_first)
            orders += [order for order in (by_rounds, turns.by_drain(longest_first=longest_first)) if order]
        for order, spread in product(orders, SPREADS):
            yield Strategy(order, parallel, turns.seeds_of(order, seeds), ahead, spread, away_mib, turns.first)
