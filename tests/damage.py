"""Damage to cluster files, fault plans and command lines, as people and programs spoil them."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

ODD_TEXTS = (
    "",
    " ",
    "N1",
    "n1",
    "vm-0",
    "vol0",
    "net0",
    "up",
    "off",
    "none",
    "true",
    "0",
    "null",
    " N1",
    "N1\n",
    "\x00",
    "\x1b[31m",
    "\u202eN1",
    "\ud800",
    "\ufeff",
    "ﬀ",
    "ß",
    "SS",
    "İ",
    "é" * 300,
    "../../etc/passwd",
    "%s%n{0}",
    "<script>",
    "10.0.0.0/99",
    "😀",
)
ODD_NUMBERS = (
    0,
    -0.0,
    1,
    -1,
    0.5,
    1.0,
    100,
    100.5,
    255,
    4096.0,
    2**31,
    2**31 + 1,
    2**53,
    2**63,
    2**64,
    10**40,
    10**400,
    1e-320,
    1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
)
ODD_VALUES = (None, True, False, [], {}, [[]], [None], {"": None}, [{}], [1, "1"])
ODD_ARGUMENTS = (
    "--json",
    "--help",
    "--",
    "-",
    "--cluster",
    "--reserve-nodes",
    "--seed",
    "--svg",
    "--nonsense",
    "-1",
    "99999999999999999999",
    "1e3",
    "nan",
    "auto",
    "~",
    "~nobody-at-all",
    "/",
    ".",
    "/dev/null",
    "x" * 5000,
    "a/b\\c",
    "=",
    "--cluster=",
    "--seed=7",
    "none",
    "many",
)

Holder = list[Any] | dict[str, Any]
Place = tuple[Holder, int | str]


def places(value: Any) -> list[Place]:
    """Everything in a JSON value: what holds it, and where."""
    found: list[Place] = []
    left = [value] if isinstance(value, list | dict) else []
    while left:
        holder = left.pop()
        keys: list[Any] = list(range(len(holder))) if isinstance(holder, list) else list(holder)
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], list | dict):
                left.append(holder[key])
    return found


def spoil(rng: random.Random, value: Any, times: int) -> Any:
    """A copy with that many things changed."""
    value = copy.deepcopy(value)
    for _ in range(times):
        found = places(value)
        if not found:
            return copy.deepcopy(rng.choice(ODD_VALUES))
        holder, key = rng.choice(found)
        rng.choice(CHANGES)(rng, value, holder, key)
    return value


def _delete(_rng: random.Random, _root: Any, holder: Any, key: Any) -> None:
    del holder[key]


def _odd(rng: random.Random, _root: Any, holder: Any, key: Any) -> None:
    holder[key] = copy.deepcopy(rng.choice(rng.choice((ODD_TEXTS, ODD_NUMBERS, ODD_VALUES))))


def _other_type(_rng: random.Random, _root: Any, holder: Any, key: Any) -> None:
    was = holder[key]
    match was:
        case bool():
            holder[key] = int(was)
        case int() | float():
            holder[key] = str(was)
        case str():
            holder[key] = [was]
        case list():
            holder[key] = {str(i): name for i, name in enumerate(was)} if was and isinstance(was[0], str) else None
        case _:
            holder[key] = [was]


def _from_elsewhere(rng: random.Random, root: Any, holder: Any, key: Any) -> None:
    other, its = rng.choice(places(root))
    holder[key] = copy.deepcopy(other[its])


def _twice(rng: random.Random, _root: Any, holder: Any, key: Any) -> None:
    if isinstance(holder, list):
        holder.insert(rng.randint(0, len(holder)), copy.deepcopy(holder[key]))
    else:
        holder[f"{key}s"] = copy.deepcopy(holder[key])


def _misspelled(rng: random.Random, _root: Any, holder: Any, key: Any) -> None:
    if isinstance(holder, dict):
        at = rng.randrange(len(key) + 1)
        holder[key[:at] + rng.choice(("", "_", "x", "É", "\ud800", " ")) + key[at + 1 :]] = holder.pop(key)
    elif isinstance(holder[key], str):
        holder[key] = holder[key].swapcase()


def _nearly(rng: random.Random, _root: Any, holder: Any, key: Any) -> None:
    was = holder[key]
    if isinstance(was, int) and not isinstance(was, bool):
        holder[key] = rng.choice((was - 1, was + 1, was * 2, was * 1000, was // 2, -was))
    elif isinstance(was, str):
        holder[key] = rng.choice((was.upper(), was.casefold(), was + " ", was * 2, was[:-1], was + "\u0301"))
    elif isinstance(was, list):
        rng.shuffle(was)


def _deeper(rng: random.Random, _root: Any, holder: Any, key: Any) -> None:
    for _ in range(rng.choice((1, 5, 100))):
        holder[key] = [holder[key]]


CHANGES: tuple[Callable[[random.Random, Any, Any, Any], None], ...] = (
    _delete,
    _odd,
    _odd,
    _other_type,
    _from_elsewhere,
    _from_elsewhere,
    _twice,
    _misspelled,
    _nearly,
    _nearly,
    _nearly,
    _deeper,
)


def json_bytes(value: Any) -> bytes:
    """As a file holds it, numbers and half characters that JSON hardly knows included."""
    return json.dumps(value).encode()


def spoil_bytes(rng: random.Random, data: bytes) -> bytes:
    """A text with a few bytes deleted, doubled, changed, or written in another encoding."""
    for _ in range(rng.randint(1, 4)):
        at, to = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
        match rng.randrange(7):
            case 0:
                data = data[:at] + data[min(to, at + rng.choice((1, 4, 100))) :]
            case 1:
                data = data[:to] + data[at:]
            case 2:
                data = data[:at] + bytes(rng.randrange(256) for _ in range(rng.randint(1, 3))) + data[at + 1 :]
            case 3:
                data = data[:at] + rng.choice((b'"', b",", b"{", b"}", b"[", b"]", b":", b"\\", b"\n")) + data[at:]
            case 4:
                data = data[:at] + rng.choice((b"NaN", b"1e999", b"-", b"9" * 5000, b"\\ud800", b"\x00")) + data[at:]
            case 5:
                data = rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"")) + data
            case _:
                encoding = rng.choice(("utf-16", "utf-32", "utf-8", "utf-7"))
                data = data.decode("utf-8", "replace").encode(encoding, "replace")
    return data


def spoil_arguments(rng: random.Random, arguments: list[str]) -> list[str]:
    """A command line with a few words deleted, doubled, exchanged or odd."""
    arguments = list(arguments)
    for _ in range(rng.randint(0, 3)):
        at = rng.randrange(len(arguments) + 1)
        match rng.randrange(5):
            case 0 if arguments:
                del arguments[min(at, len(arguments) - 1)]
            case 1 if arguments:
                arguments.insert(at, rng.choice(arguments))
            case 2 if arguments:
                arguments[min(at, len(arguments) - 1)] = rng.choice((*ODD_ARGUMENTS, *ODD_TEXTS))
            case 3:
                rng.shuffle(arguments)
            case _:
                arguments.insert(at, rng.choice((*ODD_ARGUMENTS, *ODD_TEXTS)))
    return arguments
