"""How far a run is: in percent, and in a line that names what moves, what waits and what is left."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Protocol

from shunter.engine.audience import Audience, Nobody, Progress, Waiting
from shunter.flows.restarts_seen import Fate, Restart, RestartsSeen
from shunter.flows.spoken import count, duration, together
from shunter.flows.turns_seen import TurnsSeen
from shunter.statemachines.lifecycle import Step
from shunter.topology.plan import Plan

NAMES_SHOWN = 6


class HowFar(Audience, Protocol):
    """`now_s`: the cluster's clock; None once the run is over."""

    def percent(self, now_s: float) -> float:
        """0 to 100."""
        ...

    def told(self, now_s: float | None) -> str: ...


def how_far(plan: Plan) -> HowFar:
    """What fits the kind of the plan. It wants to be told of the plan, too."""
    match plan.kind:
        case "rolling_maintenance":
            return RollingHowFar()
        case "failover":
            return FailoverHowFar()
        case _:
            return MovesHowFar()


class MovesHowFar(Nobody):
    """Of a run whose work is its migrations: each counts by its planned duration, and by what is copied of it."""

    def __init__(self) -> None:
        self._planned_s: dict[str, float] = {}
        self._copied: dict[str, float] = {}
        self._done: set[str] = set()
        self._waiting: tuple[Waiting, ...] = ()

    def planned(self, plan: Plan, at_s: float) -> None:  # noqa: ARG002  an audience's
        self._planned_s = {move.vm: move.end_s - move.start_s for move in plan.moves}

    def stepped(self, step: Step) -> None:
        if step.lifecycle == "migration":
            vm = vm_of(step)
            self._copied.pop(vm, None)
            if step.target == "done":
                self._done.add(vm)

    def progressed(self, progress: Progress) -> None:
        self._copied[progress.vm] = progress.percent

    def waiting(self, waiting: tuple[Waiting, ...]) -> None:
        self._waiting = waiting

    def percent(self, now_s: float) -> float:  # noqa: ARG002  its work is told as it is done
        all_s = sum(self._planned_s.values())
        if not all_s:
            return 0.0
        so_far_s = sum(
            self._planned_s.get(vm, 0.0) * share
            for vm, share in [*((vm, 1.0) for vm in self._done), *((vm, p / 100) for vm, p in self._copied.items())]
        )
        return min(100.0, round(100 * so_far_s / all_s, 1))

    def told(self, now_s: float | None) -> str:  # noqa: ARG002
        parts = [f"{len(self._done)} of {len(self._planned_s)} moved"]
        return "; ".join([*parts, *_under_way(self._copied, self._waiting)])


