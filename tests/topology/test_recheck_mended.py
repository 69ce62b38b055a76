"""A log of a bad day passes the recheck where we did right, and does not where we did not."""

from __future__ import annotations

from typing import Any

import pytest
from building import AMD, INTEL, cluster, node, vm

from shunter.topology.model import Cluster
from shunter.topology.recheck import check_log

Line = dict[str, Any]


def small(**fields: Any) -> Cluster:
    """N1 is down, and web, db and dc lie there; old is off on N2, peer runs on N3."""
    nodes = [
        node("N1", processor=INTEL, switches=["lan"], state="down"),
        node("N2", processor=INTEL, switches=["lan"]),
        node("N3", processor=INTEL, switches=["lan"]),
        node("N4", processor=AMD, switches=[]),
    ]
    vms = [
        vm("web", switches=["lan"], state="failed"),
        vm("db", memory_mib=60000, volumes=["LUN1"], state="failed"),
        vm("dc", volumes=["CSV1"], state="failed"),
        vm("asleep", "N2", state="saved"),
        vm("old", "N2", volumes=["LUN1"]),
        vm("peer", "N3", 8192),
    ]
    volumes = [
        {"name": "CSV1", "owner": "N2", "state": "redirected_stuck"},
        {"name": "CSV2", "owner": "N2"},
        {"name": "LUN1", "kind": "disk", "owner": "N2"},
    ]
    rules = [{"name": "apart", "kind": "different_node", "vms": ["dc", "peer"]}]
    given: dict[str, Any] = {"nodes": nodes, "vms": vms, "volumes": volumes, "affinity_rules": rules, **fields}
    return cluster(given.pop("nodes"), given.pop("vms"), **given)


def at(t_s: float, what: str, **fields: Any) -> Line:
    return {"t_s": t_s, "what": what, **fields}


def start(t_s: float, name: str, on: str, by: str = "us", memory_mib: int = 4096, **fields: Any) -> Line:
    return at(t_s, "vm_started", vm=name, node=on, by=by, memory_mib=memory_mib, **fields)


def state(t_s: float, volume: str, to: str, **fields: Any) -> Line:
    return at(t_s, "volume_state_changed", volume=volume, state=to, **{"reason": "fault", **fields})


def found(*events: Line, of: Cluster | None = None, **options: Any) -> list[tuple[float, str, str]]:
    log = [at(0, "cluster", cluster=(of or small()).model_dump(mode="json")), *events]
    return [(v.at_s, v.invariant, v.subject) for v in check_log(log, **options)]


# ------------------------------------------------------------------ starts


def test_a_sound_day_passes() -> None:
    day = (
        start(1, "web", "N2"),
        at(1, "vm_crashed", vm="web", node="N2", by="fault", reason="web does not come up on N2"),
        start(2, "web", "N3", wrongly_configured=True),
        start(3, "dc", "N4"),
        at(4, "configuration_changed", vm="peer"),
        at(5, "configuration_refreshed", vm="peer", by="us"),
        state(6, "CSV1", "online", by="us", reason="direct I/O restored"),
        at(7, "storage_job_started", name="repair", volume="CSV1"),
        at(8, "node_isolated", node="N4", by="fault"),
        at(9, "node_quarantined", node="N4", by="cluster", until_s=7209),
        at(10, "migration_started", vm="dc", source="N4", target="N2", by="elsewhere"),
        at(11, "backup_started", vm="dc"),
        at(12, "migration_ended", vm="dc", source="N4", target="N2", by="elsewhere", outcome="done", node="N2"),
        at(12, "backup_ended", vm="dc", outcome="done", degraded=True),
        at(13, "storage_job_ended", name="repair", volume="CSV1"),
        at(14, "node_up", node="N4", by="fault"),
    )
    assert found(*day) == []


@pytest.mark.parametrize("by", ["us", "cluster", "fault"])
def test_i2_no_vm_is_started_twice_whoever_starts_it(by: str) -> None:
    assert found(start(1, "web", "N2"), start(2, "web", "N3", by=by)) == [(2, "I2", "web")]
    assert found(start(1, "web", "N2", by="cluster"), start(2, "web", "N2", by=by)) == [(2, "I2", "web")]
    assert found(start(1, "peer", "N2", by=by)) == [(1, "I2", "peer")]


def test_i2_no_vm_is_started_while_it_moves() -> None:
    moves = at(1, "migration_started", vm="peer", source="N3", target="N2", by="elsewhere")
    assert found(moves, start(2, "peer", "N2", by="cluster")) == [(2, "I2", "peer")] * 2


def test_i2_no_vm_is_started_where_the_node_is_down() -> None:
    assert found(start(1, "web", "N1")) == [(1, "I2", "web")]


@pytest.mark.parametrize("out_of_sight", ["isolated", "joining"])
def test_i2_we_start_no_vm_that_may_run_on_a_node_out_of_sight(out_of_sight: str) -> None:
    nodes = [node("N1", state=out_of_sight), node("N2")]
    of = cluster(nodes, [vm("web", state="failed")])
    assert found(start(1, "web", "N2"), of=of) == [(1, "I2", "web")]
    back = at(1, "node_down", node="N1", by="fault")
    assert found(back, start(1, "web", "N2"), of=of) == []


