"""`plan maintain`, `maintain`, `simulate maintain`, `rehearse maintain`: a cluster through its maintenance."""

# ruff: noqa: PLC0415  (what a command needs is imported when it runs, so that help comes at once)
from __future__ import annotations

from typing import TYPE_CHECKING, cast

from shunter.commands.apps import EXIT_CODES, app, plan, rehearse, simulate
from shunter.commands.options import (
    AnyNodes,
    Apart,
    BackupLimitS,
    Backups,
    ClusterFile,
    ClusterName,
    Failback,
    FailedNodes,
    Faults,
    First,
    Html,
    Json,
    Log,
    MaintenanceS,
    Nights,
    Noise,
    OneDomain,
    Out,
    Parallel,
    Prefer,
    RefreshDrifted,
    Reserve,
    Retries,
    Seed,
    Speed,
    StopAfterS,
    Svg,
    WarnAfterS,
    WindowS,
)

if TYPE_CHECKING:
    from shunter.commands.rolling import Asked
    from shunter.topology.choosing import ReserveNodes
    from shunter.topology.precautions import Precautions


@plan.command("maintain", epilog=EXIT_CODES)
def plan_maintain(
    cluster: ClusterName,
    nodes: AnyNodes = None,
    *,
    maintenance_s: MaintenanceS = 900.0,
    parallel: Parallel = None,
    reserve_nodes: Reserve = "auto",
    prefer: Prefer = "time",
    window_s: WindowS = None,
    failback: Failback = "none",
    first: First = None,
    apart: Apart = None,
    one_fault_domain: OneDomain = False,
    backups: Backups = "hold",
    backup_limit_s: BackupLimitS = 3600.0,
    refresh_drifted: RefreshDrifted = False,
    as_json: Json = False,
    svg: Svg = None,
    html: Html = None,
) -> None:
    """Show a whole rolling run before it starts: which node when, which VM moves where and when, how much reserve is
    left at each step, and what other ways to do it would cost.

    Example: shunter plan maintain --cluster prod-1.json --maintenance-s 1800 --html night.html
    """
    from shunter.commands import exits, rolling
    from shunter.commands.caution import precautions
    from shunter.commands.output import Pictures

    asked = _asked(
        nodes,
        maintenance_s,
        parallel,
        reserve_nodes,
        prefer,
        window_s,
        failback,
        first,
        apart,
        one_fault_domain,
        precautions(backups, backup_limit_s, refresh_drifted),
    )
    exits.leave(lambda: rolling.plan(asked, cluster, as_json=as_json, pictures=Pictures(svg, html)))


@app.command("maintain", epilog=EXIT_CODES, short_help="Take nodes through their maintenance, live.")
def maintain(
    cluster: ClusterName,
    nodes: AnyNodes = None,
    *,
    maintenance_s: MaintenanceS = 900.0,
    parallel: Parallel = None,
    reserve_nodes: Reserve = "auto",
    prefer: Prefer = "time",
    window_s: WindowS = None,
    failback: Failback = "none",
    first: First = None,
    apart: Apart = None,
    one_fault_domain: OneDomain = False,
    backups: Backups = "hold",
    backup_limit_s: BackupLimitS = 3600.0,
    refresh_drifted: RefreshDrifted = False,
    retries: Retries = 0,
    failed_nodes: FailedNodes = 0,
    warn_after_s: WarnAfterS = None,
    stop_after_s: StopAfterS = None,
    speed: Speed = None,
    log: Log = None,
    out: Out = None,
    as_json: Json = False,
    svg: Svg = None,
    html: Html = None,
) -> None:
    """Empty, reboot and bring back every node (or those named), several at once where that is safe; each VM moves as
    seldom as possible, and room for the loss of one more node is kept.

    A node counts as done only when it is proven back. Ctrl-C once: nothing new begins, what is away is brought back.
    Start it again, and it goes on from where the cluster stands.

    Example: shunter maintain --cluster prod-1.json --maintenance-s 1800 --speed 60
    """
    from shunter.commands import exits, jobs, running
    from shunter.commands.caution import precautions
    from shunter.commands.output import Pictures
    from shunter.engine.rolling import Budget

    asked = _asked(
        nodes,
        maintenance_s,
        parallel,
        reserve_nodes,
        prefer,
        window_s,
        failback,
        first,
        apart,
        one_fault_domain,
        precautions(backups, backup_limit_s, refresh_drifted),
    )
    budget = Budget(failed_nodes, retries, warn_after_s, stop_after_s)
    exits.leave(
        lambda: running.run(
            jobs.maintenance(asked, cluster, budget, speed=speed, log=log),
            as_json=as_json,
            pictures=Pictures(svg, html),
            out=out,
        )
    )


