"""Running the command line within the test, and the worked example that several tests read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from shunter.commands.main import app

INTEL = {"manufacturer": "GenuineIntel", "version": "6.106.6"}
AMD = {"manufacturer": "AuthenticAMD", "version": "25.1.1"}
EXAMPLE: dict[str, Any] = {
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
ROOMY: dict[str, Any] = {
    "name": "roomy",
    "nodes": [{"name": f"N{i}", "memory_mib": 65536} for i in (1, 2, 3)],
    "vms": [{"name": "web-1", "node": "N1", "memory_mib": 1024}, {"name": "web-2", "node": "N1", "memory_mib": 1024}],
}


class Answer:
    """What a command said and ended with."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def document(self) -> Any:
        return json.loads(self.out)


def shunter(*arguments: str) -> Answer:
    """Run a command in this process. A bug in it is raised here."""
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


def cluster_file(folder: Path, cluster: dict[str, Any]) -> str:
    path = folder / "cluster.json"
    path.write_text(json.dumps(cluster), encoding="utf-8")
    return str(path)
