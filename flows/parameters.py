"""The types of the flows' parameters; Prefect's UI builds its forms from them, the server holds their bounds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from shunter.flows.actions import IMPORT_PATH
from shunter.flows.steering import What
from shunter.topology import precautions
from shunter.topology.homes import FailbackPolicy
from shunter.topology.rolling import policy


def _titled(title: str) -> Any:
    """What a field is called in the form; without it Prefect shows the parameter's name."""
    return Field(json_schema_extra={"title": title})


Seconds = Annotated[float, Field(gt=0, le=policy.LONGEST_S, allow_inf_nan=False)]
NodeName = Annotated[str, Field(min_length=1, max_length=255)]
_SomeNodes = list[NodeName]

ClusterName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=4096,
        examples=["prod-1", "examples/small.json"],
        json_schema_extra={"title": "Cluster"},
    ),
]
NodeNames = Annotated[list[NodeName], Field(min_length=1, json_schema_extra={"title": "Nodes"})]
VmName = Annotated[str, Field(min_length=1, max_length=255)]
OneNode = Annotated[NodeName, _titled("Node")]
OneVm = Annotated[VmName, _titled("VM")]
UndoPause = Annotated[bool, _titled("Resume the nodes if stopped")]
TargetNode = Annotated[NodeName, _titled("Target node")]
ReserveNodes = Annotated[
    Literal["auto"] | Annotated[int, Field(ge=0, le=63, strict=True)], _titled("Reserve: nodes that may be lost")
]
Speed = Annotated[
    Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False, strict=True)] | None,
    _titled("Speed of a simulated cluster"),
]
RunningMigrations = Annotated[Literal["finish", "cancel"], _titled("Migrations under way when the run is cancelled")]

# of a rolling run
AnyNodeNames = Annotated[_SomeNodes, _titled("Nodes (none: all)")]
FirstNodes = Annotated[_SomeNodes, _titled("First")]
MaintenanceS = Annotated[Seconds, _titled("Maintenance of a node (seconds)")]
WindowS = Annotated[Seconds | None, _titled("Maintenance window (seconds)")]
WarnAfterS = Annotated[Seconds | None, _titled("Warn after (seconds)")]
StopAfterS = Annotated[Seconds | None, _titled("Begin no node that is not back after (seconds)")]
ApprovalS = Annotated[
    Annotated[float, Field(ge=60, le=policy.LONGEST_S, allow_inf_nan=False)] | None,
    _titled("Wait for approval (seconds)"),
]
GoOnWithinS = Annotated[
    float, Field(ge=0, le=30 * 86_400.0, allow_inf_nan=False), _titled("Go on with an unfinished run (seconds)")
]
StartWithinS = Annotated[
    Annotated[float, Field(gt=0, le=30 * 86_400.0, allow_inf_nan=False)],
    _titled("If scheduled: start at most so late (seconds)"),
]
Parallel = Annotated[Annotated[int, Field(ge=1, le=64, strict=True)] | None, _titled("Nodes away at once, at most")]
Retries = Annotated[int, Field(ge=0, le=64, strict=True), _titled("Retries of a node")]
FailedNodes = Annotated[int, Field(ge=0, le=63, strict=True), _titled("Nodes that may fail")]
Prefer = Annotated[policy.Prefer, _titled("Prefer")]
Failback = Annotated[policy.Failback, _titled("Failback")]
Apart = Annotated[list[list[NodeName]], _titled("Never away together")]
OneFaultDomain = Annotated[bool, _titled("One fault domain at a time")]
Action = Annotated[Literal["reboot", "by hand"], _titled("Maintenance")]
OwnAction = Annotated[
    Annotated[str, Field(max_length=255, pattern=IMPORT_PATH)] | None, _titled("Maintenance by a coroutine of your own")
]
# what is heeded meanwhile
Backups = Annotated[precautions.Backups, _titled("VMs whose backup is under way")]
BackupLimitS = Annotated[precautions.LimitS, _titled("Hold for a backup (seconds)")]
RefreshDrifted = Annotated[bool, _titled("Refresh drifted configurations")]

Steering = Annotated[What, _titled("What")]
SteeredNode = Annotated[NodeName | None, _titled("Node")]


# of a node's return
FailbackOfNode = Annotated[FailbackPolicy, _titled("Failback")]
Homes = Annotated[dict[VmName, NodeName] | None, _titled("Where VMs were")]
WhoeverPaused = Annotated[bool, _titled("Also if somebody else paused it")]


def spoken(cluster: str) -> str:
    """A cluster as the name of a run shows it: a file without its folder."""
    return cluster.replace("\\", "/").rpartition("/")[2].removesuffix(".json") or cluster
