"""A sound witness log passes the recheck, and a log in which something went wrong does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from building import AMD, INTEL, cluster, node, vm

from shunter.topology.model import Cluster
from shunter.topology.recheck import check_log

Line = dict[str, Any]


def small(**fields: Any) -> Cluster:
    nodes = [
        node("N1", processor=INTEL, switches=["lan"]),
        node("N2", processor=INTEL, switches=["lan"]),
        node("N3", processor=INTEL, switches=["lan"]),
        node("N4", processor=AMD, switches=[]),
    ]
    vms = [
        vm("web", switches=["lan"]),
        vm("db", memory_mib=16384, volumes=["LUN1"]),
        vm("old", state="off", volumes=["LUN1"]),
        vm("big", "N2", 55000),
        vm("peer", "N3", 1024),
    ]
    volumes = [{"name": "CSV1", "owner": "N1"}, {"name": "LUN1", "kind": "disk", "owner": "N1"}]
    rules = [{"name": "apart", "kind": "different_node", "vms": ["web", "peer"]}]
    given: dict[str, Any] = {"vms": vms, "volumes": volumes, "affinity_rules": rules, **fields}
    return cluster(given.pop("nodes", nodes), given.pop("vms"), **given)


def at(t_s: float, what: str, **fields: Any) -> Line:
    return {"t_s": t_s, "what": what, **fields}


def started(t_s: float, name: str, source: str, target: str, by: str = "us", **fields: Any) -> Line:
    return at(t_s, "migration_started", vm=name, source=source, target=target, by=by, **fields)


def ended(t_s: float, name: str, source: str, target: str, outcome: str = "done", **fields: Any) -> Line:
    given = {"by": "us", "node": target if outcome == "done" else source, **fields}
    return at(t_s, "migration_ended", vm=name, source=source, target=target, outcome=outcome, **given)


def log(*events: Line, of: Cluster | None = None) -> list[Line]:
    return [at(0, "cluster", cluster=(of or small()).model_dump(mode="json")), *events]


def found(*events: Line, of: Cluster | None = None, finished: tuple[str, ...] = ()) -> list[tuple[float, str, str]]:
    return [(v.at_s, v.invariant, v.subject) for v in check_log(log(*events, of=of), finished)]


SOUND = (
    at(0, "node_paused", node="N1", by="us"),
    started(0, "web", "N1", "N2", memory_mib=4096),
    ended(5, "web", "N1", "N2"),
    started(5, "db", "N1", "N3", memory_mib=16384),
    at(19, "role_moved", name="old", source="N1", target="N3"),
    at(19, "volume_owner_changed", volume="LUN1", source="N1", target="N3"),
    ended(20, "db", "N1", "N3"),
    at(20, "volume_owner_changed", volume="CSV1", source="N1", target="N2"),
)


def test_a_sound_log_passes_as_values_and_as_text() -> None:
    assert check_log(log(*SOUND), finished=["N1"]) == ()
    assert check_log([json.dumps(line) + "\n" for line in log(*SOUND)] + ["\n"], finished=["N1"]) == ()


@pytest.mark.parametrize("by", ["us", "elsewhere"])
def test_i1_r15_a_node_in_two_migrations_is_found_whoever_started_them(by: str) -> None:
    second = started(3, "peer", "N3", "N1", by="elsewhere"), ended(9, "peer", "N3", "N1", by="elsewhere")
    assert found(started(0, "web", "N1", "N2", by), *second) == [(3, "I1", "N1")]


def test_i1_a_migration_under_way_at_the_start_occupies_its_nodes() -> None:
    of = small(migrations=[{"vm": "peer", "source": "N3", "target": "N1"}], affinity_rules=[])
    assert found(started(1, "web", "N1", "N2"), of=of) == [(1, "I1", "N1")]
    told_again = started(0, "peer", "N3", "N1", by="elsewhere")
    assert found(told_again, ended(4, "peer", "N3", "N1"), started(4, "web", "N1", "N2"), of=of) == []


def test_i2_a_vm_is_never_started_twice() -> None:
    assert found(at(3, "vm_started", vm="web", node="N2", by="cluster", memory_mib=4096)) == [(3, "I2", "web")]
    assert found(at(3, "vm_started", vm="old", node="N1", by="elsewhere", memory_mib=4096)) == []


def test_i2_a_vm_of_a_lost_node_is_started_elsewhere_once() -> None:
    lost = at(1, "node_down", node="N1", by="fault")
    crashed = at(1, "vm_crashed", vm="web", node="N1", by="fault")
    restarted = at(31, "vm_started", vm="web", node="N3", by="cluster", memory_mib=4096)
    assert found(lost, crashed, restarted) == []
    assert found(lost, restarted) == []
    assert found(lost, crashed, restarted, {**restarted, "t_s": 40}) == [(40, "I2", "web")]
    assert found(lost, crashed, {**restarted, "node": "N1"}) == [(31, "I2", "web")]


def test_i2_an_evacuation_stops_no_vm() -> None:
    assert found(at(3, "vm_stopped", vm="web", node="N1", by="us")) == [(3, "I2", "web")]
    assert found(at(3, "vm_stopped", vm="web", node="N1", by="guest")) == []
    assert found(at(3, "vm_stopped", vm="old", node="N1", by="guest")) == [(3, "I2", "old")]


def test_i2_a_vm_moves_from_where_it_runs() -> None:
    assert found(started(0, "web", "N2", "N3", by="elsewhere")) == [(0, "I2", "web")]
    assert found(started(0, "old", "N1", "N3", by="elsewhere")) == [(0, "I2", "old")]
    assert found(*SOUND[:3], started(9, "web", "N1", "N2", by="elsewhere")) == [(9, "I2", "web")]


def test_i2_a_vm_is_in_one_migration_at_a_time() -> None:
    twice = started(0, "web", "N1", "N2", by="elsewhere"), started(1, "web", "N1", "N3", by="elsewhere")
    assert (1, "I2", "web") in found(*twice)


@pytest.mark.parametrize(
    ("outcome", "node_after", "sound"),
    [
        ("done", "N2", True),
        ("done", "N1", False),
        ("done", None, False),
        ("failed", "N1", True),
        ("failed", "N2", False),
        ("cancelled", "N1", True),
        ("cancelled", None, False),
        ("target_lost", "N1", True),
        ("target_lost", "N2", False),
        ("source_lost", None, True),
        ("source_lost", "N1", False),
    ],
)
def test_i2_after_a_migration_the_vm_is_where_its_outcome_says(
    outcome: str, node_after: str | None, sound: bool
) -> None:
    events = started(0, "web", "N1", "N2"), ended(5, "web", "N1", "N2", outcome, node=node_after)
    assert found(*events) == ([] if sound else [(5, "I2", "web")])


def test_i2_a_vm_lost_with_its_source_does_not_arrive() -> None:
    events = (
        started(0, "web", "N1", "N2"),
        at(2, "node_down", node="N1", by="fault"),
        at(2, "vm_crashed", vm="web", node="N1", by="fault"),
    )
    assert found(*events, ended(2, "web", "N1", "N2", "source_lost", node=None)) == []
    assert found(*events, ended(2, "web", "N1", "N2")) == [(2, "I2", "web")]


def test_i2_a_running_vm_changes_its_node_only_by_a_migration() -> None:
    assert found(at(3, "role_moved", name="web", source="N1", target="N2")) == [(3, "I2", "web")]
    assert found(at(3, "role_moved", name="old", source="N2", target="N3")) == [(3, "I2", "old")]


def test_i3_a_migration_of_ours_to_a_node_without_room_is_found() -> None:
    assert found(started(0, "db", "N1", "N2")) == [(0, "I3", "N2")]
    assert found(started(0, "db", "N1", "N2", by="elsewhere")) == []


def test_i3_vms_that_have_grown_or_are_on_their_way_count() -> None:
    grown = at(1, "vm_memory_changed", vm="peer", memory_mib=60000)
    assert found(grown, started(2, "db", "N1", "N3")) == [(2, "I3", "N3")]
    vms = [vm("web"), vm("peer", "N3", 60000), vm("x", "N2", 2000)]
    inbound = started(0, "peer", "N3", "N2", by="elsewhere")
    of = small(vms=vms, volumes=[], affinity_rules=[])
    assert (1, "I3", "N2") in found(inbound, started(1, "web", "N1", "N2"), of=of)


def test_i4_anti_affinity_is_kept_by_our_migrations() -> None:
    assert found(started(0, "web", "N1", "N3")) == [(0, "I4", "web")]
    coming = started(0, "peer", "N3", "N2", by="elsewhere")
    assert (1, "I4", "web") in found(coming, started(1, "web", "N1", "N2"))


def test_i4_r13_r20_r08_what_forbids_a_node_is_found_in_our_migrations_only() -> None:
    assert found(started(0, "web", "N1", "N4")) == [(0, "R13", "web"), (0, "R20", "web")]
    assert found(started(0, "web", "N1", "N4", by="elsewhere")) == []
    offline = at(0, "volume_state_changed", volume="LUN1", state="offline", reason="fault")
    assert found(offline, started(1, "db", "N1", "N3")) == [(1, "R08", "db")]
    of = small(vms=[vm("web", possible_owners=["N1", "N2"])], volumes=[], affinity_rules=[])
    assert found(started(0, "web", "N1", "N3"), of=of) == [(0, "I4", "web")]


def test_r11_a_vm_that_shares_its_disk_with_another_running_vm_is_not_migrated_by_us() -> None:
    woken = at(1, "vm_started", vm="old", node="N1", by="elsewhere", memory_mib=4096)
    assert found(woken, started(2, "db", "N1", "N3")) == [(2, "R11", "db")]


def test_r17_a_vm_whose_backup_is_under_way_is_not_migrated_by_us() -> None:
    begun = at(1, "backup_started", vm="web")
    assert found(begun, started(2, "web", "N1", "N2")) == [(2, "R17", "web")]
    assert found(begun, at(2, "backup_ended", vm="web", outcome="done"), started(2, "web", "N1", "N2")) == []
    assert found(begun, started(2, "web", "N1", "N2", by="elsewhere")) == []


def test_r18_nothing_is_migrated_by_us_while_a_volume_is_left_in_redirected_io() -> None:
    stuck = at(1, "volume_state_changed", volume="CSV1", state="redirected_stuck", reason="backup_ends")
    mended = at(2, "volume_state_changed", volume="CSV1", state="online", reason="fault")
    assert found(stuck, started(2, "web", "N1", "N2")) == [(2, "R18", "web")]
    assert found(stuck, mended, started(2, "web", "N1", "N2")) == []
    assert found(stuck, started(2, "web", "N1", "N2", by="elsewhere")) == []


def test_no_migration_of_ours_goes_to_a_paused_or_lost_node() -> None:
    assert found(at(1, "node_paused", node="N2", by="elsewhere"), started(2, "web", "N1", "N2")) == [(2, "I8", "web")]
    assert found(at(1, "node_down", node="N2", by="fault"), started(2, "web", "N1", "N2")) == [(2, "R01", "web")]


def test_i7_the_new_owner_of_a_volume_is_up() -> None:
    lost = at(1, "node_down", node="N2", by="fault")
    assert found(lost, at(2, "volume_owner_changed", volume="CSV1", source="N1", target="N2")) == [(2, "I7", "CSV1")]


def test_i8_we_resume_only_what_we_paused() -> None:
    ours = at(1, "node_paused", node="N1", by="us"), at(2, "node_resumed", node="N1", by="us")
    assert found(*ours) == []
    theirs = at(1, "node_paused", node="N1", by="elsewhere"), at(2, "node_resumed", node="N1", by="us")
    assert found(*theirs) == [(2, "I8", "N1")]
    assert found(at(2, "node_resumed", node="N1", by="us")) == [(2, "I8", "N1")]
    assert found(theirs[0], at(2, "node_resumed", node="N1", by="elsewhere")) == []


def test_i8_who_paused_a_node_before_the_run_counts() -> None:
    resumed = at(2, "node_resumed", node="N1", by="us")
    for whom, expected in (("us", []), ("elsewhere", [(2, "I8", "N1")]), (None, [(2, "I8", "N1")])):
        of = cluster([node("N1", state="paused", paused_by=whom), node("N2")])
        assert found(resumed, of=of) == expected
        again = at(1, "node_paused", node="N1", by="us")
        assert found(again, resumed, of=of) == expected, "pausing what is paused makes it nobody else's"


def test_i8_a_finished_evacuation_leaves_its_node_paused() -> None:
    undone = (*SOUND, at(21, "node_resumed", node="N1", by="us"))
    assert found(*undone) == []
    assert found(*undone, finished=("N1",)) == [(21, "I8", "N1")]
    assert found(finished=("N1",)) == [(0, "I8", "N1")]
    back = at(22, "node_down", node="N1", by="fault"), at(23, "node_up", node="N1", by="fault")
    assert found(*SOUND, *back, finished=("N1",)) == []


def test_time_never_goes_back() -> None:
    assert found(started(5, "web", "N1", "N2"), ended(4, "web", "N1", "N2")) == [(4, "log", "line 3")]


def test_what_cannot_be_read_is_named_by_its_line() -> None:
    assert found(at(1, "vm_started", node="N1")) == [(1, "log", "line 2")]
    assert found(at(1, "vm_started", vm="nobody", node="N1", by="us")) == [(1, "log", "line 2")]
    assert found(at(1, "vm_flew_away", vm="web")) == [(1, "log", "vm_flew_away")]
    assert [v.subject for v in check_log([*map(json.dumps, log()), "{"])] == ["line 2"]


def test_a_log_begins_with_its_cluster() -> None:
    assert [v.message for v in check_log([])] == ["is empty"]
    assert [v.message for v in check_log(list(SOUND))] == ["begins with node_paused, not with the cluster"]
    assert "no complete cluster" in check_log([at(0, "cluster", cluster={"name": "c"})])[0].message


def test_an_end_without_a_beginning_is_found() -> None:
    assert found(ended(4, "web", "N1", "N2")) == [(4, "log", "web")]
    assert found(started(0, "web", "N1", "N2"), ended(4, "web", "N1", "N3")) == [(4, "log", "web")]


def test_a_migration_copies_the_memory_that_the_vm_has() -> None:
    assert found(started(0, "web", "N1", "N2", memory_mib=4095)) == [(0, "log", "web")]


def test_a_migration_of_ours_that_was_under_way_before_the_log_began_is_not_judged_as_a_start_of_this_run() -> None:
    of = small(migrations=[{"vm": "web", "source": "N1", "target": "N4", "by": "us"}])
    assert found(started(0, "web", "N1", "N4"), of=of) == []
    assert (5, "R13", "web") in found(
        started(0, "web", "N1", "N4"), ended(4, "web", "N1", "N4", "failed"), started(5, "web", "N1", "N4"), of=of
    )


@pytest.mark.parametrize(
    "line",
    [
        "7",
        "[]",
        "null",
        '"migration_started"',
        "{",
        "[" * 100_000,
        '{"t_s": ' + "9" * 5000 + "}",
        '{"t_s": 1, "what": []}',
        '{"t_s": NaN, "what": "node_paused", "node": "N1", "by": "us"}',
        '{"t_s": 1e999, "what": "node_paused", "node": "N1", "by": "us"}',
        '{"t_s": ' + "9" * 400 + ', "what": "node_paused", "node": "N1", "by": "us"}',
        '{"t_s": true, "what": "node_paused", "node": "N1", "by": "us"}',
        '{"what": "node_paused", "node": "N1", "by": "us"}',
        '{"t_s": 1, "what": "migration_started", "vm": "web"}',
        '{"t_s": 1, "what": "migration_started", "vm": ["web"], "source": "N1", "target": "N2", "by": "us"}',
        '{"t_s": 1, "what": "vm_started", "vm": "nobody", "node": "N1"}',
    ],
    ids=lambda line: line[:60],
)
def test_a_line_that_is_no_event_is_named(line: str) -> None:
    lines = [json.dumps(event) for event in log()]
    [violation] = check_log([*lines, line])
    assert (violation.invariant, violation.subject) == ("log", "line 2")


def test_a_log_whose_cluster_names_what_is_not_in_it_is_refused() -> None:
    first = log()[0]
    first["cluster"]["vms"][0]["node"] = "N9"
    [violation] = check_log([first])
    assert violation.message.startswith("its first line holds no complete cluster: vms[0].node")


def test_an_evacuation_of_a_node_that_is_not_there_cannot_be_finished() -> None:
    assert found(finished=("N9",)) == [(0.0, "log", "N9")]
