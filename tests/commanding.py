"""The command line as people use it: within the test, or in a process of its own, which costs seconds."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from patience import PATIENCE_S
from typer.testing import CliRunner

from shunter.commands.main import app
from shunter.flows.embedded import EmbeddedServer

SHUNTER = "from shunter.commands.entry import main; main()"
WITH_PREFECT = ("evacuate", "failover", "maintain", "migrate", "repair", "resume", "watch")
"""The commands that start flows. Prefect takes its settings from the process, so that these run in one of their own."""


def needs_prefect(*arguments: str) -> bool:
    """Whether this command line starts a flow; one look at a cluster file does not."""
    return arguments[0] in WITH_PREFECT and "--once" not in arguments


class Answer:
    """What a command said and ended with."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def document(self) -> Any:
        return json.loads(self.out)


def here(*arguments: str) -> Answer:
    """Run a command in this process. A bug in it is raised here."""
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


def command_line(*arguments: str, program: str = SHUNTER) -> list[str]:
    return [sys.executable, "-c", program, *arguments]


def _environment(prefect: EmbeddedServer | None) -> dict[str, str]:
    return {**os.environ, "PYTHONIOENCODING": "utf-8", **(prefect.environment if prefect is not None else {})}


def apart(*command: str, prefect: EmbeddedServer | None = None, cwd: Path | None = None, **environment: str) -> Answer:
    """Run a command line in a process of its own.

    `prefect`: a server that it uses; else one that it needs is its own, which it starts and ends again.
    """
    done = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**_environment(prefect), **environment},
        timeout=PATIENCE_S,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


class Begun:
    """A command that is at work in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""

    def until_said(self, pattern: str) -> re.Match[str]:
        """Read standard error up to a line like this."""
        assert self.process.stderr is not None
        while True:
            line = self.process.stderr.readline()
            assert line, self.said
            self.said += line
            if found := re.search(pattern, line):
                return found

    def ended(self) -> Answer:
        out, err = self.process.communicate(timeout=120)
        self.said += err or ""
        return Answer(self.process.returncode, out or "", self.said)


@contextmanager
def begun(
    *command: str,
    prefect: EmbeddedServer | None = None,
    stdout: int | None = subprocess.PIPE,
    ignoring: Sequence[signal.Signals] = (),
    **environment: str,
) -> Iterator[Begun]:
    """A command line that goes on while the test does something to it; killed at the end, if it is still there.

    `ignoring`: signals that it is started with ignored, as by nohup.
    """

    def ignore() -> None:
        for number in ignoring:
            signal.signal(number, signal.SIG_IGN)

    with subprocess.Popen(
        command,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**_environment(prefect), **environment},
        preexec_fn=ignore if ignoring else None,  # noqa: PLW1509 - nothing of this process has threads that matter there
    ) as process:
        try:
            yield Begun(process)
        finally:
            process.kill()
