"""What is known of a rolling run while it goes on: where each node is, and when the run should end. No drawing, no I/O.

Times are seconds of the run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from shunter.engine.audience import Waiting
from shunter.flows.rolling_summary import turns
from shunter.flows.spoken import natural
from shunter.statemachines.node import State
from shunter.topology.plan import Plan


class Where(StrEnum):
    """Where a node is in its turn, in the words of the screens."""

    WAITING = "waiting for its turn"
    EMPTYING = "being emptied"
    AWAY = "in maintenance"
    REJOINING = "rejoining"
    DONE = "done"
    FAILED = "failed"


UNDER_WAY = (Where.EMPTYING, Where.AWAY, Where.REJOINING)
OVER = (Where.DONE, Where.FAILED)
_LEAVING = (State.PAUSING, State.DRAINING, State.DRAINED)
_GONE = {State.DOWN: "it is down", State.ISOLATED: "the other nodes do not hear it", State.LOST_SIGHT: "lost sight of"}


@dataclass(slots=True)
class NodeTurn:
    """A node that is to be maintained. `planned_*`: by the plan; `since_s`: when it came to where it is.

    `away_since_s`: when its maintenance began, by the latest try. `remark`: what else is known of it now. `seen`: the
    state of its lifecycle. `off_s`: when moves off it ended; `planned_off_s`: when they should. `leaving`: how many are
    under way.
    """

    node: str
    planned_emptied_s: float
    planned_start_s: float
    planned_end_s: float
    planned_off_s: tuple[float, ...]
    where: Where = Where.WAITING
    since_s: float = 0.0
    away_since_s: float | None = None
    off_s: list[float] = field(default_factory=list)
    leaving: int = 0
    remark: str = ""
    seen: State = State.UP

    @property
    def planned_s(self) -> float:
        """What its maintenance should take."""
        return self.planned_end_s - self.planned_start_s

    @property
    def moved_off(self) -> int:
        return len(self.off_s)

    @property
    def moves_off(self) -> int:
        return max(len(self.planned_off_s), self.moved_off)

    @property
    def gone(self) -> str:
        """Empty while it is a member of the cluster, or away as it should be."""
        return "" if self.where is Where.AWAY else _GONE.get(self.seen, "")

    def empty_s(self, now_s: float) -> float:
        """When it should be empty, if it is being emptied: at the pace of what has left it already, beginning now if
        nothing is leaving it at the moment.
        """
        done = min(self.moved_off, len(self.planned_off_s))
        last_s = self.off_s[-1] if done else self.since_s
        planned_last_s = self.planned_off_s[done - 1] if done else self.planned_emptied_s
        planned_so_far_s = planned_last_s - self.planned_emptied_s
        pace = max((last_s - self.since_s) / planned_so_far_s, 0.0) if planned_so_far_s > 0 else 1.0
        begins_s = last_s if self.leaving else now_s
        return max(begins_s + (self.planned_start_s - planned_last_s) * pace, now_s)

    def back_s(self, now_s: float) -> float:
        """When it should be back, if it is away."""
        began_s = self.planned_start_s if self.away_since_s is None else self.away_since_s
        return max(began_s + self.planned_s, now_s)

    def late_s(self, now_s: float) -> float:
        """By how much it is later than planned, by itself; below 0: earlier."""
        match self.where:
            case Where.DONE:
                return self.since_s - self.planned_end_s
            case Where.AWAY | Where.REJOINING:
                return self.back_s(now_s) - self.planned_end_s
            case Where.EMPTYING:
                return self.empty_s(now_s) - self.planned_start_s
            case _:
                return max(now_s - self.planned_emptied_s, 0.0)


def what_holds_up(waits: tuple[Waiting, ...]) -> str:
    """Why nothing new begins in the whole run; empty where nothing stands against it."""
    held_up = next((wait.reason for wait in waits if wait.subject == "the run"), "")
    return held_up.removeprefix("begins nothing: ")


@dataclass(slots=True)
class RollingView:
    """The nodes of a rolling run, in the order of their turns. `left_out`: asked for, and not in the plan."""

    plan: Plan
    turns: dict[str, NodeTurn] = field(init=False)
    left_out: tuple[str, ...] = field(init=False)
    held_up: str = ""
    """Why nothing new begins, where that is so."""

    def __post_init__(self) -> None:
        self.turns = {
            turn.node: NodeTurn(
                turn.node,
                turn.emptied_from_s,
                turn.maintenance.start_s,
                turn.maintenance.end_s,
                tuple(
                    sorted(
                        move.end_s
                        for move in self.plan.moves
                        if move.source == turn.node and move.end_s <= turn.maintenance.start_s
                    )
                ),
            )
            for turn in turns(self.plan)
        }
        self.left_out = tuple(sorted((left.node for left in self.plan.untouched), key=natural))

    # -------------------------------------------------------------- what happens

    def node_stepped(self, node: str, source: State, target: State, at_s: float, reason: str) -> None:
        turn = self.turns.get(node)
        if turn is None:
            return
        turn.seen = target
        if target is State.IN_MAINTENANCE:
            turn.away_since_s = at_s
            self._goes(turn, Where.AWAY, at_s)
        elif target is State.REJOINING:
            self._goes(turn, Where.REJOINING, at_s)
        elif source is State.REJOINING and target in (State.UP, State.PAUSED):
            self._goes(turn, Where.DONE, at_s)
        elif turn.where in (Where.AWAY, Where.REJOINING):
            self._goes(turn, Where.FAILED, at_s, reason)
        elif target in _LEAVING and turn.where is Where.WAITING:
            self._goes(turn, Where.EMPTYING, at_s)
        elif turn.where is Where.FAILED and target in _LEAVING:
            self._goes(turn, Where.EMPTYING, at_s)  # it is tried again

    def move_begun(self, source: str, at_s: float) -> None:
        turn = self.turns.get(source)
        if turn is None:
            return
        turn.leaving += 1
        if turn.where is Where.WAITING:
            self._goes(turn, Where.EMPTYING, at_s)

    def move_over(self, source: str, at_s: float, *, done: bool) -> None:
        turn = self.turns.get(source)
        if turn is None:
            return
        turn.leaving -= 1
        if done and turn.where is Where.EMPTYING:
            turn.off_s.append(at_s)

    def waiting(self, waits: tuple[Waiting, ...]) -> tuple[Waiting, ...]:
        """Learn from what waits; return what is not about a node whose turn it is."""
        self.held_up = what_holds_up(waits)
        others: list[Waiting] = []
        for turn in self.turns.values():
            turn.remark = ""
        for wait in waits:
            its = self.turns.get(wait.subject.removeprefix("node "))
            if its is None and wait.subject != "the run":
                others.append(wait)
            elif its is not None and wait.reason != f"is {its.seen.replace('_', ' ')}":
                its.remark = wait.reason
        return tuple(others)

    @staticmethod
    def _goes(turn: NodeTurn, where: Where, at_s: float, remark: str = "") -> None:
        turn.where, turn.since_s, turn.remark = where, at_s, remark

    # -------------------------------------------------------------- what screens ask

    def at(self, *places: Where) -> list[NodeTurn]:
        return [turn for turn in self.turns.values() if turn.where in places]

    @property
    def done(self) -> int:
        return len(self.at(Where.DONE))

    @property
    def away(self) -> list[NodeTurn]:
        return self.at(Where.AWAY, Where.REJOINING)

    def waits_for(self, turn: NodeTurn) -> NodeTurn | None:
        """The node whose return the plan lets this one follow: of those that are back by then, the last."""
        before = (
            other
            for other in self.turns.values()
            if other.where is not Where.FAILED and other.planned_end_s <= turn.planned_emptied_s
        )
        return max(before, key=lambda other: (other.planned_end_s, other.node), default=None)

    def lateness_s(self, now_s: float) -> dict[str, float]:
        """By how much each node is later than planned, by how late it is itself and by those that it follows."""
        late_s: dict[str, float] = {}
        for turn in sorted(self.turns.values(), key=lambda turn: (turn.planned_end_s, turn.node)):
            own_s = turn.late_s(now_s)
            followed = self.waits_for(turn) if turn.where is Where.WAITING else None
            if followed is not None and now_s < turn.planned_emptied_s + late_s[followed.node]:
                own_s = late_s[followed.node]
            late_s[turn.node] = own_s
        return late_s

    def end_s(self, now_s: float, moves_end_s: float, *, asked_to_stop: bool) -> float:
        """When the run should end: what is left of the plan, as late as the nodes are. An estimate.

        `moves_end_s`: when the migrations under way should end. What will not begin any more does not count.
        """
        least_s = max(moves_end_s, now_s if self.at(*UNDER_WAY) else 0.0)
        if asked_to_stop or self.held_up:
            return max([least_s, *(turn.back_s(now_s) for turn in self.away)])
        late_s = self.lateness_s(now_s)
        ends = [turn.planned_end_s + late_s[turn.node] for turn in self.turns.values() if turn.where not in OVER]
        last_s = max(ends, default=max((turn.since_s for turn in self.at(*OVER)), default=0.0))
        return max(least_s, last_s + self._afterwards_s)

    @property
    def _afterwards_s(self) -> float:
        """What the plan still does once all nodes are back."""
        last_back_s = max((turn.planned_end_s for turn in self.turns.values()), default=0.0)
        return max(self.plan.makespan_s - last_back_s, 0.0)
