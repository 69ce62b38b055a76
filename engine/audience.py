"""Whom the engine tells what happens, while it happens."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from shunter.statemachines.lifecycle import Step
from shunter.topology.plan import Finding, Plan


class Progress(NamedTuple):
    """How far the copying of one migration is. `at_s`: the cluster's clock; `percent`: 0 to 100."""

    vm: str
    source: str
    target: str
    at_s: float
    percent: float
    estimate_s: float


class Waiting(NamedTuple):
    """Something that has to wait, and what for. `until_s`: at most so long, by the cluster's clock; infinite where
    nobody can say.
    """

    subject: str
    reason: str
    until_s: float


class Audience(Protocol):
    """Listens to a run. Every call returns at once; what takes time is queued by the listener."""

    def planned(self, plan: Plan, at_s: float) -> None:
        """The plan, before the first move. `at_s`: what the cluster's clock shows at second 0 of the plan."""
        ...

    def stepped(self, step: Step) -> None: ...

    def progressed(self, progress: Progress) -> None: ...

    def waiting(self, waiting: tuple[Waiting, ...]) -> None:
        """Everything that waits at the moment; replaces what was said before."""
        ...

    def warned(self, finding: Finding, at_s: float) -> None:
        """Something that people should know while the run goes on; it stands in the report, too."""
        ...


class Nobody:
    """Hears nothing: for callers who want the report alone."""

    def planned(self, plan: Plan, at_s: float) -> None: ...

    def stepped(self, step: Step) -> None: ...

    def progressed(self, progress: Progress) -> None: ...

    def waiting(self, waiting: tuple[Waiting, ...]) -> None: ...

    def warned(self, finding: Finding, at_s: float) -> None: ...
