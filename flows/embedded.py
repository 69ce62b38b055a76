"""A Prefect server of our own for one process: on loopback, with its own SQLite, gone when the process is gone.

Prefect's own ephemeral mode is not used: its server shares the terminal's process group, so that Ctrl-C would kill it
under a run that is still bringing its migrations to an end; it also starts only when the first flow does. Ours starts
while this process still imports Prefect, and ends when its standard input ends, whatever happened to this process.

How long it takes to start says more of the machine's load than of the server: as long as its process lives it is waited
for, with a deadline far beyond what a badly overloaded machine needs. A process that has ended is known at once.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from shunter.flows import file_lock
from shunter.flows.children import apart_from_the_terminal
from shunter.flows.errors import PrefectUnreachable
from shunter.flows.temporary_homes import LOG, temporary_home

START_DEADLINE_S = 600.0
TELL_AFTER_S = 30.0
END_DEADLINE_S = 10.0
DRAIN_DEADLINE_S = 5.0
LAST_WORDS = 800


class EmbeddedServer:
    """Use `started`. `environment`: what a process must have in its environment before it imports Prefect."""

    def __init__(self, home: Path, process: subprocess.Popen[str]) -> None:
        self.home = home
        self._process = process
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._ready = False
        self._since, self._since_s = datetime.now().astimezone(), time.monotonic()
        threading.Thread(target=self._hear, name="embedded-prefect", daemon=True).start()
        port = self._next_word(lambda _: None)
        self.api_url = f"http://127.0.0.1:{port}/api"
        self.environment = {**_settings(home), "PREFECT_API_URL": self.api_url}

    @classmethod
    @contextmanager
    def started(cls, kept_in: Path | None = None) -> Iterator[EmbeddedServer]:
        """Start the server and do not wait for it. Without `kept_in` its folder is deleted at the end.

        To be left outside of any event loop.
        """
        with ExitStack() as stack:
            home = kept_in or stack.enter_context(temporary_home())
            home.mkdir(parents=True, exist_ok=True)
            process = _launch(home, forget=kept_in is None)
            # nothing that a temporary one has to write is wanted any more
            stack.callback(_end, process, patience_s=END_DEADLINE_S if kept_in else 0.0)
            stack.callback(_send_what_is_queued, process)
            yield cls(home, process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def wait_until_ready(self, tell: Callable[[str], None] = lambda _: None) -> None:
        """Return once the server answers requests. `tell`: is told now and then that it is still waited for.

        Raises PrefectUnreachable, with what the server said last.
        """
        if not self._ready:
            self._next_word(tell)
            self._ready = True

    def _hear(self) -> None:
        for line in self._process.stdout or ():
            self._said.put(line.strip())
        self._said.put("")

    def _next_word(self, tell: Callable[[str], None]) -> str:
        until_s = self._since_s + START_DEADLINE_S
        while (left_s := until_s - time.monotonic()) > 0:
            try:
                word = self._said.get(timeout=min(TELL_AFTER_S, left_s))
            except queue.Empty:
                tell(
                    f"the embedded Prefect server is starting since {self._since:%H:%M:%S} "
                    f"({time.monotonic() - self._since_s:.0f} s); its process lives, so that it is waited for"
                )
                continue
            if not word:
                raise self._failed(_how_ended(self._process))
            return word
        raise self._failed(f"did not start within {START_DEADLINE_S:g} s")

    def _failed(self, what: str) -> PrefectUnreachable:
        log = self.home / LOG
        said = log.read_text(encoding="utf-8", errors="replace").strip() if log.is_file() else ""
        return PrefectUnreachable(
            f"the embedded Prefect server {what}; set PREFECT_API_URL to use one that runs. "
            f"Its last words: {said[-LAST_WORDS:] or 'none'}"
        )


def _how_ended(process: subprocess.Popen[str]) -> str:
    """Of a process that says nothing any more."""
    try:
        code = process.wait(END_DEADLINE_S)
    except subprocess.TimeoutExpired:
        return "closed its output while it started"
    return f"was ended by signal {-code} while it started" if code < 0 else f"ended with code {code} while it started"


def _settings(home: Path) -> dict[str, str]:
    """What server and client of an embedded Prefect share. In-memory leases would not outlive a crash of the server."""
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def _launch(home: Path, *, forget: bool) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "shunter.flows.embedded_server", str(home), *(["--forget"] if forget else [])]
    server_only = {
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{(home / 'prefect.db').as_posix()}",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",  # a second less to wait; ours register when they are used
        "PREFECT_UI_ENABLED": "false",
        "PREFECT__SERVER_FINAL": "1",
    }
    foreign = {
        "PREFECT_API_URL",
        "PREFECT_API_KEY",
        "PREFECT_PROFILE",
        "PREFECT_SERVER_API_AUTH_STRING",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL",
    }
    inherited = {name: value for name, value in os.environ.items() if name not in foreign}
    with (home / LOG).open("ab") as log:
        if forget:
            file_lock.hold(log)  # the server inherits it: others see that the folder is in use for as long as it lives
        return subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**inherited, **_settings(home), **server_only},
            cwd=home,  # a prefect.toml or .env of the user's folder is not meant for this server
            **apart_from_the_terminal(),  # Ctrl-C in the terminal is for the run, which still needs its server
        )


def _send_what_is_queued(process: subprocess.Popen[str]) -> None:
    """Prefect sends log lines and events in the background; they must be gone before their server is."""
    if process.poll() is not None:
        return  # nobody takes them any more
    for module, worker in (("prefect.logging.handlers", "APILogWorker"), ("prefect.events.worker", "EventsWorker")):
        if module in sys.modules:
            getattr(sys.modules[module], worker).drain_all(timeout=DRAIN_DEADLINE_S)


def _end(process: subprocess.Popen[str], *, patience_s: float) -> None:
    if process.stdin is not None and patience_s:
        process.stdin.close()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
