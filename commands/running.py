"""`shunter evacuate`, `repair`, `migrate`: a Prefect flow, run here, with its live display, Ctrl-C and report."""

# ruff: noqa: PLC0415  (Prefect reads its settings while it is imported: not before they are made)
from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from shunter.commands import output, streams
from shunter.commands.cluster_choice import cluster_of_file, is_file
from shunter.commands.interrupts import spare
from shunter.commands.jobs import Job
from shunter.commands.output import can_redraw
from shunter.commands.run_thread import run_beside
from shunter.commands.screens.plan import PlanScreen
from shunter.commands.screens.run_view import RunView
from shunter.commands.screens.words import signs_of
from shunter.commands.seeing_through import Seen
from shunter.flows.run_folder import PAGE, Keep
from shunter.flows.settings import PrefectAtHand, prefect_at_hand
from shunter.topology.model import Cluster
from shunter.topology.plan import Plan
from shunter.topology.preflight import about_to_be_mended, with_requirements

REPORT_FOLLOWS = "the run is over; its report follows"


def run(job: Job, *, as_json: bool, pictures: output.Pictures, out: Path | None = None) -> Plan:
    """Carry it out and show the report. `out`: the folder in which it is kept.

    Raises RequestError, Unreachable and PrefectUnreachable.
    """
    seen = cluster_of_file(job.cluster) if is_file(job.cluster) else None
    plan = about_to_be_mended(with_requirements(seen, job.plan(seen))) if seen else None
    if plan is not None:
        pictures.draw(plan, job.nodes)  # finds out before the first move whether they can be written
    if plan is not None and job.is_in_vain(plan):
        output.show(plan, job.nodes, seen, as_json=as_json)
        return plan
    keep = Keep()
    with keep.claimed(out) if out is not None else nullcontext():
        report, forecast_s = carry_out(job, seen, plan, keep)
    output.show(report, job.nodes, seen, as_json=as_json, forecast_s=forecast_s)
    leave(report, job.nodes, keep, pictures, forecast_s)
    return report


def carry_out(job: Job, seen: Cluster | None, plan: Plan | None, keep: Keep) -> tuple[Plan, float | None]:
    """Run the flow; return its report and what had been forecast. `seen` and `plan` are shown while Prefect starts.

    From the start of the run on, a request to end ends nothing: the report of a run must not get lost.
    """
    console = output.messages()
    with prefect_at_hand(quiet=True) as prefect:
        if plan is not None:
            PlanScreen.of(plan, job.nodes, console, seen).print()
        wait_for_prefect(prefect, console)
        spare(REPORT_FOLLOWS)
        view = RunView(time.monotonic, job.speed or 1.0)
        report = run_beside(lambda requests: Seen(job, view, console, requests, keep, prefect).report())
    return report, view.plan.makespan_s if view.plan else None


def leave(
    report: Plan, nodes: Sequence[str], keep: Keep, pictures: output.Pictures, forecast_s: float | None = None
) -> None:
    """Once the report is shown: draw it, and say where it is kept, last of all. No disk that is full undoes a run."""
    if pictures.html is not None and keep.folder is not None:
        pictures = replace(pictures, also=keep.folder / PAGE)
    for wrong in pictures.drawn_if_possible(report, nodes, forecast_s):
        output.complain(wrong)
    lost = streams.unwritten() if report.executed else None
    if lost is not None:
        output.complain(f"{lost}; what is missing there is in the report that was kept")
    if keep.folder is not None:
        output.say(f"Report, plan and log are kept in {keep.folder}")


def wait_for_prefect(prefect: PrefectAtHand, console: Console) -> None:
    """Return once the flows are imported and their server is there; say what is waited for, and since when."""
    whose = "an embedded Prefect server starts, usually in 15 s" if prefect.embedded else f"asking {prefect.shown}"
    what = f"waiting for Prefect: {whose}"
    signs = signs_of(console)

    def tell(text: str) -> None:
        console.print(signs.plain(text), soft_wrap=True, markup=False)

    with ExitStack() as stack:
        if can_redraw(console):
            stack.enter_context(console.status(escape(signs.plain(what))))
        else:
            tell(what)
        if prefect.embedded is None:
            prefect.wait_until_ready(tell)  # before anything that takes time
        import shunter.flows.evacuate  # noqa: F401  takes a second or two, which an embedded server needs anyway

        if prefect.embedded is not None:
            prefect.wait_until_ready(tell)
