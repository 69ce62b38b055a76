"""Follows in a witness log what we reboot: that it was empty and the cluster could spare it, and that it came back."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from shunter.topology.recheck.violation import Violation
from shunter.topology.recheck.votes import lost_majority
from shunter.topology.recheck.world import Event, World


class Reboots:
    """What we reboot in a world, event by event (I5, I6, I8).

    `at_once`: so many nodes may be away at most, from their reboot until they take VMs again; of `kept_paused` it is
    known that they were given up, and they do not count.
    """

    def __init__(self, world: World, *, at_once: int | None = None, kept_paused: Collection[str] = ()) -> None:
        self.world, self.at_once, self.kept_paused = world, at_once, frozenset(kept_paused)
        self.ever: set[str] = set()
        self.back: set[str] = set()
        """Nodes that were up again after the last time that we rebooted them, whatever became of them then."""
        self._away: dict[str, float | None] = {}
        """Nodes that do not take VMs yet after a reboot by us, and since when they have been up again."""
        self._last_loss: tuple[str, str, float] = ("", "", 0.0)

    def judge(self, event: Event, at_s: float) -> Iterator[Violation]:
        """What is wrong with this event. To be asked of every event before it is applied."""
        what, node = event["what"], event.get("node")
        self._note_returns(event, at_s)
        match what:
            case "node_rebooted" if event["by"] == "us":
                yield from self._leaves(event["node"], at_s)
                self.ever.add(event["node"])
                self.back.discard(event["node"])
                self._away[event["node"]] = None
                self._last_loss = (event["node"], "us", at_s)
            case "node_down" | "node_isolated" | "node_quarantined":
                self._last_loss = (event["node"], event["by"], at_s)
                if node in self._away:
                    self._away[node] = None
            case "node_up" if node in self.ever:
                self.back.add(event["node"])
                if node in self._away:
                    self._away[node] = at_s
            case "quorum_lost":
                lost, by, when_s = self._last_loss
                if by == "us" and when_s == at_s:
                    yield Violation(at_s, "I6", lost, "the cluster loses quorum as we reboot it")

    def at_the_end(self, rolled: Collection[str], now_s: float) -> Iterator[Violation]:
        """`rolled`: the nodes that are said to be done. Nothing that we paused meanwhile is left so."""
        for node in rolled:
            if node not in self.world.node_state:
                yield Violation(now_s, "log", node, "it is said to be maintained, and the log has no such node")
            elif node not in self.ever:
                yield Violation(now_s, "I5", node, "it is said to be maintained, and we never rebooted it")
            elif node not in self.back:
                yield Violation(now_s, "I5", node, "it is said to be maintained, and it has not come back")
        for node, state in self.world.node_state.items():
            ours = self.world.paused_by.get(node) == "us" and node in self.world.paused_meanwhile
            if state == "paused" and ours and node not in self.kept_paused:
                yield Violation(now_s, "I8", node, "we paused it, and it is left paused")

    def _leaves(self, node: str, at_s: float) -> Iterator[Violation]:
        world = self.world
        running = [name for name, vm in world.vms.items() if vm.node == node and vm.holds_memory]
        if running:
            yield Violation(at_s, "I5", node, f"we reboot it while {', '.join(running)} runs on it")
        flight = world.flight_at(node)
        if flight is not None:
            yield Violation(at_s, "I5", node, f"we reboot it in the middle of the migration of {flight.vm}")
        owned = [volume for volume, owner in world.owner.items() if owner == node]
        if owned:
            yield Violation(at_s, "I5", node, f"we reboot it while it owns {', '.join(owned)}")
        if world.storage_jobs:
            jobs = ", ".join(name for name, _ in world.storage_jobs)
            yield Violation(at_s, "I5", node, f"we reboot it while storage is being rebuilt ({jobs})")
        if world.node_state[node] != "paused":
            yield Violation(at_s, "I5", node, f"we reboot it, and it is {world.node_state[node]}, not paused")
        members = [name for name, state in world.node_state.items() if state in ("up", "paused")]
        why = lost_majority(world.cluster, node, members)
        if why:
            yield Violation(at_s, "I6", node, f"we reboot it although {why}")
        away = [name for name in self._away if name != node and name not in self.kept_paused]
        if self.at_once is not None and len(away) >= self.at_once:
            message = f"we reboot it before {', '.join(away)} is back; {self.at_once} may be away at once"
            yield Violation(at_s, "I5", node, message)

    def _note_returns(self, event: Event, at_s: float) -> None:
        """A node has returned when it is up and not paused by us; that a pause lasts is told right after the return."""
        for node, up_s in list(self._away.items()):
            is_told = event["what"] == "node_paused" and event["node"] == node and at_s == up_s
            if up_s is not None and not is_told and self._takes_vms(node):
                del self._away[node]

    def _takes_vms(self, node: str) -> bool:
        state = self.world.node_state[node]
        return state == "up" or (state == "paused" and self.world.paused_by.get(node) != "us")
