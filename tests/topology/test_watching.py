"""A watch tells each change once, nothing of what stays the same, and of what flaps that it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import pytest
from building import cluster, node, vm
from hypothesis import given
from hypothesis import strategies as st

from shunter.topology.model import Cluster
from shunter.topology.watching.condition import NORMAL, Condition, Key, Kind, Occurrence
from shunter.topology.watching.conditions import conditions
from shunter.topology.watching.hysteresis import (
    Manner,
    Patience,
    Tracks,
    compare,
    look_again_s,
    standing,
    with_overlong_backups,
)
from shunter.topology.watching.occurrences import lost_nodes, tell, unseen_restarts

NEVER_FLAPS = Patience(most_changes=10**6)
KEYS = [Key(Kind.NODE, "node N1"), Key(Kind.NODE, "node N2"), Key(Kind.VM, "vm web-1")]


def condition(state: str) -> Condition:
    return Condition(state=state, severity="warning", message=f"it is {state}", remedy="mend it")


def snapshot(states: Mapping[Key, str]) -> dict[Key, Condition]:
    return {key: condition(state) for key, state in states.items() if state != NORMAL}


states = st.sampled_from([NORMAL, NORMAL, "down", "isolated"])
snapshots = st.lists(st.fixed_dictionaries(dict.fromkeys(KEYS, states)), min_size=1, max_size=25)


def changes_of(told: Sequence[str]) -> list[str]:
    """Each state that is not the one before, beginning with a subject of which nothing was known."""
    return [state for state, _ in groupby([NORMAL, *told])][1:]


# ------------------------------------------------------------------ laws


@given(snapshots)
def test_each_change_is_told_exactly_once(course: list[dict[Key, str]]) -> None:
    tracks: Tracks = {}
    told: dict[Key, list[str]] = {key: [] for key in KEYS}
    for i, seen in enumerate(course):
        tracks, changes = compare(tracks, snapshot(seen), 10.0 * i, NEVER_FLAPS)
        for change in changes:
            assert change.manner is Manner.CHANGED
            told[change.key].append(change.now.state if change.now else NORMAL)
    for key in KEYS:
        assert told[key] == changes_of([seen[key] for seen in course])


@given(snapshots, st.floats(min_value=0.1, max_value=5000))
def test_nothing_is_told_of_what_stays_the_same(course: list[dict[Key, str]], apart_s: float) -> None:
    tracks: Tracks = {}
    for i, seen in enumerate(course):
        tracks, _ = compare(tracks, snapshot(seen), apart_s * i, NEVER_FLAPS)
        tracks, again = compare(tracks, snapshot(seen), apart_s * i, NEVER_FLAPS)
        assert again == ()


@given(snapshots, st.sampled_from([5.0, 60.0, 150.0, 250.0, 700.0]))
def test_what_was_told_last_is_true_once_it_has_been_quiet(course: list[dict[Key, str]], apart_s: float) -> None:
    patience = Patience()
    tracks: Tracks = {}
    last = dict.fromkeys(KEYS, NORMAL)
    at_s = 0.0
    # the last snapshot stays for as long as it takes for everything to count as quiet
    for seen in [*course, *([course[-1]] * (int(patience.quiet_s / apart_s) + 2))]:
        tracks, changes = compare(tracks, snapshot(seen), at_s, patience)
        last.update(
            (each.key, each.now.state if each.now else NORMAL) for each in changes if each.manner is not Manner.FLAPS
        )
        at_s += apart_s
    assert last == course[-1]
    assert look_again_s(tracks, patience) is None
    tracks, changes = compare(tracks, snapshot(course[-1]), at_s + 10_000, patience)
    assert changes == ()


@given(st.lists(st.floats(min_value=1, max_value=100), min_size=4, max_size=60))
def test_however_often_it_changes_flapping_is_told_once_and_its_end_once(apart_s: list[float]) -> None:
    patience = Patience(most_changes=4, within_s=600, quiet_s=600)
    tracks: Tracks = {}
    told = []
    at_s = 0.0
    for i, pause_s in enumerate(apart_s):
        at_s += pause_s
        tracks, changes = compare(tracks, snapshot({KEYS[0]: NORMAL if i % 2 else "down"}), at_s, patience)
        told += changes
    assert [change.manner for change in told] == [*[Manner.CHANGED] * 3, Manner.FLAPS]
    now = snapshot({KEYS[0]: "down" if len(apart_s) % 2 else NORMAL})
    tracks, changes = compare(tracks, now, at_s + 599.9, patience)
    assert changes == ()
    assert look_again_s(tracks, patience) == at_s + 600
    tracks, (settled,) = compare(tracks, now, at_s + 600, patience)
    assert (settled.manner, settled.times) == (Manner.SETTLED, len(apart_s))
    assert settled.now == now.get(KEYS[0])


def test_slow_changes_are_not_flapping() -> None:
    tracks: Tracks = {}
    for i in range(20):
        seen = snapshot({KEYS[0]: "down" if i % 2 else NORMAL})
        tracks, changes = compare(tracks, seen, 201.0 * i, Patience())
        assert [change.manner for change in changes] == ([Manner.CHANGED] if i else [])


def test_what_flaps_again_after_a_quiet_time_is_told_again() -> None:
    tracks: Tracks = {}
    manners = []
    for start_s in (0.0, 5000.0):
        for i in range(6):
            seen = snapshot({KEYS[0]: NORMAL if i % 2 else "down"})
            tracks, changes = compare(tracks, seen, start_s + 10 * i, Patience())
            manners += [change.manner for change in changes]
        tracks, changes = compare(tracks, {}, start_s + 1000, Patience())
        manners += [change.manner for change in changes]
    assert manners == [*[Manner.CHANGED] * 3, Manner.FLAPS, Manner.SETTLED] * 2


@pytest.mark.parametrize("patience", [Patience(within_s=900, quiet_s=300), Patience(within_s=300, quiet_s=900)])
def test_how_long_is_quiet_and_within_what_time_it_flaps_are_two_things(patience: Patience) -> None:
    tracks: Tracks = {}
    told: list[tuple[Manner, float]] = []
    flaps_until_s = 70.0
    looks = [(10.0 * i, "down" if i % 2 else NORMAL) for i in range(8)]
    looks += [(flaps_until_s + 100 * i, "down") for i in range(1, 11)]
    looks += [(flaps_until_s + 1050, NORMAL)]
    for at_s, state in looks:
        tracks, changes = compare(tracks, snapshot({KEYS[0]: state}), at_s, patience)
        told += [(change.manner, at_s) for change in changes]
    assert told == [
        *((Manner.CHANGED, 10.0), (Manner.CHANGED, 20.0), (Manner.CHANGED, 30.0)),
        *((Manner.FLAPS, 40.0), (Manner.SETTLED, flaps_until_s + patience.quiet_s), (Manner.CHANGED, 1120.0)),
    ]


def test_one_change_after_a_quiet_time_is_a_change_and_not_flapping_already() -> None:
    patience = Patience(within_s=900, quiet_s=300)
    tracks: Tracks = {}
    manners = []
    looks = [(10.0 * i, "down" if i % 2 else NORMAL) for i in range(6)]
    for at_s, state in [*looks, (350.0, "down"), (360.0, NORMAL)]:
        tracks, changes = compare(tracks, snapshot({KEYS[0]: state}), at_s, patience)
        manners += [change.manner for change in changes]
    assert manners == [*[Manner.CHANGED] * 3, Manner.FLAPS, Manner.SETTLED, Manner.CHANGED]


# ------------------------------------------------------------------ whole clusters


class Watched:
    """Snapshots one after the other, and what was told of each."""

    def __init__(self, patience: Patience = NEVER_FLAPS) -> None:
        self.tracks: Tracks = {}
        self.before: Cluster | None = None
        self.patience = patience

    def see(self, seen: Cluster, at_s: float = 0.0) -> tuple[Occurrence, ...]:
        found = with_overlong_backups(conditions(seen), self.tracks, at_s, self.patience)
        passed = unseen_restarts(self.before, seen) if self.before is not None else ()
        self.tracks, changes = compare(self.tracks, found, at_s, self.patience, passed)
        told = tell(changes, self.before, seen, at_s, self.patience)
        self.before = seen
        return told


def told_of(*seen: Cluster) -> list[tuple[str, str]]:
    """What is told of the last of these, by name and subject."""
    watched = Watched()
    for each in seen[:-1]:
        watched.see(each)
    return [(each.what, each.subject) for each in watched.see(seen[-1])]


def nodes(**states: str) -> list[dict[str, Any]]:
    return [node(f"N{i}", **({"state": states[f"N{i}"]} if f"N{i}" in states else {})) for i in (1, 2, 3)]


SOUND = cluster(3, [vm("web-1"), vm("web-2", "N2")])

node_states = st.sampled_from(["up", "up", "up", "paused", "down", "isolated", "quarantined", "joining"])
vm_states = st.sampled_from(["running", "running", "off", "failed"])
volume_states = st.sampled_from(["online", "online", "redirected_stuck", "redirected_backup", "offline", "maintenance"])


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    of = [node(f"N{i}", state=draw(node_states)) for i in (1, 2, 3)]
    vms = [
        vm(
            f"web-{i}",
            f"N{draw(st.integers(1, 3))}",
            state=draw(vm_states),
            backup=draw(st.booleans()),
            configuration_in_cluster_is_current=draw(st.booleans()),
        )
        for i in range(5)
    ]
    volumes = [{"name": "CSV1", "owner": f"N{draw(st.integers(1, 3))}", "state": draw(volume_states)}]
    jobs = draw(st.lists(st.sampled_from(["repair", "rebalance"]), unique=True))
    return cluster(of, vms, volumes=volumes, storage_jobs=[{"name": job, "volume": "CSV1"} for job in jobs])


@given(st.lists(clusters(), min_size=1, max_size=8))
def test_whatever_is_told_of_a_cluster_names_each_subject_once(course: list[Cluster]) -> None:
    watched = Watched()
    for i, seen in enumerate(course):
        before = {key: track.now for key, track in watched.tracks.items()}
        passed = set(unseen_restarts(watched.before, seen)) if watched.before else set()
        told = watched.see(seen, 10.0 * i)
        now = conditions(seen)
        changed = {key for key in {*before, *now} if _state(before.get(key)) != _state(now.get(key))} | passed
        # a change of a VM is told of the VM, or of several of them together
        subjects = sorted(
            subject
            for each in told
            for subject in (
                [f"vm {name}" for name in each.vms]
                if each.what[:2] in ("vm", "ba", "co") and each.vms
                else [each.subject]
            )
        )
        assert subjects == sorted(key.subject for key in changed)
        assert all(
            each.message and each.remedy and each.before != each.state for each in told if each.what != "vm_restarted"
        )
        assert watched.see(seen, 10.0 * i + 5) == ()
        assert {each.subject for each in standing(watched.tracks)} == {key.subject for key in now}


def _state(condition: Condition | None) -> str | None:
    return condition.state if condition is not None else None


def test_a_sound_cluster_is_worth_no_word() -> None:
    assert told_of(SOUND) == []


def test_what_is_wrong_at_the_first_look_is_told_and_a_node_that_is_down_then_was_not_lost() -> None:
    seen = cluster(nodes(N2="down", N3="paused"), [vm("web-1", state="failed")])
    assert set(told_of(seen)) == {("node_down", "node N2"), ("node_paused", "node N3"), ("vm_failed", "vm web-1")}


@pytest.mark.parametrize(
    ("state", "what", "back"),
    [
        ("down", "node_lost", "node_back"),
        ("isolated", "node_isolated", "node_back"),
        ("quarantined", "node_quarantined", "node_back"),
        ("joining", "node_joining", "node_back"),
        ("paused", "node_paused", "node_resumed"),
    ],
)
def test_a_node_that_changes_its_state_and_comes_back(state: str, what: str, back: str) -> None:
    there = cluster(3, [vm("web-1"), vm("web-3", "N3")])
    other = cluster(nodes(N3=state), [vm("web-1"), vm("web-3", "N3", state="failed" if state == "down" else "running")])
    assert told_of(there, other)[0] == (what, "node N3")
    assert (back, "node N3") in told_of(there, other, there)


def test_who_paused_a_node_is_told() -> None:
    def paused(by: str) -> Cluster:
        return cluster([node("N1"), node("N2"), node("N3", state="paused", paused_by=by)], [])

    (ours,) = Watched().see(paused("us"))
    (theirs,) = Watched().see(paused("elsewhere"))
    assert "by a run of ours" in ours.message
    assert "by somebody else" in theirs.message


def test_a_node_that_was_paused_and_empty_goes_away_and_is_not_lost() -> None:
    paused, gone = nodes(N3="paused"), nodes(N3="down")
    assert told_of(cluster(paused, []), cluster(gone, [])) == [("node_away", "node N3")]
    (unasked,) = (watched := Watched()).see(cluster(3, [])) or watched.see(cluster(gone, []))
    assert (unasked.what, unasked.severity) == ("node_away", "warning"), "it was not paused, but nothing was lost"
    with_vm = [vm("web-1", "N3")]
    assert told_of(cluster(paused, with_vm), cluster(gone, with_vm)) == [("node_lost", "node N3")]


def test_a_lost_node_is_told_with_what_ran_on_it_and_what_to_do() -> None:
    watched = Watched()
    watched.see(SOUND)
    told = watched.see(cluster(nodes(N2="down"), [vm("web-1"), vm("web-2", "N2", state="failed")]))
    lost = told[0]
    assert (lost.what, lost.severity, lost.vms) == ("node_lost", "error", ("web-2",))
    assert lost.message == "N2 is lost with 1 VM on it (web-2): the cluster has declared it down"
    assert "shunter plan failover N2" in lost.remedy
    assert lost_nodes(told) == ("N2",)


def test_a_vm_that_failed_runs_again() -> None:
    failed = cluster(3, [vm("web-1", state="failed"), vm("web-2", "N2")])
    assert told_of(SOUND, failed) == [("vm_failed", "vm web-1")]
    assert told_of(SOUND, failed, SOUND) == [("vm_restarted", "vm web-1")]
    off = cluster(3, [vm("web-1", state="off"), vm("web-2", "N2")])
    assert told_of(SOUND, failed, off) == [("vm_no_longer_failed", "vm web-1")]
    assert told_of(SOUND, failed, cluster(3, [vm("web-2", "N2")])) == [("vm_no_longer_failed", "vm web-1")]


def test_a_restart_between_two_looks_is_told_although_nobody_saw_it_fail() -> None:
    after = cluster(nodes(N1="down"), [vm("web-1", "N3"), vm("web-2", "N2")])
    assert ("vm_restarted", "vm web-1") in told_of(SOUND, after)
    moved = cluster(3, [vm("web-1", "N3"), vm("web-2", "N2")])
    assert told_of(SOUND, moved) == [], "a VM that moved from a node that is there was moved live"


def test_a_vm_that_was_on_its_way_when_its_source_died_has_moved_and_was_not_restarted() -> None:
    after = cluster(nodes(N1="down"), [vm("web-1", "N3"), vm("web-2", "N2")])
    assert told_of(migrating(by="us"), after) == [("node_away", "node N1")]


def test_many_vms_to_which_the_same_happens_are_one_occurrence() -> None:
    names = [f"web-{i}" for i in range(40)]
    watched = Watched()
    watched.see(cluster(3, [vm(name, memory_mib=1) for name in names]))
    (failed,) = watched.see(cluster(3, [vm(name, memory_mib=1, state="failed") for name in names]))
    assert (failed.what, failed.subject, failed.vms) == ("vm_failed", "node N1", tuple(names))
    assert failed.message == "40 VMs on N1 failed: web-0, web-1, web-2, web-3, web-4 and 35 more"
    (again,) = watched.see(cluster(3, [vm(name, f"N{i % 3 + 1}", 1) for i, name in enumerate(names)]))
    assert (again.what, again.subject, again.nodes) == ("vm_restarted", "cluster test", ("N1", "N2", "N3"))


def migrating(by: str = "elsewhere", on: str = "N1") -> Cluster:
    under_way = [{"vm": "web-1", "source": "N1", "target": "N3", "by": by}]
    return cluster(3, [vm("web-1", on), vm("web-2", "N2")], migrations=under_way)


def test_r09_migrations_that_others_start_are_told_with_their_end() -> None:
    watched = Watched()
    watched.see(SOUND)
    (begins,) = watched.see(migrating())
    assert (begins.what, begins.rule, begins.nodes) == ("migration_started", "R09", ("N1", "N3"))
    (ends,) = watched.see(cluster(3, [vm("web-1", "N3"), vm("web-2", "N2")]))
    assert (ends.what, ends.severity) == ("migration_ended", "info")
    assert ends.message == "the migration of web-1, N1 → N3, is over: it is on N3"


def test_a_migration_of_others_that_came_to_nothing_is_a_warning() -> None:
    watched = Watched()
    watched.see(migrating())
    (ends,) = watched.see(SOUND)
    assert (ends.what, ends.severity) == ("migration_ended", "warning")


def test_migrations_of_our_own_runs_are_theirs_to_tell() -> None:
    assert told_of(SOUND, migrating(by="us")) == []


def with_volume(**fields: Any) -> Cluster:
    return cluster(nodes(N3="isolated"), volumes=[{"name": "CSV1", **fields}])


@pytest.mark.parametrize(
    ("state", "severity", "rule"),
    [
        ("redirected_stuck", "error", "R18"),
        ("redirected_no_path", "warning", "R08"),
        ("redirected_by_user", "info", "I7"),
        ("maintenance", "info", "I7"),
        ("offline", "warning", "R08"),
        ("failed", "warning", "R08"),
    ],
)
def test_r18_the_state_of_a_volume_is_told_when_it_changes(state: str, severity: str, rule: str) -> None:
    watched = Watched()
    watched.see(with_volume())
    (worse,) = watched.see(with_volume(state=state))
    assert (worse.what, worse.subject) == (f"volume_{state}", "volume CSV1")
    assert (worse.severity, worse.rule) == (severity, rule)
    (better,) = watched.see(with_volume())
    assert better.what == "volume_online"


def test_r18_redirected_io_that_outlives_its_backup_is_told_as_stuck() -> None:
    during = with_volume(state="redirected_backup", backup=True)
    assert set(told_of(with_volume(), during)) == {
        ("volume_redirected_backup", "volume CSV1"),
        ("backup_started", "volume CSV1"),
    }
    assert set(told_of(during, with_volume(state="redirected_backup"))) == {
        ("volume_redirected_stuck", "volume CSV1"),
        ("backup_ended", "volume CSV1"),
    }


def test_i7_a_volume_whose_owner_is_gone_is_told_until_it_has_another() -> None:
    assert told_of(with_volume(), with_volume(owner="N3")) == [("volume_owner_lost", "volume CSV1")]
    assert told_of(with_volume(owner="N3"), with_volume(owner="N2")) == [("volume_owner_back", "volume CSV1")]


def test_storage_jobs_are_told_each_by_itself_and_not_for_their_progress() -> None:
    def jobs(**percent: float) -> Cluster:
        told = [{"name": name, "volume": "CSV1", "percent": done} for name, done in percent.items()]
        return cluster(3, volumes=[{"name": "CSV1"}], storage_jobs=told)

    watched = Watched()
    assert watched.see(jobs()) == ()
    assert [each.what for each in watched.see(jobs(repair=1.0))] == ["storage_job_started"]
    assert watched.see(jobs(repair=80.0)) == ()
    assert [each.what for each in watched.see(jobs(repair=90.0, rebalance=0.0))] == ["storage_job_started"]
    (over,) = watched.see(jobs(rebalance=0.0))
    assert (over.what, over.message) == ("storage_job_ended", "storage job repair of CSV1 is over")


def test_r17_a_backup_that_runs_for_too_long_is_told_once_more() -> None:
    backed_up = cluster(3, [vm("web-1", backup=True)])
    watched = Watched(Patience(backup_s=3600))
    assert [each.what for each in watched.see(backed_up, 0)] == ["backup_started"]
    assert look_again_s(watched.tracks, watched.patience) == 3600
    assert watched.see(backed_up, 3599) == ()
    (late,) = watched.see(backed_up, 3600)
    assert (late.what, late.severity, late.rule) == ("backup_overlong", "warning", "R17")
    assert watched.see(backed_up, 9000) == ()
    assert [each.what for each in watched.see(cluster(3, [vm("web-1")]), 9001)] == ["backup_ended"]


def test_r19_drift_is_told_with_the_cmdlet_that_ends_it() -> None:
    drifted = cluster(3, [vm("web-1", configuration_in_cluster_is_current=False), vm("web-2", "N2")])
    watched = Watched()
    watched.see(SOUND)
    (found,) = watched.see(drifted)
    assert (found.what, found.rule, found.subject) == ("configuration_drifted", "R19", "vm web-1")
    assert "Update-ClusterVirtualMachineConfiguration" in found.remedy
    assert [each.what for each in watched.see(SOUND)] == ["configuration_refreshed"]


def test_i6_quorum_close_to_loss_and_lost_is_told() -> None:
    three = cluster(nodes(), [], witness=False)
    two = cluster(nodes(N3="down"), [], witness=False, windows_version="2008R2")
    one = cluster(nodes(N3="down", N2="down"), [], witness=False, windows_version="2008R2")
    assert ("quorum_in_danger", "cluster test") in told_of(three, two)
    assert ("quorum_lost", "cluster test") in told_of(two, one)
    assert ("quorum_safe", "cluster test") in told_of(two, three)


def test_a_flapping_node_is_told_by_name_with_the_count_and_then_how_it_ended() -> None:
    watched = Watched(Patience())
    told = []
    for i in range(40):
        told += watched.see(
            SOUND if i % 2 else cluster(nodes(N3="isolated"), [vm("web-1"), vm("web-2", "N2")]), 10.0 * i
        )
    told += watched.see(SOUND, 2000)
    assert [(each.what, each.times) for each in told] == [
        *(("node_isolated", 1), ("node_back", 1), ("node_isolated", 1)),
        *(("flapping", 4), ("node_back", 40)),
    ]
    assert "N3 has changed 4 times within 10 min, of late between isolated and normal" in told[3].message
    assert told[4].message == "N3 is up (so for 10 min now, after 40 changes)"
