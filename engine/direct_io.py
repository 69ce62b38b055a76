"""Volumes that a backup has left in redirected I/O (R18): migrations pause, and direct I/O is restored."""

from __future__ import annotations

from collections.abc import Callable

from shunter.clusters.port import ClusterPort, Failed, OutcomeUnknown, Refused
from shunter.engine.audience import Audience
from shunter.engine.lives import Lives
from shunter.engine.looking import look, to_its_end, within_deadline
from shunter.statemachines.volume import STATES, VOLUME, Event, State, VolumeLife
from shunter.topology.model import Cluster
from shunter.topology.plan import Finding, Plan
from shunter.topology.precautions import is_left_redirected
from shunter.topology.requirements.storage import left_redirected

RESTORE_AGAIN_S = 300.0
PATIENCE_S = 1800.0
"""So long migrations pause for a volume whose direct I/O the cluster does not restore; then the run ends."""


class DirectIo:
    """Of one run. `refused`: what the cluster said when it was asked to restore the direct I/O of a volume."""

    def __init__(self, cluster: ClusterPort, lives: Lives) -> None:
        self._cluster, self._lives = cluster, lives
        self._asked_s: dict[str, float] = {}
        self._since_s: dict[str, float] = {}
        self._restored: dict[str, str] = {}
        self.refused: dict[str, str] = {}

    async def attend(self, seen: Cluster) -> Cluster:
        """Restore what is due to be; a fresh look where anything was done. Raises Unreachable."""
        now_s = self._cluster.clock.now_s()
        left = self.left(seen)
        self._note_the_end(left)
        self._since_s = {name: self._since_s.get(name, now_s) for name in left}
        due = [name for name in left if now_s >= self._asked_s.get(name, now_s - RESTORE_AGAIN_S) + RESTORE_AGAIN_S]
        asked = False
        for name in due:
            life = self._lives.volumes[name]
            if life.state in (State.REDIRECTED_BACKUP, State.REDIRECTED_STUCK):
                self._asked_s[name] = now_s
                await to_its_end(self._ask(life))
                asked = True
        if not asked:
            return seen
        seen = await look(self._cluster)
        self._lives.observe(seen)
        left = self.left(seen)
        self._note_the_end(left)
        self._since_s = {name: self._since_s.get(name, now_s) for name in left}
        return seen

    async def _ask(self, life: VolumeLife) -> None:
        """Give the order and look what came of it."""
        self._lives.step(VOLUME, life, Event.RESTORE)
        try:
            async with within_deadline(self._cluster.clock, STATES[life.state]):
                await self._cluster.restore_direct_io(life.name)
        except OutcomeUnknown as error:
            self._lives.step(VOLUME, life, Event.ANSWER_LOST, str(error))
            self.refused[life.name] = str(error)
        except (Refused, Failed) as error:
            self.refused[life.name] = str(error)
        else:
            self.refused.pop(life.name, None)
        self._lives.observe_volume((await look(self._cluster)).volume_by_name[life.name].state, life)

    def _note_the_end(self, left: list[str]) -> None:
        for name in self._since_s:
            if name not in left:
                self._restored[name] = self.refused.pop(name, "")

    def left(self, seen: Cluster) -> list[str]:
        """The volumes that a backup has left in redirected I/O."""
        return [volume.name for volume in seen.volumes if is_left_redirected(seen, volume)]

    def why_nothing_moves(self, seen: Cluster) -> str:
        """Empty where nothing of the kind stands against a migration."""
        left = self.left(seen)
        if not left:
            return ""
        one = len(left) == 1
        said = f"{', '.join(left)} {'is' if one else 'are'} left in redirected I/O by a backup (R18)"
        refused = next((name for name in left if name in self.refused), None)
        if refused is None:
            return said
        return f"{said}, and the cluster did not restore it: {self.refused[refused]}; {_by_hand(refused)}"

    def is_worth_waiting(self, seen: Cluster) -> bool:
        """Whether a volume is left so for so short a time that it may yet be mended."""
        now_s = self._cluster.clock.now_s()
        return any(now_s < self._since_s.get(name, now_s) + PATIENCE_S for name in self.left(seen))

    def ask_again_in_s(self) -> float | None:
        """When the next order or the end of the patience is due."""
        if not self._since_s:
            return None
        now_s = self._cluster.clock.now_s()
        ends_s = [self._asked_s.get(name, now_s) + RESTORE_AGAIN_S - now_s for name in self._since_s]
        ends_s += [since_s + PATIENCE_S - now_s for since_s in self._since_s.values()]
        return min((left_s for left_s in ends_s if left_s > 0), default=None)

    def findings(self, seen: Cluster) -> list[Finding]:
        """What was restored, and what is left so all the same, with what to do."""
        left = self.left(seen)
        restored = [_restored(name, refused) for name, refused in self._restored.items() if name not in left]
        return [*(left_redirected(seen.volume_by_name[name], self.refused.get(name, "")) for name in left), *restored]


async def planned_on_direct_io(
    cluster: ClusterPort, seen: Cluster, planned: Callable[[Cluster], Plan], audience: Audience
) -> tuple[Cluster, Plan]:
    """What a run sets out from: the look, and the plan made of it. Where nothing stands against the run but volumes
    that a backup left in redirected I/O, direct I/O is restored first. Raises Unreachable.
    """
    plan = planned(seen)
    if not plan.errors or any(finding.rule != "R18" for finding in plan.errors):
        return seen, plan
    direct_io = DirectIo(cluster, Lives(seen, (), cluster.clock, audience))
    seen = await direct_io.attend(seen)
    plan, said = planned(seen), direct_io.findings(seen)
    about = {(finding.rule, finding.subject) for finding in said}
    kept = (finding for finding in plan.findings if (finding.rule, finding.subject) not in about)
    return seen, plan.model_copy(update={"findings": (*said, *kept)})


def _by_hand(volume: str) -> str:
    return f"Resume-ClusterResource -VolumeName {volume}, or Move-ClusterSharedVolume -Name {volume}"


def _restored(volume: str, refused: str) -> Finding:
    how = "this run restored direct I/O"
    if refused:
        how = f"direct I/O was back; the cluster had not restored it when asked: {refused}"
    return Finding(
        rule="R18",
        severity="warning",
        subject=f"volume {volume}",
        message=f"a backup left {volume} in redirected I/O; migrations paused until {how}",
        remedy=f"find out why the backup did not end well, and back up what is on {volume} again",
    )
