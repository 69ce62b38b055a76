"""The arguments and options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

MOST_DIGITS = 20
MOST_QUOTED = 60
MOST_RESERVED = 63
"""One less than the largest cluster has nodes."""
LONGEST_NAME, LONGEST_CLUSTER = 255, 4096
LONGEST_S = 7 * 86_400.0
MOST_NIGHTS = 100_000
MOST_RETRIES = 64


def _quoted(text: str) -> str:
    return repr(text if len(text) <= MOST_QUOTED else text[:MOST_QUOTED] + "…")


def _name(text: str) -> str:
    """Of a node or a VM. Raises BadParameter."""
    if not 0 < len(text) <= LONGEST_NAME:
        raise typer.BadParameter(f"{_quoted(text)} is no name; give one of 1 to {LONGEST_NAME} characters")
    return text


def _cluster(text: str) -> str:
    if not 0 < len(text) <= LONGEST_CLUSTER:
        raise typer.BadParameter(
            f"{_quoted(text)} is neither a file nor a name; give one of 1 to {LONGEST_CLUSTER} characters"
        )
    return text


def _reserve(text: str) -> int | Literal["auto"]:
    if text.strip().casefold() == "auto":
        return "auto"
    if text.strip().isascii() and text.strip().isdecimal() and len(text) < MOST_DIGITS and int(text) <= MOST_RESERVED:
        return int(text)
    raise typer.BadParameter(f"{_quoted(text)} is neither a number of nodes from 0 to {MOST_RESERVED} nor auto")


def _seed(given: str | int) -> int:
    text = str(given)  # the default comes here too
    if text.isascii() and text.removeprefix("-").isdecimal() and len(text) < MOST_DIGITS:
        return int(text)
    raise typer.BadParameter(f"{_quoted(text)} is not a whole number of less than {MOST_DIGITS} digits")


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 < speed <= 10_000:
        raise typer.BadParameter(f"{_quoted(text)} is not a number above 0 and up to 10000")
    return speed


def _noise(text: str) -> float:
    try:
        noise = float(text)
    except ValueError:
        noise = math.nan
    if not 0 <= noise < 1:
        raise typer.BadParameter(
            f"{_quoted(text)} is not a number from 0 to below 1; 0.3 means up to 30 % more or less"
        )
    return noise


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= LONGEST_S:
        raise typer.BadParameter(f"{_quoted(text)} is not a number of seconds above 0 and up to {LONGEST_S:.0f}")
    return seconds


def _between(least: int, most: int) -> Callable[[str | int], int]:
    def parsed(given: str | int) -> int:
        text = str(given)  # the default comes here too
        if text.isascii() and text.isdecimal() and len(text) < MOST_DIGITS and least <= int(text) <= most:
            return int(text)
        raise typer.BadParameter(f"{_quoted(text)} is not a whole number from {least} to {most}")

    return parsed


def _names(text: str) -> str:
    """Of nodes, separated by commas. Raises BadParameter."""
    for name in text.split(","):
        if not 0 < len(name.strip()) <= LONGEST_NAME:
            raise typer.BadParameter(
                f"{_quoted(text)} is no list of names; give names of 1 to {LONGEST_NAME} characters, such as N1,N2"
            )
    return text


def _one_of(*known: str) -> Callable[[str], str]:
    def parsed(text: str) -> str:
        if text in known:
            return text
        raise typer.BadParameter(f"{_quoted(text)} is none of {', '.join(known)}")

    return parsed


Nodes = Annotated[
    list[str], typer.Argument(metavar="NODE", parser=_name, help="The nodes to empty.", show_default=False)
]
LostNodes = Annotated[
    list[str], typer.Argument(metavar="NODE", parser=_name, help="The nodes that are lost.", show_default=False)
]
Demo = Annotated[
    str,
    typer.Argument(
        metavar="evacuate|maintain",
        parser=_one_of("evacuate", "maintain"),
        help="What is shown.",
    ),
]
AnyNodes = Annotated[
    list[str] | None,
    typer.Argument(metavar="NODE", parser=_name, help="The nodes to maintain; none: all.", show_default=False),
]
Vm = Annotated[str, typer.Argument(metavar="VM", parser=_name, help="The VM to move.", show_default=False)]
Target = Annotated[str, typer.Argument(metavar="NODE", parser=_name, help="The node it moves to.", show_default=False)]
ClusterName = Annotated[
    str,
    typer.Option(
        "--cluster",
        metavar="C",
        parser=_cluster,
        help="A cluster file (has a path separator or ends in .json), or the name of a registered cluster.",
        show_default=False,
    ),
]
ClusterFile = Annotated[
    str,
    typer.Option(
        "--cluster", metavar="FILE", parser=_cluster, help="The cluster file to start from.", show_default=False
    ),
]
Reserve = Annotated[
    str,  # what the parser makes of it: int | Literal["auto"]
    typer.Option(
        "--reserve-nodes",
        metavar="N|auto",
        parser=_reserve,
        help="How many further nodes may be lost at any moment, with room left for their VMs. "
        "auto: 1 where that can be kept, else 0 with a warning.",
    ),
]
Speed = Annotated[
    float | None,
    typer.Option(
        "--speed",
        metavar="X",
        parser=_speed,
        help="How many times as fast as real time the simulated cluster of a cluster file runs.",
        show_default=False,
    ),
]
Noise = Annotated[
    float,
    typer.Option("--noise", metavar="X", parser=_noise, help="0.3: migrations take up to 30 % more or less."),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", parser=_seed, help="The same seed gives the same run.")]
Faults = Annotated[
    str, typer.Option("--faults", metavar="PLAN", help="none, some or many (drawn from the seed), or a file.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, and nothing else there.")]
Svg = Annotated[
    Path | None, typer.Option("--svg", metavar="FILE", help="Draw the timeline there, as SVG.", show_default=False)
]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html",
        metavar="FILE",
        help="Write there a page with everything, to look at in a browser.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Keep plan, log and report of the run in this folder. Left out: in one of its own; see shunter runs.",
        show_default=False,
    ),
]
Log = Annotated[
    Path | None,
    typer.Option("--log", metavar="FILE", help="Write there what really happens, a line an event.", show_default=False),
]
MaintenanceS = Annotated[
    float,
    typer.Option(
        "--maintenance-s",
        metavar="S",
        parser=_seconds,
        help="How long the maintenance of one node takes, in seconds, from empty to back.",
    ),
]
Parallel = Annotated[
    int | None,
    typer.Option(
        "--parallel",
        metavar="N",
        parser=_between(1, MOST_RESERVED + 1),
        help="How many nodes may be away at once at most. Left out: as many as is safe.",
        show_default=False,
    ),
]
Prefer = Annotated[
    str,
    typer.Option(
        "--prefer",
        metavar="time|moves",
        parser=_one_of("time", "moves"),
        help="The shortest run, or the fewest moves (of those within --window-s, if that is given).",
    ),
]
WindowS = Annotated[
    float | None,
    typer.Option(
        "--window-s",
        metavar="S",
        parser=_seconds,
        help="The maintenance window: no node leaves that would not be back by then.",
        show_default=False,
    ),
]
WarnAfterS = Annotated[
    float | None,
    typer.Option(
        "--warn-after-s",
        metavar="S",
        parser=_seconds,
        help="When to tell that the run still goes on, and what is left.",
        show_default=False,
    ),
]
StopAfterS = Annotated[
    float | None,
    typer.Option(
        "--stop-after-s",
        metavar="S",
        parser=_seconds,
        help="No node leaves that would not be back by then. Unlike --window-s it leaves the plan as it is.",
        show_default=False,
    ),
]
Failback = Annotated[
    str,
    typer.Option(
        "--failback",
        metavar="none|as-it-was|spread",
        parser=_one_of("none", "as-it-was", "spread"),
        help="When all nodes are done: leave the VMs where they are, take each back to where it was, or spread them.",
    ),
]
First = Annotated[
    str | None,
    typer.Option(
        "--first",
        metavar="NODE,NODE",
        parser=_names,
        help="Nodes whose turns come first, in this order, separated by commas.",
        show_default=False,
    ),
]
Apart = Annotated[
    str | None,
    typer.Option(
        "--apart",
        metavar="NODE,NODE;NODE,NODE",
        help="Groups of nodes of which no two may be away at once, such as those that hold copies of each other.",
        show_default=False,
    ),
]
OneDomain = Annotated[
    bool, typer.Option("--one-fault-domain", help="Only nodes of one fault domain are away at the same time.")
]
Nights = Annotated[
    int,
    typer.Option("--nights", metavar="N", parser=_between(1, MOST_NIGHTS), help="How many nights are rehearsed."),
]
Retries = Annotated[
    int,
    typer.Option(
        "--retries",
        metavar="N",
        parser=_between(0, MOST_RETRIES),
        help="How often a node is tried again whose maintenance failed although it is up.",
    ),
]
FailedNodes = Annotated[
    int,
    typer.Option(
        "--failed-nodes",
        metavar="N",
        parser=_between(0, MOST_RESERVED),
        help="How many nodes may fail before no further one is begun.",
    ),
]
Backups = Annotated[
    str,
    typer.Option(
        "--backups",
        metavar="hold|hold-then-proceed|proceed",
        parser=_one_of("hold", "hold-then-proceed", "proceed"),
        help="A VM whose backup is under way is held until that is done, and left where it is after --backup-limit-s; "
        "or held so long, and moved then; or moved at once. Moved, its backup is degraded to a plain copy.",
    ),
]
BackupLimitS = Annotated[
    float,
    typer.Option(
        "--backup-limit-s", metavar="S", parser=_seconds, help="How long a run holds a VM for its backup, in seconds."
    ),
]
RefreshDrifted = Annotated[
    bool,
    typer.Option(
        "--refresh-drifted",
        help="Refresh the cluster's copy of VMs that were changed outside cluster tools, before they move.",
    ),
]
ReturningNode = Annotated[
    str,
    typer.Argument(metavar="NODE", parser=_name, help="The node that is to take VMs again.", show_default=False),
]
FailbackOfNode = Annotated[
    str,
    typer.Option(
        "--failback",
        metavar="none|preferred|as-before",
        parser=_one_of("none", "preferred", "as-before"),
        help="Move no VM; or take back those whose first preferred owner that is up it is; or each VM to where it was "
        "before the run that emptied the node.",
    ),
]
BeforeFile = Annotated[
    str | None,
    typer.Option(
        "--before",
        metavar="FILE",
        help="The report (--json) of the evacuation: where the VMs were, for as-before. Left out: what that run left "
        "on the Prefect server.",
        show_default=False,
    ),
]
WhoeverPaused = Annotated[
    bool,
    typer.Option("--whoever-paused", help="Resume the node also if somebody else paused it, or nobody knows who did."),
]
