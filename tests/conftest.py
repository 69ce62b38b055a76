"""What holds for all tests: they test this checkout, touch no Prefect server that somebody has configured, and find the
same terminal everywhere."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from commanding import Answer

    from shunter.flows.embedded import EmbeddedServer

SOURCES = Path(__file__).resolve().parents[1] / "src"
TERMINAL = {"COLUMNS": "80", "LINES": "25"}
COLOURS = ("CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "GITHUB_ACTIONS", "NO_COLOR", "PY_COLORS", "TERMINAL_WIDTH")
"""What makes Rich and Typer draw otherwise than on a plain terminal."""
PREFECT_HOME = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


# how long an example takes says more of the machine's load than of the code; a failure prints what replays it
settings.register_profile("explore", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
# the suite tries the same examples every time: what a new one finds is no fault of the change that is tested
settings.register_profile("shunter", settings.get_profile("explore"), derandomize=True)
settings.load_profile("shunter")


def pytest_configure(config: pytest.Config) -> None:
    _test_the_sources()
    for name in [name for name in os.environ if name.startswith(("PREFECT_", "SHUNTER_")) or name in COLOURS]:
        del os.environ[name]
    os.environ |= TERMINAL
    os.environ["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "false"  # Prefect would start it unasked, and wait for 20 s
    config.stash[PREFECT_HOME] = tempfile.TemporaryDirectory(prefix="shunter-tests-")
    os.environ["PREFECT_HOME"] = config.stash[PREFECT_HOME].name
    os.environ["SHUNTER_STATE_DIR"] = str(Path(config.stash[PREFECT_HOME].name) / "state")


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[PREFECT_HOME].cleanup()


def _test_the_sources() -> None:
    """Processes that tests start import the sources too, not a copy that was installed before the last change.

    In a checkout without symbolic links `src/` is no package: there the installed copy is what can be tested.
    """
    if (SOURCES / "shunter" / "topology").is_dir():
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(SOURCES), *([before] if before else [])])
    else:
        sys.path[:] = [path for path in sys.path if Path(path) != SOURCES]


# what follows imports sources, and so only once it is known which


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One real Prefect server for all tests of a test process, on loopback; it ends with the session."""
    from shunter.flows.embedded import EmbeddedServer  # noqa: PLC0415

    with EmbeddedServer.started(tmp_path_factory.mktemp("prefect")) as server:
        server.wait_until_ready()
        yield server


@pytest.fixture
def answer(request: pytest.FixtureRequest) -> Callable[..., Answer]:
    """Runs a command: in this process, or with the server in one of its own where it needs Prefect."""
    from commanding import apart, command_line, here, needs_prefect  # noqa: PLC0415

    def run(*arguments: str) -> Answer:
        if not needs_prefect(*arguments):
            return here(*arguments)
        return apart(*command_line(*arguments), prefect=request.getfixturevalue("prefect_server"))

    return run
