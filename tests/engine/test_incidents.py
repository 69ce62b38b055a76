"""What a report says of nodes that were lost while the run went on."""

from __future__ import annotations

import json
from pathlib import Path

from building import cluster, vm
from virtual import Night, evacuated, maintained

from shunter.topology.clusterfile import read_cluster
from shunter.topology.recheck import check_log, check_report

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def said_of(night: Night, node: str) -> list[str]:
    return [finding.message for finding in night.report.findings if finding.subject == f"node {node}"]


def test_i1_i2_a_node_is_killed_in_the_middle_of_the_evacuation_of_another() -> None:
    of = read_cluster(json.loads((EXAMPLES / "six-nodes.json").read_text(encoding="utf-8")))
    faults = json.loads((EXAMPLES / "faults" / "node-lost.json").read_text(encoding="utf-8"))
    night = evacuated(of, ["N1"], faults=faults)
    assert night.report.ok
    assert check_log(night.log, ["N1"]) == ()
    assert check_report(night.report, night.log, ["N1"], night.notes.began_s) == ()
    assert night.happened("vm_stopped") == []
    assert [vm.name for vm in night.after.vms if not vm.holds_memory] == ["template"]
    assert night.after.volume_by_name["CSV2"].owner != "N4"
    assert said_of(night, "N4") == [
        "N4 was lost 20 s into the run and is down still; all of its 7 VMs run on N2, N3, N5 and N6"
    ]


def test_vms_that_the_loss_left_lying_are_named_with_what_to_do() -> None:
    large = 60_000
    of = cluster(3, [vm("web"), vm("a", "N2", large), vm("b", "N2", 5000), vm("c", "N3", 8000)])
    night = evacuated(of, ["N1"], faults=[{"at_s": 1, "do": "node_down", "node": "N2"}], reserve_nodes=0)
    found = [finding for finding in night.report.findings if finding.subject == "node N2"]
    assert [finding.message for finding in found] == [
        "N2 was lost 1 s into the run and is down still; of its 2 VMs 1 run on N3, not: a"
    ]
    assert "shunter failover N2" in found[0].remedy


def test_a_node_that_reboots_in_its_turn_is_no_incident_and_one_that_is_lost_meanwhile_is() -> None:
    of = cluster(4, [vm(f"vm-{i}", f"N{i}") for i in range(1, 5)])
    assert said_of(maintained(of), "N1") == []
    night = maintained(of, faults=[{"at_s": 300, "do": "node_isolated", "node": "N4"}])
    assert any("N4 was isolated" in said for said in said_of(night, "N4"))


def test_i2_what_runs_on_a_node_that_is_isolated_meanwhile_waits_until_it_is_back() -> None:
    faults = [{"at_s": 3, "do": "node_isolated", "node": "N1"}, {"at_s": 103, "do": "node_back", "node": "N1"}]
    night = evacuated(cluster(4, [vm(f"vm-{i}", "N1") for i in range(4)]), faults=faults)
    assert night.report.ok
    assert night.happened("migration_refused") == []
    assert {line["t_s"] >= 103 for line in night.happened("migration_started")[1:]} == {True}
    assert any("waits for N1 (isolated)" in wait.reason for waits in night.notes.waits for wait in waits)
    assert check_log(night.log, ["N1"]) == ()


def test_i2_what_runs_on_a_node_that_is_isolated_and_then_lost_is_left_to_the_cluster() -> None:
    night = evacuated(
        cluster(4, [vm(f"vm-{i}", "N1") for i in range(4)]), faults=[{"at_s": 3, "do": "node_isolated", "node": "N1"}]
    )
    assert night.happened("migration_refused") == []
    assert {line["by"] for line in night.happened("vm_started")} == {"cluster"}
    assert all(each.holds_memory for each in night.after.vms)
    assert check_log(night.log, ["N1"]) == ()
