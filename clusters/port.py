"""The one door to a cluster: a handful of verbs, and the errors they may raise.

ClusterError (a ShunterError)
├── Refused          nothing happened; `busy` says that a node is in another migration: wait, it is no failure
├── Failed           it happened and went wrong, with a known outcome
├── OutcomeUnknown   the answer was lost: only a look tells what happened
└── Unreachable      the cluster could not be looked at
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Literal, NamedTuple, Protocol

from shunter.clusters.clock import Clock
from shunter.topology.errors import ShunterError
from shunter.topology.model import Actor, Cluster


class ClusterError(ShunterError):
    """A cluster's answer that is not a yes."""


class Refused(ClusterError):
    """Nothing happened. `busy`: a node of the move takes part in another migration (R15)."""

    def __init__(self, message: str, *, busy: bool = False) -> None:
        super().__init__(message)
        self.busy = busy


class Failed(ClusterError):
    """It was tried and went wrong; the outcome is known."""


class OutcomeUnknown(ClusterError):
    """The answer was lost; it may have happened or not."""


class Unreachable(ClusterError):
    """The cluster could not be looked at."""


class Phase(StrEnum):
    """How far a live migration is, as the cluster shows it."""

    PREPARING = auto()
    UNLOADING_OFFLOAD = auto()
    COPYING = auto()
    SWITCHING = auto()
    SETTLING = auto()


class MigrationSeen(NamedTuple):
    """One observation of a migration under way. `at_s`: the cluster's clock; `percent` of the copying, 0 to 100."""

    at_s: float
    phase: Phase
    percent: float


@dataclass(frozen=True, slots=True)
class MigrationRecord:
    """A migration as the cluster's own log tells it afterwards. `node`: where the VM was at its end, if anywhere."""

    vm: str
    source: str
    target: str
    by: Actor
    started_s: float
    ended_s: float
    outcome: Literal["done", "failed", "cancelled", "source_lost", "target_lost"]
    node: str | None


class ClusterPort(Protocol):
    """What an engine may ask of a cluster. Every verb may raise Refused, Failed or OutcomeUnknown; looks, Unreachable.

    Names are spelled as in the snapshot.
    """

    @property
    def clock(self) -> Clock:
        """The cluster's time; every wait of the engine is measured with it."""
        ...

    async def look(self) -> Cluster:
        """A fresh snapshot, with the migrations under way, whoever started them."""
        ...

    async def wait_for_change(self, seen: Cluster, within_s: float, node: str | None = None) -> None:
        """Return when the cluster no longer is as in `seen` (progress of a migration apart), or after `within_s`.

        `node`: whoever waits cares for the state of this node alone, and need not be woken by anything else.
        """
        ...

    async def pause_node(self, node: str) -> None:
        """Nothing new is placed on the node; nothing is moved away (no drain of the cluster's own). Idempotent."""
        ...

    async def resume_node(self, node: str) -> None:
        """The node takes VMs again; nothing is moved back. Idempotent."""
        ...

    async def start_migration(self, vm: str, target: str) -> None:
        """Ask for a live migration; return once the cluster has taken it up."""
        ...

    def follow_migration(self, vm: str) -> AsyncIterator[MigrationSeen]:
        """Observe the VM's migration until it is over; what came of it, only a look can tell."""
        ...

    async def cancel_migration(self, vm: str) -> None:
        """Call a running migration off: the VM stays on its source. Refused when it is too late."""
        ...

    async def move_role(self, name: str, target: str) -> None:
        """Give an off or saved VM, or another role, to another node."""
        ...

    async def move_volume(self, volume: str, target: str) -> None:
        """Make another node the owner (coordinator) of a volume."""
        ...

    async def start_vm(self, vm: str, node: str) -> None:
        """Start a VM that does not run, on this node, with the memory it starts with. Refused where it may run already:
        while the node it was on last has not been declared down. Failed: it was tried, and did not come up there.
        """
        ...

    async def restore_direct_io(self, volume: str) -> None:
        """Take a Cluster Shared Volume out of redirected I/O that outlived its backup (R18). Refused while a backup of
        it runs, and where the cluster cannot: it then says why.
        """
        ...

    async def refresh_configuration(self, vm: str) -> None:
        """Bring the cluster's copy of a VM's configuration up to date with the VM's own (R19). The VM runs on."""
        ...

    async def reboot_node(self, node: str) -> None:
        """Restart the node's operating system; return once the node has taken the order up. It comes back paused if it
        was paused. Whatever still runs on it is lost: look first.
        """
        ...

    async def booted_s(self, node: str) -> float | None:
        """When the node's operating system started last, by the cluster's clock; None while the node cannot tell."""
        ...

    async def migration_log(self) -> tuple[MigrationRecord, ...]:
        """Every migration that ended since this port was opened, in order of its end."""
        ...
