"""`status`: how a cluster stands, at a glance."""

# ruff: noqa: PLC0415  (what a command needs is imported when it runs, so that help comes at once)
from __future__ import annotations

from shunter.commands.apps import EXIT_CODES, app
from shunter.commands.options import ClusterName, Json


@app.command("status", epilog=EXIT_CODES, short_help="How does this cluster stand, and what is wrong?")
def status(cluster: ClusterName, *, as_json: Json = False) -> None:
    """Show how a cluster stands: what is wrong and what to do, each node with its state, who paused it, its VMs and
    memory and what its loss would mean, quorum, migrations, volumes, backups and storage jobs. Touches nothing.

    Ends with 0 where nothing is wrong, and with 1 where something is. Of a cluster file it needs no Prefect server.

    Example: shunter status --cluster prod-1

    Example: shunter status --cluster prod-1.json --json
    """
    from shunter.commands import exits, glancing

    exits.leave(lambda: glancing.glance(cluster, as_json=as_json))
