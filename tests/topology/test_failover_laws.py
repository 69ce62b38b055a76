"""Whatever the cluster and whichever nodes are lost, the plan of a failover is sound: whoever can restart does.

Read again by code that shares nothing with the planner, which tries everything where that is little (I2 to I4, I6, I7).
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from building import AMD, INTEL, INTEL_OLDER, cluster, node, vm
from drawing import draw_night, draw_rolling_night
from files import disks_with_their_vms
from hypothesis import given, settings
from hypothesis import strategies as st

from shunter.topology.failover import plan_failover
from shunter.topology.model import Cluster
from shunter.topology.recheck import check_plan
from shunter.topology.recheck.most_restarts import counted, most_restarts
from shunter.topology.recheck.restarted import Left
from shunter.topology.restarting import choose_restarts

KINDS = ("different_node", "same_node", "different_fault_domain", "same_fault_domain")


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_the_plan_of_a_drawn_cluster_is_sound_whichever_nodes_are_lost(first: int) -> None:
    for seed in range(first, first + 50):
        of, leaving = draw_night(seed)
        rolling, some = draw_rolling_night(seed)
        for drawn, lost in ((of, leaving), (rolling, some or [rolling.nodes[0].name])):
            assert check_plan(drawn, plan_failover(drawn, lost), lost) == (), f"seed {seed}, {drawn.name}"


small_vm = st.fixed_dictionaries(
    {
        "on": st.integers(1, 4),
        "memory_mib": st.integers(1, 30),
        "state": st.sampled_from(["running", "running", "running", "paused", "off", "saved", "failed"]),
        "priority": st.sampled_from([0, 1000, 2000, 2000, 3000]),
    },
    optional={
        "possible_owners": st.sets(st.integers(1, 4), min_size=1),
        "preferred_owners": st.sets(st.integers(1, 4), max_size=2),
        "memory_startup_mib": st.integers(1, 40),
        "clustered": st.sampled_from([True, True, True, False]),
        "volumes": st.sampled_from([["CSV"], ["near"], ["LUN1"], ["LUN2"], ["LUN1", "CSV"]]),
        "switches": st.sampled_from([["lan"], ["dmz"]]),
        "configuration_in_cluster_is_current": st.booleans(),
        "backup": st.booleans(),
    },
)
rule = st.fixed_dictionaries(
    {"kind": st.sampled_from(KINDS), "vms": st.sets(st.integers(0, 7), min_size=2, max_size=3), "soft": st.booleans()}
)
states = st.lists(
    st.sampled_from(["up", "up", "up", "up", "paused", "down", "isolated", "quarantined"]), min_size=4, max_size=4
)


def small(rooms: list[int], of_nodes: list[str], drawn: list[Any], rules: list[Any], chance: random.Random) -> Cluster:
    nodes = [
        node(
            f"N{i}",
            room,
            state=state,
            processor=chance.choice((INTEL, INTEL_OLDER, AMD)),
            switches=["lan", "dmz"] if chance.random() < 0.7 else ["lan"],
            fault_domain=f"rack-{i % 2}" if i == 1 or chance.random() < 0.8 else None,
            system_drive=chance.choice(("C:", "C:", "C:", "D:")),
        )
        for i, (room, state) in enumerate(zip(rooms, of_nodes, strict=True), start=1)
    ]
    vms = []
    for i, given_fields in enumerate(drawn):
        fields = dict(given_fields)
        on = f"N{fields.pop('on')}"
        if of_nodes[int(on[1:]) - 1] == "down" and fields["state"] in ("running", "paused"):
            fields["state"] = "failed"
        for owners in ("possible_owners", "preferred_owners"):
            fields[owners] = sorted(f"N{owner}" for owner in fields.pop(owners, ()))
        vms.append(vm(f"vm-{i}", on, **fields, memory_maximum_mib=200))
    reach = sorted(chance.sample(["N1", "N2", "N3", "N4"], 2))
    volumes = [{"name": "CSV", "owner": chance.choice(reach)}]
    volumes += [{"name": "near", "owner": reach[0], "reachable_from": reach}]
    volumes += [{"name": name, "kind": "disk", "owner": chance.choice(reach)} for name in ("LUN1", "LUN2")]
    disks_with_their_vms({"vms": vms, "volumes": volumes})
    named = [
        {"name": f"r{i}", "kind": r["kind"], "vms": [f"vm-{v}" for v in sorted(r["vms"])], "soft": r["soft"]}
        for i, r in enumerate(rules)
    ]
    running = [v for v in vms if v["state"] == "running" and v.get("clustered", True)]
    migrations = []
    if running and chance.random() < 0.3:
        moving = chance.choice(running)
        others = [n["name"] for n in nodes if n["state"] == "up" and n["name"] != moving["node"]]
        if others and of_nodes[int(moving["node"][1:]) - 1] in ("up", "paused"):
            migrations = [{"vm": moving["name"], "source": moving["node"], "target": chance.choice(others)}]
    return cluster(
        nodes,
        vms,
        volumes=volumes,
        affinity_rules=named,
        migrations=migrations,
        roles=[{"name": "Cluster Group", "kind": "core", "node": chance.choice(nodes)["name"]}],
        windows_version=chance.choice(("2008R2", "2012", "2016", "2022", "2022")),
        witness=chance.random() < 0.7,
    )


@given(
    rooms=st.lists(st.integers(20, 90), min_size=4, max_size=4),
    vms=st.tuples(states, st.lists(small_vm, min_size=8, max_size=8)),
    rules=st.lists(rule, max_size=2),
    lost=st.sets(st.integers(1, 4), min_size=1, max_size=4),
    chance=st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=200)
def test_the_plan_of_a_tight_cluster_is_sound_and_restarts_as_many_as_can_be(
    rooms: list[int], vms: tuple[list[str], list[Any]], rules: list[Any], lost: set[int], chance: random.Random
) -> None:
    of_nodes, drawn = vms
    of = small(rooms, of_nodes, drawn, rules, chance)
    names = [f"N{i}" for i in sorted(lost)]
    plan = plan_failover(of, names)
    assert check_plan(of, plan, names) == ()
    assert plan_failover(of, names) == plan


@given(
    rooms=st.lists(st.integers(20, 90), min_size=4, max_size=4),
    drawn=st.lists(small_vm, min_size=8, max_size=8),
    lost=st.integers(1, 4),
    chance=st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=100)
def test_more_memory_elsewhere_never_lets_less_restart(
    rooms: list[int], drawn: list[Any], lost: int, chance: random.Random
) -> None:
    seed = chance.random()
    before, after = (small(r, ["up"] * 4, drawn, [], random.Random(seed)) for r in (rooms, [r + 20 for r in rooms]))
    less, more = (plan_failover(of, [f"N{lost}"]) for of in (before, after))

    def counts(of: Cluster, moved: set[str]) -> list[int]:
        return [sum(of.vm_by_name[name].priority == p for name in moved) for p in (3000, 2000, 1000)]

    assert counts(after, {m.vm for m in more.moves}) >= counts(before, {m.vm for m in less.moves})


@given(
    rooms=st.lists(st.integers(20, 90), min_size=4, max_size=4),
    vms=st.tuples(states, st.lists(small_vm, min_size=8, max_size=8)),
    rules=st.lists(rule, max_size=2),
    chance=st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=150)
def test_of_vms_that_do_not_run_as_many_are_started_as_can_be_also_where_they_stand(
    rooms: list[int], vms: tuple[list[str], list[Any]], rules: list[Any], chance: random.Random
) -> None:
    of = small(rooms, vms[0], vms[1], rules, chance)
    failed = [vm for vm in of.vms if vm.state == "failed" and vm.clustered and vm.priority > 0]
    found, left = choose_restarts(of, failed), Left(of, frozenset())
    assert counted(failed, set(found.targets)) == most_restarts(left, failed)
    for name, node_name in found.targets.items():
        others = {other: node for other, node in found.targets.items() if other != name}
        assert list(left.against(of.vm_by_name[name], node_name, others)) == []
    for node_name, room in left.room_mib.items():
        taken = sum(of.vm_by_name[name].restart_mib for name, on in found.targets.items() if on == node_name)
        assert taken == 0 or taken <= room
    assert found.targets.keys() | found.unplaced.keys() == {vm.name for vm in failed}
    for name, against in found.unplaced.items():
        own = of.vm_by_name[name].node
        wanted = {n.name for n in of.nodes if n.name != own or n.state == "up"}
        assert {verdict.target for verdict in against} == wanted
    order = [of.vm_by_name[name].priority for name in found.targets]
    assert order == sorted(order, reverse=True)


def most_wishes(left: Left) -> int:
    """Of all ways to restart as many as can be, the most VMs where their owners prefer them; by trying everything."""
    vms = sorted(left.must_restart(), key=lambda vm: (-vm.priority, -vm.restart_mib))
    room, placed, best = dict(left.room_mib), dict[str, str](), [(counted(vms, frozenset()), 0)]

    def go_on(at: int) -> None:
        if counted(vms, {*placed, *(vm.name for vm in vms[at:])}) < best[0][0]:
            return
        if at == len(vms):
            wishes = sum(placed.get(vm.name) in vm.preferred_owners for vm in vms)
            best[0] = max(best[0], (counted(vms, set(placed)), wishes))
            return
        vm = vms[at]
        for name in list(room):
            if room[name] >= vm.restart_mib and not any(left.against(vm, name, placed)):
                placed[vm.name], room[name] = name, room[name] - vm.restart_mib
                go_on(at + 1)
                room[name] += vm.restart_mib
                del placed[vm.name]
        go_on(at + 1)

    go_on(0)
    return best[0][1]


@given(
    rooms=st.lists(st.integers(20, 60), min_size=4, max_size=4),
    drawn=st.lists(small_vm, min_size=8, max_size=8),
    rules=st.lists(rule, max_size=1),
    chance=st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=150)
def test_as_many_as_can_be_restart_where_their_owners_prefer_them(
    rooms: list[int], drawn: list[Any], rules: list[Any], chance: random.Random
) -> None:
    of = small(rooms, ["up"] * 4, [vm | {"on": vm["on"] % 2 + 1} for vm in drawn], rules, chance)
    plan, left = plan_failover(of, ["N1"]), Left(of, frozenset({"N1"}))
    if not plan.errors and len(left.must_restart()) <= 6:
        kept = sum(move.target in of.vm_by_name[move.vm].preferred_owners for move in plan.moves)
        assert kept == most_wishes(left)
