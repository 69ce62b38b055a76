"""The arguments and options that several commands share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

MOST_DIGITS = 20


def _reserve(text: str) -> int | Literal["auto"]:
    if text.strip().casefold() == "auto":
        return "auto"
    if text.strip().isascii() and text.strip().isdecimal() and len(text) < MOST_DIGITS:
        return int(text)
    raise typer.BadParameter(f"{text!r:.60} is neither a number of nodes from 0 on nor auto")


def _seed(text: str) -> int:
    if text.isascii() and text.removeprefix("-").isdecimal() and len(text) < MOST_DIGITS:
        return int(text)
    raise typer.BadParameter(f"{text!r:.60} is not a whole number of less than {MOST_DIGITS} digits")


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 < speed <= 10_000:
        raise typer.BadParameter(f"{text!r:.60} is not a number above 0 and up to 10000")
    return speed


def _noise(text: str) -> float:
    try:
        noise = float(text)
    except ValueError:
        noise = math.nan
    if not 0 <= noise < 1:
        raise typer.BadParameter(f"{text!r:.60} is not a number from 0 to below 1; 0.3 means up to 30 % more or less")
    return noise


Nodes = Annotated[list[str], typer.Argument(metavar="NODE", help="The nodes to empty.", show_default=False)]
ClusterName = Annotated[
    str,
    typer.Option(
        "--cluster",
        metavar="C",
        help="A cluster file (has a path separator or ends in .json), or the name of a registered cluster.",
        show_default=False,
    ),
]
ClusterFile = Annotated[
    str, typer.Option("--cluster", metavar="FILE", help="The cluster file to start from.", show_default=False)
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
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, and nothing else there.")]
Svg = Annotated[
    Path | None, typer.Option("--svg", metavar="FILE", help="Draw the timeline there, as SVG.", show_default=False)
]
Log = Annotated[
    Path | None,
    typer.Option("--log", metavar="FILE", help="Write there what really happens, a line an event.", show_default=False),
]
