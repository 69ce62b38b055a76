"""Elements of an SVG document; every text in them is made safe."""

from __future__ import annotations

import unicodedata
from xml.sax.saxutils import escape, quoteattr

from shunter.topology.names import escaped

FONT_PX = 12


def printable(text: str) -> str:
    """Names come from outside: what cannot be seen is written out, and what would break a document, drive a terminal
    or reverse a line.
    """
    return escaped(text)


def fitted(text: str, room_px: float, font_px: int = FONT_PX) -> str:
    """The text, cut with an ellipsis where it is too long."""
    text = printable(text)
    if width_of_px(text, font_px) <= room_px:
        return text
    kept = ""
    for char in text:
        if width_of_px(kept + char + "…", font_px) > room_px:
            break
        kept += char
    return kept + "…" if kept else ""


def written(x_px: float, y_px: float, text: str, kind: str, *, anchor: str = "start", title: str = "") -> str:
    tooltip = title if printable(title) != text else ""
    return tag("text", text, tooltip, class_=kind, x=x_px, y=y_px, text_anchor=anchor)


def tag(name: str, text: str = "", tooltip: str = "", /, **attributes: str | float | None) -> str:
    """One element. Underscores in attribute names stand for dashes."""
    told = "\n".join(printable(line) for line in tooltip.splitlines())
    inside = (f"<title>{escape(told)}</title>" if told else "") + escape(printable(text))
    said = "".join(
        f" {key.rstrip('_').replace('_', '-')}={quoteattr(_number(value))}"
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{said}>{inside}</{name}>" if inside else f"<{name}{said}/>"


def _number(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def width_of_px(text: str, font_px: int) -> float:
    """About how wide the text is; a little too much rather than too little."""
    return sum(font_px * (1.05 if unicodedata.east_asian_width(char) in "WF" else 0.6) for char in text)
