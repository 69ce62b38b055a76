"""What holds for all tests: they test this checkout, and touch no Prefect server that somebody has configured."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SOURCES = Path(__file__).resolve().parents[1] / "src"
PREFECT_HOME = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


# how long an example takes says more of the machine's load than of the code; a failure prints what replays it
settings.register_profile("explore", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
# the suite tries the same examples every time: what a new one finds is no fault of the change that is tested
settings.register_profile("shunter", settings.get_profile("explore"), derandomize=True)
settings.load_profile("shunter")


def pytest_configure(config: pytest.Config) -> None:
    _test_the_sources()
    for name in [name for name in os.environ if name.startswith(("PREFECT_", "SHUNTER_"))]:
        del os.environ[name]
    config.stash[PREFECT_HOME] = tempfile.TemporaryDirectory(prefix="shunter-tests-")
    os.environ["PREFECT_HOME"] = config.stash[PREFECT_HOME].name


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
