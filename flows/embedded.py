"""A Prefect server of our own for one process: on loopback, with its own SQLite, gone when the process is gone.

Prefect's own ephemeral mode is not used: its server shares the terminal's process group, so that Ctrl-C would kill it
under a run that is still bringing its migrations to an end; it also starts only when the first flow does. Ours starts
while this process still imports Prefect, and ends when its standard input ends, whatever happened to this process.
"""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shunter.flows.errors import PrefectUnreachable

START_DEADLINE_S = 120.0
END_DEADLINE_S = 10.0
DRAIN_DEADLINE_S = 5.0
TEMPORARY = "shunter-prefect-"


class EmbeddedServer:
    """Use `started`. `environment`: what a process must have in its environment before it imports Prefect."""

    def __init__(self, home: Path, process: subprocess.Popen[str]) -> None:
        self.home = home
        self._process = process
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._ready = False
        threading.Thread(target=self._hear, name="embedded-prefect", daemon=True).start()
        port = self._next_word()
        self.api_url = f"http://127.0.0.1:{port}/api"
        self.environment = {**_settings(home), "PREFECT_API_URL": self.api_url}

    @classmethod
    @contextmanager
    def started(cls, kept_in: Path | None = None) -> Iterator[EmbeddedServer]:
        """Start the server and do not wait for it. Without `kept_in` its folder is deleted at the end.

        To be left outside of any event loop.
        """
        home = kept_in or Path(tempfile.mkdtemp(prefix=TEMPORARY))
        home.mkdir(parents=True, exist_ok=True)
        process = _launch(home, forget=kept_in is None)
        try:
            yield cls(home, process)
        finally:
            _send_what_is_queued()
            if kept_in is None:
                process.kill()  # nothing of it is wanted any more
                process.wait()
                shutil.rmtree(home, ignore_errors=True)
            else:
                _end(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Return once the server answers requests. Raises PrefectUnreachable, with what the server said last."""
        if not self._ready:
            self._next_word()
            self._ready = True

    def _hear(self) -> None:
        for line in self._process.stdout or ():
            self._said.put(line.strip())
        self._said.put("")

    def _next_word(self) -> str:
        try:
            word = self._said.get(timeout=START_DEADLINE_S)
        except queue.Empty:
            word = ""
        if not word:
            log = self.home / "server.log"
            tail = log.read_text(encoding="utf-8", errors="replace").strip()[-800:] if log.is_file() else ""
            raise PrefectUnreachable(
                f"the embedded Prefect server did not start within {START_DEADLINE_S:g} s; set PREFECT_API_URL to use "
                f"one that runs. Its last words: {tail or 'none'}"
            )
        return word


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
    foreign = {"PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_PROFILE", "PREFECT_SERVER_DATABASE_CONNECTION_URL"}
    inherited = {name: value for name, value in os.environ.items() if name not in foreign}
    with (home / "server.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**inherited, **_settings(home), **server_only},
            cwd=home,  # a prefect.toml or .env of the user's folder is not meant for this server
            start_new_session=True,  # Ctrl-C in the terminal is for the run, which still needs its server
        )


def _send_what_is_queued() -> None:
    """Prefect sends log lines and events in the background; they must be gone before their server is."""
    for module, worker in (("prefect.logging.handlers", "APILogWorker"), ("prefect.events.worker", "EventsWorker")):
        if module in sys.modules:
            getattr(sys.modules[module], worker).drain_all(timeout=DRAIN_DEADLINE_S)


def _end(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(END_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
