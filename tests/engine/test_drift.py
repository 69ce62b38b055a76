"""VMs that were changed outside cluster tools (R19): warned of, or refreshed before they move."""

from __future__ import annotations

from building import cluster, vm
from virtual import Night, evacuated, maintained

from shunter.topology.precautions import Precautions

REFRESH = Precautions(refresh_drifted=True)
DRIFTED = {"configuration_in_cluster_is_current": False}


def r19(night: Night) -> dict[str, tuple[str, str]]:
    """Subject → severity, and the message up to its first colon."""
    found = (finding for finding in night.report.findings if finding.rule == "R19")
    return {finding.subject: (finding.severity, finding.message.split(":")[0]) for finding in found}


def test_r19_without_being_told_to_a_run_changes_nothing_and_warns() -> None:
    night = evacuated(cluster(3, [vm("web", **DRIFTED)]))
    assert r19(night) == {"vm web": ("warning", "web was changed outside cluster tools")}
    assert night.happened("configuration_refreshed") == []


def test_r19_a_drifted_vm_is_refreshed_before_it_moves_and_the_report_lists_it() -> None:
    night = evacuated(cluster(3, [vm("web", **DRIFTED), vm("db")]), precautions=REFRESH)
    whats = [(line["what"], line["vm"]) for line in night.log if line.get("vm") == "web"]
    assert whats[:2] == [("configuration_refreshed", "web"), ("migration_started", "web")]
    assert r19(night) == {"vm web": ("info", "configuration refreshed")}
    assert night.report.ok


def test_r19_what_does_not_run_is_refreshed_too() -> None:
    night = evacuated(cluster(3, [vm("old", state="off", **DRIFTED)]), precautions=REFRESH)
    assert len(night.happened("configuration_refreshed", vm="old")) == 1
    assert r19(night) == {"vm old": ("info", "configuration refreshed")}


def test_r19_a_vm_that_stays_is_not_refreshed_and_stays_a_warning() -> None:
    of = cluster(2, [vm("web", memory_mib=8192, **DRIFTED), vm("full", "N2", memory_mib=65536)])
    night = evacuated(of, precautions=REFRESH)
    assert night.happened("configuration_refreshed") == []
    assert r19(night) == {"vm web": ("warning", "web was changed outside cluster tools")}


def test_r19_where_the_answer_is_lost_the_vm_moves_and_the_report_does_not_claim_to_know() -> None:
    lost = {"when": {"vm": "web"}, "do": "answer_lost", "moved": False}
    night = evacuated(cluster(3, [vm("web", **DRIFTED)]), faults=[lost], precautions=REFRESH)
    assert night.after.vms_by_node["N1"] == ()
    (finding,) = [finding for finding in night.report.findings if finding.rule == "R19"]
    assert finding.severity == "warning"
    assert "whether the cluster's copy was refreshed is not known: no answer from the cluster" in finding.message


def test_r19_a_rolling_run_refreshes_each_vm_once() -> None:
    night = maintained(cluster(3, [vm("web", **DRIFTED), vm("db", "N2", **DRIFTED)]), precautions=REFRESH)
    refreshed = [line["vm"] for line in night.happened("configuration_refreshed")]
    assert sorted(refreshed) == ["db", "web"]
    assert r19(night) == {f"vm {name}": ("info", "configuration refreshed") for name in ("web", "db")}
