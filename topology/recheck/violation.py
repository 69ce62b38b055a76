"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass

EPSILON_S = 1e-6


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong.

    `at_s`: seconds on the clock of what was checked. `invariant`: I1 to I8 or a rule R01 to R21; `log` where the log
    cannot be read as one, `report` where a report and the log disagree.
    """

    at_s: float
    invariant: str
    subject: str
    message: str

    def __str__(self) -> str:
        return f"{self.at_s:.3f} s: {self.invariant}: {self.subject}: {self.message}"
