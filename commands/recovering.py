"""`shunter recover`: lists what dead runs have left behind, and gives it back if that is wanted."""

# ruff: noqa: PLC0415  (Prefect reads its settings while it is imported: not before they are made)
from __future__ import annotations

import sys

import typer

from shunter.commands import output
from shunter.commands.cluster_choice import is_file
from shunter.commands.run_thread import run_beside
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
        from shunter.flows.recovery import give_back, left_behind

        left = run_beside(lambda _: left_behind(cluster))
        if not as_json:
            _show(left, as_json=False)
        if not left.ok and (yes or _is_wanted(as_json=as_json)):
            left = run_beside(lambda _: give_back(cluster))
            if not as_json:
                _show(left, as_json=False)
    if as_json:
        _show(left, as_json=True)
    return left


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
