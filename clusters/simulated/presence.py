"""How the nodes of a simulated cluster go and come: reboots, losses, isolation, and what quorum makes of them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Literal

from shunter.clusters.port import Refused
from shunter.clusters.simulated.quarantine import Quarantine
from shunter.clusters.simulated.quorum import Quorum
from shunter.clusters.simulated.rules import MEMBER, RUNS
from shunter.clusters.simulated.witness import Doer
from shunter.topology.model import Actor

if TYPE_CHECKING:
    from shunter.clusters.simulated.cluster import SimulatedCluster

ISOLATED_FOR_S = 240.0
"""So long may a node be isolated before the cluster takes its VMs (ResiliencyDefaultPeriod)."""
RECOUNT_AFTER_S = 10.0
"""After a sudden loss; what is lost within this time is lost at once."""

Why = Literal["lost", "rebooting", "stuck", "isolated", "quarantined"]
By = Literal["us", "fault"]


class Presence:
    """Which nodes are there, why the others are not, and since when each has been running.

    When no majority of the votes is left the cluster stops on every node: all nodes look down and all VMs crash, until
    enough nodes are there again.
    """

    def __init__(self, world: SimulatedCluster, *, reboot_s: float, reboot_noise: float, seed: int) -> None:
        self._world, self._reboot_s, self._noise, self._seed = world, reboot_s, reboot_noise, seed
        nodes = world.now().nodes
        self._away: dict[str, Why] = {
            node.name: "lost" if node.state == "down" else "isolated" for node in nodes if node.state not in MEMBER
        }
        self._booted_s = {node.name: 0.0 for node in nodes}
        self._paused_by: dict[str, Actor | None] = {}
        """Of nodes that are not there: those that come back paused, and who paused them."""
        self._reboots: dict[str, int] = {}
        self._isolations: dict[str, int] = {}
        self._quarantine = Quarantine(world)
        self._quorum = Quorum(world.now(), self._there())
        self._is_stopped = False
        self._back: dict[str, By] = {}
        """Nodes that came back while the cluster was stopped, and whose doing that was."""

    def booted_s(self, name: str) -> float | None:
        """When the node started last; None while it cannot be asked."""
        return self._booted_s[name] if self._world.now().node_by_name[name].state in MEMBER else None

    def _there(self) -> tuple[str, ...]:
        return tuple(node.name for node in self._world.now().nodes if node.name not in self._away)

    # ------------------------------------------------------------------ reboots

    def reboot(self, name: str) -> None:
        """By us. A node that is paused and empty leaves in good order. Raises Refused."""
        world = self._world
        node = world.now().node_by_name[name]
        if node.state not in MEMBER:
            raise Refused(f"{name} is {node.state} and cannot be rebooted")
        slow = world.next_fault(("reboot_slow",), node=name)
        fails = world.next_fault(("reboot_fails",), node=name)
        isolated = world.next_fault(("reboot_isolated",), node=name) if fails is None else None
        runs = any(vm.state in RUNS for vm in world.now().vms_by_node[name])
        moves = any(name in (flight.source, flight.target) for flight in world.flights.values())
        world.witness.saw("node_rebooted", node=name, by="us")
        self._leave(name, "rebooting" if fails is None else "stuck")
        self._go_down(name, "us", in_good_order=node.state == "paused" and not runs and not moves)
        if fails is None:
            time = self._reboots[name] = self._reboots.get(name, 0) + 1
            chance = random.Random(f"{self._seed}/reboot/{name}/{time}")
            stretch = (1.0 + self._noise * chance.uniform(-1.0, 1.0)) * (slow.factor if slow is not None else 1.0)
            world.in_background(self._boot(name, self._reboot_s * stretch, isolated=isolated is not None))

    async def _boot(self, name: str, duration_s: float, *, isolated: bool) -> None:
        await self._world.clock.sleep(duration_s)
        self._booted_s[name] = self._world.clock.now_s()
        if isolated:
            self._be_isolated(name)
        else:
            self._arrive(name, "us")

    # ------------------------------------------------------------------ losses and returns

    def lose(self, name: str) -> None:
        """The node stops; whoever brings it back finds it up."""
        if self._away.get(name, "isolated") not in ("isolated", "quarantined"):
            return
        if name not in self._away:
            self._quarantine.has_left(name)
        self._leave(name, "lost")
        self._paused_by.pop(name, None)
        if self._world.now().node_by_name[name].state != "down":
            self._go_down(name, "fault")

    def bring_back(self, name: str) -> None:
        """A node that is down starts, and is empty. One that is rebooting comes by itself."""
        why = self._away.get(name)
        if self._world.now().node_by_name[name].state != "down" or why in (None, "rebooting"):
            return
        if why != "isolated":
            self._booted_s[name] = self._world.clock.now_s()
        self._arrive(name, "fault")

    def isolate(self, name: str) -> None:
        """The others lose sight of the node, and its VMs run on."""
        world = self._world
        if world.now().node_by_name[name].state not in MEMBER:
            return
        self._leave(name, "isolated")
        self._quarantine.has_left(name)
        self._be_isolated(name)
        world.failover.part_from(name)
        self._after_loss(name)

    def end_isolation(self, name: str) -> None:
        if self._away.get(name) == "isolated":
            self._arrive(name, "fault")

    def _be_isolated(self, name: str) -> None:
        self._away[name] = "isolated"
        if self._is_stopped:
            return  # there is nobody who could lose sight of it
        self._world.put_node(name, state="isolated", paused_by=None)
        self._world.witness.saw("node_isolated", node=name, by="fault")
        time = self._isolations[name] = self._isolations.get(name, 0) + 1
        self._world.in_background(self._give_up(name, time))

    async def _give_up(self, name: str, time: int) -> None:
        """The cluster takes the VMs of a node that it has not seen for so long."""
        await self._world.clock.sleep(ISOLATED_FOR_S)
        node = self._world.now().node_by_name[name]
        if node.state == "isolated" and self._away.get(name) == "isolated" and self._isolations[name] == time:
            self._go_down(name, "fault", crashed_by="cluster")

    # ------------------------------------------------------------------ quarantine

    def quarantine(self, name: str) -> None:
        """The cluster keeps a node out that is there, or that it does not see."""
        if self._is_stopped or self._world.now().node_by_name[name].state not in (*MEMBER, "isolated"):
            return
        was_there = name not in self._away
        self._leave(name, "quarantined")
        self._be_quarantined(name, self._quarantine.impose(name))
        if was_there:
            self._world.failover.part_from(name)
            self._after_loss(name)

    def end_quarantine(self, name: str) -> None:
        if self._world.now().node_by_name[name].state == "quarantined" and self._away.get(name) != "lost":
            self._quarantine.lift(name)
            self._arrive(name, "fault")

    def _be_quarantined(self, name: str, until_s: float) -> None:
        """It may not join, and runs what it runs until that has left it."""
        world = self._world
        self._away[name] = "quarantined"
        world.put_node(name, state="quarantined", paused_by=None)
        world.witness.saw("node_quarantined", node=name, by="cluster", until_s=round(until_s, 6))
        world.in_background(self._quarantine.drain(name))
        world.in_background(self._release(name, until_s))

    async def _release(self, name: str, until_s: float) -> None:
        await self._world.clock.sleep(until_s - self._world.clock.now_s())
        if self._away.get(name) == "quarantined":
            self.end_quarantine(name)

    # ------------------------------------------------------------------ leaving and joining

    def _leave(self, name: str, why: Why) -> None:
        """The node is there no more; a pause outlasts that."""
        node = self._world.now().node_by_name[name]
        if node.state == "paused":
            self._paused_by[name] = node.paused_by
        self._away[name] = why
        self._back.pop(name, None)

    def _go_down(self, name: str, by: By, *, crashed_by: Doer | None = None, in_good_order: bool = False) -> None:
        world = self._world
        world.put_node(name, state="down", paused_by=None)
        world.witness.saw("node_down", node=name, by=by)
        world.failover.crash_all_on(name, crashed_by or by)
        self._after_loss(name, in_good_order=in_good_order)

    def _after_loss(self, name: str, *, in_good_order: bool = False) -> None:
        """What stays counts its votes, and goes on for the node that went if it may."""
        if self._is_stopped:
            return
        there = self._there()
        if in_good_order:
            self._quorum.recount(there)
        if not self._quorum.has_majority(there):
            self._stop()
            return
        self._world.in_background(self._recount_later())
        self._world.failover.take_over(name)

    async def _recount_later(self) -> None:
        await self._world.clock.sleep(RECOUNT_AFTER_S)
        if not self._is_stopped:
            self._quorum.recount(self._there())

    def _arrive(self, name: str, by: By) -> None:
        """The node is there again; the cluster takes it in, keeps it out, or waits for more of them."""
        until_s = None if self._is_stopped else self._quarantine.until_s(name)
        if until_s is not None:
            self._be_quarantined(name, until_s)
            return
        del self._away[name]
        self._back[name] = by
        if not self._is_stopped:
            self._join(name)
        elif self._quorum.has_majority(self._there()):
            self._is_stopped = False
            for each in self._there():
                self._join(each)
        else:
            return
        self._quorum.recount(self._there())
        self._world.volumes.rehome()

    def _join(self, name: str) -> None:
        world, pause_lasts = self._world, name in self._paused_by
        paused_by = self._paused_by.pop(name, None)
        world.put_node(name, state="paused" if pause_lasts else "up", paused_by=paused_by)
        world.witness.saw("node_up", node=name, by=self._back.pop(name, "fault"))
        if pause_lasts:
            world.witness.saw("node_paused", node=name, by=paused_by or "elsewhere")
        else:
            world.balancer.node_takes_vms(name)

    # ------------------------------------------------------------------ quorum

    def _stop(self) -> None:
        """No majority is left: no node goes on by itself."""
        world = self._world
        votes, of = self._quorum.votes(self._there())
        world.witness.saw("quorum_lost", votes=votes, of=of)
        self._is_stopped = True
        for name in self._there():
            node = world.now().node_by_name[name]
            if node.state == "paused":
                self._paused_by[name] = node.paused_by
            world.put_node(name, state="down", paused_by=None)
            world.witness.saw("node_down", node=name, by="fault")
            world.failover.crash_all_on(name, "cluster")
        for name in self._away:
            world.failover.crash_all_on(name, "cluster")  # an isolated node's VMs
        world.volumes.rehome()
