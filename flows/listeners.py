"""Who else in this process wants to hear a run, and may stop it: the command line's live display and its Ctrl-C.

A flow's parameters are JSON; what lives only in this process comes to it by a context variable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TextIO

from shunter.clusters.simulated import Fault
from shunter.engine.audience import Audience, Progress, Waiting
from shunter.engine.control import Control
from shunter.engine.watch import Watcher
from shunter.flows.run_folder import Keep
from shunter.statemachines.lifecycle import Step
from shunter.topology.plan import Finding, Plan


@dataclass(frozen=True, slots=True)
class Listener:
    audience: Audience | None = None
    stop: Control | None = None
    witness: TextIO | None = None
    faults: Sequence[Fault] = ()
    watcher: Watcher | None = None
    keep: Keep = field(default_factory=Keep)


_listener: ContextVar[Listener | None] = ContextVar("shunter_listener", default=None)


@contextmanager
def listening(
    audience: Audience | None = None,
    *,
    stop: Control | None = None,
    witness: TextIO | None = None,
    faults: Sequence[Fault] = (),
    watcher: Watcher | None = None,
    keep: Keep | None = None,
) -> Iterator[None]:
    """Flows called inside the block tell `audience` (a watch tells `watcher`) what happens, and end early when `stop`
    asks for it. `keep`: where a run is kept, and its report.

    In a cluster that is simulated in this process `faults` happen, and it writes its witness log to `witness`.
    """
    token = _listener.set(Listener(audience, stop, witness, faults, watcher, keep or Keep()))
    try:
        yield
    finally:
        _listener.reset(token)


def current_listener() -> Listener:
    return _listener.get() or Listener()


class Together:
    """Several audiences as one."""

    def __init__(self, *audiences: Audience) -> None:
        self._audiences = audiences

    def planned(self, plan: Plan, at_s: float) -> None:
        for audience in self._audiences:
            audience.planned(plan, at_s)

    def stepped(self, step: Step) -> None:
        for audience in self._audiences:
            audience.stepped(step)

    def progressed(self, progress: Progress) -> None:
        for audience in self._audiences:
            audience.progressed(progress)

    def waiting(self, waiting: tuple[Waiting, ...]) -> None:
        for audience in self._audiences:
            audience.waiting(waiting)

    def warned(self, finding: Finding, at_s: float) -> None:
        for audience in self._audiences:
            audience.warned(finding, at_s)
