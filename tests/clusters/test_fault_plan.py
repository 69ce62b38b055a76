"""Reading a fault plan, and drawing one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from building import cluster, vm

from shunter.clusters.simulated import draw_faults, read_faults
from shunter.clusters.simulated.faults import MAY_HAVE, NEEDS
from shunter.topology.errors import RequestError

OF = cluster(
    5,
    [vm(f"vm-{i}", f"N{i % 5 + 1}", state="off" if i % 7 == 0 else "running") for i in range(40)],
    volumes=[{"name": "CSV1", "owner": "N1"}],
)


def refusal(*entries: Any) -> str:
    with pytest.raises(RequestError) as refused:
        read_faults(json.dumps(list(entries)), OF)
    return str(refused.value)


def test_names_are_spelled_as_in_the_cluster() -> None:
    text = (
        '[{"when": {"vm": "VM-3", "target": "n2"}, "do": "migration_slow"}, {"at_s": 1, "do": "node_up", "node": "n5"}]'
    )
    slow, up = read_faults(text, OF)
    assert slow.when is not None
    assert (slow.when.vm, slow.when.target, up.node) == ("vm-3", "N2", "N5")


GOOD = {"at_s": 1, "do": "node_down", "node": "N1"}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            {"at_s": 1, "do": "node_down", "node": "N9"},
            '[1].node: no node is called "N9"; the nodes are N1, N2, N3, N4, N5',
        ),
        ({"when": {"vm": "x"}, "do": "migration_fails"}, '[1].when.vm: no VM is called "x"'),
        ({"at_s": 1, "do": "volume_state", "volume": "C", "state": "online"}, '[1].volume: no volume is called "C"'),
        ({"at_s": 1, "do": "node_down"}, "[1]: node_down needs node"),
        ({"do": "node_down", "node": "N1"}, "[1]: give either at_s or when"),
        ({**GOOD, "when": {"vm": "vm-1"}}, "[1]: give either at_s or when"),
        ({**GOOD, "fraction": 0.5}, "[1]: node_down has no fraction"),
        ({**GOOD, "colour": 1}, "[1].colour: no such field"),
        ({**GOOD, "at_s": -1}, "[1].at_s"),
        ({**GOOD, "at_s": "1"}, "[1].at_s"),
        ({"at_s": 1, "do": "explodes"}, "[1].do"),
        ({"at_s": 1, "do": "migration_fails"}, "[1]: migration_fails needs when"),
        ({"when": {}, "do": "migration_fails"}, "[1].when: is empty; name a vm"),
        ({"when": {"node": "N1"}, "do": "migration_fails"}, "[1]: migration_fails happens when a migration starts"),
        ({"when": {"node": "N1", "vm": "vm-1"}, "do": "answer_lost"}, "[1].when: a node or a volume stands alone"),
        ({"when": {"vm": "vm-1"}, "do": "migration_fails", "fraction": 1.5}, "[1].fraction"),
        ({"when": {"vm": "vm-1"}, "do": "migration_slow", "factor": 0}, "[1].factor"),
        ({"at_s": 1, "do": "backup_starts"}, "[1]: backup_starts needs either a vm or a volume"),
        ({"at_s": 1, "do": "backup_ends", "vm": "vm-1", "outcome": "lost"}, "[1].outcome"),
        ({"at_s": 1, "do": "volume_state", "volume": "CSV1", "state": "on"}, "[1].state"),
        ({"at_s": 1, "do": "node_isolated"}, "[1]: node_isolated needs node"),
        ({"when": {"node": "N1"}, "do": "node_back", "node": "N1"}, "[1]: node_back happens when a migration starts"),
        ({"at_s": 1, "do": "reboot_fails", "node": "N1"}, "[1]: reboot_fails needs when; name there the node"),
        ({"when": {"vm": "vm-1"}, "do": "reboot_isolated"}, "[1]: reboot_isolated needs when; name there the node"),
        ({"when": {"node": "N9"}, "do": "reboot_slow"}, '[1].when.node: no node is called "N9"'),
        ({"when": {"node": "N1"}, "do": "reboot_fails", "factor": 2}, "[1]: reboot_fails has no factor"),
        ({"when": {"node": "N1"}, "do": "reboot_slow", "factor": 0}, "[1].factor"),
        ({"at_s": 1, "do": "role_fails", "vm": "vm-1"}, "[1]: role_fails needs node"),
        ({"at_s": 1, "do": "role_fails", "vm": "vm-1", "node": "N1", "times": 0}, "[1].times"),
        ({"at_s": 1, "do": "direct_io_refused"}, "[1]: direct_io_refused needs when; name there the volume"),
        ({"when": {"vm": "vm-1"}, "do": "direct_io_refused"}, "[1]: direct_io_refused needs when; name there the vol"),
        ({"when": {"volume": "CSV1"}, "do": "volume_path_lost"}, "[1]: volume_path_lost happens when a migration"),
        ({"at_s": 1, "do": "volume_path_lost", "volume": "CSV1"}, "[1]: volume_path_lost needs node"),
        ({"at_s": 1, "do": "storage_job_starts", "volume": "CSV1", "duration_s": 0}, "[1].duration_s"),
        ({"at_s": 1, "do": "node_down", "node": "N1", "lasting": True}, "[1]: node_down has no lasting"),
        ("node_down", "[1]"),
    ],
)
def test_a_fault_that_cannot_be_meant_is_refused_with_its_path(entry: Any, said: str) -> None:
    assert said in refusal(GOOD, entry)


@pytest.mark.parametrize("text", ["", "{", '{"do": "node_down"}', "[" * 100_000])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="fault plan"):
        read_faults(text, OF)


def test_a_drawn_plan_can_be_written_down_and_read_again() -> None:
    for seed in range(50):
        drawn = draw_faults(OF, seed, "many")
        assert read_faults(json.dumps([fault.told() for fault in drawn]), OF) == drawn


def test_the_same_seed_draws_the_same_faults() -> None:
    assert draw_faults(OF, 7, "many") == draw_faults(OF, 7, "many")
    assert draw_faults(OF, 7, "many") != draw_faults(OF, 8, "many")
    assert draw_faults(OF, 7, "none") == ()


def test_some_are_fewer_than_many_and_every_kind_is_drawn_sooner_or_later() -> None:
    some = [draw_faults(OF, seed, "some") for seed in range(100)]
    many = [draw_faults(OF, seed, "many") for seed in range(100)]
    assert max(map(len, some)) <= 8
    assert sum(map(len, many)) > 3 * sum(map(len, some))
    assert {fault.do for faults in many for fault in faults} == {
        "migration_fails",
        "answer_lost",
        "migration_slow",
        "node_down",
        "node_up",
        "migration_elsewhere",
        "vm_started",
        "vm_memory_changed",
        "backup_starts",
        "backup_ends",
        "volume_state",
    }
    whens = {name for faults in many for fault in faults if fault.when for name in fault.when.names}
    assert whens == {"vm", "source", "target", "node", "volume"}


@pytest.mark.parametrize(("nodes", "most"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (8, 3)])
def test_i6_a_majority_of_the_nodes_survives_every_drawn_night(nodes: int, most: int) -> None:
    of = cluster(nodes, [vm(f"vm-{i}", f"N{i % nodes + 1}") for i in range(12)])
    down = [
        [fault for fault in draw_faults(of, seed, amount) if fault.do == "node_down"]
        for seed in range(100)
        for amount in ("some", "many")
    ]
    assert max(map(len, down)) == most


def test_a_cluster_without_vms_or_volumes_can_have_troubles_too() -> None:
    for seed in range(30):
        draw_faults(cluster(1), seed, "many")
        draw_faults(cluster(3), seed, "some")


def test_the_documentation_has_every_kind_of_fault_with_its_fields() -> None:
    told = (Path(__file__).parents[2] / "docs" / "simulated-cluster.md").read_text(encoding="utf-8")
    rows = [line for line in told.splitlines() if line.startswith("| `")]
    for do, fields in NEEDS.items():
        (row,) = [row for row in rows if f"`{do}`" in row.split("|")[1]]
        assert [field for field in (*fields, *MAY_HAVE.get(do, ())) if f"`{field}`" not in row] == []


# ------------------------------------------------------------------ of rolling runs


def test_the_faults_of_a_rolling_run_are_spread_over_it_and_reboots_go_wrong() -> None:
    drawn = [fault for seed in range(100) for fault in draw_faults(OF, seed, "many", rolling_s=20_000)]
    times = [fault.at_s for fault in drawn if fault.at_s is not None]
    assert sum(at_s > 10_000 for at_s in times) > 0.4 * len(times)
    short = {fault.do for seed in range(100) for fault in draw_faults(OF, seed, "many")}
    assert {fault.do for fault in drawn} - short == {
        "node_isolated",
        "node_back",
        "reboot_fails",
        "reboot_slow",
        "reboot_isolated",
    }


def test_what_is_drawn_for_a_rolling_run_can_be_written_down_and_comes_from_the_seed() -> None:
    for seed in range(50):
        drawn = draw_faults(OF, seed, "many", rolling_s=9000)
        assert read_faults(json.dumps([fault.told() for fault in drawn]), OF) == drawn
        assert draw_faults(OF, seed, "many", rolling_s=9000) == drawn
    assert draw_faults(OF, 7, "none", rolling_s=9000) == ()


def test_most_isolated_nodes_come_back_and_some_later_than_the_cluster_waits() -> None:
    drawn = [draw_faults(OF, seed, "many", rolling_s=9000) for seed in range(200)]
    isolated = [(faults, fault) for faults in drawn for fault in faults if fault.do == "node_isolated"]
    waits_s = [
        back.at_s - gone.at_s
        for faults, gone in isolated
        for back in faults
        if back.do == "node_back" and back.node == gone.node and back.at_s and gone.at_s and back.at_s > gone.at_s
    ]
    assert len(isolated) > len(waits_s) * 0.5 > len(isolated) * 0.35
    assert min(waits_s) < 240 < max(waits_s)


@pytest.mark.parametrize(("nodes", "most"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (8, 3)])
def test_i6_no_more_nodes_of_a_rolling_run_are_lost_or_isolated_than_a_majority_survives(nodes: int, most: int) -> None:
    of = cluster(nodes, [vm(f"vm-{i}", f"N{i % nodes + 1}") for i in range(12)])
    gone = [
        [fault for fault in draw_faults(of, seed, amount, rolling_s=9000) if fault.do in ("node_down", "node_isolated")]
        for seed in range(100)
        for amount in ("some", "many")
    ]
    assert max(map(len, gone)) == most


def test_evacuations_draw_what_they_always_drew() -> None:
    assert [[fault.told() for fault in draw_faults(OF, seed, "some")] for seed in (1, 3)] == [
        [
            {"do": "answer_lost", "when": {"source": "N4"}, "moved": True},
            {"do": "answer_lost", "when": {"target": "N1"}, "moved": False},
        ],
        [{"do": "migration_elsewhere", "at_s": 32.714, "vm": "vm-39", "target": "N1"}],
    ]


# ------------------------------------------------------------------ of bad days

GOES = ("node_down", "node_isolated")


@pytest.mark.parametrize("rolling_s", [None, 9000.0])
def test_bad_days_draw_what_limps_besides_and_come_from_the_seed(rolling_s: float | None) -> None:
    drawn = [draw_faults(OF, seed, "many", rolling_s=rolling_s, bad_days=True) for seed in range(150)]
    usual = {fault.do for seed in range(150) for fault in draw_faults(OF, seed, "many", rolling_s=rolling_s)}
    new = {fault.do for faults in drawn for fault in faults} - usual - {"node_isolated", "node_back"}
    assert new == {
        "role_fails",
        "configuration_changes",
        "volume_path_lost",
        "volume_path_back",
        "storage_job_starts",
        "direct_io_refused",
        "quarantine_cleared",
    }
    for seed, faults in enumerate(drawn[:30]):
        assert read_faults(json.dumps([fault.told() for fault in faults]), OF) == faults
        assert draw_faults(OF, seed, "many", rolling_s=rolling_s, bad_days=True) == faults
    assert draw_faults(OF, 7, "none", rolling_s=rolling_s, bad_days=True) == ()
    for seed in range(30):
        draw_faults(cluster(1), seed, "many", rolling_s=rolling_s, bad_days=True)


@pytest.mark.parametrize(("nodes", "most"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2)])
def test_i6_a_majority_of_the_nodes_survives_bad_days(nodes: int, most: int) -> None:
    of = cluster(nodes, [vm(f"vm-{i}", f"N{i % nodes + 1}") for i in range(12)])
    gone = [
        {fault.node for fault in draw_faults(of, seed, "many", bad_days=True) if fault.do in GOES}
        for seed in range(200)
    ]
    assert max(map(len, gone)) == most
