"""The live display of a run: what moves and how far, what waits for what, when it ends, what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from shunter.commands.screens.failover_live import failover_rows
from shunter.commands.screens.redrawn import Redrawn
from shunter.commands.screens.rolling_live import bar, node_rows, rows_needed
from shunter.commands.screens.rolling_view import RollingView, Where
from shunter.commands.screens.run_view import Ended, Mover, RunView
from shunter.commands.screens.words import Signs, clock, count, listed, signs_of
from shunter.flows.restarts_seen import RestartsSeen
from shunter.flows.spoken import duration
from shunter.statemachines.migration import State
from shunter.statemachines.node import State as NodeState

FRAMES_PER_S = 8
MOST_RUNNING, MOST_WAITING, MOST_TROUBLES, MOST_ENDED = 16, 5, 5, 3
MOST_WARNINGS = 2
MOST_RUNNING_BESIDE_NODES = 5
CLOCK_TIME_FROM_S = 600.0
"""A run that takes that much longer yet, in real time, is told with the time of day when it should end."""
ON_TIME_S, ON_TIME_SHARE = 2.0, 0.02
DOING = {
    State.CHECKING: "checking",
    State.PREPARING: "preparing",
    State.UNLOADING_OFFLOAD: "unloading TCP offload",
    State.COPYING: "copying",
    State.SWITCHING: "switching over",
    State.SETTLING: "settling",
    State.RESTORING_OFFLOAD: "restoring TCP offload",
    State.LOST_SIGHT: "lost sight: looking where it is",
}


class LiveScreen(Redrawn):
    """Of one run. `notice`: shown below."""

    def __init__(
        self, view: RunView, title: str, console: Console, *, today: Callable[[], datetime] = datetime.now
    ) -> None:
        super().__init__(console, frames_per_s=FRAMES_PER_S)
        self.view, self.title, self.today = view, title, today
        self.notice = ""

    def note(self, notice: str) -> None:
        self.notice = notice

    def frame(self) -> RenderableType:
        signs = signs_of(self.console)
        view = self.view
        lines: list[RenderableType] = [self._head(signs)]
        if view.rolling is not None:
            return Group(*lines, *self._rolling(view.rolling, signs))
        if view.failover is not None:
            return Group(*lines, *self._failing_over(view.failover, signs))
        if view.plan is not None:
            lines += [self._total(signs), self._nodes(signs), Text()]
        if view.running:
            lines.append(_movers(view, self.console.width, MOST_RUNNING, signs))
        lines += self._waiting(signs)
        lines += [*self._warnings(signs), *_ended(view.troubles[-MOST_TROUBLES:], signs)]
        lines += _ended([end for end in view.ended if end not in view.troubles][-MOST_ENDED:], signs)
        if self.notice:
            lines += [Text(), signs.text(self.notice, "bold yellow")]
        return Group(*lines)

    def _rolling(self, rolling: RollingView, signs: Signs) -> list[RenderableType]:
        """Within the height of the terminal: what is said last is left out first."""
        view, width = self.view, self.console.width
        troubles = [*self._warnings(signs), *self._nodes_gone(rolling, signs)]
        troubles += _ended(view.troubles[-MOST_TROUBLES:], signs)
        said = [*self._waiting(signs), *troubles]
        said += _ended([end for end in view.ended if end not in view.troubles][-MOST_ENDED:], signs)
        if rolling.held_up and not self.notice:
            said.insert(0, signs.text(f"Nothing new begins: {rolling.held_up}", "bold yellow"))
        notice = list(signs.text(self.notice, "bold yellow").wrap(self.console, width)) if self.notice else []
        room = max(self.console.height - 1 - 5 - len(notice), 0)
        most_movers = max(min(room // 3, MOST_RUNNING_BESIDE_NODES), 1)
        movers = min(len(view.running), most_movers + 1)
        for_nodes = min(rows_needed(rolling), max(room - movers - len(said), room // 2))
        lines: list[RenderableType] = [self._total(signs), Text()]
        lines += [*node_rows(rolling, view.elapsed_s, width, for_nodes, signs), Text()]
        if view.running:
            lines.append(_movers(view, width, most_movers, signs))
        for line in said[: max(room - for_nodes - movers, 0)]:
            line.truncate(width, overflow="ellipsis")
            lines.append(line)
        return [*lines, Text(), *notice] if notice else lines

    def _failing_over(self, seen: RestartsSeen, signs: Signs) -> list[RenderableType]:
        """Within the height of the terminal."""
        width = self.console.width
        nodes = [self._nodes(signs)] if self.view.node_states else []
        notice = list(signs.text(self.notice, "bold yellow").wrap(self.console, width)) if self.notice else []
        room = self.console.height - 2 - len(nodes) - (len(notice) + 1 if notice else 0)
        rows = failover_rows(seen, self.view.now_s, width, room, signs)
        return [*nodes, *rows, *([Text(), *notice] if notice else [])]

    def _warnings(self, signs: Signs) -> list[Text]:
        last = self.view.warnings[-MOST_WARNINGS:]
        return [signs.text(f"{signs.warning} {found.message}", "yellow") for found in last]

    def _nodes_gone(self, rolling: RollingView, signs: Signs) -> list[Text]:
        """Nodes that have no turn, or had it already, and left the cluster."""
        gone = {NodeState.DOWN: "is down", NodeState.ISOLATED: "is isolated: the other nodes do not hear it"}
        in_turn = {turn.node for turn in rolling.turns.values() if turn.where is not Where.DONE}
        return [
            signs.text(f"{signs.wrong} {node} {gone[state]}", "bold red")
            for node, state in self.view.node_states.items()
            if state in gone and node not in in_turn
        ]

    def _head(self, signs: Signs) -> Text:
        head = signs.text(self.title, "bold")
        if self.view.plan is None:
            return head.append_text(signs.text(": looking at the cluster", "dim"))
        head.append(f"   {clock(self.view.elapsed_s)} ", style="bold")
        if self.view.failover is None:  # how long the cluster takes for its part nobody knows
            head.append_text(self._punctuality(signs))
        head.truncate(self.console.width, overflow="ellipsis")
        return head

    def _punctuality(self, signs: Signs) -> Text:
        view = self.view
        assert view.plan is not None  # noqa: S101  asked only after the plan
        end_s, planned_s = view.forecast_end_s, view.plan.makespan_s
        text = Text(f"of {'about ' if view.rolling else ''}{clock(end_s)}", style="dim")
        goes_on = view.running or view.queued or (view.rolling is not None and not view.rolling.held_up)
        if self.notice or not goes_on:
            return text
        late_s = end_s - planned_s
        if abs(late_s) <= max(ON_TIME_S, ON_TIME_SHARE * planned_s):
            text.append_text(signs.text(" · on time", "green"))
        else:
            how = f" · {duration(abs(late_s))} {'behind' if late_s > 0 else 'ahead'}"
            text.append_text(signs.text(how, "yellow" if late_s > 0 else "green"))
        left_s = (end_s - view.elapsed_s) / view.speed
        if view.rolling is not None and left_s >= CLOCK_TIME_FROM_S:
            at = self.today() + timedelta(seconds=left_s)
            text.append(f", until about {at:%H:%M}", style="dim")
        return text

    def _total(self, signs: Signs) -> Text:
        view = self.view
        if view.rolling is not None:
            return self._total_of_nodes(view.rolling, signs)
        share = (view.done + sum(m.percent / 100 for m in view.running.values() if m.vm)) / max(view.in_all, 1)
        line = bar(min(share, 1.0), max(min(self.console.width // 2, 50), 10), signs)
        line.append(f"  {view.done} of {view.in_all} moved", style="bold")
        if view.queued:
            line.append(f", {len(view.queued)} wait")
        if view.troubles:
            line.append(f", {len(view.troubles)} went wrong", style="bold red")
        staying = len(view.plan.unplaced) if view.plan else 0
        if staying:
            line.append(f", {staying} must stay", style="yellow")
        return line

    def _total_of_nodes(self, rolling: RollingView, signs: Signs) -> Text:
        view = self.view
        line = bar(view.elapsed_s / max(view.forecast_end_s, 1.0), max(min(self.console.width // 4, 40), 8), signs)
        line.append(f"  {rolling.done} of {count(len(rolling.turns), 'node')} done", style="bold")
        failed = len(rolling.at(Where.FAILED))
        if failed:
            line.append(f", {failed} failed", style="bold red")
        line.append(f", {view.done} of {count(view.in_all, 'move')} made")
        if view.troubles:
            line.append(f", {len(view.troubles)} went wrong", style="bold red")
        line.truncate(self.console.width, overflow="ellipsis")
        return line

    def _nodes(self, signs: Signs) -> Text:
        states = [f"{node} {state.replace('_', ' ')}" for node, state in self.view.node_states.items()]
        return signs.text(listed(states, most=8).replace(" and ", ", "), "dim") if states else Text()

    def _waiting(self, signs: Signs) -> list[Text]:
        waits = self.view.waits
        if not waits:
            return []
        lines = [signs.text(f"  {wait.subject} {wait.reason}", "dim") for wait in waits[:MOST_WAITING]]
        if len(waits) > MOST_WAITING:
            lines.append(signs.text(f"  … and {len(waits) - MOST_WAITING} more wait", "dim"))
        for line in lines:
            line.truncate(self.console.width, overflow="ellipsis")
        return lines


def _movers(view: RunView, width: int, most: int, signs: Signs) -> RenderableType:
    movers = sorted(view.running.values(), key=lambda mover: (mover.since_s, mover.vm))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=max(width // 4, 10), style="bold")
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True, justify="right")
    for mover in movers[:most]:
        table.add_row(*_mover(mover, view.now_s, max(min(width // 5, 30), 6), signs))
    if len(movers) <= most:
        return table
    return Group(table, Text(f"and {count(len(movers) - most, 'more migration')}", style="dim"))


def _mover(mover: Mover, now_s: float, cells: int, signs: Signs) -> list[Text]:
    left = f"{duration(round(mover.left_s(now_s)))} left" if mover.state is not State.LOST_SIGHT else ""
    return [
        signs.text(mover.vm),
        signs.text(f"{mover.source} → {mover.target}"),
        bar(mover.percent / 100, cells, signs),
        Text(f"{mover.percent:.0f} %"),
        signs.text(DOING[mover.state], "bold red" if mover.state is State.LOST_SIGHT else ""),
        Text(left, style="dim"),
    ]


def _ended(ends: Sequence[Ended], signs: Signs) -> list[Text]:
    return [ended_line(end, signs) for end in ends]


def ended_line(end: Ended, signs: Signs) -> Text:
    """ "✓ web-1: N1 → N3 done in 8.1 s"."""
    label = f"{end.vm}: {end.source} → {end.target}"
    if end.state is State.DONE:
        return Text(f"{signs.done} ", style="green") + signs.text(f"{label} done in {duration(end.took_s)}", "dim")
    style = "yellow" if end.state is State.CANCELLED else "bold red"
    what = end.state.replace("_", " ")
    return signs.text(f"{signs.wrong} {label} {what}" + (f": {end.reason}" if end.reason else ""), style)
