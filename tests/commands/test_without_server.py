"""What touches nothing, or only a simulated cluster in virtual time, imports no Prefect and starts no process."""

from __future__ import annotations

import json

import pytest
import typer
from commanding import WITH_PREFECT, Answer, apart, command_line

from shunter.commands.main import app

NEED_NOTHING = (
    "check",
    "status",
    "why web-1 N2",
    "watch --once",
    "watch --for-s 0 --json-lines",
    "plan evacuate N1",
    "plan failover N1",
    "plan maintain",
    "plan repair",
    "plan resume N1",
    "simulate evacuate N1",
    "simulate failover N1",
    "simulate maintain",
    "simulate repair",
    "simulate resume N1",
    "simulate watch",
    "rehearse maintain --nights 1",
)
OBSERVED = """
import sys
from typer.testing import CliRunner

def barred(event, arguments):
    if event in ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec"):
        raise AssertionError("a process is started")

sys.addaudithook(barred)
from shunter.commands.main import app

cluster, *commands = sys.argv[1:]
for command in commands:
    result = CliRunner().invoke(app, [*command.split(), "--cluster", cluster])
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    if result.exit_code not in (0, 1):
        raise SystemExit(f"{command} ends with {result.exit_code}: {result.output}")
    if "prefect" in sys.modules:
        raise SystemExit(f"{command} imports Prefect")
"""


def observed(cluster: str, *commands: str) -> Answer:
    """All of them in one process, which ends at the first that does what it must not."""
    return apart(*command_line(cluster, *commands, program=OBSERVED))


def test_these_commands_import_no_prefect_and_start_no_server_on_a_cluster_file(roomy: str) -> None:
    done = observed(roomy, *NEED_NOTHING)
    assert done.code == 0, done.err


@pytest.mark.parametrize("command", ["watch --for-s 1", "evacuate N1"])
def test_a_command_that_runs_a_flow_would_be_found_out(roomy: str, command: str) -> None:
    done = observed(roomy, command)
    assert done.code != 0
    assert "a process is started" in done.err


def test_every_command_that_starts_no_flow_is_among_them() -> None:
    known = {command for command in commands(typer.main.get_command(app)) if command.split()[0] not in WITH_PREFECT}
    tried = {command for command in known if any(given.startswith(command) for given in NEED_NOTHING)}
    assert known - tried == {"demo", "recover", "report", "runs"}


def commands(group: object, name: str = "") -> list[str]:
    """ "check", "plan evacuate" … as they are typed."""
    below = getattr(group, "commands", None)
    if below is None:
        return [name]
    return [full for word, each in below.items() for full in commands(each, f"{name} {word}".strip())]


def test_one_look_at_a_file_is_the_first_look_of_a_simulated_watch(roomy: str, shunter: object) -> None:
    assert callable(shunter)
    once = shunter("watch", "--once", "--cluster", roomy, "--json")
    simulated = shunter("simulate", "watch", "--for-s", "0", "--cluster", roomy, "--json")
    assert (once.code, json.loads(once.out)) == (simulated.code, json.loads(simulated.out))
