"""Backups as a run meets them (R17): whom they hold and how long, and which were degraded because a VM moved."""

from __future__ import annotations

from shunter.clusters.clock import Clock
from shunter.engine.audience import Waiting
from shunter.topology.model import Cluster
from shunter.topology.plan import Finding
from shunter.topology.precautions import Precautions, backups_of_vms, is_redirected_by_backup

TOLD_FROM_S = 60.0
"""A VM that was held for a shorter time is not worth a word in the report."""


class BackupWatch:
    """Of one run. `degraded`: VMs that moved while a backup of them was under way."""

    def __init__(self, precautions: Precautions, clock: Clock) -> None:
        self.degraded: dict[str, None] = {}
        self._precautions, self._clock = precautions, clock
        self._of_vms: dict[str, str] = {}
        self._of_volumes: frozenset[str] = frozenset()
        self._since_s: dict[str, float] = {}
        self._overlapping: set[str] = set()
        self._held_since_s: dict[str, float] = {}
        self._held_s: dict[str, float] = {}
        self._looked: Cluster | None = None
        self._shown: tuple[Cluster, dict[str, bool], Cluster] | None = None

    # -------------------------------------------------------------- looking

    def observe(self, seen: Cluster) -> None:
        """Note which backups are under way, and since when; and which of them overlap with a migration."""
        if seen is self._looked:
            return
        self._looked = seen
        self._of_vms = backups_of_vms(seen)
        self._of_volumes = frozenset(v.name for v in seen.volumes if is_redirected_by_backup(seen, v))
        now_s = self._clock.now_s()
        subjects = [*map(_vm, self._of_vms), *map(_volume, self._of_volumes)]
        self._since_s = {subject: self._since_s.get(subject, now_s) for subject in subjects}
        self._overlapping |= {move.vm for move in seen.migrations if move.vm in self._of_vms}

    def as_decided_on(self, seen: Cluster) -> Cluster:
        """The cluster as decisions take it: with the backups that hold a VM, and without the others."""
        self.observe(seen)
        for name in [name for name in self._held_since_s if not self._holds(_vm(name))]:
            self._held_s[name] = self._clock.now_s() - self._held_since_s.pop(name)
        says = {name: self._holds(_vm(name)) for name in self._of_vms}
        says = {name: holds for name, holds in says.items() if holds != seen.vm_by_name[name].backup}
        if not says:
            return seen
        if self._shown is None or self._shown[0] is not seen or self._shown[1] != says:
            self._shown = seen, says, seen.with_backups(says)
        return self._shown[2]

    @property
    def is_any_under_way(self) -> bool:
        """Whether a backup concerns any VM."""
        return bool(self._of_vms)

    # -------------------------------------------------------------- holding

    def _holds(self, subject: str) -> bool:
        if self._precautions.backups == "hold_then_proceed":
            return subject in self._since_s and self._clock.now_s() < self._until_s(subject)
        return subject in self._since_s and self._precautions.backups == "hold"

    def _until_s(self, subject: str) -> float:
        return self._since_s[subject] + self._precautions.backup_limit_s

    def _is_waited_for(self, subject: str) -> bool:
        return self._holds(subject) and self._clock.now_s() < self._until_s(subject)

    def is_waited_for(self, vm: str) -> bool:
        """Whether the VM is held by a backup, and the limit has not passed."""
        return self._is_waited_for(_vm(vm))

    def holds_volume(self, volume: str) -> bool:
        """Whether its owner must not change because a backup redirects its I/O."""
        return self._holds(_volume(volume))

    def is_volume_waited_for(self, volume: str) -> bool:
        return self._is_waited_for(_volume(volume))

    def limit_in_s(self) -> float | None:
        """When the next of those that are waited for is waited for no longer."""
        if not self._since_s:
            return None
        now_s = self._clock.now_s()
        return min((self._until_s(s) - now_s for s in self._since_s if self._is_waited_for(s)), default=None)

    def waiting(self, vms: list[str]) -> list[Waiting]:
        """Those of these VMs that are held, for the audience; how long, the report tells."""
        held = [name for name in vms if self.is_waited_for(name)]
        self._held_since_s |= {name: self._since_s[_vm(name)] for name in held}
        return [Waiting(name, f"held: {self._of_vms[name]} (R17)", self._until_s(_vm(name))) for name in held]

    def waiting_volume(self, volume: str) -> Waiting:
        return Waiting(
            f"volume {volume}", "keeps its owner until its backup is done (R17)", self._until_s(_volume(volume))
        )

    def held_too_long(self, vms: list[str]) -> list[str]:
        """Those of these VMs whose backups have outlived the limit."""
        return [name for name in vms if self._holds(_vm(name)) and not self.is_waited_for(name)]

    # -------------------------------------------------------------- degraded backups

    def migration_begins(self, vm: str) -> None:
        """The VM is about to move; `observe` was given a fresh look."""
        self._overlapping.discard(vm)
        if vm in self._of_vms:
            self._overlapping.add(vm)

    def migration_moved(self, vm: str, seen: Cluster) -> None:
        """It has arrived. A backup that waited for the end of the migration runs by now."""
        if vm in self._overlapping or vm in backups_of_vms(seen):
            self.degraded[vm] = None

    def findings(self) -> list[Finding]:
        """What was held, and which backups are degraded."""
        now_s = self._clock.now_s()
        all_held_s = self._held_s | {name: now_s - since_s for name, since_s in self._held_since_s.items()}
        held = [
            Finding(
                rule="R17",
                severity="info",
                subject=f"vm {name}",
                message=f"{name} was held for {held_s:.0f} s while a backup was under way",
                remedy="nothing; the run may be told to hold it for a shorter time (--backup-limit-s)",
            )
            for name, held_s in all_held_s.items()
            if name not in self.degraded and held_s >= TOLD_FROM_S
        ]
        return held + [
            Finding(
                rule="R17",
                severity="warning",
                subject=f"vm {name}",
                message=f"{name} moved while a backup of it was under way: the backup is degraded to a plain copy",
                remedy=f"back {name} up again",
            )
            for name in self.degraded
        ]


def _vm(name: str) -> str:
    return f"vm {name}"


def _volume(name: str) -> str:
    return f"volume {name}"
