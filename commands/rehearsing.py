"""`shunter rehearse maintain`: the same run in many simulated nights, on all cores."""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import StringIO

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from shunter.commands import output
from shunter.commands.cluster_choice import cluster_of_file
from shunter.commands.rehearsal import P95, Outcome, Rehearsal, at_share
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
    outcomes = tuple(_all(script, range(seed, seed + nights)))
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


def _all(script: Script, seeds: Sequence[int]) -> Iterator[Outcome]:
    with _progress(len(seeds)) as advance:
        if len(seeds) <= NIGHTS_AT_A_TIME:
            for seed in seeds:
                yield script.spend(seed)
                advance()
            return
        with multiprocessing.get_context("spawn").Pool(os.cpu_count(), _learn, (script,)) as pool:
            for outcome in pool.imap(_spend, seeds, chunksize=NIGHTS_AT_A_TIME):
                yield outcome
                advance()


_learnt: list[Script] = []
"""In a process of the pool: the script, which is sent there once."""


def _learn(script: Script) -> None:
    _learnt[:] = [script]


def _spend(seed: int) -> Outcome:
    return _learnt[0].spend(seed)


def _replay(asked: Asked, cluster: str, faults: str, noise: float) -> str:
    options = [f"--maintenance-s {asked.maintenance_s:g}"]
    options += [f"--parallel {asked.parallel}"] if asked.parallel else []
    options += [f"--reserve-nodes {asked.reserve_nodes}"] if asked.reserve_nodes != "auto" else []
    options += [f"--prefer {asked.prefer}"] if asked.prefer != "time" else []
    options += [f"--window-s {asked.window_s:g}"] if asked.window_s else []
    options += [f"--failback {asked.failback}"] if asked.failback != "none" else []
    options += [f"--first {asked.first}"] if asked.first else []
    options += ["--one-fault-domain"] if asked.one_fault_domain else []
    nodes = "".join(f" {name}" for name in asked.nodes)
    night = f"--seed {{seed}} --faults {faults} --noise {noise:g} --log night.jsonl"
    return f"shunter simulate maintain{nodes} --cluster {cluster} {' '.join(options)} {night}"


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
    undone = sum(not outcome.done for outcome in found.outcomes)
    console.print(signs.text(_verdict(found, undone)), soft_wrap=True)
    if found.trouble:
        console.print(signs.text(f"What went wrong: {_troubles(found.trouble.most_common())}"), soft_wrap=True)
    console.print(signs.text("The worst night, once more:"), soft_wrap=True)
    console.print(signs.text("  " + found.replay.format(seed=found.worst.seed)), soft_wrap=True)


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), at_share(values, P95), max(values)


def _verdict(found: Rehearsal, undone: int) -> str:
    nights = len(found.outcomes)
    all_done = (
        "All planned nodes were done in every night"
        if not undone
        else (f"In {undone} of {count(nights, 'night')} not all planned nodes were done")
    )
    if found.window_s is None:
        return f"{all_done}."
    return f"{all_done}; {found.window_met:.0%} of the nights kept within the window of {duration(found.window_s)}."


def _troubles(kinds: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{kind.replace('_', ' ')} {times}" for kind, times in kinds)


@contextmanager
def _progress(nights: int) -> Iterator[partial[None]]:
    console = output.messages()
    columns = (TextColumn("rehearsing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield partial(progress.advance, progress.add_task("", total=nights))
