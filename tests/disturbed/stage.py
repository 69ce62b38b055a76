"""The processes of a case: a Prefect server that can be killed and comes back, a host, a run; and a disk to fill."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from commanding import command_line

START_WITHIN_S = 180.0
ANSWER_WITHIN_S = 10.0
LOOK_EVERY_S = 0.05
TINY_DISK_KIB = 512
BELOW_CHANCE = range(15_000, 32_000)
SERVER = {
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_UI_ENABLED": "false",
}
FOREIGN = ("PREFECT_", "SHUNTER_")


class Server:
    """`prefect server start` on loopback, with SQLite and leases in a folder; killed, it comes back as it was."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._port = _free_port()
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self.api_url = f"http://127.0.0.1:{self._port}/api"

    def start(self) -> None:
        """Return when it answers."""
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self._port)]
        database = f"sqlite+aiosqlite:///{(self._home / 'prefect.db').as_posix()}"
        given = SERVER | {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database}
        with (self._home / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(self._home, **given),
                cwd=self._home,
                start_new_session=True,
            )
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        until_s = time.monotonic() + START_WITHIN_S
        while True:
            assert self._process is not None
            assert self._process.poll() is None, f"the Prefect server ended: {self._home / 'server.log'}"
            assert time.monotonic() < until_s, f"the Prefect server does not answer after {START_WITHIN_S:g} s"
            try:
                httpx.get(f"{self.api_url}/health", timeout=ANSWER_WITHIN_S).raise_for_status()
            except httpx.HTTPError:
                time.sleep(LOOK_EVERY_S)
            else:
                return

    def kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):  # it may have ended by itself
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stand_still(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Return when it answers."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)
        self._wait_until_it_answers()

    def leave_quietly(self) -> None:
        """End it so that its database is one file."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(START_WITHIN_S)
        self._process = None


def _free_port() -> int:
    """One that no connection is given by chance while the server is away."""
    while True:
        port = BELOW_CHANCE.start + secrets.randbelow(len(BELOW_CHANCE))
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


@contextmanager
def server_of_its_own(home: Path, template: Path | None = None) -> Iterator[Server]:
    """`template`: the home of one that was made by `made_template`, which spares seconds of migrating a database."""
    if template is not None:
        shutil.copytree(template, home)
    server = Server(home)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def make_template(home: Path) -> None:
    """The home of a server that has been started once."""
    server = Server(home)
    try:
        server.start()
        server.leave_quietly()
    finally:
        server.kill()


def environment(home: Path, **given: str) -> dict[str, str]:
    """Nothing of a Prefect that somebody has configured."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    here = {
        "PREFECT_HOME": str(home),
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PYTHONIOENCODING": "utf-8",
    }
    return inherited | here | given


# ------------------------------------------------------------------ the host


class Host:
    """A hosted cluster. Its clock showed 0 at `zero_s` of this machine's monotonic time."""

    def __init__(self, process: subprocess.Popen[str], address: str, witness: Path) -> None:
        self.process, self.address, self.witness = process, address, witness
        told = self.ask("hello")
        self.speed = float(told["speed"])
        self.zero_s: float = time.monotonic() - told["now_s"] / self.speed

    def now_s(self) -> float:
        """By the cluster's clock."""
        elapsed_s: float = time.monotonic() - self.zero_s
        return elapsed_s * self.speed

    def ask(self, verb: str, **given: Any) -> Any:
        host, port = self.address.split(":")
        with (
            socket.create_connection((host, int(port)), ANSWER_WITHIN_S) as connection,
            connection.makefile("rwb") as io,
        ):
            io.write(json.dumps({"verb": verb, **given}).encode() + b"\n")
            io.flush()
            answer = json.loads(io.readline())
            if verb == "look":
                return json.loads(io.readline())
            return answer["answer"]

    def events(self) -> list[dict[str, Any]]:
        """What the witness has written, without the cluster that it begins with."""
        return [json.loads(line) for line in self.lines()[1:]]

    def lines(self) -> list[str]:
        """Whole ones."""
        text = self.witness.read_text(encoding="utf-8", errors="replace")
        return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]


@contextmanager
def hosted(cluster: Mapping[str, Any], folder: Path, witness: Path, *, speed: float, reboot_s: float) -> Iterator[Host]:
    file = folder / "cluster.json"
    file.write_text(json.dumps(cluster), encoding="utf-8")
    options = ["--cluster", str(file), "--log", str(witness), "--speed", f"{speed:g}", "--reboot-s", f"{reboot_s:g}"]
    with (folder / "host.err").open("w", encoding="utf-8") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", "shunter.clusters.simulated.host", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            start_new_session=True,
        )
    try:
        assert process.stdout is not None
        yield Host(process, process.stdout.readline().strip().removeprefix("listening on "), witness)
    finally:
        process.kill()
        process.communicate()


# ------------------------------------------------------------------ the run


class Run:
    """A command in a process of its own. `out`, `err`: where its output is kept, if it is."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, number: int, begun_s: float) -> None:
        self.process, self.begun_s, self.ended_s = process, begun_s, begun_s
        self.out, self.err = folder / f"run-{number}.out", folder / f"run-{number}.err"

    @property
    def is_over(self) -> bool:
        return self.process.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        if not self.is_over:
            self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def wait(self, until_s: float) -> int | None:
        """Its exit code, or None where it has not ended by then."""
        try:
            code = self.process.wait(max(0.0, until_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            return None
        self.ended_s = time.monotonic()
        return code


def _hear_hangups() -> None:
    """Also where all this was begun under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextmanager
def running(
    arguments: Sequence[str],
    folder: Path,
    number: int,
    api_url: str,
    state: Path,
    *,
    out: int | None = None,
    err: int | None = None,
) -> Iterator[Run]:
    """`state`: the user's folder of states. `out`, `err`: in place of the files that its output is kept in."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    name = f"run-{number}"
    with (folder / f"{name}.out").open("wb") as kept_out, (folder / f"{name}.err").open("wb") as kept_err:
        process = subprocess.Popen(
            command_line(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=kept_out if out is None else out,
            stderr=kept_err if err is None else err,
            env=environment(home, PREFECT_API_URL=api_url, XDG_STATE_HOME=str(state)),
            cwd=folder,
            start_new_session=True,
            preexec_fn=_hear_hangups,  # noqa: PLW1509 - no thread of this process matters there
        )
    try:
        yield Run(process, folder, number, time.monotonic())
    finally:
        process.kill()
        process.wait()


# ------------------------------------------------------------------ a disk


class TinyDisk:
    """A file system that can be filled. Only root can mount one."""

    def __init__(self, at: Path) -> None:
        self.at = at

    def fill(self) -> None:
        """What is written after this does not fit; what is there can be written over."""
        with (self.at / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return

    @staticmethod
    @contextmanager
    def mounted(at: Path) -> Iterator[TinyDisk]:
        at.mkdir(exist_ok=True)
        options = ["-t", "tmpfs", "-o", f"size={TINY_DISK_KIB}k", "shunter-disturbed", str(at)]
        subprocess.run([_program("mount"), *options], check=True, capture_output=True)
        try:
            yield TinyDisk(at)
        finally:
            subprocess.run([_program("umount"), "--lazy", str(at)], check=True, capture_output=True)


def _program(name: str) -> str:
    found = shutil.which(name)
    assert found is not None, f"there is no {name} here, so no disk can be filled"
    return found
