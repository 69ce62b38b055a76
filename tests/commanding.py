"""The command line as people use it: within the test, or in a process of its own, which costs seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from patience import PATIENCE_S
from typer.testing import CliRunner

from shunter.commands.main import app
from shunter.flows.embedded import EmbeddedServer

SHUNTER = "from shunter.commands.main import main; main()"
WITH_PREFECT = ("evacuate", "failover", "maintain", "migrate", "repair", "resume", "watch")
"""The commands that start flows. Prefect takes its settings from the process, so that these run in one of their own."""


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


def apart(*command: str, prefect: EmbeddedServer | None = None, cwd: Path | None = None) -> Answer:
    """Run a command line in a process of its own.

    `prefect`: a server that it uses; else one that it needs is its own, which it starts and ends again.
    """
    done = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **(prefect.environment if prefect is not None else {})},
        timeout=PATIENCE_S,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)
