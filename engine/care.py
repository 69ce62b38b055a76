"""What a run heeds while it goes on, besides its goal: backups, redirected volumes, drifted configurations."""

from __future__ import annotations

from collections.abc import Sequence

from shunter.clusters.port import ClusterPort
from shunter.engine.backups import BackupWatch
from shunter.engine.direct_io import DirectIo
from shunter.engine.drift import Drift
from shunter.engine.lives import Lives
from shunter.topology.model import Cluster
from shunter.topology.plan import Finding
from shunter.topology.precautions import Precautions
from shunter.topology.requirements.storage import paths
from shunter.topology.requirements.vms import configurations


class Care:
    """Of one run. A fresh look passes through `attend`; decisions are made on what `as_decided_on` makes of it."""

    def __init__(self, precautions: Precautions, cluster: ClusterPort, lives: Lives) -> None:
        self.precautions = precautions
        self.backups = BackupWatch(precautions, cluster.clock)
        self.direct_io = DirectIo(cluster, lives)
        self.drift = Drift(precautions, cluster)

    async def attend(self, seen: Cluster) -> Cluster:
        """Note backups, restore direct I/O where it is due; the look, or a fresh one. Raises Unreachable."""
        seen = await self.direct_io.attend(seen)
        self.backups.observe(seen)
        return seen

    def as_decided_on(self, seen: Cluster) -> Cluster:
        """The cluster as decisions take it: only what holds a VM is a backup."""
        return self.backups.as_decided_on(seen)

    def why_nothing_moves(self, seen: Cluster) -> str:
        """What stands against every migration at the moment; empty where nothing does."""
        return self.direct_io.why_nothing_moves(seen)

    def holds_volume(self, seen: Cluster, volume: str) -> bool:
        """Whether its owner must stay for the moment."""
        self.backups.observe(seen)
        return self.backups.holds_volume(volume)

    def changes_in_s(self) -> float | None:
        """When something is due that no look would show: a limit passes, an order is given again."""
        due_s = [s for s in (self.backups.limit_in_s(), self.direct_io.ask_again_in_s()) if s is not None]
        return min(due_s, default=None)

    def findings(self, planned: Sequence[Finding], seen: Cluster) -> tuple[Finding, ...]:
        """Those of the plan and of this run; what the plan expected of backups and drift gives way to what happened."""
        found = [*self.direct_io.findings(seen), *paths(seen), *self.backups.findings(), *self.drift.findings]
        about = {(finding.rule, finding.subject) for finding in found}
        kept = [
            finding
            for finding in planned
            if (finding.rule, finding.subject) not in about and finding.rule not in ("R17", "R19")
        ]
        drifted = {finding.subject for finding in planned if finding.rule == "R19"}
        still = [
            each for each in configurations(seen) if each.subject in drifted and (each.rule, each.subject) not in about
        ]
        return (*kept, *found, *still)
