"""What a rolling run waits for, how long, and whether that is worth it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shunter.engine.audience import Waiting
from shunter.engine.holds import PATIENCE_S as HOLD_PATIENCE_S
from shunter.engine.looking import LOOK_AGAIN_S
from shunter.engine.turn import BROKEN
from shunter.topology.model import Cluster
from shunter.topology.plan import Finding
from shunter.topology.requirements.differing import listed

if TYPE_CHECKING:
    from shunter.engine.rolling import Rolling

PATIENCE_S = 1800.0
"""How long the run waits when nothing of its own is under way and nothing may begin: for others' migrations, backups,
storage that is rebuilt, the operator's word to go on apart."""


class Patience:
    """Of one run. `since_s`: when it began to wait, if nothing of its own has ended since. `warnings`: told so far."""

    def __init__(self, run: Rolling) -> None:
        self._run = run
        self.since_s = 0.0
        self.warnings: list[Finding] = []

    def is_worth_waiting(self, seen: Cluster) -> bool:
        """Whether something that is in the way may still pass."""
        run = self._run
        if run.control.held:
            return True
        if run.is_budget_spent:
            return False
        left = run.turns.left()
        if run.awaited.are_worth_waiting_for(seen, left):
            return True
        if run.care.direct_io.left(seen):
            return run.care.direct_io.is_worth_waiting(seen)
        denied_for_s = run.crew.denied_for_s()
        if denied_for_s is not None:
            return denied_for_s < HOLD_PATIENCE_S
        passing = (
            bool(seen.migrations)
            or bool(seen.storage_jobs)
            or run.crew.asked_again_in_s() is not None
            or not run.turns.put_off_s().keys().isdisjoint(left)
            or any(node.state not in ("up", "paused") for node in seen.nodes if self._was_there(node.name))
            or bool(run.crew.forbidden())
            or self._is_cut_off(seen, left)
        )
        return passing and run.cluster.clock.now_s() - self._since_s() < PATIENCE_S

    def changes_in_s(self) -> float:
        """After how long it is looked again even where nothing seems to change."""
        run = self._run
        now_s = run.cluster.clock.now_s()
        waits_s = [run.crew.asked_again_in_s() or LOOK_AGAIN_S * 12, run.care.changes_in_s() or PATIENCE_S]
        waits_s += [at_s - now_s for at_s in run.turns.put_off_s().values()]
        waits_s += [late_s - now_s for turn in run.turns.away if (late_s := run.replanning.late_s(turn)) > now_s]
        if (warn_s := self._warn_in_s()) is not None:
            waits_s.append(warn_s)
        return max(min(waits_s), 0.01)

    def warn_when_late(self, seen: Cluster) -> None:
        """Tell people once that the run still goes on, if that is wanted."""
        run = self._run
        warn_in_s = self._warn_in_s()
        if warn_in_s is None or warn_in_s > 0:
            return
        away = [turn.node for turn in run.turns.away]
        left = [node for node in run.turns.left() if node not in away]
        parts = [f"{listed(away)} {'is' if len(away) == 1 else 'are'} away"] if away else []
        parts += [f"{listed(left)} {'is' if len(left) == 1 else 'are'} still to come"] if left else []
        after_s = run.cluster.clock.now_s() - run.counts_from_s
        finding = Finding(
            rule="R16",
            severity="warning",
            subject=f"cluster {seen.name}",
            message=f"the run goes on after {after_s:.0f} s: {'; '.join(parts) or 'its last migrations are under way'}",
            remedy="let it go on, or stop it: it ends at the next safe point and says where it stands",
        )
        self.warnings.append(finding)
        run.audience.warned(finding, run.cluster.clock.now_s())

    def _warn_in_s(self) -> float | None:
        run = self._run
        if run.budget.warn_after_s is None or self.warnings:
            return None
        return run.counts_from_s + run.budget.warn_after_s - run.cluster.clock.now_s()

    def waiting(self, seen: Cluster, why: str) -> tuple[Waiting, ...]:
        """For the audience. `why`: why nothing begins; empty where something may."""
        run = self._run
        until_s = self._since_s() + PATIENCE_S
        found = [Waiting("the run", f"begins nothing: {why}", until_s)] if why else []
        if first := run.first.waits_for():
            found.append(Waiting("other nodes", f"leave only once {first} has left, which is to go first", until_s))
        found += [Waiting(f"node {node}", str(why), until_s) for node, why in run.crew.denied_now().items()]
        for turn in run.turns.away:
            state = run.lives.nodes[turn.node].state.replace("_", " ")
            found.append(Waiting(f"node {turn.node}", f"is {state}", until_s))
        return (*found, *run.awaited.waiting(seen))

    def _since_s(self) -> float:
        return max(self.since_s, self._run.turns.ended_s, self._run.crew.last_event_s)

    def _is_cut_off(self, seen: Cluster, nodes: Sequence[str]) -> bool:
        """Whether a VM on these nodes cannot move because its volume went offline during the run."""
        gone = {volume.name for volume in seen.volumes if volume.state in BROKEN}
        gone -= {volume.name for volume in self._run.before.volumes if volume.state in BROKEN}
        return any(gone.intersection(vm.volumes) for node in nodes for vm in seen.vms_by_node[node] if vm.holds_memory)

    def _was_there(self, node: str) -> bool:
        return self._run.before.node_by_name[node].state in ("up", "paused") and node not in self._run.turns.failed
