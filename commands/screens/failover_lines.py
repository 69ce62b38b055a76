"""What plain lines say of a failover while it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from rich.text import Text

from shunter.commands.screens.failover_live import counts_told, up_line
from shunter.commands.screens.words import Signs, clock
from shunter.engine.failover import NO_PLACE
from shunter.flows.failover_summary import failover_headline
from shunter.flows.restarts_seen import Fate, RestartsSeen
from shunter.statemachines.lifecycle import Step
from shunter.topology.plan import Plan

_FIRST = (Fate.OUT_OF_SIGHT, None)


class FailoverLines:
    """Tell it of a step after `seen` has heard of it. What fails with a lost node is counted, not listed."""

    def __init__(self, plan: Plan, seen: RestartsSeen) -> None:
        self._plan, self._seen = plan, seen
        self._fates: dict[str, Fate] = {}
        self._said: set[str] = set()

    def planned(self) -> str:
        return failover_headline(self._plan, self._seen.lost)

    def stepped(self, step: Step, signs: Signs) -> Iterator[Text]:
        vm = self._seen.vms.get(step.subject.removeprefix("vm ")) if step.lifecycle == "vm" else None
        if vm is None:
            return
        was, self._fates[vm.vm] = self._fates.get(vm.vm), vm.fate
        match vm.fate:
            case Fate.STARTING:
                yield signs.text(f"vm {vm.vm}: starting on {vm.node}")
            case Fate.RUNS if was is not Fate.RUNS:
                yield up_line(vm, signs).append(f" ({counts_told(self._seen)})")
            case Fate.LOST_SIGHT:
                yield signs.text(f"vm {vm.vm}: lost sight ({vm.doubt}); looking whether it runs")
            case Fate.DOWN if was in (Fate.STARTING, Fate.LOST_SIGHT):
                node, why = list(vm.not_on.items())[-1]
                yield signs.text(f"{signs.wrong} {vm.vm} did not come up on {node}" + (f": {why}" if why else ""))
            case Fate.DOWN if was not in _FIRST or vm.lost_with not in self._seen.lost:
                yield signs.text(f"{signs.wrong} vm {vm.vm}: failed on {vm.node}")
            case Fate.STOPPED:
                yield signs.text(f"vm {vm.vm}: {step.target} on {vm.node}; somebody has stopped it")

    def waiting(self, zero_s: float) -> Iterator[str]:
        """What is waited for that was not said yet. `zero_s`: when the run began, by the cluster's clock."""
        waits = [wait for wait in self._seen.waits() if isfinite(wait.until_s) or wait.reason == NO_PLACE]
        self._said &= {wait.reason for wait in waits}
        for wait in waits:
            if wait.reason not in self._said:
                self._said.add(wait.reason)
                until = f", until {clock(wait.until_s - zero_s)} at the latest" if isfinite(wait.until_s) else ""
                yield wait.told(until)
