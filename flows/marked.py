"""Text from outside in Markdown: it renders as exactly the text it is, in both of Prefect's UIs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from shunter.topology.names import escaped

UNLINKED = "<!-- -->"
"""Renders as nothing. Prefect's newer UI looks for addresses once more in the text that it has parsed, where an escaped
character is like any other: only what is no text keeps two halves of an address apart."""

_LINE_ENDS = re.compile(r"[\t\n\v\f\r]+")
_MEANT = re.compile(r"[\\`*~|#\[\]]|(?<![^\W_])_|_(?![^\W_])")
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_BEGINS_BLOCK = re.compile(r"^(?=[-+])|(^\d+)(?=[.)](?: |$))")
_IN_ADDRESS = re.compile(r"/(?=/)|\.(?=[^\W\d_])")
_ADDRESS = re.compile(r"(?:https?|ftp)(?=:\\/)|www(?=\\?\.|$)|(?<=\S)(?=@)", re.IGNORECASE)


class Marked(str):
    """Markdown already; what is not is escaped before it is written."""

    __slots__ = ()


def plain(text: str) -> Marked:
    """Markdown on one line that says this text, whatever it is; what cannot be seen is written out."""
    if isinstance(text, Marked):
        return text
    line = escaped(_LINE_ENDS.sub(" ", text).strip(" "))
    line = _MEANT.sub(r"\\\g<0>", line).translate(_HTML)
    line = _IN_ADDRESS.sub(r"\\\g<0>", _BEGINS_BLOCK.sub(r"\1\\", line))
    return Marked(_ADDRESS.sub(rf"\g<0>{UNLINKED}", line))


def bold(text: str) -> Marked:
    return Marked(f"**{plain(text)}**")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """With its title; nothing where there are no rows."""
    lines = [f"| {' | '.join(plain(value) for value in row)} |" for row in rows]
    if not lines:
        return ""
    return "\n".join([f"### {title}", "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *lines])
