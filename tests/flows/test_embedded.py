"""Servers that runs start for themselves: waited for while they live, ended with who started them, even by a kill."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from patience import PATIENCE_S

from shunter.flows import embedded, file_lock
from shunter.flows.children import apart_from_the_terminal
from shunter.flows.embedded import EmbeddedServer
from shunter.flows.errors import PrefectUnreachable
from shunter.flows.temporary_homes import LOG, remove_forsaken

ROOMS = Path(__file__).resolve().parents[2]

STARTS_A_SERVER = """
import sys, time
from shunter.flows import embedded
embedded.TELL_AFTER_S = 1.0
with embedded.EmbeddedServer.started() as server:
    print(server.pid, server.home, flush=True)
    server.wait_until_ready(lambda told: print(told, flush=True))
    print("ready", flush=True)
    time.sleep(3600)
"""

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL, and no SIGSTOP")


@contextmanager
def begun(program: str, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A Python program that is at work; killed at the end, if it is still there."""
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(of: subprocess.Popen[str]) -> str:
    assert of.stdout is not None
    said = of.stdout.readline().strip()
    assert said, "it ended early"
    return said


def is_soon(true: Callable[[], bool]) -> bool:
    until_s = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > until_s:
            return False
        time.sleep(0.1)
    return True


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.heavy
@needs_signals
def test_a_server_that_starts_slowly_is_waited_for_and_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    with begun(STARTS_A_SERVER, TMPDIR=str(tmp_path)) as parent:
        pid, home = line(parent).split()
        server = psutil.Process(int(pid))
        assert os.getsid(server.pid) != os.getsid(parent.pid)  # Ctrl-C is told to a session
        server.send_signal(signal.SIGSTOP)
        assert "its process lives, so that it is waited for" in line(parent)
        server.send_signal(signal.SIGCONT)
        while (said := line(parent)) != "ready":
            assert "is starting since" in said
        assert file_lock.is_held(Path(home, LOG))
        parent.kill()
        assert is_soon(lambda: is_gone(server))
        assert list(tmp_path.iterdir()) == []


@needs_signals
def test_a_server_that_still_starts_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    temporary, slow = tmp_path / "temporary", tmp_path / "slow"
    temporary.mkdir()
    slow.mkdir()
    (slow / "uvicorn.py").write_text("import time; time.sleep(3600)")  # its imports take an hour
    paths = os.pathsep.join([str(slow), os.environ.get("PYTHONPATH", "")])
    with begun(STARTS_A_SERVER, TMPDIR=str(temporary), PYTHONPATH=paths) as parent:
        server = psutil.Process(int(line(parent).split()[0]))
        parent.kill()
        assert is_soon(lambda: is_gone(server))
        assert list(temporary.iterdir()) == []


@pytest.mark.heavy
def test_a_server_that_ends_while_it_starts_is_known_at_once_with_its_code_and_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_PORT", "none")
    began_s = time.monotonic()
    with (
        EmbeddedServer.started(tmp_path / "kept") as server,
        pytest.raises(PrefectUnreachable, match=r"(?s)ended with code 1 while it started.*Its last words: .*port"),
    ):
        server.wait_until_ready()
    assert time.monotonic() - began_s < embedded.START_DEADLINE_S / 5


@needs_signals
def test_a_server_that_neither_starts_nor_ends_is_given_up_after_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    with EmbeddedServer.started(tmp_path / "kept") as server:
        os.kill(server.pid, signal.SIGSTOP)
        monkeypatch.setattr(embedded, "START_DEADLINE_S", 1.0)
        monkeypatch.setattr(embedded, "TELL_AFTER_S", 0.2)
        with pytest.raises(PrefectUnreachable, match=r"did not start within 1 s; set PREFECT_API_URL"):
            server.wait_until_ready(told.append)
        os.kill(server.pid, signal.SIGCONT)
    assert all("is starting since" in each for each in told)


# ------------------------------------------------------------------ folders of servers that were killed


@pytest.fixture
def forsaken(tmp_path: Path) -> Path:
    """A folder that a server and its parent, both killed some minutes ago, left behind."""
    home = tmp_path / "shunter-prefect-abc"
    (home / "concurrency_leases").mkdir(parents=True)
    (home / LOG).touch()
    age(home)
    return home


def age(home: Path) -> None:
    long_ago = time.time() - 300
    os.utime(home, (long_ago, long_ago))


def test_what_killed_servers_left_behind_is_removed_by_a_later_one(forsaken: Path) -> None:
    remove_forsaken(forsaken.parent)
    assert list(forsaken.parent.iterdir()) == []


def test_the_folder_of_a_server_that_lives_is_left_alone(forsaken: Path) -> None:
    with (forsaken / LOG).open("ab") as log:
        file_lock.hold(log)
        remove_forsaken(forsaken.parent)
        assert (forsaken / "concurrency_leases").is_dir()


def test_a_folder_in_which_a_server_may_be_about_to_start_is_left_alone(forsaken: Path) -> None:
    os.utime(forsaken)
    remove_forsaken(forsaken.parent)
    assert forsaken.is_dir()


@needs_signals
def test_a_link_that_somebody_laid_in_the_way_is_not_followed(forsaken: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    forsaken.rename(mine)
    forsaken.symlink_to(mine)
    age(mine)
    remove_forsaken(tmp_path)
    assert (mine / "concurrency_leases").is_dir()


# ------------------------------------------------------------------ Prefect's own server


CALLS_A_FLOW = """
import asyncio, sys
from shunter.flows.evacuate import evacuate_nodes
asyncio.run(evacuate_nodes(cluster=sys.argv[1], nodes=["N1"], speed=0.1))
"""


@needs_signals
@pytest.mark.heavy
def test_the_server_that_prefect_starts_for_a_caller_ends_with_a_caller_that_is_killed(
    cluster_file: Path, tmp_path: Path
) -> None:
    home = {"PREFECT_HOME": str(tmp_path / "home"), "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "600"}
    home["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "true"
    with begun(CALLS_A_FLOW, str(cluster_file), **home) as caller:
        known = psutil.Process(caller.pid)

        def started(module: str) -> list[psutil.Process]:
            return [child for child in known.children() if module in child.cmdline()]

        assert is_soon(lambda: bool(started("shunter.flows.reaper")))
        (server,), (reaper,) = started("uvicorn"), started("shunter.flows.reaper")
        caller.kill()
        assert is_soon(lambda: is_gone(server))
        assert is_soon(lambda: is_gone(reaper))


# ------------------------------------------------------------------ platforms


def test_ctrl_c_and_the_closing_of_a_console_spare_what_is_started_on_each_platform() -> None:
    new_process_group, no_window = 0x00000200, 0x08000000  # as Windows' CreateProcess numbers them
    assert apart_from_the_terminal("win32") == {"creationflags": new_process_group | no_window}
    assert apart_from_the_terminal("linux") == apart_from_the_terminal("darwin") == {"start_new_session": True}


def test_every_process_that_the_product_starts_is_started_so() -> None:
    calls = [
        (path.name, call)
        for room in ("clusters", "commands", "engine", "flows", "statemachines", "topology")
        for path in (ROOMS / room).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("subprocess.")
    ]
    assert {name for name, _ in calls} == {"embedded.py", "temporary_server.py"}
    for name, call in calls:
        assert "**apart_from_the_terminal()" in ast.unparse(call), name
