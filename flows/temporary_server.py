"""The temporary server that Prefect itself starts where none is configured, and flows are called from Python.

Prefect ends it in order only: it would outlive a caller who is killed, for ever. So a small process of ours
(`reaper`) ends it then. It is tied to the caller by a pipe, of which the system closes this end, whatever ends us.
"""

from __future__ import annotations

import subprocess
import sys

from shunter.flows.children import apart_from_the_terminal

_reapers: dict[int, subprocess.Popen[bytes]] = {}
"""By the number of the server's process. Held for as long as this process lives: so are the pipes."""


def end_it_with_us() -> None:
    """See to it that Prefect's temporary server, if it runs for this process, ends with it. May be called often."""
    server = _running()
    if server is None or server.pid in _reapers:
        return
    _reapers[server.pid] = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-P", "-m", "shunter.flows.reaper", str(server.pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **apart_from_the_terminal(),
    )


def _running() -> subprocess.Popen[bytes] | None:
    """The process of it that Prefect has started here."""
    if "prefect.server.api.server" not in sys.modules:  # imported when it is started
        return None
    from prefect.server.api.server import SubprocessASGIServer  # noqa: PLC0415

    return SubprocessASGIServer().server_process  # there is one for each process
