"""The best restart of lost VMs by trying everything: as many as possible of the highest priority, then of the next.

For small losses only; an opinion of its own, against which plans are held.
"""

from __future__ import annotations

from collections.abc import Sequence

from shunter.topology.model import VirtualMachine
from shunter.topology.recheck.restarted import Left

MOST_STEPS = 20_000

Counts = tuple[int, ...]
"""How many restart, priority by priority, the highest first."""


def most_restarts(
    left: Left, vms: Sequence[VirtualMachine] | None = None, most_steps: int = MOST_STEPS
) -> Counts | None:
    """What no placement beats; None where it takes more steps than allowed to know. `vms`: those that were lost, unless
    others are given, none of which runs.
    """
    vms = sorted(left.must_restart() if vms is None else vms, key=lambda vm: (-vm.priority, -vm.restart_mib))
    search = _Search(left, vms, most_steps)
    return search.best if search.ended() else None


def counted(vms: Sequence[VirtualMachine], placed: frozenset[str] | set[str]) -> Counts:
    priorities = sorted({vm.priority for vm in vms}, reverse=True)
    return tuple(sum(vm.priority == p and vm.name in placed for vm in vms) for p in priorities)


class _Search:
    def __init__(self, left: Left, vms: Sequence[VirtualMachine], most_steps: int) -> None:
        self.left, self.vms, self.steps = left, vms, most_steps
        self.best: Counts = counted(vms, frozenset())
        self.placed: dict[str, str] = {}
        self.room = dict(left.room_mib)

    def ended(self) -> bool:
        return self._try(0)

    def _try(self, at: int) -> bool:
        """Every way to go on from here; False where the steps are spent."""
        self.steps -= 1
        if self.steps < 0:
            return False
        if counted(self.vms, {*self.placed, *(vm.name for vm in self.vms[at:])}) <= self.best:
            return True
        if at == len(self.vms):
            self.best = counted(self.vms, set(self.placed))
            return True
        vm = self.vms[at]
        for node, room in list(self.room.items()):
            if room < vm.restart_mib or any(self.left.against(vm, node, self.placed)):
                continue
            self.placed[vm.name] = node
            self.room[node] -= vm.restart_mib
            done = self._try(at + 1)
            self.room[node] += vm.restart_mib
            del self.placed[vm.name]
            if not done:
                return False
        return self._try(at + 1)
