"""Pausing nodes, and giving back what we paused (I8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shunter.clusters.port import ClusterPort, Failed, OutcomeUnknown, Refused
from shunter.engine.lives import Lives
from shunter.engine.looking import look, to_its_end, within_deadline
from shunter.statemachines.node import NODE, Event, NodeLife, State
from shunter.topology.plan import Finding

MOST_TRIES = 3


@dataclass(slots=True, eq=False)
class Pausing:
    """`ours`: nodes that we paused in this run. `refused`: why a node could not be paused, by node; `not_resumed`: why
    one could not be resumed.
    """

    cluster: ClusterPort
    lives: Lives
    ours: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    not_resumed: dict[str, str] = field(default_factory=dict)

    async def pause(self, nodes: Sequence[str]) -> None:
        """Pause each node that is not paused yet, and see that it is."""
        for name in nodes:
            life = self.lives.nodes[name]
            for _ in range(MOST_TRIES):
                if life.state is not State.UP:
                    break
                await to_its_end(self._ask(life, Event.PAUSE))
            if life.state is State.UP:
                self.refused.setdefault(name, "the cluster did not pause it")

    async def undo(self) -> None:
        """Resume what we paused."""
        for name in tuple(self.ours):
            await self.resume(name)

    async def resume(self, name: str) -> None:
        """Let a node take VMs again, and see that it does."""
        life = self.lives.nodes[name]
        for _ in range(MOST_TRIES):
            if life.state not in (State.PAUSED, State.DRAINED):
                break
            await to_its_end(self._ask(life, Event.RESUME))

    async def _ask(self, life: NodeLife, event: Event) -> None:
        """Give the order and look what came of it; a lost answer changes nothing but the way there."""
        pausing = event is Event.PAUSE
        self.lives.step(NODE, life, event)
        try:
            async with within_deadline(self.cluster.clock, NODE.states[life.state]):
                await (self.cluster.pause_node if pausing else self.cluster.resume_node)(life.name)
        except OutcomeUnknown as error:
            self.lives.step(NODE, life, Event.ANSWER_LOST, str(error))
        except (Refused, Failed) as error:
            (self.refused if pausing else self.not_resumed)[life.name] = str(error)
        seen = (await look(self.cluster)).node_by_name[life.name].state
        match seen:
            case "paused":
                self.lives.step(NODE, life, Event.SEEN_PAUSED)
                if pausing and life.name not in self.ours:
                    self.ours.append(life.name)
            case "up":
                self.lives.step(NODE, life, Event.SEEN_UP)
            case _:
                self.lives.observe_node(seen, life)

    def findings(self) -> list[Finding]:
        """What is said about pauses in the report."""
        failed = [
            Finding(
                rule="I8",
                severity="error",
                subject=f"node {name}",
                message=f"{name} could not be paused: {why}",
                remedy=f"pause it by hand (Suspend-ClusterNode {name}, without -Drain), then run again",
            )
            for name, why in self.refused.items()
        ]
        paused = [
            Finding(
                rule="I8",
                severity="info",
                subject=f"node {name}",
                message=f"{name} was paused by this run and stays paused",
                remedy=f"when its maintenance is done: shunter resume {name} (or Resume-ClusterNode {name} -Failback "
                "NoFailback)",
            )
            for name in self.ours
            if self.lives.nodes[name].state in (State.PAUSED, State.DRAINED, State.DRAINING)
        ]
        return failed + paused
