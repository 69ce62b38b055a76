"""JSON from outside: bounded in size, and what JSON leaves open (a field given twice, half characters) refused.

All functions raise RequestError; where the text is JSON, each line begins with the path of what is wrong.
"""

from __future__ import annotations

import codecs
import json
import math
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shunter.topology.errors import RequestError
from shunter.topology.names import escaped

MOST_BYTES = 2**26
"""64 MiB: a cluster file of 8,000 VMs with every field written out has about 8."""

_MOST_DIGITS = 400
_OTHER_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark."""
    try:
        data = _bytes_of(path)
    except FileNotFoundError as error:
        raise RequestError(f"there is no such file (looked for {path.absolute()}); check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte in it
        reason = getattr(error, "strerror", None) or error
        raise RequestError(f"cannot be read ({reason}); name a file that you may read") from error
    if len(data) > MOST_BYTES:
        raise RequestError(f"is larger than {MOST_BYTES // 2**20} MiB; name the file that you mean")
    return _decoded(data)


def parse_json(text: str) -> Any:
    """The value of a JSON text. A number that is larger than any that could be meant comes out as infinity."""
    if len(text) > MOST_BYTES:
        raise RequestError(f"is longer than {MOST_BYTES // 2**20} Mi characters; give what you mean")
    twice: list[_GivenTwice] = []

    def no_field_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        data = dict(pairs)
        if len(data) == len(pairs):
            return data
        twice.append(_GivenTwice(pairs))
        return twice[-1]

    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise RequestError("is empty; give one JSON document")
    try:
        try:
            value = json.loads(text, object_pairs_hook=no_field_twice)
        except json.JSONDecodeError:
            raise
        except ValueError:  # a number of more digits than Python likes to read
            value = json.loads(text, object_pairs_hook=no_field_twice, parse_int=_bounded)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise RequestError(f"is not JSON: {error.msg} at {where}; correct it there") from error
    except RecursionError as error:
        raise RequestError("is nested too deeply; give what you mean") from error
    if twice:
        raise RequestError("\n".join(_repeated(value)))
    return value


def half_characters(value: Any) -> list[str]:
    """The paths of strings that hold half a character (a lone surrogate), which no UTF-8 text can."""
    return [path_of(path) for path, part in _parts(value) if isinstance(part, str) and not _is_whole(part)]


def path_of(location: Sequence[int | str]) -> str:
    """Such as `vms[3].node`; a name that no field can have is quoted; "the file" where it is all of it."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part.replace("_", "").isalnum():
            path += f".{shown(part, 60)}" if path else shown(part, 60)
        else:
            path += f'["{shown(part, 60)}"]'
    return path or "the file"


def shown(text: str, most: int = 100) -> str:
    """Text from outside as a message quotes it: not too long, and what is invisible written out."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return escaped(cut)


class _GivenTwice(dict[str, Any]):
    """An object in which a field is given more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.names = sorted(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)


def _bytes_of(path: Path) -> bytes:
    """At most one byte more than a file may have. Raises OSError, ValueError, and RequestError where it is no file: a
    pipe would be waited for, and a device read without end.
    """
    _check_is_file(path.stat().st_mode)
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        _check_is_file(os.fstat(file.fileno()).st_mode)  # what stands there may be another by now
        return file.read(MOST_BYTES + 1)


def _check_is_file(mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise RequestError("is a folder; name a file in it")
    what = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
    raise RequestError(f"is {what}, not a file; write what it gives into a file, and name that")


def _decoded(data: bytes) -> str:
    for mark, encoding in _OTHER_ENCODINGS:
        if data.startswith(mark):
            raise RequestError(f"is {encoding}; save it as UTF-8 (in PowerShell: Set-Content -Encoding utf8)")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wrong = f"byte 0x{data[error.start]:02x} at offset {error.start}"
        raise RequestError(f"is not UTF-8 text ({wrong}); save it as UTF-8, or name another file") from error


def _bounded(digits: str) -> float:
    return int(digits) if len(digits) <= _MOST_DIGITS else math.copysign(math.inf, -1 if digits[0] == "-" else 1)


def _is_whole(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _repeated(value: Any) -> Iterator[str]:
    for path, part in _parts(value):
        if isinstance(part, _GivenTwice):
            for name in part.names:
                yield f"{path_of([*path, name])}: given twice in one object; give it once"


def _parts(value: Any) -> Iterator[tuple[tuple[int | str, ...], Any]]:
    """Everything in a JSON value, field names included, with its path."""
    left: list[tuple[tuple[int | str, ...], Any]] = [((), value)]
    while left:
        path, part = left.pop()
        yield path, part
        if isinstance(part, dict):
            for name, inner in part.items():
                if not _is_whole(name):
                    yield (*path, name), name
                left.append(((*path, name), inner))
        elif isinstance(part, list):
            left += [((*path, i), inner) for i, inner in enumerate(part)]
