"""Who else in this process wants to hear a run, and may stop it: the command line's live display and its Ctrl-C.

A flow's parameters are JSON; what lives only in this process comes to it by a context variable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TextIO

from shunter.clusters.simulated import Fault
from shunter.engine.audience import Audience
from shunter.engine.control import Control


@dataclass(frozen=True, slots=True)
class Listener:
    audience: Audience | None = None
    stop: Control | None = None
    witness: TextIO | None = None
    faults: Sequence[Fault] = ()


NOBODY = Listener()
_listener: ContextVar[Listener] = ContextVar("shunter_listener", default=NOBODY)


@contextmanager
def listening(
    audience: Audience | None = None,
    *,
    stop: Control | None = None,
    witness: TextIO | None = None,
    faults: Sequence[Fault] = (),
) -> Iterator[None]:
    """Flows called inside the block tell `audience` what happens, and end early when `stop` asks for it.

    In a cluster that is simulated in this process `faults` happen, and it writes its witness log to `witness`.
    """
    token = _listener.set(Listener(audience, stop, witness, faults))
    try:
        yield
    finally:
        _listener.reset(token)


def current_listener() -> Listener:
    return _listener.get()