def test_we_start_nothing_on_a_node_that_takes_no_vms() -> None:
    paused = at(1, "node_paused", node="N2", by="elsewhere")
    assert found(paused, start(2, "web", "N2")) == [(2, "I8", "web")]
    kept_out = at(1, "node_quarantined", node="N2", by="cluster")
    assert found(kept_out, start(2, "web", "N2")) == [(2, "R01", "web")]


def test_i3_we_start_only_what_fits() -> None:
    assert found(start(1, "web", "N3", memory_mib=57344)) == []
    assert found(start(1, "web", "N3", memory_mib=57345)) == [(1, "I3", "N3")]


def test_the_needs_of_a_vm_hold_where_we_start_it() -> None:
    assert found(start(1, "web", "N4")) == [(1, "R20", "web")]
    assert found(start(1, "asleep", "N4")) == [(1, "R13", "asleep")]
    assert found(start(1, "dc", "N3")) == [(1, "I4", "dc")]
    assert found(start(1, "db", "N3", memory_mib=1024)) == [(1, "R11", "db")]
    assert found(start(1, "db", "N2", memory_mib=1024)) == []
    assert found(state(1, "CSV1", "offline"), start(2, "dc", "N2")) == [(2, "R08", "dc")]
    owned = cluster(3, [vm("web", state="failed", possible_owners=["N1", "N2"])])
    assert found(start(1, "web", "N3"), of=owned) == [(1, "I4", "web")]


def test_r08_we_start_nothing_where_the_path_to_its_storage_is_lost() -> None:
    lost = state(1, "CSV1", "redirected_no_path", reachable_from=["N1", "N3", "N4"])
    assert found(lost, start(2, "dc", "N2")) == [(2, "R08", "dc")]
    back = state(3, "CSV1", "online", reachable_from=[])
    assert found(lost, back, start(4, "dc", "N2")) == []


# ------------------------------------------------------------------ volumes, backups, configurations, storage jobs


def test_r18_we_restore_direct_io_only_where_it_outlived_its_backup() -> None:
    assert found(state(1, "CSV1", "online", by="us")) == []
    assert found(at(1, "backup_started", volume="CSV1"), state(2, "CSV1", "online", by="us")) == [(2, "R18", "CSV1")]
    over = at(2, "backup_ended", volume="CSV1", outcome="aborted")
    assert found(at(1, "backup_started", volume="CSV1"), over, state(3, "CSV1", "online", by="us")) == []
    for other in ("redirected_no_path", "redirected_by_design", "redirected_by_user", "maintenance", "offline"):
        assert found(state(1, "CSV2", other), state(2, "CSV2", "online", by="us")) == [(2, "R18", "CSV2")]


def test_r17_a_vm_in_backup_is_moved_only_where_that_was_said() -> None:
    events = (
        at(1, "backup_started", vm="peer"),
        at(2, "migration_started", vm="peer", source="N3", target="N2", by="us"),
        at(3, "migration_ended", vm="peer", source="N3", target="N2", by="us", outcome="done", node="N2"),
        at(3, "backup_ended", vm="peer", outcome="done", degraded=True),
        at(4, "migration_started", vm="peer", source="N2", target="N3", by="us"),
    )
    nothing_is_stuck = small(volumes=[{"name": name, "owner": "N2"} for name in ("CSV1", "CSV2", "LUN1")])
    assert found(*events, of=nothing_is_stuck) == [(2, "R17", "peer")]
    assert found(*events, of=nothing_is_stuck, backups_may_degrade=True) == []


def test_i5_no_node_leaves_while_storage_is_being_rebuilt() -> None:
    leaves = (
        at(5, "node_paused", node="N4", by="us"),
        at(6, "node_rebooted", node="N4", by="us"),
        at(6, "node_down", node="N4", by="us"),
    )
    begins = at(1, "storage_job_started", name="repair", volume="CSV1")
    over = at(4, "storage_job_ended", name="repair", volume="CSV1")
    assert found(begins, *leaves) == [(6, "I5", "N4")]
    assert found(begins, over, *leaves) == []
    jobs = [{"name": "repair", "volume": "CSV1", "percent": 40}]
    assert found(*leaves, of=small(storage_jobs=jobs)) == [(6, "I5", "N4")]
    assert found(over, *leaves, of=small(storage_jobs=jobs)) == []


@pytest.mark.parametrize(
    "event",
    [
        at(1, "configuration_refreshed", vm="nobody", by="us"),
        at(1, "configuration_changed", vm="nobody"),
        at(1, "volume_state_changed", volume="V9", state="online", reason="fault"),
        at(1, "storage_job_ended", name="repair"),
        at(1, "node_quarantined", by="cluster"),
        at(1, "vm_started", vm="web", node="N2", by="us"),
    ],
)
def test_an_event_that_lacks_something_cannot_be_read(event: Line) -> None:
    assert found(event) == [(1, "log", "line 2")]


def test_a_storage_job_that_never_began_does_not_end() -> None:
    assert found(at(1, "storage_job_ended", name="repair", volume="CSV1")) == [(1, "log", "CSV1")]
