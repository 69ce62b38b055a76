"""`shunter rehearse maintain`: the same run in many simulated nights, on all cores."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from io import StringIO

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from shunter.commands import output
from shunter.commands.caution import options_of
from shunter.commands.cluster_choice import cluster_of_file
from shunter.commands.interrupts import ignored
from shunter.commands.rehearsal import P95_PERCENT, Outcome, Rehearsal, at_percent
from shunter.commands.rolling import Asked, searching
from shunter.commands.screens.words import signs_of
from shunter.commands.simulating import Weather, maintenance_night
from shunter.engine.audience import Nobody
from shunter.flows.spoken import count, duration
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.preflight import with_requirements
from shunter.topology.rolling import forecast
from shunter.topology.rolling.strategy import Strategy

NIGHTS_AT_A_TIME = 4
A_LINE_EVERY_S = 10.0
OBJECTS_BETWEEN_SEARCHES = 50_000


def rehearse(
    asked: Asked, cluster: str, *, nights: int, seed: int, faults: str, noise: float, as_json: bool
) -> Plan | Rehearsal:
    """Show what the nights came to. Where the plan is refused there is nothing to rehearse. Raises RequestError."""
    seen = cluster_of_file(cluster)
    with searching() as progress:
        planned = forecast(seen, asked.nodes, asked.policy, progress)
    plan = with_requirements(seen, planned[0])
    if plan.errors or not plan.maintenance:
        output.show(plan, (), seen, as_json=as_json)
        return plan
    maintenance_night(seen, asked, Weather(seed, faults, noise, None), planned).faults()  # a bad plan is found at once
    script = Script(seen, asked, faults, noise, planned)
    with closing(_all(script, range(seed, seed + nights))) as spent:
        outcomes = tuple(spent)
    found = Rehearsal(seen.name, plan, seed, asked.window_s, _replay(asked, cluster, faults, noise), outcomes)
    if as_json:
        sys.stdout.buffer.write(found.to_json().encode() + b"\n")
        sys.stdout.flush()
    else:
        _show(found)
    return found


@dataclass(frozen=True, slots=True)
class Script:
    """What all nights have in common."""

    cluster: Cluster
    asked: Asked
    faults: str
    noise: float
    planned: tuple[Plan, Strategy]

    def spend(self, seed: int) -> Outcome:
        try:
            return self._spent(seed)
        except Exception as error:
            error.add_note(f"in the night of seed {seed}")
            raise

    def _spent(self, seed: int) -> Outcome:
        witness = StringIO()
        night = maintenance_night(self.cluster, self.asked, Weather(seed, self.faults, self.noise, None), self.planned)
        report = night.spend(Nobody(), witness)
        happened = [json.loads(line)["do"] for line in witness.getvalue().splitlines() if '"fault_injected"' in line]
        done = {turn.node for turn in report.maintenance if turn.outcome == "done"}
        return Outcome(
            seed=seed,
            total_s=report.makespan_s,
            moves=len(report.moves),
            done=all(turn.node in done for turn in self.planned[0].maintenance),
            trouble=tuple(happened),
        )


def _all(script: Script, seeds: Sequence[int]) -> Generator[Outcome, None, None]:
    """In the order of the seeds, on however many cores there are."""
    with _progress(len(seeds)) as advance:
        if len(seeds) <= NIGHTS_AT_A_TIME:
            for seed in seeds:
                yield script.spend(seed)
                advance()
            return
        cores = min(os.cpu_count() or 1, -(-len(seeds) // NIGHTS_AT_A_TIME))
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(cores, spawn, _learn, (script,)) as pool:
            with ignored():
                outcomes = pool.map(_spend, seeds, chunksize=NIGHTS_AT_A_TIME)
            try:
                for outcome in outcomes:
                    yield outcome
                    advance()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C: those that are begun end soon
                raise


_learnt: list[Script] = []
"""In a process of the pool: the script, which is sent there once."""


def _learn(script: Script) -> None:
    _learnt[:] = [script]
    search_garbage_seldom()


def search_garbage_seldom() -> None:
    """For a process that spends night after night: what is there by now stays, and what a night leaves is little.

    Python would search through it so often that it took a tenth of the time.
    """
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN_SEARCHES)


def _spend(seed: int) -> Outcome:
    return _learnt[0].spend(seed)


def _replay(asked: Asked, cluster: str, faults: str, noise: float) -> str:
    """The command that spends one night, but for its seed."""
    options = ["--cluster", cluster, "--maintenance-s", f"{asked.maintenance_s:g}"]
    options += ["--parallel", str(asked.parallel)] if asked.parallel else []
    options += ["--reserve-nodes", str(asked.reserve_nodes)] if asked.reserve_nodes != "auto" else []
    options += ["--prefer", asked.prefer] if asked.prefer != "time" else []
    options += ["--window-s", f"{asked.window_s:g}"] if asked.window_s else []
    options += ["--failback", asked.failback] if asked.failback != "none" else []
    options += ["--first", asked.first] if asked.first else []
    options += ["--apart", asked.apart] if asked.apart else []
    options += ["--one-fault-domain"] if asked.one_fault_domain else []
    options += options_of(asked.precautions)
    options += ["--faults", faults, "--noise", f"{noise:g}", "--log", "night.jsonl"]
    return shlex.join(["shunter", "simulate", "maintain", *asked.nodes, *options])


def _show(found: Rehearsal) -> None:
    console = output.results()
    signs = signs_of(console)
    totals, moves = [o.total_s for o in found.outcomes], [float(o.moves) for o in found.outcomes]
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in ("", "forecast", "median", "95 % within", "worst"):
        table.add_column(column, justify="left" if not column else "right")
    table.add_row("total time", duration(found.plan.makespan_s), *(duration(value) for value in _spread(totals)))
    table.add_row("moves", str(len(found.plan.moves)), *(f"{value:.0f}" for value in _spread(moves)))
    console.print(signs.text(f"{count(len(found.outcomes), 'night')} of {found.cluster}, rehearsed", "bold"))
    console.print()
    console.print(table)
    console.print()
    console.print(signs.text(_verdict(found)), soft_wrap=True)
    if found.trouble:
        console.print(signs.text(f"What went wrong: {_troubles(found.trouble.most_common())}"), soft_wrap=True)
    nights = {"The longest night": found.worst}
    if found.undone and found.undone[0] != found.worst:
        nights["The longest in which not all nodes were done"] = found.undone[0]
    for which, outcome in nights.items():
        console.print(signs.text(f"{which}, once more:"), soft_wrap=True)
        console.print(signs.text("  " + found.replay_of(outcome)), soft_wrap=True)


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), at_percent(values, P95_PERCENT), max(values)


def _verdict(found: Rehearsal) -> str:
    nights, undone = len(found.outcomes), len(found.undone)
    all_done = (
        "All planned nodes were done in every night"
        if not undone
        else f"In {undone} of {count(nights, 'night')} not all planned nodes were done"
    )
    if found.window_s is None:
        return f"{all_done}."
    in_time = f"in {100 * found.window_met:.0f} % of the nights everything was done within the window"
    return f"{all_done}; {in_time} of {duration(found.window_s)}."


def _troubles(kinds: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{kind.replace('_', ' ')} {times}" for kind, times in kinds)


@contextmanager
def _progress(nights: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, else a line now and then."""
    console = output.messages()
    if not console.is_terminal:
        yield _Lines(nights).advance
        return
    columns = (TextColumn("rehearsing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=nights)
        yield lambda: progress.advance(task)


@dataclass(slots=True)
class _Lines:
    """How far the rehearsal is, where a bar cannot be drawn."""

    nights: int
    done: int = 0
    said_s: float = field(default_factory=time.monotonic)

    def advance(self) -> None:
        self.done += 1
        if time.monotonic() - self.said_s >= A_LINE_EVERY_S:
            self.said_s = time.monotonic()
            output.messages().print(f"rehearsing: {self.done} of {count(self.nights, 'night')}", soft_wrap=True)
