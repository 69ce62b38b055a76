"""What a watch tells at its end: all that happened, and what stands."""

from __future__ import annotations

from typing import Literal

from shunter.topology.model import Value
from shunter.topology.watching.condition import Occurrence, Standing


class Watch(Value):
    """`ok`: nothing of severity error stands at the end. Seconds are the cluster's, counted from the start.

    `occurrences`: in their order, the latest thousand; `told` is how many there were, `counts` of which name how many.
    `standing`: what is not as it should be at the end, or is under way.
    """

    kind: Literal["watch"] = "watch"
    cluster: str
    ok: bool
    seconds: float
    told: int
    counts: dict[str, int]
    occurrences: tuple[Occurrence, ...]
    standing: tuple[Standing, ...]
    interrupted: bool = False

    def to_json(self, indent: int | None = 2) -> str:
        return self.model_dump_json(indent=indent)
