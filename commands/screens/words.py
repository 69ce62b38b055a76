"""Signs and words of the screens, for terminals that draw any character and for those that know ASCII alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from shunter.flows.spoken import count as count  # noqa: PLC0414  screens take all their words from here
from shunter.flows.spoken import memory as memory  # noqa: PLC0414
from shunter.flows.svg import printable


@dataclass(frozen=True, slots=True)
class Signs:
    """The characters that a terminal can show. `in_ascii`: nothing else may be printed."""

    arrow: str
    done: str
    wrong: str
    warning: str
    remark: str
    full: str
    empty: str
    coming: str
    dot: str
    ellipsis: str
    bar_begin: str
    bar_inside: str
    bar_end: str
    sliver: str
    in_ascii: bool = False

    def text(self, text: str, style: str = "") -> Text:
        """Text from outside, made safe for the terminal and never taken for markup."""
        return Text(self.plain(text), style=style)

    def plain(self, text: str) -> str:
        text = printable(text)
        if not self.in_ascii:
            return text
        for sign, spelled in (("→", "->"), ("←", "<-"), ("…", "..."), ("×", "x"), ("−", "-"), ("·", "-")):
            text = text.replace(sign, spelled)
        return text.encode("ascii", "replace").decode("ascii")


UNICODE = Signs("→", "✓", "✗", "!", "·", "█", "░", "▒", "·", "…", "├", "─", "┤", "│")
ASCII = Signs("->", "+", "x", "!", "-", "#", ".", ":", "-", "~", "[", "-", "]", "|", in_ascii=True)


def signs_of(console: Console) -> Signs:
    return ASCII if console.options.ascii_only or console.legacy_windows else UNICODE


def in_colour(console: Console) -> bool:
    return console.color_system is not None and not console.no_color


def clock(seconds: float) -> str:
    """ "0:05", "2:45", "1:02:45"."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def listed(names: Sequence[str], most: int = 6) -> str:
    """ "N1, N2 and N3"; beyond `most` "N1, N2, N3, N4, N5 and 58 more"."""
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def sentence(*parts: str) -> str:
    """Parts that begin and end as they like, joined by one full stop each."""
    return ". ".join(re.sub(r"[.\s]+$", "", part) for part in parts if part.strip()) + "."
