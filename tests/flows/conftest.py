from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from shunter.flows.embedded import EmbeddedServer


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One real Prefect server for all tests of a test process, on loopback; it ends with the session."""
    home: Path = tmp_path_factory.mktemp("prefect")
    with (
        EmbeddedServer.started(home) as server,
        temporary_settings({PREFECT_API_URL: server.api_url, PREFECT_HOME: home}),
    ):
        server.wait_until_ready()
        yield server
