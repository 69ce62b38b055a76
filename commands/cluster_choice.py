"""What `--cluster` means: a cluster file, or the name of a registered cluster."""

from __future__ import annotations

from pathlib import Path

from shunter.topology.clusterfile import read_cluster
from shunter.topology.errors import RequestError
from shunter.topology.model import Cluster


def is_file(cluster: str) -> bool:
    """What has a path separator or ends in .json is a file."""
    return "/" in cluster or "\\" in cluster or cluster.endswith(".json")


def cluster_of_file(cluster: str) -> Cluster:
    """The cluster of a cluster file. Raises RequestError where it is a name, missing, or a bad file."""
    if not is_file(cluster):
        raise RequestError(
            f'no cluster is registered as "{cluster}" that this command could read; '
            "give the path of a cluster file, which has a separator or ends in .json"
        )
    path = Path(cluster).expanduser()
    if not path.is_file():
        raise RequestError(f"there is no cluster file {cluster} (looked for {path.absolute()})")
    return read_cluster(path)
