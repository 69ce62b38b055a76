"""How far the VMs of a failover are, as told by the steps of their lifecycles."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from shunter.engine.audience import Nobody, Waiting
from shunter.flows.failover_summary import not_wanted
from shunter.flows.spoken import count, natural
from shunter.statemachines.lifecycle import Step
from shunter.statemachines.migration import State as MigrationState
from shunter.statemachines.vm import State
from shunter.topology.plan import Plan
from shunter.topology.requirements.differing import listed

FEW, MOST_NAMED = 3, 6
BEFORE_OR_AFTER = frozenset(
    {
        MigrationState.PLANNED,
        MigrationState.WAITING,
        MigrationState.CHECKING,
        MigrationState.DONE,
        MigrationState.REFUSED,
        MigrationState.ROLLED_BACK,
        MigrationState.OVERTAKEN,
        MigrationState.CANCELLED,
    }
)
"""A migration in any other state is under way."""


class Fate(StrEnum):
    """Where a VM is on its way to run again, in the words of the screens."""

    OUT_OF_SIGHT = "out of sight"
    DOWN = "down"
    STARTING = "starting"
    LOST_SIGHT = "lost sight"
    RUNS = "runs"
    STOPPED = "stopped by somebody"


FATES = {
    State.RUNNING: Fate.RUNS,
    State.PAUSED: Fate.RUNS,
    State.STARTING: Fate.STARTING,
    State.LOST_SIGHT: Fate.LOST_SIGHT,
    State.FAILED: Fate.DOWN,
    State.OFF: Fate.STOPPED,
    State.SAVED: Fate.STOPPED,
}


@dataclass(slots=True)
class Restart:
    """A VM that is to run again. Times are the cluster's clock. `node`: where it is started or runs; `by_us`: this run
    started it. `not_on`: node → why its start there came to nothing, the latest last.
    """

    vm: str
    lost_with: str
    since_s: float
    estimate_s: float | None = None
    fate: Fate = Fate.OUT_OF_SIGHT
    node: str = ""
    by_us: bool = False
    doubt: str = ""
    not_on: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wait:
    """Who waits for the same, until the same time at most (the cluster's clock). `noun`: what they are, VM or node."""

    names: tuple[str, ...]
    reason: str
    until_s: float
    noun: str

    def told(self, until: str = "") -> str:
        """ "web-1 waits to be …", "web-1 and web-2: each waits to be …"; of many the names come last: they may be cut.

        `until`: how long at most, in words.
        """
        match len(self.names):
            case 1:
                return f"{self.names[0]} {self.reason}{until}"
            case few if few <= FEW:
                return f"{listed(self.names)}: each {self.reason}{until}"
            case many:
                return f"{count(many, self.noun)}: each {self.reason}{until} ({listed(self.names, MOST_NAMED)})"


class RestartsSeen(Nobody):
    """An audience. `lost`: the nodes whose VMs these are; `unwanted`: VMs of priority 0, which nobody starts;
    `making_room`: live migrations under way ("web-1: N1 → N3"), so that others can be started.

    A VM of an isolated node is out of sight until the cluster has declared the node down; if the node comes back
    first, it has run all along. A VM that fails elsewhere meanwhile is to run again like the others.
    """

    def __init__(self) -> None:
        self.vms: dict[str, Restart] = {}
        self.unwanted: tuple[str, ...] = ()
        self.lost: tuple[str, ...] = ()
        self.making_room: dict[str, None] = {}
        self._waiting: tuple[Waiting, ...] = ()

    def planned(self, plan: Plan, at_s: float) -> None:
        self.unwanted = tuple(not_wanted(plan))
        lost = {move.source for move in plan.moves} | {stays.node for stays in plan.unplaced}
        self.lost = tuple(sorted(lost, key=natural))
        self.vms = {
            move.vm: Restart(move.vm, move.source, at_s, move.end_s - move.start_s, node=move.source)
            for move in plan.moves
        }

    def stepped(self, step: Step) -> None:
        name = step.subject.removeprefix(f"{step.lifecycle} ")
        if step.lifecycle == "node" and step.target == "up":
            for restart in self.vms.values():
                if restart.lost_with == name and restart.fate is Fate.OUT_OF_SIGHT:
                    restart.fate, restart.since_s = Fate.RUNS, step.at_s
        if step.lifecycle == "migration":
            if step.target in BEFORE_OR_AFTER:
                self.making_room.pop(step.subject, None)
            else:
                self.making_room[step.subject] = None
        fate = FATES.get(State(step.target)) if step.lifecycle == "vm" else None
        if fate is not None and name not in self.unwanted:
            self._goes(name, fate, step)

    def waiting(self, waiting: tuple[Waiting, ...]) -> None:
        self._waiting = waiting

    def _goes(self, name: str, fate: Fate, step: Step) -> None:
        on, why = node_told(step) or "", step.reason.partition(": ")[2]
        restart = self.vms.get(name)
        if restart is None and fate is Fate.RUNS and step.source != State.FAILED:
            return  # it runs all along, and only makes room
        if restart is None:
            restart = self.vms[name] = Restart(name, on, step.at_s)
        if fate is Fate.DOWN and restart.fate in (Fate.STARTING, Fate.LOST_SIGHT):
            restart.not_on.pop(restart.node, None)
            restart.not_on[restart.node] = why
        restart.doubt = step.reason if fate is Fate.LOST_SIGHT else ""
        if fate is not Fate.LOST_SIGHT:
            restart.node = on
        if fate is not Fate.RUNS or step.source == State.FAILED:
            restart.by_us = fate in (Fate.STARTING, Fate.LOST_SIGHT)
        restart.fate, restart.since_s = fate, step.at_s

    # -------------------------------------------------------------- what is asked

    def at(self, *fates: Fate) -> list[Restart]:
        """The longest there first."""
        return sorted((vm for vm in self.vms.values() if vm.fate in fates), key=lambda vm: (vm.since_s, vm.vm))

    @property
    def running(self) -> int:
        return len(self.at(Fate.RUNS))

    def troubled(self) -> list[Restart]:
        """VMs that do not run, and did not come up where they were started."""
        return [vm for vm in self.at(Fate.DOWN) if vm.not_on]

    def waits(self) -> list[Wait]:
        """What nodes and VMs wait for that are still as they were when this was told, those alike together."""
        alike: dict[tuple[str, float, str], list[str]] = {}
        for wait in self._waiting:
            known = self.vms.get(wait.subject)
            if known is None or known.fate in (Fate.DOWN, Fate.OUT_OF_SIGHT):
                noun = "VM" if known else "node"
                alike.setdefault((wait.reason, wait.until_s, noun), []).append(wait.subject)
        return [Wait(tuple(dict.fromkeys(names)), *what) for what, names in alike.items()]


def node_told(step: Step) -> str | None:
    """The node that a VM's step names, whose reason reads "on N3" or "on N3: it does not come up"."""
    if step.lifecycle != "vm" or not step.reason.startswith("on "):
        return None
    return step.reason.removeprefix("on ").partition(": ")[0]
