"""Seconds, numbers, memory and names as people say them and put them in order."""

from __future__ import annotations

import re
from collections.abc import Iterable

GIB_MIB = 1024


def duration(seconds: float) -> str:
    """Seconds as people say them: "48 s", "3 min 20 s", "1 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if 0 < seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def memory(mib: int) -> str:
    """ "512 MiB", "8 GiB", "5.5 GiB", and less than nothing "−8 GiB"."""
    sign, mib = "−" if mib < 0 else "", abs(mib)
    if mib < GIB_MIB:
        return f"{sign}{mib} MiB"
    return f"{sign}{mib / GIB_MIB:.1f}".removesuffix(".0") + " GiB"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def together(names: Iterable[str]) -> str:
    """ "N1, N2 and N3"."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def natural(name: str) -> list[tuple[int, int, str]]:
    """What to sort by, so that N2 comes before N10."""
    return [
        (0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part.casefold())
        for part in re.split(r"([0-9]+)", name)
        if part
    ]
