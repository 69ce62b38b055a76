"""Nodes of a rolling run that are to go first: the others leave only once these have, or cannot.

What keeps such a node may pass (it is down, a VM on it is looked for, a backup is not over): then the others wait for
it, as long as the run waits for anything. What does not pass lets them go on without it, and the report says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from shunter.engine.rolling_report import why_not
from shunter.topology.model import Cluster
from shunter.topology.plan import Finding
from shunter.topology.rolling.fleet import Fleet

if TYPE_CHECKING:
    from shunter.engine.rolling import Rolling


class FirstInOrder:
    """Of one run. `let_go`: nodes for which the others wait no longer, and why."""

    def __init__(self, run: Rolling) -> None:
        self._run = run
        self.let_go: dict[str, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Those that were asked for and have not been let go, whether they have left or not."""
        wished = (self._run.before.find_node(name).name for name in self._run.policy.order)
        return tuple(name for name in wished if name not in self.let_go)

    def awaited(self) -> list[str]:
        """Those whose turn is still to come."""
        pending = set(self._run.turns.pending()) if self._run.strategy.first else set()
        return [name for name in self._run.strategy.first if name in pending]

    def is_kept(self, seen: Cluster, fleet: Fleet, node: str) -> bool:
        """Whether something keeps it against which nothing helps that other nodes could do."""
        return (
            self._run.turns.is_put_off(node)
            or self._run.beginning.is_kept(seen, node)
            or seen.node_by_name[node].state not in ("up", "paused")
            or any(not fleet.fitness.of(vm) - {node} and vm not in fleet.heading for vm in fleet.on[node])
        )

    def gives_way(self, seen: Cluster, node: str) -> bool:
        """Let the others go on without a node that is kept, once what keeps it does not pass; whether they may now."""
        given_up = self._run.crew.given_up()
        may_pass = not any(vm.name in given_up for vm in seen.vms_by_node[node] if vm.holds_memory)
        if may_pass and self._run.patience.is_worth_waiting(seen):
            return False
        return self.go_on_without(seen, node)

    def go_on_without(self, seen: Cluster, node: str) -> bool:
        """The others wait for it no longer: they may leave now."""
        run = self._run
        self.let_go[node] = why_not(run, seen, node)
        run.strategy = replace(run.strategy, first=tuple(name for name in run.strategy.first if name != node))
        return True

    def waits_for(self) -> str:
        """The node for which others wait; empty where none does."""
        first = next(iter(self.awaited()), "")
        return first if first and any(name not in self.names for name in self._run.turns.pending()) else ""

    def findings(self) -> Iterator[Finding]:
        """Of those before which others have left."""
        left_s = {turn.node: turn.started_s for turn in reversed(self._run.turns.all) if turn.started_s is not None}
        for node, why in self.let_go.items():
            own_s = left_s.get(node, float("inf"))
            earlier = [name for name, at_s in left_s.items() if at_s < own_s and name not in self._before(node)]
            if earlier:
                yield Finding(
                    rule="R16",
                    severity="warning",
                    subject=f"node {node}",
                    message=f"{node} was to go before {', '.join(sorted(earlier))}, and did not: {why}",
                    remedy="nothing, unless the order matters: then see to that first, and run it again",
                )

    def _before(self, node: str) -> set[str]:
        """Those that were to go before it."""
        wished = [self._run.before.find_node(name).name for name in self._run.policy.order]
        return set(wished[: wished.index(node)])
