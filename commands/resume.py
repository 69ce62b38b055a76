"""`plan resume`, `resume`, `simulate resume`: a node takes VMs again."""

# ruff: noqa: PLC0415  (what a command needs is imported when it runs, so that help comes at once)
from __future__ import annotations

from typing import TYPE_CHECKING, cast

from shunter.commands.apps import EXIT_CODES, app, plan, simulate
from shunter.commands.options import (
    BackupLimitS,
    Backups,
    BeforeFile,
    ClusterFile,
    ClusterName,
    FailbackOfNode,
    Faults,
    Html,
    Json,
    Log,
    Noise,
    Out,
    RefreshDrifted,
    Reserve,
    ReturningNode,
    Seed,
    Speed,
    Svg,
    WhoeverPaused,
)

if TYPE_CHECKING:
    from shunter.commands.returning import Asked
    from shunter.topology.choosing import ReserveNodes
    from shunter.topology.homes import FailbackPolicy


@plan.command("resume", epilog=EXIT_CODES)
def plan_resume(
    node: ReturningNode,
    cluster: ClusterName,
    *,
    failback: FailbackOfNode = "none",
    before: BeforeFile = None,
    reserve_nodes: Reserve = "auto",
    whoever_paused: WhoeverPaused = False,
    backups: Backups = "hold",
    backup_limit_s: BackupLimitS = 3600.0,
    refresh_drifted: RefreshDrifted = False,
    as_json: Json = False,
    svg: Svg = None,
    html: Html = None,
) -> None:
    """Show whether this node may take VMs again, and which VMs would go back to it, in which order, and which not.

    Example: shunter plan resume N1 --cluster prod-1.json --failback preferred
    """
    from shunter.commands import exits, returning
    from shunter.commands.output import Pictures

    asked = _asked(node, failback, before, reserve_nodes, whoever_paused, backups, backup_limit_s, refresh_drifted)
    exits.leave(lambda: returning.plan(asked, cluster, as_json=as_json, pictures=Pictures(svg, html)))


@app.command(epilog=EXIT_CODES, short_help="Let a node take VMs again, and take VMs back.")
def resume(
    node: ReturningNode,
    cluster: ClusterName,
    *,
    failback: FailbackOfNode = "none",
    before: BeforeFile = None,
    reserve_nodes: Reserve = "auto",
    whoever_paused: WhoeverPaused = False,
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
    """Prove by a fresh look that the node is healthy, let it take VMs again and, if asked, take VMs back to it, live.

    A node that no run of Shunter paused stays paused, unless --whoever-paused is given. No VM must go back: what may
    not, or would spend the reserve, runs on where it is. Ctrl-C as in evacuate; the node stays in service.

    Example: shunter resume N1 --cluster prod-1 --failback as-before
    """
    from shunter.commands import exits, jobs, running
    from shunter.commands.output import Pictures

    asked = _asked(node, failback, before, reserve_nodes, whoever_paused, backups, backup_limit_s, refresh_drifted)
    exits.leave(
        lambda: running.run(
            jobs.returning(asked, cluster, speed=speed, log=log),
            as_json=as_json,
            pictures=Pictures(svg, html),
            out=out,
        )
    )


@simulate.command("resume", epilog=EXIT_CODES)
def simulate_resume(
    node: ReturningNode,
    cluster: ClusterFile,
    *,
    failback: FailbackOfNode = "none",
    before: BeforeFile = None,
    reserve_nodes: Reserve = "auto",
    whoever_paused: WhoeverPaused = False,
    backups: Backups = "hold",
    backup_limit_s: BackupLimitS = 3600.0,
    refresh_drifted: RefreshDrifted = False,
    seed: Seed = 0,
    faults: Faults = "none",
    noise: Noise = 0.0,
    log: Log = None,
    as_json: Json = False,
    svg: Svg = None,
    html: Html = None,
) -> None:
    """Simulate a node's return with everything that may go wrong. Seeds as in simulate evacuate.

    Example: shunter simulate resume N1 --cluster prod-1.json --failback preferred --seed 7 --faults some
    """
    from shunter.commands import exits, simulating
    from shunter.commands.output import Pictures

    asked = _asked(node, failback, before, reserve_nodes, whoever_paused, backups, backup_limit_s, refresh_drifted)
    weather = simulating.Weather(seed, faults, noise, log)
    exits.leave(lambda: simulating.returning(asked, cluster, weather, as_json=as_json, pictures=Pictures(svg, html)))


def _asked(  # noqa: PLR0917 - as the commands take them
    node: str,
    failback: str,
    before: str | None,
    reserve_nodes: str,
    whoever_paused: bool,
    backups: str,
    backup_limit_s: float,
    refresh_drifted: bool,
) -> Asked:
    from shunter.commands.caution import precautions
    from shunter.commands.returning import Asked

    return Asked(
        node,
        cast("FailbackPolicy", failback),
        before,
        cast("ReserveNodes", reserve_nodes),
        whoever_paused,
        precautions(backups, backup_limit_s, refresh_drifted),
    )
