from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect_side import Asked, small

from shunter.flows.embedded import EmbeddedServer


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One real Prefect server for all tests of a test process, on loopback; it ends with the session."""
    home: Path = tmp_path_factory.mktemp("prefect")
    settings = {PREFECT_HOME: home}
    with EmbeddedServer.started(home) as server, temporary_settings({**settings, PREFECT_API_URL: server.api_url}):
        server.wait_until_ready()
        yield server


@pytest.fixture
def asked(prefect_server: EmbeddedServer) -> Asked:
    return Asked(prefect_server)


@pytest.fixture
def cluster_file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Three VMs, an off one and a volume on N1; named after the test, because the server is shared."""
    path = tmp_path / "rack.json"
    path.write_text(json.dumps(small(request.node.name)), encoding="utf-8")
    return path
