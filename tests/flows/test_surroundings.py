"""A handful of the runs of benchmarks/surroundings.py: what is around a run fails, and it comes out as undisturbed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from disturbed.cases import Procedure, drawn
from disturbed.judge import judge
from disturbed.play import play
from disturbed.stage import Server, server_of_its_own

SPEED = 20.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One of their own, because it is stopped."""
    with server_of_its_own(tmp_path_factory.mktemp("surroundings") / "prefect") as started:
        yield started


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("seed", "procedure", "disturbance"),
    [
        (1001, "rolling", "run killed, started again"),
        (1002, "evacuation", "SIGTERM"),
        (1003, "failover", "server stands still for 15 s at the start"),
        (1004, "evacuation", "standard output on a full disk"),
    ],
)
def test_a_disturbed_run_comes_out_as_undisturbed_or_ends_as_it_was_told(
    server: Server, tmp_path: Path, seed: int, procedure: Procedure, disturbance: str
) -> None:
    played = play(drawn(seed, procedure, SPEED, disturbance), tmp_path, server)
    assert not played.cause.missed, "the run was over before anything was disturbed"
    assert "\n".join(str(fault) for fault in judge(played)) == ""
