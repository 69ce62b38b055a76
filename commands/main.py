"""`shunter`: the command line. What a command needs is imported when it runs, so that help and plans come at once."""

# ruff: noqa: PLC0415  (see above)
from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from shunter.commands.apps import EXIT_CODES, app, plan, simulate
from shunter.commands.options import (
    BackupLimitS,
    Backups,
    ClusterFile,
    ClusterName,
    Demo,
    Faults,
    Html,
    Json,
    Log,
    LostNodes,
    Nodes,
    Noise,
    Out,
    RefreshDrifted,
    Reserve,
    Seed,
    Speed,
    Svg,
    Target,
    Vm,
)

if TYPE_CHECKING:
    from shunter.topology.choosing import ReserveNodes


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"shunter {version('shunter')}")
        raise typer.Exit


@app.callback()
def _shunter(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command(epilog=EXIT_CODES, short_help="Watch a simulated cluster being evacuated, or maintained.")
def demo(what: Demo = "evacuate", *, out: Out = None) -> None:
    """Watch a simulated cluster, live; then read the report.

    evacuate (the default): two nodes are emptied. maintain: the whole cluster is taken through its maintenance, about
    60 times as fast as in real life; one node comes back late and a migration fails, and the run copes.

    The real flow runs, on a Prefect server of its own that is gone afterwards. Takes about a minute and leaves plan,
    report, picture, witness log and cluster file in the folder shunter-report (or shunter-report-2, if that is there).

    Example: shunter demo

    Example: shunter demo maintain
    """
    from shunter.commands import demo as showing
    from shunter.commands import exits

    exits.leave(lambda: showing.demo(what, out))


@app.command(epilog=EXIT_CODES, short_help="Is this cluster fit for live migration?")
def check(cluster: ClusterName, *, as_json: Json = False, html: Html = None) -> None:
    """Check everything that can be seen before a run: nodes, networks, storage, quorum, VMs that nobody else can take,
    and for each node whether its VMs would restart if it were lost. Touches nothing.

    Ends with 3 where something stands against every run on this cluster.

    Example: shunter check --cluster prod-1.json
    """
    from shunter.commands import checking, exits

    exits.leave(lambda: checking.check(cluster, as_json=as_json, html=html))


@app.command(epilog=EXIT_CODES, short_help="May this VM go to that node, and if not, why not?")
def why(vm: Vm, node: Target, cluster: ClusterName, *, as_json: Json = False) -> None:
    """Say whether this VM may go to that node now; if not, every reason, what would have to change, and whether moving
    others would help. Touches nothing.

    Ends with 0 for yes and 1 for no.

    Example: shunter why db-1 N3 --cluster prod-1.json
    """
    from shunter.commands import asking, exits

    exits.leave(lambda: asking.ask(vm, node, cluster, as_json=as_json))


@plan.command("evacuate", epilog=EXIT_CODES)
def plan_evacuate(
    nodes: Nodes,
    cluster: ClusterName,
    *,
    reserve_nodes: Reserve = "auto",
    backups: Backups = "hold",
    backup_limit_s: BackupLimitS = 3600.0,
    refresh_drifted: RefreshDrifted = False,
    as_json: Json = False,
    svg: Svg = None,
    html: Html = None,
) -> None:
    """Show what would move where, when and why if these nodes were emptied; what cannot, and why not.

    Example: shunter plan evacuate N1 N2 --cluster prod-1.json --svg plan.svg
    """
    from shunter.commands import exits, planning
    from shunter.commands.caution import precautions
    from shunter.commands.output import Pictures

    exits.leave(
        lambda: planning.evacuation(
            nodes,
            cluster,
            reserve_nodes=cast("ReserveNodes", reserve_nodes),
            precautions=precautions(backups, backup_limit_s, refresh_drifted),
            as_json=as_json,
            pictures=Pictures(svg, html),
        )
    )


@plan.command("failover", epilog=EXIT_CODES)
def plan_failover(
    nodes: LostNodes,
    cluster: ClusterName,
    *,
    as_json: Json = False,
    svg: Svg = None,
    html: Html = None,
) -> None:
    """Show what would happen if these nodes were lost now, all at once: which VMs restart where and in which order,
    which do not and why, and what is then no longer protected.

    Example: shunter plan failover N2 --cluster prod-1.json
    """
    from shunter.commands import exits, planning
    from shunter.commands.output import Pictures

    exits.leave(lambda: planning.failover(nodes, cluster, as_json=as_json, pictures=Pictures(svg, html)))


@plan.command("repair", epilog=EXIT_CODES)
def plan_repair(
    cluster: ClusterName,
    *,
    reserve_nodes: Reserve = "auto",
    as_json: Json = False,
    svg: Svg = None,
    html: Html = None,
) -> None:
    """Show the fewest moves after which no VM stands where a rule or a lack of memory forbids it, and in which order.

    Example: shunter plan repair --cluster prod-1.json
    """
    from shunter.commands import exits, planning
    from shunter.commands.output import Pictures

    reserve = cast("ReserveNodes", reserve_nodes)
    exits.leave(lambda: planning.repair(cluster, reserve_nodes=reserve, as_json=as_json, pictures=Pictures(svg, html)))


@app.command(epilog=EXIT_CODES, short_help="Empty nodes, live.")
def evacuate(
    nodes: Nodes,
    cluster: ClusterName,
    *,
    reserve_nodes: Reserve = "auto",
    backups: Backups = "hold",
    backup_limit_s: BackupLimitS = 3600.0,
    refresh_drifted: RefreshDrifted = False,
    speed: Speed = None,
    undo_pause: Annotated[
        bool, typer.Option("--undo-pause", help="If stopped early, resume the nodes that this run paused.")
    ] = False,
    log: Log = None,
    out: Out = None,
    as_json: Json = False,
    svg: Svg = None,
    html: Html = None,
) -> None:
    """Empty these nodes: pause them, move their VMs live, hand over what does not run, then look.

    A VM that fits nowhere keeps running where it is. The nodes stay paused afterwards. Ctrl-C once: nothing new
    starts, running migrations finish. Ctrl-C again: running migrations are called off.

    Example: shunter evacuate N1 --cluster prod-1.json --speed 10
    """
    from shunter.commands import exits, jobs, running
    from shunter.commands.caution import precautions
    from shunter.commands.output import Pictures

    exits.leave(
        lambda: running.run(
            jobs.evacuation(
                nodes,
                cluster,
                reserve_nodes=cast("ReserveNodes", reserve_nodes),
                precautions=precautions(backups, backup_limit_s, refresh_drifted),
                speed=speed,
                undo_pause=undo_pause,
                log=log,
            ),
            as_json=as_json,
            pictures=Pictures(svg, html),
            out=out,
        )
    )


@app.command(epilog=EXIT_CODES, short_help="Bring a cluster in order, live.")
def repair(
    cluster: ClusterName,
    *,
    reserve_nodes: Reserve = "auto",
    speed: Speed = None,
    log: Log = None,
    out: Out = None,
    as_json: Json = False,
    svg: Svg = None,
    html: Html = None,
) -> None:
    """Make the fewest live moves after which no VM stands where a rule or a lack of memory forbids it.

    What cannot be mended stays as it is, with the reasons. Ctrl-C as in evacuate.

    Example: shunter repair --cluster prod-1.json --speed 10
    """
    from shunter.commands import exits, jobs, running
    from shunter.commands.output import Pictures

    reserve = cast("ReserveNodes", reserve_nodes)
    exits.leave(
        lambda: running.run(
            jobs.repair(cluster, reserve_nodes=reserve, speed=speed, log=log),
            as_json=as_json,
            pictures=Pictures(svg, html),
            out=out,
        )
    )


@app.command(epilog=EXIT_CODES, short_help="Move one VM, live.")
def migrate(
    vm: Vm,
    node: Target,
    cluster: ClusterName,
    *,
    backups: Backups = "hold",
    backup_limit_s: BackupLimitS = 3600.0,
    refresh_drifted: RefreshDrifted = False,
    speed: Speed = None,
    log: Log = None,
    out: Out = None,
    as_json: Json = False,
    svg: Svg = None,
    html: Html = None,
) -> None:
    """Move one running VM to a node of your choice, without interrupting it. Why it may not go: shunter why.

    Example: shunter migrate web-1 N3 --cluster prod-1.json
    """
    from shunter.commands import exits, jobs, running
    from shunter.commands.caution import precautions
    from shunter.commands.output import Pictures

    heeded = precautions(backups, backup_limit_s, refresh_drifted)
    exits.leave(
        lambda: running.run(
            jobs.migration(vm, node, cluster, precautions=heeded, speed=speed, log=log),
            as_json=as_json,
            pictures=Pictures(svg, html),
            out=out,
        )
    )


@simulate.command("evacuate", epilog=EXIT_CODES)
def simulate_evacuate(
    nodes: Nodes,
    cluster: ClusterFile,
    *,
    seed: Seed = 0,
    faults: Faults = "none",
    noise: Noise = 0.0,
    log: Log = None,
    reserve_nodes: Reserve = "auto",
    backups: Backups = "hold",
    backup_limit_s: BackupLimitS = 3600.0,
    refresh_drifted: RefreshDrifted = False,
    as_json: Json = False,
    svg: Svg = None,
    html: Html = None,
) -> None:
    """Simulate the evacuation with everything that may go wrong. The same seed gives the same log, byte for byte.

    Example: shunter simulate evacuate N1 --cluster prod-1.json --seed 7 --faults many --log night.jsonl
    """
    from shunter.commands import exits, simulating
    from shunter.commands.caution import precautions
    from shunter.commands.output import Pictures

    weather = simulating.Weather(seed, faults, noise, log)
    exits.leave(
        lambda: simulating.evacuation(
            nodes,
            cluster,
            weather,
            reserve_nodes=cast("ReserveNodes", reserve_nodes),
            precautions=precautions(backups, backup_limit_s, refresh_drifted),
            as_json=as_json,
            pictures=Pictures(svg, html),
        )
    )


@simulate.command("repair", epilog=EXIT_CODES)
def simulate_repair(
    cluster: ClusterFile,
    *,
    seed: Seed = 0,
    faults: Faults = "none",
    noise: Noise = 0.0,
    log: Log = None,
    reserve_nodes: Reserve = "auto",
    as_json: Json = False,
    svg: Svg = None,
    html: Html = None,
) -> None:
    """Simulate bringing the cluster in order, with everything that may go wrong. Seeds as in simulate evacuate.

    Example: shunter simulate repair --cluster prod-1.json --seed 7 --faults some
    """
    from shunter.commands import exits, simulating
    from shunter.commands.output import Pictures

    weather = simulating.Weather(seed, faults, noise, log)
    exits.leave(
        lambda: simulating.repairs(
            cluster,
            weather,
            reserve_nodes=cast("ReserveNodes", reserve_nodes),
            as_json=as_json,
            pictures=Pictures(svg, html),
        )
    )


import shunter.commands.failing_over  # noqa: E402  its commands join the groups, after those above
import shunter.commands.maintenance  # noqa: E402
import shunter.commands.recover  # noqa: E402
import shunter.commands.resume  # noqa: E402
import shunter.commands.runs  # noqa: E402
import shunter.commands.status  # noqa: E402
import shunter.commands.watch  # noqa: E402, F401
from shunter.commands.entry import main as main  # noqa: E402, PLC0414  where scripts of older installations start
