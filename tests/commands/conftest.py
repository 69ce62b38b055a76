"""Running the command line within the test, and two cluster files that several tests read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commanding import Answer, here

INTEL = {"manufacturer": "GenuineIntel", "version": "6.106.6"}
AMD = {"manufacturer": "AuthenticAMD", "version": "25.1.1"}


@pytest.fixture
def shunter() -> Callable[..., Answer]:
    """Runs a command in this process. A bug in it is raised here."""
    return here


@pytest.fixture
def write_cluster(tmp_path: Path) -> Callable[[dict[str, Any]], str]:
    def write(cluster: dict[str, Any]) -> str:
        path = tmp_path / "cluster.json"
        path.write_text(json.dumps(cluster), encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def crowded(write_cluster: Callable[[dict[str, Any]], str]) -> str:
    """web-1 fits on N2, db-1 nowhere: N2 lacks room, N3 has a processor of another manufacturer."""
    return write_cluster(
        {
            "name": "c",
            "nodes": [
                {"name": "N1", "memory_mib": 32768, "processor": INTEL},
                {"name": "N2", "memory_mib": 32768, "processor": INTEL},
                {"name": "N3", "memory_mib": 32768, "processor": AMD},
            ],
            "vms": [
                {"name": "web-1", "node": "N1", "memory_mib": 4096},
                {"name": "db-1", "node": "N1", "memory_mib": 16384, "processor_compatibility": True},
                {"name": "old-1", "node": "N1", "memory_mib": 2048, "state": "off"},
                {"name": "big-1", "node": "N2", "memory_mib": 20480},
            ],
        }
    )


@pytest.fixture
def roomy(write_cluster: Callable[[dict[str, Any]], str]) -> str:
    """Three nodes of 64 GiB; two small VMs on N1."""
    return write_cluster(
        {
            "name": "roomy",
            "nodes": [{"name": f"N{i}", "memory_mib": 65536} for i in (1, 2, 3)],
            "vms": [{"name": f"web-{i}", "node": "N1", "memory_mib": 1024} for i in (1, 2)],
        }
    )
