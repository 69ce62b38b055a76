"""What the memory that no VM uses says of the time that a rolling run takes.

All VMs are somewhere, so that what is empty is the same at every moment, whatever is moved. A node that is away is
empty altogether; and since it sends or receives one VM at a time, it is nearly empty for a while before and after.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Emptiness:
    """`rooms_mib`: of each node to be maintained. `drains_s`: what emptying it takes at least. `empty_mib`: of all
    nodes in service. `parallel`: how many may be away at once. `mib_per_s`: no migration moves more.
    """

    rooms_mib: tuple[int, ...]
    drains_s: tuple[float, ...]
    empty_mib: int
    parallel: int
    mib_per_s: float
    maintenance_s: float

    def over_time_s(self) -> float:
        """Emptiness times time: what all turns need, over what there is."""
        if self.empty_mib <= 0 or not self.mib_per_s:
            return 0.0
        need = sum(
            mib * self.maintenance_s + self._ramp(mib, drain_s)
            for mib, drain_s in zip(self.rooms_mib, self.drains_s, strict=True)
        )
        # at most `parallel` come back within the time of one maintenance: the largest last
        for i, mib in enumerate(sorted(self.rooms_mib, reverse=True)):
            need += self._ramp(mib, (i // self.parallel) * self.maintenance_s)
        return need / self.empty_mib

    def between_rounds_s(self) -> float:
        """From the first departure to the last return: when many are away little is empty elsewhere, so that those
        that follow them cannot have been emptied before and need time after.
        """
        count = len(self.rooms_mib)
        smallest = [0, *accumulate(sorted(self.rooms_mib))]
        longest_s: list[float] = [0.0] * (count + 1)  # from the departure of each on, if they are in their order
        for i in reversed(range(count)):
            ways_s = (
                self._after_s(i, away, smallest, longest_s) for away in range(1, min(self.parallel, count - i) + 1)
            )
            longest_s[i] = min(ways_s, default=self.maintenance_s)
        return longest_s[0]

    def _after_s(self, i: int, away: int, smallest: list[int], longest_s: list[float]) -> float:
        """If `away` nodes, the i-th the first of them, leave before it is back, and the next one when it is."""
        count = len(self.rooms_mib)
        found_s = self.maintenance_s + longest_s[i + away] if i + away < count else self.maintenance_s
        if not self.mib_per_s:
            return found_s
        for others in range(1, count - i - away + 1):
            short_mib = smallest[away + others] - self.empty_mib
            after_s = max(0.0, short_mib / others / self.mib_per_s)
            found_s = max(found_s, self.maintenance_s + after_s + longest_s[i + away + others - 1])
        return found_s

    def _ramp(self, mib: int, at_most_s: float) -> float:
        """Emptiness times time of a node that is emptied, or filled, in this time, or as fast as it goes."""
        for_s = min(at_most_s, mib / self.mib_per_s)
        return mib * for_s - self.mib_per_s * for_s**2 / 2
