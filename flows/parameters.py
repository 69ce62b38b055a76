"""The types of the flows' parameters; Prefect's UI builds its forms from them, the server holds their bounds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shunter.topology.rolling.policy import LONGEST_S

ClusterName = Annotated[str, Field(min_length=1, max_length=4096, examples=["prod-1", "examples/small.json"])]
NodeName = Annotated[str, Field(min_length=1, max_length=255)]
NodeNames = Annotated[list[NodeName], Field(min_length=1)]
VmName = Annotated[str, Field(min_length=1, max_length=255)]
ReserveNodes = Literal["auto"] | Annotated[int, Field(ge=0, le=63, strict=True)]
Speed = Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False, strict=True)] | None
RunningMigrations = Literal["finish", "cancel"]
AnyNodeNames = list[NodeName]
MaintenanceS = Annotated[float, Field(gt=0, le=LONGEST_S, allow_inf_nan=False)]
WindowS = MaintenanceS | None
ApprovalS = Annotated[float, Field(ge=60, le=LONGEST_S, allow_inf_nan=False)] | None
Parallel = Annotated[int, Field(ge=1, le=64, strict=True)] | None
Retries = Annotated[int, Field(ge=0, le=64, strict=True)]
FailedNodes = Annotated[int, Field(ge=0, le=63, strict=True)]


def spoken(cluster: str) -> str:
    """A cluster as the name of a run shows it: a file without its folder."""
    return cluster.replace("\\", "/").rpartition("/")[2].removesuffix(".json") or cluster
