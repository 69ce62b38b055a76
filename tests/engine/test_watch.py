"""A watch of a simulated cluster in virtual time: what befalls the cluster is told once, and lost nodes are seen to."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from building import cluster, node, vm
from virtual import in_virtual_time

from shunter.clusters.clock import Clock
from shunter.clusters.port import Refused, Unreachable
from shunter.clusters.simulated import SimulatedCluster, read_faults
from shunter.engine import watch as watch_module
from shunter.engine.stop import Stop
from shunter.engine.watch import FailOver, Glance, WatchPolicy, watch
from shunter.topology.model import Cluster
from shunter.topology.plan import Finding, Move, Plan, Unplaced
from shunter.topology.watching.condition import Occurrence
from shunter.topology.watching.conditions import conditions
from shunter.topology.watching.hysteresis import Patience
from shunter.topology.watching.report import Watch

Fault = dict[str, Any]

ROOMY = cluster(
    4,
    [vm(f"web-{i}", f"N{i % 4 + 1}") for i in range(8)],
    volumes=[{"name": "CSV1", "owner": "N2"}],
)


class Weather(SimulatedCluster):
    """Out of reach between these times."""

    out_s: tuple[float, float] = (0.0, 0.0)
    looks = 0

    async def look(self) -> Cluster:
        self.looks += 1
        if self.out_s[0] < self.clock.now_s() < self.out_s[1]:
            raise Unreachable("nobody answers")
        return await super().look()


@dataclass
class Notes:
    """A watcher that writes everything down."""

    told: list[Occurrence] = field(default_factory=list)
    glances: list[Glance] = field(default_factory=list)

    def occurred(self, occurrence: Occurrence) -> None:
        self.told.append(occurrence)

    def looked(self, glance: Glance) -> None:
        self.glances.append(glance)


@dataclass
class Watched:
    report: Watch
    notes: Notes
    after: Cluster
    looks: int

    @property
    def names(self) -> list[tuple[str, str]]:
        return [(each.what, each.subject) for each in self.report.occurrences]

    def times(self, what: str, subject: str = "") -> int:
        return sum(name == what and about.startswith(subject) for name, about in self.names)


def watched(
    of: Cluster,
    faults: Sequence[Fault] = (),
    *,
    for_s: float = 3600.0,
    policy: WatchPolicy | None = None,
    fail_over: FailOver | None = None,
    out_s: tuple[float, float] = (0.0, 0.0),
    stop_s: float | None = None,
) -> Watched:
    async def night() -> Watched:
        world = Weather(of, clock=Clock(), faults=read_faults(json.dumps(list(faults)), of))
        world.out_s = out_s
        notes, stop = Notes(), Stop()
        if stop_s is not None:
            asyncio.get_running_loop().call_later(stop_s, stop.request)
        report = await watch(world, policy or WatchPolicy(), watcher=notes, stop=stop, for_s=for_s, fail_over=fail_over)
        after = world.now()
        await world.close()
        return Watched(report, notes, after, world.looks)

    return in_virtual_time(night)


def test_of_a_cluster_in_which_nothing_happens_nothing_is_told() -> None:
    quiet = watched(ROOMY)
    assert quiet.report.occurrences == ()
    assert (quiet.report.ok, quiet.report.told, quiet.report.interrupted) == (True, 0, False)
    assert quiet.report.seconds == pytest.approx(3600)
    assert quiet.looks < 3600 / WatchPolicy().look_every_s + 5


def test_one_look_tells_what_is_wrong_now() -> None:
    of = cluster(
        [node("N1"), node("N2", state="down")], [vm("a")], volumes=[{"name": "V", "state": "redirected_stuck"}]
    )
    once = watched(of, for_s=0.0)
    assert once.looks == 1
    assert {("node_down", "node N2"), ("volume_redirected_stuck", "volume V")} <= set(once.names)
    assert not once.report.ok


def test_a_lost_node_its_vms_their_restarts_and_its_return_are_told_once_each() -> None:
    night = watched(
        ROOMY, [{"at_s": 100, "do": "node_down", "node": "N2"}, {"at_s": 1500, "do": "node_up", "node": "N2"}]
    )
    assert [name for name in night.names if name[1] == "node N2"] == [
        ("node_lost", "node N2"),
        ("node_back", "node N2"),
    ]
    assert night.names[:3] == [("node_lost", "node N2"), ("vm_failed", "vm web-1"), ("vm_failed", "vm web-5")]
    assert (night.times("vm_failed"), night.times("vm_restarted")) == (2, 2)
    lost = night.report.occurrences[0]
    assert (lost.at_s, lost.severity, lost.vms) == (pytest.approx(100, abs=0.1), "error", ("web-1", "web-5"))
    assert night.report.standing == ()


def test_what_changes_is_seen_at_once_and_not_at_the_next_interval() -> None:
    night = watched(
        ROOMY, [{"at_s": 1234.5, "do": "node_isolated", "node": "N3"}], policy=WatchPolicy(look_every_s=900)
    )
    assert night.report.occurrences[0].at_s == pytest.approx(1234.5, abs=watch_module.LEAST_BETWEEN_LOOKS_S)


def test_an_isolated_node_is_told_as_isolated_before_it_is_lost() -> None:
    night = watched(ROOMY, [{"at_s": 100, "do": "node_isolated", "node": "N3"}])
    of_node = [each for each in night.report.occurrences if each.subject == "node N3" and each.what.startswith("node")]
    assert [each.what for each in of_node] == ["node_isolated", "node_lost"]
    assert of_node[1].at_s - of_node[0].at_s == pytest.approx(240, abs=2)


def test_migrations_of_others_backups_and_volumes_are_told_with_their_ends() -> None:
    faults: list[Fault] = [
        {"at_s": 10, "do": "migration_elsewhere", "vm": "web-0", "target": "N3"},
        {"at_s": 200, "do": "backup_starts", "vm": "web-1"},
        {"at_s": 400, "do": "backup_ends", "vm": "web-1"},
        {"at_s": 500, "do": "volume_state", "volume": "CSV1", "state": "redirected_stuck"},
        {"at_s": 600, "do": "volume_state", "volume": "CSV1", "state": "online"},
    ]
    assert watched(ROOMY, faults).names == [
        ("migration_started", "vm web-0"),
        ("migration_ended", "vm web-0"),
        ("backup_started", "vm web-1"),
        ("backup_ended", "vm web-1"),
        ("volume_redirected_stuck", "volume CSV1"),
        ("volume_online", "volume CSV1"),
    ]


def test_r19_drift_storage_jobs_and_quarantine_are_told_with_their_ends() -> None:
    faults: list[Fault] = [
        {"at_s": 100, "do": "configuration_changes", "vm": "web-0"},
        {"at_s": 200, "do": "storage_job_starts", "volume": "CSV1", "duration_s": 300},
        {"at_s": 600, "do": "node_quarantined", "node": "N4"},
        {"at_s": 900, "do": "quarantine_cleared", "node": "N4"},
    ]
    night = watched(ROOMY, faults)
    told = [name for name in night.names if not name[0].startswith("vm_")]
    assert told[:4] == [
        ("configuration_drifted", "vm web-0"),
        ("storage_job_started", "volume CSV1"),
        ("storage_job_ended", "volume CSV1"),
        ("node_quarantined", "node N4"),
    ]
    assert ("node_back", "node N4") in told


def test_r17_a_backup_without_an_end_is_told_at_its_limit_although_nothing_changes() -> None:
    policy = WatchPolicy(look_every_s=5000, patience=Patience(backup_s=1000))
    night = watched(ROOMY, [{"at_s": 100, "do": "backup_starts", "vm": "web-1"}], policy=policy)
    assert [(each.what, round(each.at_s)) for each in night.report.occurrences] == [
        ("backup_started", 100),
        ("backup_overlong", 1100),
    ]


def test_what_is_told_last_of_each_subject_is_how_it_is_in_the_end() -> None:
    faults: list[Fault] = [
        *({"at_s": 50 + 40 * i, "do": "node_down" if i % 2 else "node_up", "node": f"N{i % 3 + 1}"} for i in range(24)),
        *({"at_s": 60 + 90 * i, "do": "backup_starts", "vm": f"web-{i}"} for i in range(8)),
        *({"at_s": 90 + 90 * i, "do": "backup_ends", "vm": f"web-{i}"} for i in range(0, 8, 2)),
        {"at_s": 700, "do": "volume_state", "volume": "CSV1", "state": "maintenance"},
    ]
    night = watched(ROOMY, faults, for_s=6000)
    wrong = {(key.subject, condition.state) for key, condition in conditions(night.after).items()}
    told = {(each.subject, each.state) for each in night.report.standing if each.rule != "I3"}
    assert told == wrong
    assert not any(each.flapping for each in night.report.standing)


# ------------------------------------------------------------------ flapping


def flaps(name: str, times: int, every_s: float = 20.0) -> list[Fault]:
    goes = [{"at_s": 100 + every_s * i, "do": "node_isolated", "node": name} for i in range(times)]
    comes = [{"at_s": 100 + every_s * (i + 0.5), "do": "node_back", "node": name} for i in range(times)]
    return [*goes, *comes]


def test_a_node_that_comes_and_goes_twenty_times_is_no_storm() -> None:
    night = watched(ROOMY, flaps("N3", 20), for_s=3600)
    of_node = Counter(each.what for each in night.report.occurrences if each.subject == "node N3")
    assert of_node["flapping"] == 1
    assert sum(of_node.values()) <= 5
    last = [each for each in night.report.occurrences if each.subject == "node N3"][-1]
    assert last.times > 4
    assert last.what != "flapping"


def test_a_node_that_dies_again_and_again_with_all_its_vms_is_no_storm_either() -> None:
    of = cluster(4, [vm(f"web-{i}", "N3", 1024) for i in range(30)])
    faults = [{"at_s": 100 + 60 * i, "do": "node_down" if i % 2 == 0 else "node_up", "node": "N3"} for i in range(40)]
    night = watched(of, faults, for_s=7200)
    assert night.report.told < 30
    assert night.times("flapping", "node N3") == 1


# ------------------------------------------------------------------ N+1


FULL = cluster(
    [node(f"N{i}", 100) for i in (1, 2, 3)],
    [vm("a", "N1", 40, memory_maximum_mib=90), vm("b", "N2", 40), vm("c", "N3", 40)],
)


def test_i3_lost_and_regained_n_plus_1_is_told_with_what_would_not_restart() -> None:
    faults: list[Fault] = [
        {"at_s": 300, "do": "vm_memory_changed", "vm": "a", "memory_mib": 90},
        {"at_s": 900, "do": "vm_memory_changed", "vm": "a", "memory_mib": 40},
    ]
    night = watched(FULL, faults)
    assert [(each.what, each.vms, round(each.at_s)) for each in night.report.occurrences] == [
        ("growth_not_covered", ("a",), 0),
        ("growth_covered", (), 300),
        ("n_plus_1_lost", ("a",), 300),
        ("n_plus_1_regained", (), 900),
        ("growth_not_covered", ("a",), 900),
    ]


def test_i3_it_is_decided_no_more_often_than_the_policy_wants_and_not_for_what_does_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decided: list[float] = []
    decide = watch_module.cover

    def counted(seen: Cluster) -> Any:
        decided.append(asyncio.get_running_loop().time())
        return decide(seen)

    monkeypatch.setattr(watch_module, "cover", counted)
    of_vms = [vm("a", "N1", 40), vm("b", "N2", 40)]
    grows = [{"at_s": 5 * i, "do": "vm_memory_changed", "vm": "a", "memory_mib": 40 + i % 2} for i in range(1, 200)]
    watched(cluster(3, of_vms), grows, for_s=1000, policy=WatchPolicy(cover_every_s=100))
    assert 9 <= len(decided) <= 11
    assert all(later - before >= 100 for before, later in pairwise(decided))

    decided.clear()
    backups = [{"at_s": 50 * i, "do": f"backup_{'ends' if i % 2 == 0 else 'starts'}", "vm": "a"} for i in range(1, 20)]
    watched(cluster(3, of_vms), backups, for_s=1000, policy=WatchPolicy(cover_every_s=100))
    assert len(decided) == 1


# ------------------------------------------------------------------ out of reach


def test_a_cluster_out_of_reach_is_told_once_and_what_happened_meanwhile_afterwards() -> None:
    night = watched(ROOMY, [{"at_s": 400, "do": "node_down", "node": "N2"}], out_s=(300.0, 900.0))
    assert [name for name, _ in night.names[:3]] == ["cluster_unreachable", "cluster_reachable", "node_lost"]
    gone, *_ = night.report.occurrences
    assert 320 <= gone.at_s <= 340
    assert (night.times("cluster_unreachable"), night.times("cluster_reachable")) == (1, 1)
    assert (night.times("node_lost"), night.times("vm_restarted")) == (1, 2)
    assert any(not glance.reachable for glance in night.notes.glances)


def test_what_stood_before_the_cluster_was_out_of_reach_is_not_told_again_afterwards() -> None:
    drifts = [{"at_s": 100, "do": "configuration_changes", "vm": "web-0"}]
    night = watched(ROOMY, drifts, out_s=(300.0, 900.0))
    assert [name for name, _ in night.names] == ["configuration_drifted", "cluster_unreachable", "cluster_reachable"]
    assert [each.subject for each in night.report.standing] == ["vm web-0"]


def test_a_single_look_that_fails_is_not_worth_a_word() -> None:
    assert watched(ROOMY, out_s=(300.0, 310.0)).names == []


def test_a_cluster_that_cannot_be_looked_at_from_the_start_is_an_error() -> None:
    with pytest.raises(Unreachable, match="nobody answers"):
        watched(ROOMY, out_s=(-1.0, 10.0))


def test_a_watch_without_an_end_ends_when_it_is_asked_to() -> None:
    night = watched(ROOMY, for_s=1e9, stop_s=500.0)
    assert night.report.interrupted
    assert night.report.seconds == pytest.approx(500, abs=1)


# ------------------------------------------------------------------ failover by policy


class Called:
    """A failover that writes down what it was given, and takes its time."""

    def __init__(self, takes_s: float = 60.0, error: Exception | None = None) -> None:
        self.calls: list[tuple[tuple[str, ...], Cluster]] = []
        self.under_way = self.most_at_once = 0
        self._takes_s, self._error = takes_s, error

    async def __call__(self, nodes: Sequence[str], before: Cluster, stop: Stop) -> Plan:  # noqa: ARG002  a FailOver's
        self.calls.append((tuple(nodes), before))
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        await asyncio.sleep(self._takes_s)
        self.under_way -= 1
        if self._error is not None:
            raise self._error
        return Plan(kind="failover", cluster=before.name, ok=True, executed=True, reserve_nodes=0)


BY_POLICY = WatchPolicy(on_node_lost="failover")


def test_without_the_policy_no_failover_is_started() -> None:
    called = Called()
    watched(ROOMY, [{"at_s": 100, "do": "node_down", "node": "N2"}], fail_over=called)
    assert called.calls == []


def test_by_policy_a_lost_node_is_failed_over_once_with_the_cluster_as_it_was_before() -> None:
    called = Called()
    night = watched(ROOMY, [{"at_s": 100, "do": "node_down", "node": "N2"}], policy=BY_POLICY, fail_over=called)
    ((nodes, before),) = called.calls
    assert nodes == ("N2",)
    assert before.node_by_name["N2"].state == "up"
    assert [vm.name for vm in before.vms_by_node["N2"]] == ["web-1", "web-5"]
    assert [what for what, _ in night.names if what.startswith("failover")] == ["failover_started", "failover_ended"]


def test_an_isolated_node_is_not_failed_over_before_the_cluster_has_declared_it_down() -> None:
    called = Called()
    isolated = {"at_s": 100, "do": "node_isolated", "node": "N3"}
    watched(ROOMY, [isolated, {"at_s": 200, "do": "node_back", "node": "N3"}], policy=BY_POLICY, fail_over=called)
    assert called.calls == []
    watched(ROOMY, [isolated], policy=BY_POLICY, fail_over=called)
    ((nodes, before),) = called.calls
    assert nodes == ("N3",)
    assert [vm.name for vm in before.vms_by_node["N3"] if vm.holds_memory] == ["web-2", "web-6"]


def test_nodes_lost_together_or_while_a_failover_goes_on_are_not_failed_over_at_the_same_time() -> None:
    of = cluster(7, [vm(f"web-{i}", f"N{i % 7 + 1}") for i in range(14)])
    called = Called(takes_s=300)
    faults = [{"at_s": at_s, "do": "node_down", "node": name} for at_s, name in ((100, "N2"), (100, "N3"), (150, "N4"))]
    watched(of, faults, policy=BY_POLICY, fail_over=called)
    assert [nodes for nodes, _ in called.calls] == [("N2", "N3"), ("N4",)]
    assert called.most_at_once == 1


def test_a_node_that_is_back_before_its_turn_is_not_failed_over() -> None:
    of = cluster(7, [vm(f"web-{i}", f"N{i % 7 + 1}") for i in range(14)])
    called = Called(takes_s=300)
    faults = [
        {"at_s": 100, "do": "node_down", "node": "N2"},
        {"at_s": 150, "do": "node_down", "node": "N4"},
        {"at_s": 200, "do": "node_up", "node": "N4"},
    ]
    watched(of, faults, policy=BY_POLICY, fail_over=called)
    assert [nodes for nodes, _ in called.calls] == [("N2",)]


def test_a_node_that_dies_again_and_again_does_not_bring_a_storm_of_failovers() -> None:
    called = Called()
    faults = [{"at_s": 100 + 30 * i, "do": "node_down" if i % 2 == 0 else "node_up", "node": "N3"} for i in range(41)]
    night = watched(ROOMY, faults, policy=BY_POLICY, fail_over=called, for_s=7200)
    assert night.after.node_by_name["N3"].state == "down"
    assert 1 <= len(called.calls) <= 3, "two before it counts as flapping, one when it has stayed down"
    nodes, before = called.calls[-1]
    assert (nodes, before.node_by_name["N3"].state != "down") == (("N3",), True)


def test_i6_where_the_loss_takes_the_quorum_nothing_is_done_but_told() -> None:
    called = Called()
    faults = [{"at_s": 100, "do": "node_down", "node": name} for name in ("N1", "N2", "N3")]
    night = watched(ROOMY, faults, policy=BY_POLICY, fail_over=called)
    assert called.calls == []
    assert ("quorum_lost", "cluster test") in night.names


def test_a_failover_that_is_refused_is_told_and_the_watch_goes_on() -> None:
    called = Called(error=Refused("not now"))
    faults = [{"at_s": 100, "do": "node_down", "node": "N2"}, {"at_s": 900, "do": "backup_starts", "vm": "web-0"}]
    night = watched(ROOMY, faults, policy=BY_POLICY, fail_over=called)
    (failed,) = [each for each in night.report.occurrences if each.what == "failover_failed"]
    assert "not now" in failed.message
    assert ("backup_started", "vm web-0") in night.names


@pytest.mark.parametrize(
    ("plan", "severity", "told"),
    [
        ({"ok": True, "executed": True}, "info", "nothing is left that could run and does not"),
        ({"unplaced": (Unplaced(vm="a", node="N2", verdicts=()),), "executed": True}, "warning", "these do not run: a"),
        (
            {"findings": (Finding(rule="I2", severity="error", subject="node N2", message="N2 is up", remedy=""),)},
            "warning",
            "nothing was touched: N2 is up",
        ),
        (
            {
                "moves": (Move(vm="a", source="N2", target="N3", start_s=0, end_s=0, outcome="lost_sight"),),
                "executed": True,
            },
            "error",
            "it is not known what became of a: look where they run",
        ),
    ],
)
def test_what_a_failover_came_to_is_told(plan: dict[str, Any], severity: str, told: str) -> None:
    async def failed_over(nodes: Sequence[str], before: Cluster, stop: Stop) -> Plan:
        return Plan(**{"kind": "failover", "cluster": "test", "ok": False, "reserve_nodes": 0, **plan})

    night = watched(ROOMY, [{"at_s": 9, "do": "node_down", "node": "N2"}], policy=BY_POLICY, fail_over=failed_over)
    (ended,) = [each for each in night.report.occurrences if each.what == "failover_ended"]
    assert (ended.severity, ended.message) == (severity, f"failover of N2 is over: {told}")


def test_a_watch_that_ends_lets_its_failover_end_first() -> None:
    called = Called(takes_s=600)
    night = watched(
        ROOMY, [{"at_s": 100, "do": "node_down", "node": "N2"}], policy=BY_POLICY, fail_over=called, for_s=200
    )
    assert called.under_way == 0
    assert night.names[-1] == ("failover_ended", "node N2")
