"""Which process a run is, so that another one can prove that it is gone: machine, boot, and the process itself."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path

import psutil

from shunter.topology.model import Value

SAME_START_S = 2.0
"""Two readings of when a process started differ by less."""


class ProcessIdentity(Value):
    """`boot`: which boot of which machine, and within it which space of process numbers (containers have their own).
    `started`: seconds since 1970.
    """

    host: str
    boot: str
    pid: int
    started: float

    @classmethod
    def own(cls) -> ProcessIdentity:
        return cls(host=platform.node(), boot=_boot(), pid=os.getpid(), started=psutil.Process().create_time())

    @property
    def is_proven_gone(self) -> bool:
        """Of another machine, or of another boot of this one, nothing is proven: a clone may share its name."""
        if self.boot != _boot():
            return False
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < SAME_START_S
            return not same or process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def _boot() -> str:
    """On Linux the kernel names each boot, and each space of process numbers."""
    boot, space = f"{psutil.boot_time():.0f}", ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = Path("/proc/self/ns/pid").readlink().name
    return f"{platform.node()}/{boot}/{space}"
