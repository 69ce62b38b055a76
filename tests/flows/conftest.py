from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect_side import Asked, small

from shunter.flows.embedded import EmbeddedServer


@pytest.fixture(scope="session")
def prefect_server(prefect_server: EmbeddedServer) -> Iterator[EmbeddedServer]:
    """The same, for flows of this process too."""
    with temporary_settings({PREFECT_HOME: prefect_server.home, PREFECT_API_URL: prefect_server.api_url}):
        yield prefect_server


@pytest.fixture
def asked(prefect_server: EmbeddedServer) -> Asked:
    return Asked(prefect_server)


@pytest.fixture
def cluster_file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Three VMs, an off one and a volume on N1; named after the test, because the server is shared."""
    path = tmp_path / "rack.json"
    path.write_text(json.dumps(small(request.node.name)), encoding="utf-8")
    return path
