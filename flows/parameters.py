"""The types of the flows' parameters; Prefect's UI builds its forms from them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

ClusterName = Annotated[str, Field(title="Cluster", min_length=1, examples=["prod-1", "examples/small.json"])]
NodeName = Annotated[str, Field(min_length=1, max_length=255)]
NodeNames = Annotated[list[NodeName], Field(title="Nodes to empty", min_length=1)]
VmName = Annotated[str, Field(title="VM", min_length=1, max_length=255)]
ReserveNodes = Annotated[
    Literal["auto"] | Annotated[int, Field(ge=0, le=63)], Field(title="Nodes whose loss must stay covered")
]
Speed = Annotated[
    float | None, Field(title="Speed of a simulated cluster", gt=0, le=10_000, allow_inf_nan=False)
]
RunningMigrations = Annotated[Literal["finish", "cancel"], Field(title="When cancelled, running migrations")]
UndoPause = Annotated[bool, Field(title="When stopped early, resume the nodes that this run paused")]


def spoken(cluster: str) -> str:
    """A cluster as the name of a run shows it: a file without its folder."""
    return os.path.basename(cluster).removesuffix(".json") or cluster  # noqa: PTH119 - a name may end in a slash


def listed(nodes: Sequence[str]) -> str:
    return ", ".join(nodes)
