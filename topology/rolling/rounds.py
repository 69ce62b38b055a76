"""How many rounds a rolling run takes at least, where nodes of different sizes may be away together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import product
from math import prod

MOST_STATES = 5_000

MayBeAway = Callable[[Sequence[int]], bool]
"""Whether nodes of these sizes may be away at once. Of what may, any part may."""


def fewest_rounds(sizes_mib: Iterable[int], may_be_away: MayBeAway) -> int:
    """Each node is away for the same time, so that at moments one such time apart each is seen away once: so many
    moments there are at least. 0, which says nothing, where the nodes are of too many sizes to try all.
    """
    counts = Counter(sizes_mib)
    sizes = sorted(counts)
    if prod(counts[size] + 1 for size in sizes) > MOST_STATES:
        return 0
    groups = largest_groups([(size, counts[size]) for size in sizes], may_be_away)

    @cache
    def rounds(left: tuple[int, ...]) -> int:
        if not any(left):
            return 0
        nexts = {tuple(max(0, n - away) for n, away in zip(left, group, strict=True)) for group in groups}
        return 1 + min((rounds(after) for after in sorted(nexts) if after != left), default=0)

    return rounds(tuple(counts[size] for size in sizes))


def largest_groups(counts: Sequence[tuple[int, int]], may_be_away: MayBeAway) -> list[tuple[int, ...]]:
    """How many of each size may be away together, such that no further one may. `counts`: (MiB, nodes) of each size."""

    def allowed(group: Sequence[int]) -> bool:
        return may_be_away([mib for (mib, _), away in zip(counts, group, strict=True) for _ in range(away)])

    may = {group for group in product(*(range(count + 1) for _, count in counts)) if allowed(group)}
    return sorted(group for group in may if any(group) and not any(more in may for more in _one_more(group)))


def _one_more(group: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    for i, count in enumerate(group):
        yield (*group[:i], count + 1, *group[i + 1 :])
