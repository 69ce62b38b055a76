"""`failover`, `simulate failover`: nodes that are lost, and what the cluster leaves lying."""

# ruff: noqa: PLC0415  (what a command needs is imported when it runs, so that help comes at once)
from __future__ import annotations

from shunter.commands.apps import EXIT_CODES, app, simulate
from shunter.commands.options import (
    ClusterFile,
    ClusterName,
    Faults,
    Html,
    Json,
    Log,
    LostNodes,
    Noise,
    Out,
    Seed,
    Speed,
    Svg,
)


@app.command(epilog=EXIT_CODES, short_help="Bring to run what was lost with nodes.")
def failover(
    nodes: LostNodes,
    cluster: ClusterName,
    *,
    speed: Speed = None,
    log: Log = None,
    out: Out = None,
    as_json: Json = False,
    svg: Svg = None,
    html: Html = None,
) -> None:
    """See to it that everything that ran on lost nodes runs again: the cluster restarts VMs by itself and is waited
    for; what it leaves failed is started where it fits, the most important first.

    A node that is up, or only isolated, is not lost: nothing of it is started. What would happen if a node were lost:
    shunter plan failover.

    Example: shunter failover N3 --cluster prod-1
    """
    from shunter.commands import exits, jobs, running
    from shunter.commands.output import Pictures

    exits.leave(
        lambda: running.run(
            jobs.failover(nodes, cluster, speed=speed, log=log),
            as_json=as_json,
            pictures=Pictures(svg, html),
            out=out,
        )
    )


@simulate.command("failover", epilog=EXIT_CODES)
def simulate_failover(
    nodes: LostNodes,
    cluster: ClusterFile,
    *,
    seed: Seed = 0,
    faults: Faults = "none",
    noise: Noise = 0.0,
    log: Log = None,
    as_json: Json = False,
    svg: Svg = None,
    html: Html = None,
) -> None:
    """Lose these nodes all at once, in virtual time, and see what becomes of their VMs. Seeds as in simulate evacuate.

    Example: shunter simulate failover N2 --cluster prod-1.json --faults some --log loss.jsonl
    """
    from shunter.commands import exits, simulating
    from shunter.commands.output import Pictures

    weather = simulating.Weather(seed, faults, noise, log)
    exits.leave(lambda: simulating.failover(nodes, cluster, weather, as_json=as_json, pictures=Pictures(svg, html)))
