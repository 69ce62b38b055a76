"""What the host of a simulated cluster and its clients say to each other: JSON objects, one a line, one request each
connection. The host says `{"answer": …}` or an error; before the answer come `{"seen": …}` lines of a migration that
is followed, after it the cluster that was looked at, on a line of its own, where the client does not have it yet.
"""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any

from shunter.clusters.port import ClusterError, Failed, OutcomeUnknown, Refused, Unreachable
from shunter.topology.errors import RequestError
from shunter.topology.jsontext import half_characters

MOST_ASKED_BYTES = 2**16
MOST_ANSWERED_BYTES = 2**26
"""Enough for a snapshot of 8,000 VMs, many times over."""

LONGEST_WAIT_S = 86_400.0
"""For which a client may ask the host to wait for a change."""

ERRORS: dict[str, type[ClusterError]] = {
    "refused": Refused,
    "failed": Failed,
    "outcome_unknown": OutcomeUnknown,
    "unreachable": Unreachable,
}


def line_of(message: dict[str, Any]) -> bytes:
    """Raises ValueError where a text in it holds half a character, which no UTF-8 can."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def said_in(line: bytes) -> Any:
    """The JSON of a line. Raises ValueError and RecursionError."""
    text = line.decode()
    said = json.loads(text)
    if "\\u" in text and (broken := half_characters(said)):
        raise ValueError(f"{broken[0]}: holds half a character")
    return said


def error_message(error: ClusterError) -> dict[str, Any]:
    kind = next(kind for kind, known in ERRORS.items() if isinstance(error, known))
    return {"error": kind, "message": str(error), "busy": isinstance(error, Refused) and error.busy}


def error_of(message: dict[str, Any]) -> ClusterError:
    """The error that the host raised, of the same class."""
    kind, text = ERRORS[message["error"]], str(message["message"])
    return Refused(text, busy=bool(message["busy"])) if kind is Refused else kind(text)


def loopback(address: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`. Raises RequestError unless they lie on this machine's loopback.

    Whoever reaches the port may do with the simulated cluster as they like: it asks nobody who they are.
    """
    host, _, port = address.rpartition(":")
    host = "127.0.0.1" if host.casefold() == "localhost" else host.removeprefix("[").removesuffix("]")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise RequestError(f'"{address}" is no address of a simulated cluster: write it like 127.0.0.1:7411')
    try:
        is_ours = ip_address(host).is_loopback
    except ValueError:
        is_ours = False
    if not is_ours:
        raise RequestError(f"{address}: a simulated cluster is reached on this machine only, as 127.0.0.1:{port}")
    return host, int(port)
