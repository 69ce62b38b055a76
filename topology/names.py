"""Names as people read them: what in one cannot be seen, and which two look the same.

What a character is, Unicode's own tables say, as the regex library carries them.
"""

from __future__ import annotations

import unicodedata

import regex

_PICTURE = r"\p{Extended_Pictographic}(?:\p{Emoji_Modifier}|(?<=\p{Emoji})[\uFE0E\uFE0F])?"
_REGION = "|".join("".join(chr(0xE0000 + ord(char)) for char in region) for region in ("gbeng", "gbsct", "gbwls"))
_FLAG = rf"\U0001F3F4(?:{_REGION})\U000E007F"
_EMOJI = rf"{_FLAG}|[0-9#*]\uFE0F\u20E3|{_PICTURE}(?:\u200D{_PICTURE})*"
"""Sequences in which tags, selectors and joiners are seen (UTS #51): the flags of England, Scotland and Wales, keycaps,
pictures."""

_UNSEEN = (
    r"\p{Default_Ignorable_Code_Point}|(?!\p{Prepended_Concatenation_Mark})\p{Cf}"
    r"|[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Noncharacter_Code_Point}\u2800]"
)
"""U+2800 is the Braille cell without dots, which Unicode counts among the symbols."""

_NOT_PLAIN = regex.compile(rf"(?P<emoji>{_EMOJI})|(?P<unseen>{_UNSEEN})|[\p{{C}}\p{{Z}}]")
_OF_EMOJI = regex.compile(r"[\u200D\uFE0E\uFE0F]")
_BLANK = regex.compile(r"\s")


def unseen_in(text: str) -> str:
    """The characters of it that cannot be seen, or turn what stands beside them around; each once."""
    if text.isascii() and text.isprintable():
        return ""
    return "".join(dict.fromkeys(found[0] for found in _NOT_PLAIN.finditer(text) if found["unseen"]))


def seen_name(name: str) -> str:
    """The name. Raises ValueError where not all of it can be seen: it would pass for another."""
    if unseen := unseen_in(name):
        told = ", ".join(f"U+{ord(char):04X} {unicodedata.name(char, '')}".rstrip() for char in unseen[:3])
        raise ValueError(f'holds what cannot be seen, {told}: "{escaped(name)}"; write it without')
    return name


def escaped(text: str) -> str:
    """The text with all that is no plain character, blank or emoji written out, such as `\\u200b`."""
    if text.isascii() and text.isprintable():
        return text
    plain: str = _NOT_PLAIN.sub(lambda found: found[0] if found["emoji"] or found[0] == " " else _code(found[0]), text)
    return plain


def key_of(name: str) -> str:
    """Equal for names that look the same: case, kinds of blanks, and how a character is put together don't count."""
    if name.isascii():
        return name.casefold()
    plain = _BLANK.sub(" ", _OF_EMOJI.sub("", name))
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", plain).casefold())


def same_host(one: str, other: str) -> bool:
    """Whether these keys name one node: both alike, or one of them with its domain ("n1", "n1.example.com")."""
    short, long = sorted((one, other), key=len)
    return short == long or ("." not in short and long.startswith(f"{short}."))


def _code(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"
