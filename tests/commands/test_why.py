"""`shunter why` from outside."""

from __future__ import annotations

from typing import Any

import pytest


def test_yes_ends_with_0_and_names_may_be_written_in_any_case(shunter: Any, crowded: str) -> None:
    answer = shunter("why", "WEB-1", "n2", "--cluster", crowded)
    assert (answer.code, answer.err) == (0, "")
    assert "✓ Yes: web-1 may go from N1 to N2." in answer.out
    assert "4 GiB, about 6.8 s; the VM stands still for 586 ms." in answer.out


def test_no_ends_with_1_and_says_reason_and_remedy(shunter: Any, crowded: str) -> None:
    answer = shunter("why", "db-1", "N3", "--cluster", crowded)
    assert (answer.code, answer.err) == (1, "")
    assert "✗ No: db-1 may not go from N1 to N3 now." in answer.out
    assert "R13 GenuineIntel → AuthenticAMD: no setting bridges manufacturers" in answer.out
    assert "→ choose a node with a processor of the same manufacturer" in answer.out


def test_json_is_one_document_with_the_agreed_fields(shunter: Any, crowded: str) -> None:
    answer = shunter("why", "db-1", "N3", "--cluster", crowded, "--json")
    assert (answer.code, answer.err) == (1, "")
    said = answer.document
    assert (said["kind"], said["vm"], said["node"], said["ok"]) == ("why", "db-1", "N3", False)
    assert [(v["rule"], sorted(v)) for v in said["verdicts"]] == [("R13", ["reason", "remedy", "rule"])]


def test_there_already_is_a_yes(shunter: Any, crowded: str) -> None:
    answer = shunter("why", "web-1", "N1", "--cluster", crowded)
    assert (answer.code, answer.out) == (0, "✓ web-1 is on N1 already.\n")


@pytest.fixture
def tight(write_cluster: Any) -> str:
    """a fits on N2 only when b has gone to N3; c is kept on N3, away from d, which may run on N2 alone."""
    nodes = [{"name": f"N{i}", "memory_mib": mib, "reserved_mib": 0} for i, mib in ((1, 8192), (2, 12288), (3, 8192))]
    vms = [
        {"name": "a", "node": "N1", "memory_mib": 6144},
        {"name": "b", "node": "N2", "memory_mib": 4096},
        {"name": "c", "node": "N3", "memory_mib": 2048},
        {"name": "d", "node": "N2", "memory_mib": 4096, "possible_owners": ["N2"]},
    ]
    rule = {"name": "pair", "kind": "different_node", "vms": ["c", "d"]}
    return str(write_cluster({"name": "tight", "nodes": nodes, "vms": vms, "affinity_rules": [rule]}))


def test_who_could_make_room_is_shown(shunter: Any, tight: str) -> None:
    answer = shunter("why", "a", "N2", "--cluster", tight)
    assert answer.code == 1
    assert "! No, not as things are: a may go from N1 to N2 once b is on N3." in answer.out
    assert "→ free 2048 MiB more on N2: shunter migrate b N3" in answer.out
    assert "1 b N2 → N3" in answer.out


def test_what_does_not_go_together_is_shown(shunter: Any, tight: str) -> None:
    answer = shunter("why", "c", "N2", "--cluster", tight)
    assert answer.code == 1
    shown = answer.out.partition("Moving others does not help either; these do not go together")[2]
    assert "c (2048 MiB) is to be on N2" in shown
    assert "d may run on N2 alone (possible owners)" in shown
    assert "rule pair keeps c and d apart" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("wbe-1", "N2"), 'no VM of cluster c is called "wbe-1"; the VMs are web-1, db-1, old-1, big-1'),
        (("web-1", "N9"), 'no node of cluster c is called "N9"; the nodes are N1, N2, N3'),
        (("web-1",), "Missing argument 'NODE'"),
        (("", "N2"), "is no name; give one of 1 to 255 characters"),
    ],
)
def test_a_wrong_request_ends_with_2(shunter: Any, crowded: str, arguments: tuple[str, ...], message: str) -> None:
    answer = shunter("why", *arguments, "--cluster", crowded, "--json")
    assert (answer.code, answer.out) == (2, "")
    assert message in " ".join(answer.err.split())


@pytest.mark.parametrize(("vm", "node"), [("web-1", "N2"), ("db-1", "N3"), ("db-1", "N2"), ("old-1", "N3")])
def test_on_a_terminal_that_knows_ascii_alone_nothing_else_is_printed(
    shunter: Any, crowded: str, monkeypatch: pytest.MonkeyPatch, vm: str, node: str
) -> None:
    monkeypatch.setattr("rich.console.ConsoleOptions.ascii_only", True)
    assert shunter("why", vm, node, "--cluster", crowded).out.isascii()
