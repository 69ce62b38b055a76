"""I6: votes, as each Windows version counts them."""

from __future__ import annotations

from typing import Any

import pytest
from building import cluster, node

from shunter.topology.model import Cluster
from shunter.topology.quorum import Votes, votes_of
from shunter.topology.requirements import findings


def rack(up: int, down: int = 0, **fields: Any) -> Cluster:
    states = ["up"] * up + ["down"] * down
    return cluster([node(f"N{i}", state=state) for i, state in enumerate(states, start=1)], **fields)


def quorum(of: Cluster) -> list[str]:
    return [finding.severity for finding in findings(of) if finding.rule == "I6"]


@pytest.mark.parametrize(
    ("version", "up", "down", "witness", "expected"),
    [
        ("2008R2", 4, 0, True, []),  # 5 of 5
        ("2008R2", 3, 1, True, []),  # 4 of 5; then 3 of 5
        ("2008R2", 2, 2, True, ["warning"]),  # 3 of 5; then 2 of 5
        ("2008R2", 2, 3, False, ["error"]),  # 2 of 5
        ("2008R2", 3, 2, False, ["warning"]),  # 3 of 5; then 2
        ("2008R2", 2, 0, True, []),  # 3 of 3; then 2
        ("2008R2", 2, 0, False, ["warning"]),  # 2 of 2; then 1 of 2
        ("2008R2", 4, 0, False, []),  # then 3 of 4
        ("2012", 2, 3, False, ["warning"]),  # 2 of 2; then 1 of 2
        ("2012", 3, 3, False, []),  # 3 of 3; then 2
        ("2012", 2, 0, True, []),  # 3 of 3; then 2
        ("2012", 3, 0, True, []),  # 4 of 4; then 3
        ("2012R2", 2, 0, False, ["warning"]),  # one of the two nodes has the only vote
        ("2022", 2, 3, True, []),  # 3 of 3; then 2
        ("2022", 4, 0, False, []),  # 3 of 3 votes on four nodes; then 2
        ("2022", 1, 2, True, ["warning"]),  # the last node
        ("2022", 3, 0, True, []),  # the witness does not vote; then 2 of 3
    ],
)
def test_i6_a_majority_is_counted_as_the_version_counts_it(
    version: str, up: int, down: int, witness: bool, expected: list[str]
) -> None:
    assert quorum(rack(up, down, windows_version=version, witness=witness)) == expected


def test_i6_a_paused_node_votes_and_an_isolated_one_does_not() -> None:
    def with_(state: str) -> Cluster:
        nodes = [node("N1"), node("N2"), node("N3", state=state), node("N4", state="down"), node("N5", state="down")]
        return cluster(nodes, windows_version="2008R2", witness=False)

    assert quorum(with_("paused")) == ["warning"]
    assert quorum(with_("isolated")) == ["error"]


def test_i6_a_node_without_a_vote_is_not_missed() -> None:
    nodes = [node("N1", votes=1), node("N2", votes=1), node("N3", votes=1), node("N4", votes=0, state="down")]
    of = cluster(nodes, windows_version="2008R2", witness=False)
    assert votes_of(of) == Votes(3, 3)
    assert quorum(of) == []


def test_i6_nodes_without_votes_and_a_witness_are_no_cluster() -> None:
    assert quorum(cluster([node("N1", votes=0), node("N2", votes=0)])) == ["error"]


def test_i6_the_only_node_with_a_vote_is_named() -> None:
    of = cluster([node("N1", votes=0), node("N2", votes=1), node("N3", votes=0)], witness=False)
    (finding,) = [finding for finding in findings(of) if finding.rule == "I6"]
    assert "the sudden loss of N2 " in finding.message


@pytest.mark.parametrize(
    ("version", "away", "expected"),
    [("2008R2", 1, Votes(4, 5)), ("2008R2", 2, Votes(3, 5)), ("2012", 2, Votes(3, 3)), ("2022", 1, Votes(3, 3))],
)
def test_i6_nodes_that_leave_in_good_order_are_counted_beforehand(version: str, away: int, expected: Votes) -> None:
    of = rack(4, windows_version=version)
    assert votes_of(of, away=[f"N{i}" for i in range(1, away + 1)]) == expected
