"""What backups mean for a rolling run (R17): nodes that wait for one have their turn when it is over, or are named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from shunter.engine.audience import Waiting
from shunter.topology.model import Cluster
from shunter.topology.rolling.hindrances import hindrances
from shunter.topology.rolling.strategy import Strategy

if TYPE_CHECKING:
    from shunter.engine.rolling import Rolling


class AwaitedNodes:
    """Of one run. `all`: the nodes that the plan leaves out because backups hold VMs on them; `nodes`: those of them
    that wait still. Their turns come last, unless an order is planned anew once the backups are over.
    """

    def __init__(self, run: Rolling) -> None:
        self._run = run
        left_out = [each.node for each in run.plan.untouched]
        under_backup = {vm.node for vm in run.before.vms if vm.backup and vm.holds_memory}
        waiting = [node for node in left_out if node in under_backup]
        released = run.before.with_backups({vm.name: False for vm in run.before.vms if vm.backup})
        hindered = {each.node for each in hindrances(released, waiting, run.policy)[0]} if waiting else set()
        self.all = tuple(node for node in waiting if node not in hindered)
        self.nodes = list(self.all)

    def last_in(self, strategy: Strategy) -> Strategy:
        """The same, with those that wait after all others."""
        return replace(strategy, order=(*(n for n in strategy.order if n not in self.nodes), *self.nodes))

    def join(self, seen: Cluster) -> bool:
        """Whether a backup has let go any of those that waited."""
        free = [node for node in self.nodes if not self._held(seen, node)]
        self.nodes = [node for node in self.nodes if node not in free]
        return bool(free)

    def are_worth_waiting_for(self, seen: Cluster, pending: Sequence[str]) -> bool:
        """Whether a backup that holds a VM, or a volume, of a node whose turn is still to come may take longer."""
        backups = self._run.care.backups
        nodes = set(pending)
        return any(backups.is_waited_for(vm.name) for node in nodes for vm in seen.vms_by_node[node]) or any(
            volume.owner in nodes and backups.is_volume_waited_for(volume.name) for volume in seen.volumes
        )

    def keep_volume_of(self, seen: Cluster, node: str) -> list[str]:
        """The volumes that the node must keep for the moment."""
        care = self._run.care
        return [v.name for v in seen.volumes if v.owner == node and care.holds_volume(seen, v.name)]

    def why_not(self, seen: Cluster, node: str) -> str:
        """Why a node with held VMs or volumes had no turn; empty where backups had nothing to do with it."""
        backups, limit_s = self._run.care.backups, self._run.policy.precautions.backup_limit_s
        held = self._held(seen, node)
        if held:
            names = f"the backup{'s' if len(held) > 1 else ''} of {', '.join(held)}"
        elif volumes := self.keep_volume_of(seen, node):
            names, held = f"the backup of {', '.join(volumes)}", volumes
        else:
            return ""
        verb = "are" if len(held) > 1 else "is"
        too_long = backups.held_too_long(held)
        return f"{names} {verb} not over (R17)" + (f", after more than {limit_s:g} s" if too_long else "")

    def waiting(self, seen: Cluster) -> list[Waiting]:
        """For the audience: whom backups hold on nodes whose turn is still to come."""
        backups = self._run.care.backups
        if not backups.is_any_under_way:
            return []
        return backups.waiting([vm.name for node in self._run.turns.pending() for vm in seen.vms_by_node[node]])

    def _held(self, seen: Cluster, node: str) -> list[str]:
        return [vm.name for vm in seen.vms_by_node[node] if vm.backup and vm.holds_memory]
