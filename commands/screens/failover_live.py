"""A failover while it goes on: how many VMs run again, which start where, what waits for what, what did not come up."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from shunter.commands.screens.rolling_live import bar
from shunter.commands.screens.words import Signs, clock, count, listed
from shunter.flows.restarts_seen import Fate, Restart, RestartsSeen, Wait
from shunter.flows.spoken import duration

MOST_STARTING, MOST_WAITS, MOST_TROUBLES, MOST_UP = 16, 5, 5, 8
LEAST_ROWS = 8


def failover_rows(seen: RestartsSeen, now_s: float, width: int, most: int, signs: Signs) -> list[RenderableType]:
    """Rows of at most `width` cells, at most so many of them, but never less than eight. `now_s`: the cluster's clock.

    Where there is little room, what is well is left out first.
    """
    most = max(most, LEAST_ROWS)
    troubled, starting, up = seen.troubled(), seen.at(Fate.STARTING, Fate.LOST_SIGHT), seen.at(Fate.RUNS)[::-1]
    troubles = _some([_trouble(vm, signs) for vm in troubled], min(MOST_TROUBLES, most // 4), "did not come up", signs)
    waits = _some([_wait(wait, now_s, signs) for wait in seen.waits()], min(MOST_WAITS, most // 4), "wait", signs)
    moving = [signs.text(f"{each} moves on live, to make room") for each in seen.making_room]
    above: list[RenderableType] = [*_total(seen, width, signs), Text(), *moving]
    room = most - len(above) - len(troubles) - len(waits)
    shown = starting[: max(min(MOST_STARTING, room - 1), 1)]
    rows: list[RenderableType] = [_table(shown, now_s, width, signs)] if shown else []
    if len(starting) > len(shown):
        rows.append(Text(f"and {count(len(starting) - len(shown), 'more VM')} starting", style="dim"))
    room -= len(shown) + (len(starting) > len(shown))
    ended = [up_line(vm, signs) for vm in up[: max(min(MOST_UP, room), 0)]]
    for line in (*moving, *troubles, *waits, *ended):
        line.truncate(width, overflow="ellipsis")
    return [*above, *troubles, *rows, *waits, *ended]


def up_line(vm: Restart, signs: Signs) -> Text:
    """ "✓ web-1 runs on N3, restarted by the cluster"."""
    if not vm.node or vm.node == vm.lost_with:
        how = f"{vm.vm} runs on {vm.lost_with}, " + ("started by this run" if vm.by_us else "where it was")
    else:
        how = f"{vm.vm} runs on {vm.node}, {'started by this run' if vm.by_us else 'restarted by the cluster'}"
    return Text(f"{signs.done} ", style="green") + signs.text(how, "dim")


def counts_told(seen: RestartsSeen) -> str:
    """ "2 of 4 VMs run again"."""
    return f"{seen.running} of {count(len(seen.vms), 'VM')} {'runs' if len(seen.vms) == 1 else 'run'} again"


def _total(seen: RestartsSeen, width: int, signs: Signs) -> list[Text]:
    share = seen.running / len(seen.vms) if seen.vms else 1.0
    line = bar(share, max(min(width // 3, 40), 8), signs)
    line.append(f"  {counts_told(seen)}" if seen.vms else "  nothing has failed", style="bold")
    for fate, style in (
        (Fate.STARTING, ""),
        (Fate.DOWN, "bold red"),
        (Fate.LOST_SIGHT, "bold red"),
        (Fate.OUT_OF_SIGHT, "yellow"),
        (Fate.STOPPED, "yellow"),
    ):
        if number := len(seen.at(fate)):
            line.append(f", {number} {fate}", style=style)
    line.truncate(width, overflow="ellipsis")
    lines = [line]
    if seen.unwanted:
        told = f"{listed(seen.unwanted)} of priority 0 {'is' if len(seen.unwanted) == 1 else 'are'} not started"
        lines.append(signs.text(told, "dim"))
        lines[-1].truncate(width, overflow="ellipsis")
    return lines


def _table(restarts: Sequence[Restart], now_s: float, width: int, signs: Signs) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=max(width // 4, 10), style="bold")
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True, overflow="ellipsis", style="dim")
    for vm in restarts:
        doubtful = vm.fate is Fate.LOST_SIGHT
        what = f"asked to start on {vm.node}; lost sight, looking" if doubtful else f"starting on {vm.node}"
        usual = f", about {duration(vm.estimate_s)} usually" if vm.estimate_s else ""
        table.add_row(
            signs.text(vm.vm),
            signs.text(what, "bold red" if doubtful else ""),
            Text(f"for {clock(now_s - vm.since_s)}{usual}"),
        )
    return table


def _wait(wait: Wait, now_s: float, signs: Signs) -> Text:
    left = f", {clock(wait.until_s - now_s)} more at most" if isfinite(wait.until_s) else ""
    return signs.text(f"  {wait.told(left)}", "yellow")


def _trouble(vm: Restart, signs: Signs) -> Text:
    """All nodes, and the latest reason."""
    why = list(vm.not_on.values())[-1]
    told = f"{signs.wrong} {vm.vm} did not come up on {listed(tuple(vm.not_on))}" + (f": {why}" if why else "")
    return signs.text(told, "bold red")


def _some(lines: list[Text], most: int, what: str, signs: Signs) -> list[Text]:
    most = max(most, 1)
    if len(lines) <= most:
        return lines
    shown = lines[: most - 1]
    return [*shown, signs.text(f"  … and {len(lines) - len(shown)} more {what}", "dim")]
