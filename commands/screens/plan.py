"""A plan or a report on the screen: what moves, what stays and why, what to do; the verdict comes last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from shunter.commands.screens.failover import FailoverParts
from shunter.commands.screens.reasons import Reason, grouped
from shunter.commands.screens.rolling import RollingParts
from shunter.commands.screens.rolling_timeline import rolling_timeline
from shunter.commands.screens.timeline import timeline
from shunter.commands.screens.words import Signs, clock, count, in_colour, listed, memory, sentence, signs_of
from shunter.flows.markdown import headline
from shunter.flows.spoken import duration
from shunter.topology.model import Cluster
from shunter.topology.plan import Move, Plan

SEVERITIES = {"error": "bold red", "warning": "yellow", "info": "cyan"}
OUTCOMES = {
    "done": ("done", "green"),
    "failed": ("failed", "bold red"),
    "refused": ("refused", "bold red"),
    "cancelled": ("called off", "yellow"),
    "lost_sight": ("UNKNOWN", "bold red"),
}
WIDE = 100
MOST_MOVES_LISTED = 40


@dataclass(frozen=True, slots=True)
class PlanScreen:
    """`nodes`: those to be emptied. `memory_mib`: by VM, where known. `forecast_s`: of a report, what its plan said."""

    plan: Plan
    nodes: Sequence[str]
    console: Console
    memory_mib: Mapping[str, int] = field(default_factory=dict)
    nodes_in_all: int = 0
    forecast_s: float | None = None

    @classmethod
    def of(
        cls,
        plan: Plan,
        nodes: Sequence[str],
        console: Console,
        cluster: Cluster | None,
        forecast_s: float | None = None,
    ) -> PlanScreen:
        sizes = {vm.name: vm.memory_mib for vm in cluster.vms} if cluster else {}
        return cls(plan, nodes, console, sizes, len(cluster.nodes) if cluster else 0, forecast_s)

    @property
    def signs(self) -> Signs:
        return signs_of(self.console)

    def print(self) -> None:
        """All of it, with empty lines between its parts."""
        plan = self.plan
        self._moving()
        if plan.role_moves or plan.volume_moves:
            self._title("Handed over without a migration")
            self._handed_over()
        if plan.kind not in ("rolling_maintenance", "failover") and plan.moves:
            self._title("Timeline")
            self._timeline(timeline)
        if plan.findings:
            self._title("Findings")
            self._findings()
        if plan.degraded_backups:
            self._title("Backups to be repeated (R17)")
            self._say(self._indented(self.signs.text(listed(plan.degraded_backups, most=20))))
        if plan.untouched:
            self._title("Not maintained")
            self._untouched()
        if plan.unplaced:
            self._title("What does not restart, and why" if plan.kind == "failover" else "What stays, and why")
            self._staying()
        if plan.survives_loss:
            self._unprotected()
        self._say(Text())
        self._verdict()

    def _moving(self) -> None:
        plan = self.plan
        if plan.kind == "rolling_maintenance":
            self._rolling()
        elif plan.kind == "failover":
            self._restarts()
        elif plan.moves:
            self._say(self._moves())

    def _timeline(self, drawn: Callable[..., list[Text]]) -> None:
        width, colour = self.console.width - 1, in_colour(self.console)
        for line in drawn(self.plan, width=width, signs=self.signs, colour=colour, nodes_in_all=self.nodes_in_all):
            self._say(line)

    # -------------------------------------------------------------- a failover

    def _restarts(self) -> None:
        """In which order and where; then how the nodes fill."""
        parts = FailoverParts(self.plan, self.signs, self.memory_mib)
        if not self.plan.moves:
            return
        self._say(parts.restarts())
        if more := parts.more():
            self._say(self._indented(self.signs.text(more, "dim")))
        if not self.plan.executed:  # the cluster's own restarts are seen when they are over
            self._title("Timeline")
            for line in parts.timeline(self.console.width - 1):
                self._say(line)

    def _unprotected(self) -> None:
        lines = list(FailoverParts(self.plan, self.signs, self.memory_mib).unprotected())
        if lines:
            self._title("What is then no longer protected")
        for line in lines[:MOST_MOVES_LISTED]:
            self._say(self._indented(line))
        if len(lines) > MOST_MOVES_LISTED:
            more = f"… and {count(len(lines) - MOST_MOVES_LISTED, 'more node')}; --json has them all."
            self._say(self._indented(self.signs.text(more, "dim")))

    # -------------------------------------------------------------- a rolling run

    def _rolling(self) -> None:
        """The nodes first; single moves only where there are few."""
        plan, parts = self.plan, RollingParts(self.plan, self.signs)
        if plan.maintenance:
            self._say(parts.nodes())
            self._title("Timeline")
            self._timeline(rolling_timeline)
        if plan.moves:
            self._title("Live migrations")
            if len(plan.moves) <= MOST_MOVES_LISTED:
                self._say(self._moves())
            else:
                each = f"{count(len(plan.moves), 'live migration')}; --json and --html hold them one by one."
                self._say(self._indented(self.signs.text(each)))
        if plan.alternatives:
            self._title("Ways to do it")
            self._say(parts.alternatives())

    def _untouched(self) -> None:
        for line, remedy in RollingParts(self.plan, self.signs).left_out():
            self._say(self._indented(line))
            self._say(self._indented(self.signs.text(f"→ {remedy}", "green"), 6))

    # -------------------------------------------------------------- what moves

    def _moves(self) -> Table:
        report = self.plan.executed
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", expand=False)
        table.add_column("#", justify="right", style="dim", no_wrap=True)
        table.add_column("VM", overflow="ellipsis", no_wrap=True, min_width=6)
        table.add_column(f"from {self.signs.arrow} to", overflow="ellipsis", no_wrap=True, min_width=8)
        if self.memory_mib:
            table.add_column("memory", justify="right", no_wrap=True)
        table.add_column("starts" if not report else "started", justify="right", no_wrap=True)
        table.add_column("lasts" if not report else "took", justify="right", no_wrap=True)
        if report:
            table.add_column("planned", justify="right", no_wrap=True)
            table.add_column("outcome", overflow="fold")
        else:
            table.add_column("why there", overflow="fold", style="dim")
        for number, move in enumerate(self.plan.moves, 1):
            table.add_row(*self._move(number, move))
        return table

    def _move(self, number: int, move: Move) -> list[Text]:
        cells = [
            Text(str(number)),
            self.signs.text(move.vm, "bold"),
            self.signs.text(f"{move.source} → {move.target}"),
        ]
        if self.memory_mib:
            cells.append(Text(memory(self.memory_mib[move.vm]) if move.vm in self.memory_mib else ""))
        cells += [Text(clock(move.start_s)), Text(duration(move.end_s - move.start_s))]
        if move.outcome is None:
            return [*cells, self.signs.text(move.why)]
        word, style = OUTCOMES[move.outcome]
        told = f"{word}: {move.reason}" if move.reason and move.outcome != "done" else word
        sign = self.signs.done if move.outcome == "done" else self.signs.wrong
        return [
            *cells,
            Text("" if move.estimate_s is None else duration(move.estimate_s)),
            self.signs.text(f"{sign} {told}", style),
        ]

    def _handed_over(self) -> None:
        moves = [(move.name, move.source, move.target, "") for move in self.plan.role_moves]
        moves += [(move.volume, move.source, move.target, "volume ") for move in self.plan.volume_moves]
        most = MOST_MOVES_LISTED if self.plan.kind == "rolling_maintenance" else len(moves)
        for name, source, target, kind in moves[:most]:
            self._say(self._indented(self.signs.text(f"{kind}{name}: {source} → {target}")))
        if len(moves) > most:
            self._say(self._indented(self.signs.text(f"… and {len(moves) - most} more; --json has them all.", "dim")))

    # -------------------------------------------------------------- what is to be known

    def _findings(self) -> None:
        grave = {"error": 0, "warning": 1, "info": 2}
        signs = {"error": self.signs.wrong, "warning": self.signs.warning, "info": self.signs.remark}
        for found in sorted(self.plan.findings, key=lambda found: grave[found.severity]):
            line = Text(f"{signs[found.severity]} {found.rule} ", style=SEVERITIES[found.severity])
            line.append_text(self.signs.text(f"{found.subject}: ", "bold"))
            line.append_text(self.signs.text(found.message, "" if found.severity != "info" else "dim"))
            self._say(self._indented(line))
            if found.remedy:
                self._say(self._indented(self.signs.text(f"→ {found.remedy}", "dim"), 6))

    def _staying(self) -> None:
        for group in grouped(self.plan.unplaced):
            sizes = [memory(self.memory_mib[vm]) for vm in group.vms if vm in self.memory_mib]
            size = f" ({sizes[0]})" if len(group.vms) == 1 and sizes else ""
            head = Text(f"{self.signs.wrong} ", style="bold red")
            head.append_text(self.signs.text(listed(group.vms, most=12), "bold"))
            head.append_text(self.signs.text(f"{size} on {group.node}"))
            self._say(self._indented(head))
            for reason in group.reasons:
                for line, left in self._reason(reason):
                    self._say(self._indented(line, left))

    def _reason(self, reason: Reason) -> list[tuple[Text, int]]:
        why = self.signs.text(f"not to {listed(reason.targets)}: ")
        why.append_text(self.signs.text(reason.reason))
        why.append_text(self.signs.text(f" ({reason.rule})", "dim"))
        return [(why, 6), (self.signs.text(f"→ {reason.remedy}", "green"), 8)]

    # -------------------------------------------------------------- verdict

    def _verdict(self) -> None:
        plan, signs = self.plan, self.signs
        refused = bool(plan.errors) and not plan.executed
        sign, style = (signs.done, "bold green") if plan.ok else (signs.wrong, "bold red")
        if not plan.ok and not refused and not plan.interrupted and (plan.moves or plan.role_moves or plan.maintenance):
            sign, style = signs.warning, "bold yellow"
        line = Text(f"{sign} ", style=style)
        line.append_text(signs.text(headline(plan, self.nodes), style))
        self._say(line)
        if (plan.moves or plan.maintenance or plan.survives_loss) and not refused:
            self._say(self._indented(signs.text(self._figures(), "dim")))

    def _figures(self) -> str:
        plan = self.plan
        if plan.kind == "failover":
            return FailoverParts(plan, self.signs, self.memory_mib).figures()
        if plan.kind == "migration":
            took = f"The migration took {duration(plan.makespan_s)}{self._against_forecast()}"
            return sentence(took if plan.executed else f"Forecast: {duration(plan.makespan_s)}")
        rolling = plan.kind == "rolling_maintenance"
        whose = "these moves allow" if plan.kind in ("repair", "resume") else "any choice of targets allows"
        whose = "any order of these nodes allows" if rolling else whose
        bound = f"the least {whose} is {duration(plan.lower_bound_s)}"
        what = "The run" if rolling else "The migrations"
        reserve = (
            f"The loss of {count(plan.reserve_nodes, 'further node')} stays covered"
            if plan.reserve_nodes
            else "The loss of a further node is not covered"
        )
        if not plan.executed:
            return sentence(f"Forecast: {duration(plan.makespan_s)}; {bound}", reserve)
        return sentence(f"{what} took {duration(plan.makespan_s)}{self._against_forecast()}; {bound}", reserve)

    def _against_forecast(self) -> str:
        if self.forecast_s is None or self.plan.interrupted:
            return ""
        off_s = self.plan.makespan_s - self.forecast_s
        if abs(off_s) < max(0.5, 0.01 * self.forecast_s):
            return ", as forecast"
        return (
            f", {duration(abs(off_s))} {'more' if off_s > 0 else 'less'} than the forecast {duration(self.forecast_s)}"
        )

    # -------------------------------------------------------------- small things

    def _title(self, title: str) -> None:
        self._say(Text())
        self._say(Text(title, style="bold"))

    def _indented(self, text: Text, left: int = 2) -> Text:
        """Wrapped to the width, every line indented alike."""
        lines = text.wrap(self.console, max(self.console.width - left, 20))
        return Text("\n").join(Text(" " * left) + line for line in lines)

    def _say(self, what: RenderableType) -> None:
        self.console.print(what, highlight=False)
