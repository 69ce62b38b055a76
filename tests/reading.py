"""What stands on a page and on a screen, as their readers find it."""

from __future__ import annotations

import io
from html.parser import HTMLParser

from rich.console import Console

VOID = {"meta", "input"}


class Read(HTMLParser):
    """What a browser would make of a page: its text, and the elements with what is in them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.inside: dict[str, list[str]] = {}
        self.attributes: list[tuple[str, str, str]] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.rows: list[list[str]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)
            self.inside.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.inside[self.open[-1]][-1] += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data
        if not {"style", "script"} & set(self.open):
            self.text += data

    def values_of(self, attribute: str) -> list[str]:
        return [attributes[attribute] for _, attributes in self.elements if attribute in attributes]


def terminal(width: int = 100, encoding: str = "utf-8") -> Console:
    return Console(file=io.TextIOWrapper(io.BytesIO(), encoding=encoding), width=width, no_color=True)


def on(console: Console) -> str:
    assert isinstance(console.file, io.TextIOWrapper)
    console.file.flush()
    console.file.seek(0)
    return console.file.read()
