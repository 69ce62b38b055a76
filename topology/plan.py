"""Plans and reports as values: what people see as text, picture and artifact, and scripts as JSON.

Seconds count from the start of the run.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shunter.topology.model import Value

Severity = Literal["error", "warning", "info"]
Outcome = Literal["done", "failed", "refused", "cancelled", "lost_sight"]
MaintenanceOutcome = Literal["done", "failed", "skipped"]


class Finding(Value):
    """Something the operator must know: rule, how grave, about what, and what to do."""

    rule: str
    severity: Severity
    subject: str
    message: str
    remedy: str


class Verdict(Value):
    """One reason why a VM may not go to `target`."""

    target: str
    rule: str
    reason: str
    remedy: str


class Move(Value):
    """A live migration; of a failover, a restart. In a report also how it ended, what had been expected of it, and what
    went wrong (`reason`).

    `after`: VMs whose moves must be over before this one may start, because they make room for it.
    """

    vm: str
    source: str
    target: str
    start_s: float
    end_s: float
    why: str = ""
    after: tuple[str, ...] | None = None
    outcome: Outcome | None = None
    estimate_s: float | None = None
    downtime_s: float | None = None
    reason: str | None = None


class RoleMove(Value):
    """An off or saved VM, or another role: it changes its owner and occupies no node."""

    name: str
    source: str
    target: str
    start_s: float


class VolumeMove(Value):
    volume: str
    source: str
    target: str
    start_s: float


class Unplaced(Value):
    """A VM that must leave `node` and cannot: at least one verdict for each other node."""

    vm: str
    node: str
    verdicts: tuple[Verdict, ...]


class NodeMemory(Value):
    """What the VMs of a node use before and after, of what is there for VMs. MiB.

    `line_mib`: how far it may be filled while the reserve is kept, if one is.
    """

    node: str
    for_vms_mib: int
    before_mib: int
    after_mib: int
    line_mib: int | None = None
    emptied: bool = False


class Maintenance(Value):
    """A node's turn in a rolling run.

    From `paused_s` on it takes no VM and is no refuge, from `start_s` on it is empty and its maintenance is under way,
    at `end_s` it is back and takes VMs again. `left_mib`: of the memory that the other nodes have free, the least that
    was left over between `paused_s` and `end_s` once the VMs of any one of them had been restarted (below 0: too
    little). In a report also how it ended, and why so.
    """

    node: str
    paused_s: float
    start_s: float
    end_s: float
    left_mib: int | None = None
    outcome: MaintenanceOutcome | None = None
    reason: str | None = None


class Untouched(Value):
    """A node that was to be maintained and will not be, or was not; its VMs that stand in the way are in `unplaced`."""

    node: str
    reason: str
    remedy: str


class UnderWay(Value):
    """A migration that somebody else had under way when this was planned, and when it is over by its estimate: until
    then nothing else begins at its nodes.
    """

    vm: str
    source: str
    target: str
    end_s: float


class Alternative(Value):
    """Another way to do the same rolling run, to choose with open eyes."""

    name: str
    parallel: int
    makespan_s: float
    moves: int
    moves_per_vm: float
    left_mib: int | None = None
    chosen: bool = False


class Loss(Value):
    """What the loss of one node would mean. `ok` None: not decided within the limits of the search. `unplaced`: the VMs
    that would not restart.

    Of these as few as can be, of the highest priority first; `fewest` false: perhaps it could be fewer.
    """

    node: str
    ok: bool | None
    unplaced: tuple[str, ...] = ()
    fewest: bool = Field(default=True, exclude=True)


class Plan(Value):
    """What will happen (`executed` false) or what did (a report). Of a resume: `node`, and whether it `resumes` it,
    because it does not take VMs yet.
    """

    kind: Literal["evacuation", "migration", "repair", "rolling_maintenance", "failover", "resume"] = "evacuation"
    node: str | None = None
    resumes: bool | None = None
    cluster: str
    ok: bool
    executed: bool = False
    reserve_nodes: int
    findings: tuple[Finding, ...] = ()
    moves: tuple[Move, ...] = ()
    role_moves: tuple[RoleMove, ...] = ()
    volume_moves: tuple[VolumeMove, ...] = ()
    unplaced: tuple[Unplaced, ...] = ()
    makespan_s: float = 0.0
    lower_bound_s: float = 0.0
    interrupted: bool = False
    degraded_backups: tuple[str, ...] = Field(default=())
    memory: tuple[NodeMemory, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()
    untouched: tuple[Untouched, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    under_way: tuple[UnderWay, ...] = ()
    survives_loss: tuple[Loss, ...] = ()
    """Of a failover: what the loss of each further node would mean once all this is done."""
    made_room: tuple[Move, ...] = ()
    """Of the report of a failover: live migrations after which VMs could be started that fitted nowhere."""

    @property
    def in_doubt(self) -> tuple[Move, ...]:
        """The moves of which nobody knows how they ended."""
        return tuple(move for move in (*self.moves, *self.made_room) if move.outcome == "lost_sight")

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that forbid a run."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def to_json(self, indent: int | None = 2) -> str:
        """The JSON of interfaces: fields that say nothing of a plan (or of a report) are left out."""
        left_out = set() if self.executed else {"interrupted", "degraded_backups", "made_room"}
        if self.kind != "rolling_maintenance":
            left_out |= {"maintenance", "untouched", "alternatives"}
        if not self.under_way:
            left_out |= {"under_way"}
        if self.kind != "failover":
            left_out |= {"survives_loss", "made_room"}
        return self.model_dump_json(indent=indent, exclude_none=True, exclude=left_out)
