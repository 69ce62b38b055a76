"""`runs`, `report`: the folders that runs have left."""

# ruff: noqa: PLC0415  (what a command needs is imported when it runs, so that help comes at once)
from __future__ import annotations

from typing import Annotated

import typer

from shunter.commands.apps import EXIT_CODES, app
from shunter.commands.options import Html, Json

Id = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="A name that shunter runs shows, a part of one, the id of the flow run, a folder, or last.",
        show_default=False,
    ),
]


@app.command("runs", epilog=EXIT_CODES, short_help="The runs that were kept on this machine.")
def runs(*, as_json: Json = False) -> None:
    """List the runs that have left a folder on this machine, the newest first: what, where, how it ended.

    Nothing is ever deleted; a folder that is not wanted any more may simply be removed.

    Example: shunter runs
    """
    from shunter.commands import exits, reporting

    exits.leave(lambda: reporting.runs(as_json=as_json))


@app.command("report", epilog=EXIT_CODES, short_help="Show the report of a run again.")
def report(run: Id, *, as_json: Json = False, html: Html = None) -> None:
    """Show the report of a run again, from the folder that it left.

    Ends with 0 if there is one; with 1 if the run goes on or left none; with 4 if it died, and with what it had said.

    Example: shunter report last --html report.html
    """
    from shunter.commands import exits, reporting

    exits.leave(lambda: reporting.report(run, as_json=as_json, html=html))
