"""Notices that this process stood still for a while, or that the time of day jumped.

A laptop's lid, a paused VM, a debugger, a starved machine: on waking, everything that was due falls due at once, and a
deadline would end what only nobody has looked at. The clock of the cluster is told, so that deadlines begin again where
they were; and people are told, because the world went on: leases ended, nodes came back, others began to act.

Nothing else depends on the time of day, but for when a scheduled run was due; that it jumped is told, because the times
in logs do not fit together then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from shunter.clusters.clock import Clock
from shunter.flows.spoken import duration
from shunter.topology.plan import Finding, Plan

PULSE_S = 1.0
LATE_S = 2.0
"""A pulse that is later by more is made good; less is what a busy machine is late by anyway."""
TOLD_FROM_S = 30.0
PROCESS, TIME_OF_DAY = "this process", "this machine's clock"


@dataclass(frozen=True, slots=True)
class Times:
    """What the clocks show. `loop_s`: the event loop's; `passed_s`: one that also counts while the machine sleeps;
    `of_day_s`: the one that people set; `worked_s`: what this process has computed.
    """

    loop_s: float
    passed_s: float
    of_day_s: float
    worked_s: float


def times_now() -> Times:
    loop_s = asyncio.get_running_loop().time()
    # elsewhere than on Linux the loop's own clock counts while the machine sleeps, or nothing does
    passed_s = time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else loop_s
    return Times(loop_s, passed_s, time.time(), time.process_time())


@dataclass(frozen=True, slots=True)
class Gap:
    """What was out of order between two pulses. `late_s`: by how much the second was late by the event loop's time,
    which stands still while the machine sleeps. `still_s`: for how long the process neither waited by its own will nor
    computed. `jump_s`: by how much the time of day was set forward (below 0: back).
    """

    late_s: float
    still_s: float
    jump_s: float


def gap_between(before: Times, after: Times) -> Gap:
    loop_s, passed_s = after.loop_s - before.loop_s, after.passed_s - before.passed_s
    late_s = max(loop_s - PULSE_S, 0.0)
    slept_s = max(passed_s - loop_s, 0.0)
    return Gap(
        late_s=late_s,
        still_s=slept_s + max(late_s - (after.worked_s - before.worked_s), 0.0),
        jump_s=after.of_day_s - before.of_day_s - passed_s,
    )


def findings_of(gap: Gap) -> Iterator[Finding]:
    """What people should know of it."""
    if gap.still_s >= TOLD_FROM_S:
        yield Finding(
            rule="R15",
            severity="warning",
            subject=PROCESS,
            message=f"this process stood still for {duration(gap.still_s)}, while the cluster went on; it looked anew "
            "before it went on, and its deadlines do not count that time",
            remedy="find out why (the machine slept, or the process was stopped or starved); what it held may have "
            "been taken by another run meanwhile, which it heeds",
        )
    if abs(gap.jump_s) >= TOLD_FROM_S:
        yield Finding(
            rule="R15",
            severity="warning",
            subject=TIME_OF_DAY,
            message=f"the time of day jumped {'forward' if gap.jump_s > 0 else 'back'} by {duration(abs(gap.jump_s))}; "
            "the run counts by a clock that does not, but the times in logs before and after do not fit together",
            remedy="see to the time service of this machine",
        )


class Standstill:
    """What was noticed so far. Use `noticed`."""

    def __init__(self, clock: Clock | None, tell: Callable[[Finding], None], read: Callable[[], Times]) -> None:
        self.findings: list[Finding] = []
        self._clock, self._tell, self._read = clock, tell, read
        self._loop = asyncio.get_running_loop()
        self._last = read()
        self._next = self._loop.call_later(PULSE_S, self._pulse)

    @classmethod
    @contextmanager
    def noticed(
        cls, clock: Clock | None, tell: Callable[[Finding], None], read: Callable[[], Times] = times_now
    ) -> Iterator[Standstill]:
        """Inside the block it is noticed, and `tell` is called. `clock` makes it good; None where somebody else tells
        it already.
        """
        standstill = cls(clock, tell, read)
        try:
            yield standstill
        finally:
            standstill._next.cancel()

    def told_in(self, report: Plan) -> Plan:
        """The same report, with what was noticed."""
        return report.model_copy(update={"findings": (*report.findings, *self.findings)}) if self.findings else report

    def _pulse(self) -> None:
        """A callback and not a task: it comes before every deadline that is due later, though all are due by now."""
        before, self._last = self._last, self._read()
        self._next = self._loop.call_later(PULSE_S, self._pulse)
        gap = gap_between(before, self._last)
        if self._clock is not None and gap.late_s > LATE_S:
            self._clock.missed(gap.late_s)
        for finding in findings_of(gap):
            self.findings.append(finding)
            self._tell(finding)
