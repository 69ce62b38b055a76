"""Text from outside in Markdown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rendering import blocks, texts

from shunter.flows.marked import bold, plain, table

AWKWARD = [
    "![x](http://evil.example/pixel.png)",
    "[log in](http://evil.example)",
    "[log in](/logout)",
    "![x](pixel.png)",
    "[1]: /logout",
    "[log in][1]",
    "[1]: http://evil.example",
    "[^1]",
    "http://evil.example/a_b_c",
    "HTTPS://evil.example",
    "ftp://evil.example",
    "www.evil.example",
    "www",
    "evil.example.com",
    "//localhost",
    "<http://evil.example>",
    "mail@evil.example",
    "mailto:mail@evil.example",
    "<mail@evil.example>",
    '<img src="http://evil.example/pixel.png">',
    "<!-- no",
    "<b>bold</b>",
    "&lt;b&gt; &amp;amp; &#42;",
    "**bold** *slanted* _slanted_ __bold__ snake_case_name",
    "~struck~ ~~struck~~",
    "`code` ``code``",
    "_a__b_ a_-_b a__b__c _é_é_",
    "a|b",
    "a\\|b",
    "\\",
    "\\*not bold\\*",
    "# heading",
    "heading #",
    "- item",
    "+ item",
    "* item",
    "1. item",
    "12) item",
    "[ ] task",
    "[x] task",
    "> quoted",
    "---",
    "===",
    "***",
    "```",
    "~~~",
    "a  b",
    "$x$",
    ":smile:",
    "!",
    "Über-VM 中文 😀",
]
TEXT = st.lists(
    st.sampled_from([*AWKWARD, *"\\`*_{}[]()<>#+-.!|~&;:/@ =\"'$^", "www.", "www", "http:", "//", "a", "N1", "é"]),
    min_size=1,
    max_size=6,
).map("".join)


def is_one_text(text: str) -> None:
    """In a heading, an item, a cell, a sentence and by itself."""
    said = plain(text)
    assert texts(f"## {said}") == [text]
    assert texts(f"- {said}\n- {said}") == [text, text]
    assert texts(table("T", ("a", "b"), [(text, text)])) == ["T", "a", "b", text, text]
    assert texts(f"Cluster {said}. It ends.") == [f"Cluster {text}. It ends."]
    assert texts(said) == [text]
    assert blocks(said) == ["paragraph", "inline"]


@pytest.mark.parametrize("text", AWKWARD)
def test_what_markdown_gives_a_meaning_is_one_text(text: str) -> None:
    is_one_text(text)


@given(text=TEXT)
def test_whatever_it_is_put_together_from_it_is_one_text(text: str) -> None:
    if text.strip(" "):
        is_one_text(text.strip(" "))


@given(text=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20))
def test_whatever_ascii_it_is_it_is_one_text(text: str) -> None:
    is_one_text(text)


def test_plain_words_and_figures_stay_readable() -> None:
    text = "web_1 on N-1 of c: 3.1 s, 8192 MiB free (50 %), run it again."
    assert plain(text) == text


def test_line_ends_become_blanks_and_what_cannot_be_seen_is_written_out() -> None:
    assert texts(plain(" a\r\nb\u00ad\u202ec\u0085\n")) == ["a b\\u00ad\\u202ec\\u0085"]


def test_what_is_markdown_already_is_not_escaped_again() -> None:
    assert table("T", ("a",), [(bold("a*b"),)]).endswith("| **a\\*b** |")
    assert texts(table("T", ("a",), [(bold("*"),)]), also=("strong_open", "strong_close")) == ["T", "a", "*"]
