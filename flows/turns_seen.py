"""How far the nodes of a rolling run are, as told by the steps of their lifecycles."""

from __future__ import annotations

from shunter.engine.audience import Nobody
from shunter.flows.spoken import natural
from shunter.statemachines.lifecycle import Step
from shunter.topology.names import key_of, same_host
from shunter.topology.plan import Plan

IN_MAINTENANCE, REJOINING = "in_maintenance", "rejoining"
BACK = ("paused", "up")
EMPTYING = ("pausing", "paused", "draining", "drained")


class TurnsSeen(Nobody):
    """An audience. `nodes`: those the plan maintains; `planned_s`: when its seconds begin. `began`, `done`: node → when
    its maintenance began, and when it was proven back. All by the cluster's clock.

    `failed`: node → what was seen, for a node whose maintenance ended otherwise; until it is tried again.
    """

    def __init__(self) -> None:
        self.nodes: tuple[str, ...] = ()
        self.planned_s = 0.0
        self.began: dict[str, float] = {}
        self.done: dict[str, float] = {}
        self.failed: dict[str, str] = {}
        self._state: dict[str, str] = {}

    def planned(self, plan: Plan, at_s: float) -> None:
        self.planned_s = at_s
        self.nodes = tuple(sorted((turn.node for turn in plan.maintenance), key=natural))

    def stepped(self, step: Step) -> None:
        if step.lifecycle != "node":
            return
        node = step.subject.removeprefix("node ")
        was, now = step.source, step.target
        self._state[node] = now
        if now == IN_MAINTENANCE:
            self.began[node] = step.at_s
            self.failed.pop(node, None)
        elif was == REJOINING and now in BACK:
            self.done[node] = step.at_s
        elif was == REJOINING or (was == IN_MAINTENANCE and now != REJOINING):
            self.failed[node] = f"its maintenance ended with the node {now.replace('_', ' ')}"

    def in_maintenance(self) -> list[str]:
        """Until they are proven back."""
        return [node for node in self.nodes if self._state.get(node) in (IN_MAINTENANCE, REJOINING)]

    def emptying(self) -> list[str]:
        """Paused for their turn."""
        over = self.done.keys() | self.failed.keys()
        return [node for node in self.nodes if self._state.get(node) in EMPTYING and node not in over]

    def spelled(self, node: str) -> str | None:
        """The name as in the plan; None for a node that has no turn in this run."""
        return next((name for name in self.nodes if same_host(key_of(name), key_of(node))), None)
