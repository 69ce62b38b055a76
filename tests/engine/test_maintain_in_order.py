"""Nodes that are to go first: the others wait for them, not without end, and where they go before it is said."""

from __future__ import annotations

from typing import Any

from building import cluster, vm
from virtual import Night, maintained

from shunter.topology.model import Cluster

MAINTENANCE_S = 600.0


def of(**fields: Any) -> Cluster:
    return cluster(4, [vm(f"vm-{n}-{i}", f"N{n}") for n in range(1, 5) for i in range(3)], **fields)


def begun_s(night: Night) -> dict[str, float]:
    return {turn.node: turn.start_s for turn in night.report.maintenance if turn.outcome == "done"}


def said(night: Night) -> list[str]:
    """Of its place in the order."""
    return [finding.message for finding in night.report.findings if " to go before " in finding.message]


def test_while_a_backup_holds_a_vm_of_the_node_that_goes_first_no_other_leaves() -> None:
    faults = [
        {"do": "backup_starts", "vm": "vm-1-2", "at_s": 0},
        {"do": "backup_ends", "vm": "vm-1-2", "outcome": "done", "at_s": 1200},
    ]
    night = maintained(of(), order=("N1",), faults=faults)
    start_s = begun_s(night)
    assert len(start_s) == 4
    assert min(start_s.values()) == start_s["N1"] >= 1200
    assert said(night) == []
    reasons = {waiting.reason for waits in night.notes.waits for waiting in waits if waiting.subject == "other nodes"}
    assert reasons == {"leave only once N1 has left, which is to go first"}


def test_a_node_that_is_to_go_first_and_is_lost_is_waited_for_until_it_is_back() -> None:
    faults = [{"do": "node_down", "node": "N1", "at_s": 1}, {"do": "node_up", "node": "N1", "at_s": 900}]
    night = maintained(of(), order=("N1",), faults=faults)
    start_s = begun_s(night)
    assert len(start_s) == 4
    assert min(start_s.values()) == start_s["N1"] >= 900
    assert said(night) == []


def test_a_node_that_is_to_go_first_and_does_not_come_back_is_not_waited_for_without_end_and_that_is_said() -> None:
    night = maintained(of(), order=("N1",), faults=[{"do": "node_down", "node": "N1", "at_s": 1}])
    start_s = begun_s(night)
    assert set(start_s) == {"N2", "N3", "N4"}
    assert 1800 <= min(start_s.values()) < 2000
    assert said(night) == [
        "N1 was to go before N2, N3, N4, and did not: N1 is down: nothing can be moved from it until it is back"
    ]


def test_for_a_node_whose_vm_was_given_up_nobody_waits_and_that_is_said() -> None:
    fails = [{"do": "migration_fails", "when": {"vm": "vm-1-0"}, "fraction": 0.5} for _ in range(9)]
    night = maintained(of(), order=("N1",), faults=fails)
    assert set(begun_s(night)) == {"N2", "N3", "N4"}
    assert said(night) == [
        "N1 was to go before N2, N3, N4, and did not: N1 could not be emptied: vm-1-0 failed to move again and again"
    ]


def test_the_second_of_two_that_are_to_go_first_waits_for_the_first_and_the_others_for_both() -> None:
    faults = [
        {"do": "backup_starts", "vm": "vm-3-2", "at_s": 0},
        {"do": "backup_ends", "vm": "vm-3-2", "outcome": "done", "at_s": 900},
    ]
    night = maintained(of(), order=("N3", "N1"), parallel=1, faults=faults)
    assert [turn.node for turn in night.report.maintenance][:2] == ["N3", "N1"]
    assert min(begun_s(night).values()) >= 900


def test_while_the_volume_of_a_vm_on_it_is_offline_the_node_that_goes_first_is_waited_for() -> None:
    vms = [vm("on-it", "N1", 2048, volumes=["CSV1"]), *(vm(f"vm-{n}", f"N{n}") for n in range(1, 5))]
    faults = [
        {"do": "volume_state", "volume": "CSV1", "state": "offline", "at_s": 1},
        {"do": "volume_state", "volume": "CSV1", "state": "online", "at_s": 1200},
    ]
    night = maintained(cluster(4, vms, volumes=[{"name": "CSV1", "owner": "N2"}]), order=("N1",), faults=faults)
    start_s = begun_s(night)
    assert len(start_s) == 4
    assert min(start_s.values()) == start_s["N1"] >= 1200
    assert said(night) == []


def test_while_the_node_that_goes_first_cannot_be_emptied_no_vm_of_another_goes_to_and_fro() -> None:
    vms = [
        vm("a", "N3", possible_owners=["N1", "N3"]),
        *(vm(f"vm-{n}-{i}", f"N{n}") for n in (1, 2, 4) for i in (0, 1)),
    ]
    fails = {"do": "migration_fails", "when": {"vm": "a"}, "lasting": True}
    night = maintained(cluster(4, vms), order=("N3",), parallel=1, faults=[fails])
    assert sorted(begun_s(night)) == ["N1", "N2", "N4"]
    left = [(line["vm"], line["source"]) for line in night.happened("migration_started") if line["vm"] != "a"]
    assert len(left) == len(set(left))
