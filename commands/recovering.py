"""`shunter recover`: lists what dead runs have left behind, and gives it back if that is wanted."""

# ruff: noqa: PLC0415  (Prefect reads its settings while it is imported: not before they are made)
from __future__ import annotations

import asyncio
import sys

import typer

from shunter.commands import output
from shunter.commands.cluster_choice import is_file
from shunter.commands.running import wait_for_prefect
from shunter.flows.settings import prefect_at_hand
from shunter.flows.spoken import count, together
from shunter.topology.errors import RequestError
from shunter.topology.recovery import LeftBehind


def recover(cluster: str, *, yes: bool, as_json: bool) -> LeftBehind:
    """Raises RequestError, Unreachable and PrefectUnreachable."""
    if is_file(cluster):
        raise RequestError(
            f"{cluster}: a cluster that starts from a file ends with its run, which can leave nothing behind; give the "
            "name of a registered cluster"
        )
    with prefect_at_hand(quiet=True) as prefect:
        wait_for_prefect(prefect, output.messages())
        with asyncio.Runner() as runner:
            return runner.run(_recovered(cluster, yes=yes, as_json=as_json))


async def _recovered(cluster: str, *, yes: bool, as_json: bool) -> LeftBehind:
    from shunter.flows.recovery import Recovery

    async with Recovery.opened(cluster) as recovery:
        left = recovery.left
        if not as_json or not yes:
            _show(left, as_json=as_json)
        if left.ok or not (yes or _is_wanted(as_json=as_json)):
            return left
        after = await recovery.give_back(cluster)
    if as_json:
        _show(after, as_json=True)
    else:
        for line in _lines(after):
            output.results().print(line, markup=False, soft_wrap=True)
    return after


def _is_wanted(*, as_json: bool) -> bool:
    """Nobody is asked who cannot answer."""
    if as_json or not sys.stdin.isatty():
        return False
    return typer.confirm("Give all of it back?", err=True)


def _show(left: LeftBehind, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.buffer.write(left.to_json().encode() + b"\n")
        sys.stdout.flush()
        return
    console = output.results()
    for line in _lines(left):
        console.print(line, markup=False, soft_wrap=True)


def _lines(left: LeftBehind) -> list[str]:
    if left.ok:
        return [f"{left.cluster}: no dead run has left anything behind."]
    lines = [f"{left.cluster}: {count(len(left.runs), 'dead run')}, {count(len(left.nodes), 'node')} left paused."]
    for run in left.runs:
        held = f"its locks keep {together(run.held)} from others" if run.held else "it holds nothing"
        lines.append(f"  {run.name}: {run.why}; {held}")
    for half in left.nodes:
        vms = f"{together(half.vms)} still there" if half.vms else "nothing runs on it"
        lines.append(f"  {half.node}: paused by {half.run}, which did not finish; {vms}")
    return lines
