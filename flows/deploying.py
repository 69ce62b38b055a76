"""Steps for `prefect deploy`; see deployments/prefect.yaml."""

from __future__ import annotations

from pathlib import Path

from shunter.topology.errors import RequestError


def find_cluster_file(path: str) -> dict[str, str]:
    """The absolute path of a cluster file, as `cluster_file`. Raises RequestError where there is none.

    A relative path would mean nothing to a worker, which runs each flow in a folder of its own.
    """
    found = Path(path).resolve()
    if not found.is_file():
        raise RequestError(f"there is no cluster file {found}: deploy from the root of the checkout")
    return {"cluster_file": str(found)}
