"""What a reader sees of a piece of Markdown, once it is rendered as GitHub's dialect, addresses made into links."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import groupby

from markdown_it import MarkdownIt
from markdown_it.token import Token

from shunter.flows.marked import UNLINKED

RENDERER = MarkdownIt("gfm-like")
RENDERER.validateLink = lambda _: True  # type: ignore[method-assign]  # our own pictures are data of a kind it doubts
LOOKED_FOR_IN_TEXT = re.compile(r"https?://|www\.|\S@\S", re.IGNORECASE)
"""What Prefect's newer UI makes into links after it has parsed the text."""
EMPHASIS = ("strong_open", "strong_close")


def texts(markdown: str, also: Collection[str] = ()) -> list[str]:
    """The text of each heading, paragraph, list item and cell. Fails where one is more than text: an image, a link,
    emphasis, code, HTML, a line break; `also`: kinds of tokens that may be there.
    """
    return [_text(token.children or [], also) for token in RENDERER.parse(markdown) if token.type == "inline"]


def blocks(markdown: str) -> list[str]:
    """The kinds of blocks that it is made of."""
    return [token.type.removesuffix("_open") for token in RENDERER.parse(markdown) if token.nesting >= 0]


def _text(parts: list[Token], also: Collection[str]) -> str:
    for part in parts:
        assert _is_nothing(part) or part.type == "text" or part.type in also, f"{part.type} {part.content!r}"
    runs = ["".join(part.content for part in run) for nothing, run in groupby(parts, _is_nothing) if not nothing]
    assert not any(LOOKED_FOR_IN_TEXT.search(run) for run in runs), runs
    return "".join(runs)


def _is_nothing(part: Token) -> bool:
    return (part.type, part.content) == ("html_inline", UNLINKED)
