"""`recover`: what dead runs left behind, given back on a yes."""

# ruff: noqa: PLC0415  (what a command needs is imported when it runs, so that help comes at once)
from __future__ import annotations

from typing import Annotated

import typer

from shunter.commands.apps import EXIT_CODES, app
from shunter.commands.options import ClusterName, Json

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Give everything back without asking.")]


@app.command("recover", epilog=EXIT_CODES, short_help="What dead runs left behind, given back on a yes.")
def recover(cluster: ClusterName, *, yes: Yes = False, as_json: Json = False) -> None:
    """List what runs that died have left on a cluster: locks that keep nodes from others, nodes that they paused and
    half emptied. On a yes the locks end, and the nodes are proven healthy and take VMs again.

    To go on with what a dead run had begun, simply start it again: it takes over what the dead one held.

    Ends with 0 where nothing is left, and with 1 where something is.

    Example: shunter recover --cluster prod-1
    """
    from shunter.commands import exits, recovering

    exits.leave(lambda: recovering.recover(cluster, yes=yes, as_json=as_json))
