"""`watch`, `simulate watch`: what happens to a cluster, told once."""

# ruff: noqa: PLC0415  (what a command needs is imported when it runs, so that help comes at once)
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

import typer

from shunter.commands.apps import EXIT_CODES, app, simulate
from shunter.commands.options import ClusterFile, ClusterName, Faults, Log, Noise, Seed, Speed

LONGEST_S = 366 * 86_400.0


def _seconds(least: float, most: float) -> Callable[[str | float], float]:
    def parsed(given: str | float) -> float:
        try:
            seconds = float(given)  # the default comes here too
        except ValueError:
            seconds = math.nan
        if not least <= seconds <= most:
            raise typer.BadParameter(f"{str(given)[:60]!r} is not a number of seconds from {least:g} to {most:.0f}")
        return seconds

    return parsed


def _on_node_lost(text: str) -> str:
    if text not in ("nothing", "failover"):
        raise typer.BadParameter(f"{text[:60]!r} is none of nothing, failover")
    return text


ForS = Annotated[
    float | None,
    typer.Option(
        "--for-s",
        metavar="S",
        parser=_seconds(0, LONGEST_S),
        help="How long, in the cluster's seconds. Left out: until Ctrl-C.",
        show_default=False,
    ),
]
SimulatedForS = Annotated[
    float,
    typer.Option("--for-s", metavar="S", parser=_seconds(0, LONGEST_S), help="How long, in the cluster's seconds."),
]
Once = Annotated[bool, typer.Option("--once", help="Look once, tell what is wrong, and end.")]
OnNodeLost = Annotated[
    str,
    typer.Option(
        "--on-node-lost",
        metavar="nothing|failover",
        parser=_on_node_lost,
        help="failover: once the cluster itself has declared a node down, bring to run what it leaves lying.",
    ),
]
LookEveryS = Annotated[
    float,
    typer.Option(
        "--look-every-s",
        metavar="S",
        parser=_seconds(1, 86_400),
        help="Look at least so often; what the cluster says has changed is looked at anyway.",
    ),
]
BackupLimitS = Annotated[
    float,
    typer.Option(
        "--backup-limit-s",
        metavar="S",
        parser=_seconds(60, 30 * 86_400),
        help="A backup that runs for longer is told of.",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="One JSON document on standard output, at the end, and nothing else there.")
]
JsonLines = Annotated[
    bool, typer.Option("--json-lines", help="A line of JSON on standard output for each occurrence, as it is seen.")
]


@app.command("watch", epilog=EXIT_CODES, short_help="Tell what happens to a cluster, each thing once.")
def watch(
    cluster: ClusterName,
    *,
    for_s: ForS = None,
    once: Once = False,
    on_node_lost: OnNodeLost = "nothing",
    look_every_s: LookEveryS = 30.0,
    backup_limit_s: BackupLimitS = 4 * 3600.0,
    speed: Speed = None,
    log: Log = None,
    as_json: Json = False,
    json_lines: JsonLines = False,
) -> None:
    """Watch nodes, VMs, volumes, backups, migrations that others start, drift, N+1 and quorum. What changes is told
    once; of what changes again and again only that it does, until it has been quiet for ten minutes. Touches nothing
    by itself.

    Ends with 1 where something of severity error stands at the end. Ctrl-C ends it. One look at a cluster file needs
    no Prefect server.

    Example: shunter watch --cluster prod-1

    Example: shunter watch --cluster prod-1 --once --json
    """
    from shunter.commands import exits, watching

    asked = watching.Asked(
        cluster,
        _how_long(for_s, once=once),
        on_node_lost,
        look_every_s,
        backup_limit_s,
        _how(as_json, json_lines),
        log,
    )
    exits.leave(lambda: watching.run(asked, speed))


@simulate.command("watch", epilog=EXIT_CODES)
def simulate_watch(
    cluster: ClusterFile,
    *,
    for_s: SimulatedForS = 3600.0,
    on_node_lost: OnNodeLost = "nothing",
    look_every_s: LookEveryS = 30.0,
    backup_limit_s: BackupLimitS = 4 * 3600.0,
    seed: Seed = 0,
    faults: Faults = "none",
    noise: Noise = 0.0,
    log: Log = None,
    as_json: Json = False,
    json_lines: JsonLines = False,
) -> None:
    """Watch a simulated cluster in virtual time, with everything that may go wrong: what would be told, and when.

    Example: shunter simulate watch --cluster prod-1.json --seed 7 --faults many --for-s 7200
    """
    from shunter.commands import exits, simulating, watching

    asked = watching.Asked(cluster, for_s, on_node_lost, look_every_s, backup_limit_s, _how(as_json, json_lines), log)
    exits.leave(lambda: watching.simulate(asked, simulating.Weather(seed, faults, noise, log)))


def _how_long(for_s: float | None, *, once: bool) -> float | None:
    if once and for_s is not None:
        raise typer.BadParameter("--once is one look; leave --for-s out")
    return 0.0 if once else for_s


def _how(as_json: bool, json_lines: bool) -> str:
    if as_json and json_lines:
        raise typer.BadParameter("--json is one document at the end, --json-lines a line for each; give one of them")
    return "json" if as_json else "json_lines" if json_lines else "text"
