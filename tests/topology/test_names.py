"""What of a name can be seen, and which names look the same."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shunter.topology.names import escaped, key_of, seen_name, unseen_in

DEFAULT_IGNORABLE = [
    (0xAD, 0xAD),
    (0x34F, 0x34F),
    (0x61C, 0x61C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
]
"""Default_Ignorable_Code_Point of DerivedCoreProperties.txt, Unicode 15.0 to 17.0."""
OTHERS = [0x0, 0x1B, 0x7F, 0x85, 0x2028, 0x2029, 0x2800, 0xD800, 0xFFF9, 0xFFFE, 0xFFFF]
EMOJI = [
    "\u2764\ufe0f",
    "\u2600\ufe0e",
    "1\ufe0f\u20e3",
    "\U0001f469\u200d\U0001f4bb",
    "\U0001f469\U0001f3fd\u200d\U0001f4bb",
    "\u2764\ufe0f\u200d\U0001f525",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "\U0001f1e9\U0001f1ea",
    "\U0001f44d\U0001f3fd",
]
NOT_EMOJI = [
    "N1\ufe0f",
    "1\ufe0f",
    "\u2654\ufe0f",
    "a\u200db",
    "\U0001f600\u200d",
    "\u200d\U0001f600",
    "\u2764\ufe0f\ufe0f",
    "\U0001f3f4\U000e0061\U000e007f",
    "N\U000e0031",
]
NAMES = ["N1", "web 1.example.com", "Größe", "Gro\u0308ße", "データベース", "한국", "מסד-1", "قاعدة", "देव", "①", "<|>"]


def test_every_character_that_unicode_says_is_ignored_is_found() -> None:
    ignored = [code for first, last in DEFAULT_IGNORABLE for code in range(first, last + 1)]
    assert [f"{code:04X}" for code in [*ignored, *OTHERS] if unseen_in(f"a{chr(code)}b") != chr(code)] == []


@pytest.mark.parametrize("name", [*NAMES, *EMOJI])
def test_what_can_be_seen_is_taken_and_shown_as_it_is(name: str) -> None:
    assert seen_name(name) == name
    assert escaped(name) == name


@pytest.mark.parametrize("name", NOT_EMOJI, ids=ascii)
def test_selectors_joiners_and_tags_are_seen_in_emoji_alone(name: str) -> None:
    with pytest.raises(ValueError, match=r"holds what cannot be seen, U\+"):
        seen_name(name)


def test_a_refusal_names_the_characters() -> None:
    with pytest.raises(ValueError, match="cannot be seen") as refusal:
        seen_name("a\u00adb\u3164\U000e0001")
    assert str(refusal.value) == (
        "holds what cannot be seen, U+00AD SOFT HYPHEN, U+3164 HANGUL FILLER, U+E0001 LANGUAGE TAG: "
        '"a\\u00adb\\u3164\\U000e0001"; write it without'
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Web-1", "wEB-1"),
        ("caf\u00e9", "cafe\u0301"),
        ("CAF\u00c9", "cafe\u0301"),
        ("\uac00", "\u1100\u1161"),
        ("web 1", "web\u00a01"),
        ("❤", "❤\ufe0f"),
        ("\u212b", "\u00e5"),
    ],
    ids=ascii,
)
def test_names_that_look_the_same_have_one_key(one: str, other: str) -> None:
    assert key_of(one) == key_of(other)


@pytest.mark.parametrize(("one", "other"), [("N1", "N2"), ("cafe", "caf\u00e9"), ("Ｎ1", "N1"), ("a b", "ab")])
def test_names_that_look_different_have_different_keys(one: str, other: str) -> None:
    assert key_of(one) != key_of(other)


@given(name=st.text())
def test_however_a_name_is_put_together_its_key_is_the_same(name: str) -> None:
    keys = {key_of(unicodedata.normalize(form, name)) for form in ("NFC", "NFD")} | {key_of(name), key_of(key_of(name))}
    assert len(keys) == 1


@given(text=st.text())
def test_what_is_shown_escaped_can_be_seen(text: str) -> None:
    assert unseen_in(escaped(text)) == ""
    assert escaped(escaped(text)) == escaped(text)
