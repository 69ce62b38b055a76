"""What `--cluster` means: a cluster file, or the name of a registered cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shunter.topology.clusterfile import read_with_what_is_taken_over
from shunter.topology.errors import RequestError
from shunter.topology.model import Cluster


def is_file(cluster: str) -> bool:
    """What has a path separator or ends in .json is a file."""
    return "/" in cluster or "\\" in cluster or cluster.endswith(".json")


def cluster_of_file(cluster: str) -> Cluster:
    """The cluster of a cluster file. Raises RequestError where it is a name, or no file that is one."""
    return cluster_with_what_is_taken_over(cluster)[0]


def cluster_with_what_is_taken_over(cluster: str) -> tuple[Cluster, Mapping[str, tuple[str, ...]]]:
    """As `cluster_of_file`, with the fields that nodes do not give, and were given (field → nodes)."""
    if not is_file(cluster):
        raise RequestError(
            f'no cluster is registered as "{cluster}" that this command could read; '
            "give the path of a cluster file, which has a separator or ends in .json"
        )
    return read_with_what_is_taken_over(path_of(cluster))


def path_of(text: str) -> Path:
    """The path that a person wrote, with "~" for a home folder. Raises RequestError."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise RequestError(f"{text}: there is no such home folder; write the path in full") from error