class RollingHowFar(Nobody):
    """Of a rolling run: its work is the turns of its nodes and all migrations, each by its planned duration; a turn
    under way counts by the time that went by.

    The end is estimated from how late (or early) the turns ended so far, and from one that is overdue.
    """

    def __init__(self) -> None:
        self._turns = TurnsSeen()
        self._plan: Plan | None = None
        self._began_s = 0.0
        self._moved = 0
        self._copied: dict[str, float] = {}
        self._waiting: tuple[Waiting, ...] = ()

    def planned(self, plan: Plan, at_s: float) -> None:
        self._plan, self._began_s = plan, at_s
        self._turns.planned(plan, at_s)

    def stepped(self, step: Step) -> None:
        self._turns.stepped(step)
        if step.lifecycle == "migration":
            self._copied.pop(vm_of(step), None)
            self._moved += step.target == "done"

    def progressed(self, progress: Progress) -> None:
        self._copied[progress.vm] = progress.percent

    def waiting(self, waiting: tuple[Waiting, ...]) -> None:
        self._waiting = waiting

    def percent(self, now_s: float) -> float:
        if self._plan is None:
            return 0.0
        turns_s = {turn.node: turn.end_s - turn.start_s for turn in self._plan.maintenance}
        moves_s = sum(move.end_s - move.start_s for move in self._plan.moves)
        mean_s = moves_s / max(len(self._plan.moves), 1)
        so_far_s = min(moves_s, mean_s * self._moved)
        so_far_s += sum(turns_s.get(node, 0.0) for node in self._turns.done)
        for node in self._turns.in_maintenance():
            so_far_s += min(turns_s[node], max(0.0, now_s - self._turns.began[node]))
        all_s = sum(turns_s.values()) + moves_s
        return min(100.0, round(100 * so_far_s / all_s, 1)) if all_s else 0.0

    def told(self, now_s: float | None) -> str:
        if self._plan is None:
            return ""
        turns = self._turns
        parts = [f"FAILED: {together(turns.failed)}"] if turns.failed else []
        parts.append(f"{len(turns.done)} of {count(len(turns.nodes), 'node')} done")
        parts += [f"in maintenance: {_some(away)}"] if (away := turns.in_maintenance()) else []
        parts += [f"being emptied: {_some(leaving)}"] if (leaving := turns.emptying()) else []
        parts.append(f"{self._moved} of {count(len(self._plan.moves), 'move')} made")
        parts += _under_way(self._copied, [wait for wait in self._waiting if not wait.subject.startswith("node ")])
        if now_s is not None and turns.done.keys() | turns.failed.keys() < set(turns.nodes):
            parts.append(f"about {duration(self.left_s(now_s))} left")
        return "; ".join(parts)

    def left_s(self, now_s: float) -> float:
        """Seconds of the cluster's clock until the estimated end."""
        if self._plan is None:
            return 0.0
        planned_s = sorted(turn.end_s for turn in self._plan.maintenance)
        over_s = sorted(at_s - self._began_s for at_s in self._turns.done.values())
        since_s = now_s - self._began_s
        late_s = over_s[-1] - planned_s[len(over_s) - 1] if over_s else 0.0
        if len(over_s) < len(planned_s):
            late_s = max(late_s, since_s - planned_s[len(over_s)])
        return max(0.0, self._plan.makespan_s + late_s - since_s)


class FailoverHowFar(RestartsSeen):
    """Of a failover: how many of the VMs run again. What a start was asked for counts when the VM runs."""

    def percent(self, now_s: float) -> float:  # noqa: ARG002  nobody knows how long the cluster takes
        return round(100 * self.running / len(self.vms), 1) if self.vms else 0.0

    def told(self, now_s: float | None) -> str:
        """What did not come up first: it is what somebody has to look at."""
        parts = [f"did not come up: {_some(_not_up(self.troubled()))}"] if self.troubled() else []
        parts.append(f"{self.running} of {count(len(self.vms), 'VM')} {'runs' if len(self.vms) == 1 else 'run'} again")
        if starting := self.at(Fate.STARTING):
            parts.append(f"starting: {_some([f'{vm.vm} on {vm.node}' for vm in starting])}")
        if self.making_room:
            parts.append(f"making room: {_some(list(self.making_room))}")
        if doubtful := self.at(Fate.LOST_SIGHT):
            parts.append(f"lost sight of {_some([vm.vm for vm in doubtful])}, looking")
        if now_s is not None:
            for wait in self.waits():
                left_s = max(wait.until_s - now_s, 0.0)
                parts.append(wait.told(f", for at most {duration(left_s)} more" if isfinite(left_s) else ""))
        return "; ".join(parts)


def _not_up(restarts: Sequence[Restart]) -> list[str]:
    return [f"{restart.vm} (tried on {together(restart.not_on)})" for restart in restarts]


def vm_of(step: Step) -> str:
    """The VM of a migration's step, whose subject reads "web-1: N1 → N3"."""
    return step.subject.rpartition(": ")[0]


def _under_way(copied: dict[str, float], waiting: Sequence[Waiting]) -> list[str]:
    copying = [f"{vm} {percent:.0f} %" for vm, percent in copied.items()]
    parts = [f"copying {_some(copying)}"] if copying else []
    return parts + ([f"waiting: {_some([f'{w.subject} {w.reason}' for w in waiting])}"] if waiting else [])


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