@simulate.command("maintain", epilog=EXIT_CODES)
def simulate_maintain(
    cluster: ClusterFile,
    nodes: AnyNodes = None,
    *,
    maintenance_s: MaintenanceS = 900.0,
    parallel: Parallel = None,
    reserve_nodes: Reserve = "auto",
    prefer: Prefer = "time",
    window_s: WindowS = None,
    failback: Failback = "none",
    first: First = None,
    apart: Apart = None,
    one_fault_domain: OneDomain = False,
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
    """Simulate a rolling run with everything that may go wrong: nodes that do not come back, or late, or isolated;
    failed and lost migrations; the cluster's own balancer. The same seed gives the same log, byte for byte.

    Example: shunter simulate maintain --cluster prod-1.json --seed 7 --faults many --log night.jsonl
    """
    from shunter.commands import exits, simulating
    from shunter.commands.caution import precautions
    from shunter.commands.output import Pictures

    asked = _asked(
        nodes,
        maintenance_s,
        parallel,
        reserve_nodes,
        prefer,
        window_s,
        failback,
        first,
        apart,
        one_fault_domain,
        precautions(backups, backup_limit_s, refresh_drifted),
    )
    weather = simulating.Weather(seed, faults, noise, log)
    exits.leave(lambda: simulating.maintenance(asked, cluster, weather, as_json=as_json, pictures=Pictures(svg, html)))


@rehearse.command("maintain", epilog=EXIT_CODES)
def rehearse_maintain(
    cluster: ClusterFile,
    nodes: AnyNodes = None,
    *,
    maintenance_s: MaintenanceS = 900.0,
    parallel: Parallel = None,
    reserve_nodes: Reserve = "auto",
    prefer: Prefer = "time",
    window_s: WindowS = None,
    failback: Failback = "none",
    first: First = None,
    apart: Apart = None,
    one_fault_domain: OneDomain = False,
    backups: Backups = "hold",
    backup_limit_s: BackupLimitS = 3600.0,
    refresh_drifted: RefreshDrifted = False,
    nights: Nights = 200,
    seed: Seed = 0,
    faults: Faults = "some",
    noise: Noise = 0.3,
    as_json: Json = False,
) -> None:
    """Rehearse a rolling run: the real engine takes a simulated copy of the cluster through many nights, on all cores.

    Says how long the run takes (median, 95th percentile, worst), how many moves, what went wrong how often, whether the
    window is long enough, and the command that replays the worst night.

    Example: shunter rehearse maintain --cluster prod-1.json --nights 500 --window-s 14400
    """
    from shunter.commands import exits, rehearsing
    from shunter.commands.caution import precautions

    asked = _asked(
        nodes,
        maintenance_s,
        parallel,
        reserve_nodes,
        prefer,
        window_s,
        failback,
        first,
        apart,
        one_fault_domain,
        precautions(backups, backup_limit_s, refresh_drifted),
    )
    exits.leave(
        lambda: rehearsing.rehearse(
            asked, cluster, nights=nights, seed=seed, faults=faults, noise=noise, as_json=as_json
        )
    )


def _asked(  # noqa: PLR0917 - as the commands take them
    nodes: list[str] | None,
    maintenance_s: float,
    parallel: int | None,
    reserve_nodes: str,
    prefer: str,
    window_s: float | None,
    failback: str,
    first: str | None,
    apart: str | None,
    one_fault_domain: bool,
    heeded: Precautions,
) -> Asked:
    from shunter.commands.rolling import Asked

    reserve = cast("ReserveNodes", reserve_nodes)
    return Asked(
        tuple(nodes or ()),
        maintenance_s,
        parallel,
        reserve,
        prefer,
        window_s,
        failback,
        first,
        apart,
        one_fault_domain,
        heeded,
    )
