"""The pre-flight as a whole: what `check` makes of a cluster, and what it puts in front of a plan."""

from __future__ import annotations

import json
from typing import Any

import pytest
from building import cluster, node, vm
from virtual import evacuated, in_virtual_time

from shunter.clusters.clock import Clock
from shunter.clusters.simulated import SimulatedCluster
from shunter.engine.holds import OwnHolds
from shunter.engine.move_one import move_one
from shunter.topology.model import Cluster
from shunter.topology.plan import Finding, Plan
from shunter.topology.planning import plan_evacuation
from shunter.topology.preflight import check, with_requirements
from shunter.topology.requirements.grouping import grouped

STUCK = [{"name": "CSV1", "state": "redirected_stuck"}]


def test_the_json_of_a_check_is_what_scripts_rely_on() -> None:
    of = cluster(2, [vm("web", memory_mib=60000), vm("db", on="N2", memory_mib=60000)])
    found = json.loads(check(of).to_json())
    assert list(found) == ["kind", "cluster", "ok", "findings", "survives_loss"]
    assert (found["kind"], found["cluster"], found["ok"]) == ("check", "test", True)
    assert found["survives_loss"] == [
        {"node": "N1", "ok": False, "unplaced": ["web"]},
        {"node": "N2", "ok": False, "unplaced": ["db"]},
    ]
    (finding,) = found["findings"]
    assert list(finding) == ["rule", "severity", "subject", "message", "remedy"]
    assert (finding["rule"], finding["severity"], finding["subject"]) == ("I3", "warning", "cluster test")
    assert "N1 (1 VM), N2 (1 VM)" in finding["message"]


def test_i3_a_node_whose_loss_is_not_covered_is_named_with_its_vms() -> None:
    of = cluster([node("N1", 100), node("N2", 10)], [vm("web", memory_mib=50)])
    (finding,) = check(of).findings
    assert (finding.rule, finding.severity, finding.subject) == ("I3", "warning", "node N1")
    assert "if N1 were lost, web would not restart" in finding.message


def test_only_an_error_makes_a_cluster_unfit() -> None:
    assert check(cluster(3, [vm("web", configuration_in_cluster_is_current=False)])).ok
    assert not check(cluster(3, volumes=STUCK)).ok


def test_where_no_other_node_is_up_that_alone_is_said() -> None:
    found = check(cluster([node("N1")], [vm("web"), vm("db")]))
    assert [(finding.rule, finding.subject) for finding in found.findings] == [("R01", "cluster test")]
    assert found.survives_loss[0].unplaced == ("web", "db")


def test_progress_is_told_until_all_nodes_are_decided() -> None:
    told: list[tuple[int, int]] = []
    check(cluster(3), lambda done, in_all: told.append((done, in_all)))
    assert told == [(1, 3), (2, 3), (3, 3)]


# ---------------------------------------------------------------- in front of a plan


def planned(of: Cluster, *nodes: str) -> Plan:
    return with_requirements(of, plan_evacuation(of, nodes or ("N1",)))


def test_what_stands_against_every_run_refuses_the_plan_and_stands_first() -> None:
    plan = planned(cluster(3, [vm("web")], volumes=STUCK))
    assert not plan.ok
    assert plan.findings[0].rule == "R18"
    assert [move.vm for move in plan.moves] == ["web"]


def test_a_warning_about_the_cluster_is_said_and_refuses_nothing() -> None:
    plan = planned(cluster(3, [vm("web")], same_subnet=False))
    assert plan.ok
    assert [(finding.rule, finding.severity) for finding in plan.findings] == [("R07", "warning")]


def test_r19_a_plan_speaks_of_the_vms_that_it_moves_and_of_no_others() -> None:
    stale = {"configuration_in_cluster_is_current": False}
    plan = planned(cluster(3, [vm("web", **stale), vm("db", on="N2", **stale), vm("old", state="off", **stale)]))
    assert [finding.subject for finding in plan.findings] == ["vm web", "vm old"]


def test_what_is_only_told_and_the_loss_of_every_node_are_not_in_a_plan() -> None:
    crowded = [vm("web", memory_mib=6000), vm("big", on="N2", memory_mib=60000), vm("other", on="N3", memory_mib=50000)]
    of = cluster(3, [*crowded, vm("lab", on="N2", memory_mib=1, backup=True)])
    assert not all(loss.ok for loss in check(of).survives_loss)
    assert [finding.rule for finding in planned(of).findings] == ["I3"]  # the reserve, said by the plan itself


def test_nothing_is_said_twice_about_one_subject() -> None:
    of = cluster(3, same_subnet=False)
    said = Finding(rule="R07", severity="warning", subject="cluster test", message="known", remedy="known")
    plan = Plan(cluster="test", ok=True, reserve_nodes=0, findings=(said,))
    assert with_requirements(of, plan).findings == (said,)


@pytest.mark.parametrize(
    "broken",
    [
        {"windows_version": "2008R2", "same_subnet": False},
        {
            "nodes": [node("N1"), node("N2", architecture="ia64"), node("N3", architecture="ia64")],
            "windows_version": "2008R2",
        },
    ],
    ids=["R07", "R02"],
)
def test_a_refused_run_touches_nothing(broken: dict[str, Any]) -> None:
    if "nodes" in broken:
        broken["nodes"][0]["architecture"] = "x64"
    of = cluster(broken.pop("nodes", 3), [vm("web")], **broken)
    night = evacuated(of)
    assert not night.report.executed
    assert [line["what"] for line in night.log] == ["cluster"]

    async def one() -> tuple[Plan, Cluster]:
        world = SimulatedCluster(of, clock=Clock())
        return await move_one(world, "web", "N2", holds=OwnHolds(), audience=night.notes), await world.look()

    report, after = in_virtual_time(one)
    assert (report.ok, report.executed) == (False, False)
    assert after.vm_by_name["web"].node == "N1"


# ---------------------------------------------------------------- told to people


def finding(subject: str, message: str, rule: str = "R19") -> Finding:
    return Finding(rule=rule, severity="warning", subject=subject, message=message, remedy=f"mend {subject[3:]}")


def test_what_is_true_of_many_vms_is_said_once_with_all_of_them() -> None:
    (group,) = grouped([finding(f"vm {name}", f"{name} was changed") for name in ("a", "b", "c")])
    assert group.about() == "vms a, b and c"
    assert (group.message, group.remedy) == ("the VM was changed", "mend NAME")


def test_numbers_that_differ_are_given_for_the_first() -> None:
    (group,) = grouped([finding(f"vm {name}", f"{name} needs {mib} MiB") for name, mib in (("a", 7), ("b", 8))])
    assert group.message == "a needs 7 MiB (and so on)"


def test_what_differs_in_more_than_the_name_stays_apart() -> None:
    found = [finding("vm a", "a was changed"), finding("vm b", "b is lost"), finding("vm c", "c was changed", "R01")]
    assert [group.subjects for group in grouped(found)] == [("vm a",), ("vm b",), ("vm c",)]


def test_of_very_many_some_are_named() -> None:
    (group,) = grouped([finding(f"vm {i}", f"{i} was changed") for i in range(100)])
    assert group.about(4) == "vms 0, 1, 2 and 97 more"
