"""The cluster file: what is filled in, and what is refused with the path of the field."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shunter.topology.clusterfile import cluster_json, read_cluster
from shunter.topology.errors import MOST_SHOWN, ClusterFileError

INTEL = {"manufacturer": "GenuineIntel", "version": "6.106.6"}
AMD = {"manufacturer": "AuthenticAMD", "version": "25.1.1"}


def minimal(**fields: Any) -> dict[str, Any]:
    return {"name": "c", "nodes": [{"name": "N1", "memory_mib": 32768}, {"name": "N2", "memory_mib": 8192}], **fields}


def problems_of(data: Any) -> tuple[str, ...]:
    with pytest.raises(ClusterFileError) as refusal:
        read_cluster(data)
    return refusal.value.problems


def test_a_file_of_three_lines_is_a_sound_cluster() -> None:
    cluster = read_cluster(minimal(vms=[{"name": "web-1", "node": "N1", "memory_mib": 2048}]))
    first, second = cluster.nodes
    assert (first.reserved_mib, second.reserved_mib) == (4096, 2048)
    assert [adapter.link_mbps for adapter in first.adapters] == [10_000] * 5
    assert {role for network in cluster.networks for role in network.roles} == {
        "live_migration",
        "cluster",
        "management",
        "vm",
        "storage",
    }
    web = cluster.vms[0]
    assert (web.memory_startup_mib, web.memory_maximum_mib, web.state, web.clustered) == (2048, 2048, "running", True)


def test_names_are_compared_without_regard_to_case_and_spelled_as_the_thing_is_named() -> None:
    cluster = read_cluster(
        minimal(
            vms=[{"name": "Web-1", "node": "n1", "memory_mib": 1, "possible_owners": ["n2"], "volumes": ["csv1"]}],
            volumes=[{"name": "CSV1", "owner": "n2"}],
            affinity_rules=[{"name": "r", "kind": "different_node", "vms": ["WEB-1", "web-2"]}],
        )
        | {
            "vms": [
                {"name": "Web-1", "node": "n1", "memory_mib": 1, "possible_owners": ["n2"], "volumes": ["csv1"]},
                {"name": "web-2", "node": "N2", "memory_mib": 1},
            ]
        }
    )
    assert (cluster.vms[0].node, cluster.vms[0].possible_owners, cluster.vms[0].volumes) == ("N1", ("N2",), ("CSV1",))
    assert cluster.volumes[0].owner == "N2"
    assert cluster.affinity_rules[0].vms == ("Web-1", "web-2")


def test_an_absent_node_field_takes_the_value_on_which_the_others_agree() -> None:
    data = minimal()
    data["nodes"][1]["processor"] = AMD
    assert [str(node.processor) for node in read_cluster(data).nodes] == ["AuthenticAMD 25.1.1"] * 2


def test_an_absent_node_field_on_which_the_others_differ_is_refused() -> None:
    data = minimal()
    data["nodes"] = [
        {"name": "N1", "memory_mib": 32768, "processor": INTEL},
        {"name": "N2", "memory_mib": 32768},
        {"name": "N3", "memory_mib": 32768, "processor": AMD},
    ]
    assert problems_of(data) == ("nodes[1].processor: N1 and N3 differ, give it for N2",)


def test_one_paused_node_does_not_make_the_others_paused() -> None:
    data = minimal()
    data["nodes"][0] |= {"state": "paused", "paused_by": "us"}
    assert [(node.state, node.paused_by) for node in read_cluster(data).nodes] == [("paused", "us"), ("up", None)]


def test_votes_that_are_given_for_one_node_are_its_own() -> None:
    data = minimal()
    data["nodes"][0]["votes"] = 0
    assert [node.votes for node in read_cluster(data).nodes] == [0, 1]


def test_a_node_may_be_named_with_its_domain_or_without() -> None:
    data = minimal(
        vms=[{"name": "v", "node": "n1.example.com", "memory_mib": 1, "possible_owners": ["N2.example.com"]}],
        volumes=[{"name": "CSV1", "owner": "n1"}],
    )
    data["nodes"][1]["name"] = "N2.Example.com"
    data["vms"][0]["preferred_owners"] = ["n2"]
    cluster = read_cluster(data)
    assert (cluster.vms[0].node, cluster.volumes[0].owner) == ("N1", "N1")
    assert cluster.vms[0].possible_owners == cluster.vms[0].preferred_owners == ("N2.Example.com",)
    assert [cluster.find_node(name).name for name in ("N1.example.com", "N2", "n2.EXAMPLE.com")] == [
        "N1",
        *["N2.Example.com"] * 2,
    ]


def test_a_short_name_that_two_domains_have_names_no_node() -> None:
    data = minimal(volumes=[{"name": "CSV1", "owner": "n1"}])
    data["nodes"][0]["name"], data["nodes"][1]["name"] = "n1.a.example", "n1.b.example"
    assert problems_of(data) == ('volumes[0].owner: no node is called "n1"; the nodes are n1.a.example, n1.b.example',)


def test_fault_domains_that_differ_in_case_alone_are_one() -> None:
    data = minimal()
    data["nodes"][0]["fault_domain"], data["nodes"][1]["fault_domain"] = "Rack-1", "rack-1"
    assert {node.fault_domain for node in read_cluster(data).nodes} == {"Rack-1"}


@pytest.mark.parametrize("state", ["running", "off"])
def test_a_disk_without_owner_is_where_its_vm_runs(state: str) -> None:
    disk = {"name": "LUN1", "kind": "disk"}
    on_n2 = {"name": "v", "node": "N2", "memory_mib": 1, "volumes": ["lun1"], "state": state}
    data = minimal(vms=[on_n2], volumes=[disk])
    assert read_cluster(data).volumes[0].owner == ("N2" if state == "running" else "N1")


def test_a_volume_without_owner_belongs_to_the_first_node_that_is_up() -> None:
    data = minimal(volumes=[{"name": "CSV1"}])
    data["nodes"][0]["state"] = "down"
    assert read_cluster(data).volumes[0].owner == "N2"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"vms": [{"name": "v", "node": "N9", "memory_mib": 1}]},
            'vms[0].node: no node is called "N9"; the nodes are N1, N2',
        ),
        (
            {"vms": [{"name": "v", "node": "N1", "memory_mib": -5}]},
            "vms[0].memory_mib: must be a whole number of MiB from 1 to 2147483648, not -5",
        ),
        (
            {"vms": [{"name": "v", "node": "N1", "memory_mib": True}]},
            "vms[0].memory_mib: must be a whole number of MiB from 1 to 2147483648, not true",
        ),
        (
            {"vms": [{"name": "v", "node": "N1"}]},
            "vms[0].memory_mib: required: give a whole number of MiB from 1 to 2147483648",
        ),
        (
            {"vms": [{"name": "v", "node": "N1", "memory_mib": 1, "memroy_mib": 2}]},
            "vms[0].memroy_mib: no such field; did you mean memory_mib?",
        ),
        (
            {"vms": [{"name": "v", "node": "N1", "memory_mib": 1}, {"name": "V", "node": "N2", "memory_mib": 1}]},
            'vms[1].name: two are called "v"; give each a name of its own',
        ),
        (
            {"vms": [{"name": "v", "node": "N1", "memory_mib": 4, "memory_maximum_mib": 2}]},
            "vms[0].memory_maximum_mib: 2 is less than memory_mib 4 of v; give at least that, or leave it out",
        ),
        (
            {"vms": [{"name": "v", "node": "N1", "memory_mib": 4, "restart_pending": True}]},
            "vms[0].restart_pending: v is running, not failed; give false, or leave it out",
        ),
        (
            {"vms": [{"name": "v", "node": "N1", "memory_mib": 4, "volumes": ["X"]}]},
            'vms[0].volumes[0]: no volume is called "X"; the volumes are none',
        ),
        (
            {
                "vms": [{"name": "v", "node": "N1", "memory_mib": 4, "volumes": ["D"]}],
                "volumes": [{"name": "D", "kind": "disk", "owner": "N2"}],
            },
            "volumes[0].owner: v, which runs on N1, uses D, and a disk is where its VM runs (R11), not on N2; correct "
            "one of them",
        ),
        (
            {
                "vms": [{"name": f"v{n}", "node": f"N{n}", "memory_mib": 4, "volumes": ["D"]} for n in (1, 2)],
                "volumes": [{"name": "D", "kind": "disk", "owner": "N1"}],
            },
            "vms[1].node: v2 runs on N2, v1 on N1, and both use the disk D, which one node has at a time (R11); "
            "correct one of them",
        ),
        (
            {"nodes": [{"name": "N1", "memory_mib": 32768, "os_build": "7601.24"}]},
            "nodes[0].os_build: 7601.24 is Windows Server 2008 R2, and the cluster's windows_version is 2022; "
            "correct one of them",
        ),
        (
            {"nodes": [{"name": "N1", "memory_mib": 32768, "architecture": "ia64"}]},
            "nodes[0].architecture: there is no Windows Server 2022 for ia64, 2008 R2 was the last; "
            "correct one of them",
        ),
        (
            {"nodes": [{"name": "N1", "memory_mib": 32768}, {"name": "n1.example.com", "memory_mib": 32768}]},
            'nodes[1].name: "N1" and "n1.example.com" are one node, with its domain and without; give each a '
            "name of its own",
        ),
        (
            {"affinity_rules": [{"name": "r", "kind": "same_node", "vms": ["a", "b"]}]},
            'affinity_rules[0].vms[0]: no VM is called "a"; the VMs are none',
        ),
        (
            {
                "vms": [{"name": "v", "node": "N1", "memory_mib": 4}],
                "migrations": [{"vm": "v", "source": "N2", "target": "N1"}],
            },
            "migrations[0].source: v is on N1, not on N2; correct one of them, "
            "or leave the migration out if it is over",
        ),
        (
            {"colour": "red"},
            "colour: no such field; there are name, windows_version, witness, same_subnet, nodes, vms, volumes, "
            "networks, affinity_rules, roles, migrations, storage_jobs",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_path_of_the_field(change: dict[str, Any], problem: str) -> None:
    assert problem in problems_of(minimal(**change))


@pytest.mark.parametrize(
    ("where", "path"),
    [
        ({"vms": [{"name": "v\u3164", "node": "N1", "memory_mib": 1}]}, "vms[0].name"),
        ({"vms": [{"name": "v", "node": "N1\u3164", "memory_mib": 1}]}, "vms[0].node"),
        ({"vms": [{"name": "v", "node": "N1", "memory_mib": 1, "switches": ["a", "b\u3164"]}]}, "vms[0].switches[1]"),
        ({"volumes": [{"name": "\u3164"}]}, "volumes[0].name"),
        ({"networks": [{"name": "\u3164LM", "roles": ["vm"]}]}, "networks[0].name"),
        ({"name": "c\u3164"}, "name"),
    ],
)
def test_whatever_the_name_is_of_all_of_it_must_be_seen(where: dict[str, Any], path: str) -> None:
    assert problems_of(minimal(**where))[0].startswith(f"{path}: holds what cannot be seen, U+3164 HANGUL FILLER: ")


def test_names_of_the_same_looks_are_one_name() -> None:
    """The first is put together of other characters than the second."""
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    vms = [{"name": name, "node": "N1", "memory_mib": 1} for name in (composed, decomposed)]
    assert problems_of(minimal(vms=vms)) == (
        f'vms[1].name: looks like "{composed}", and is written with other characters; give each a name of its own',
    )
    cluster = read_cluster(
        minimal(
            vms=[{"name": composed, "node": "N1", "memory_mib": 1}, {"name": "v", "node": "N2", "memory_mib": 1}],
            affinity_rules=[{"name": "r", "kind": "same_node", "vms": ["v", decomposed.upper()]}],
        )
    )
    assert cluster.affinity_rules[0].vms == ("v", composed)
    assert cluster.find_vm(decomposed).name == composed


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"vms": [{"name": "v", "node": "N1", "memory_mib": 1, "switches": ["cafe\u0301"]}]}, "vms[0].switches[0]"),
        ({"roles": [{"name": "CAFE\u0301", "node": "N1"}]}, "roles[0].name"),
    ],
)
def test_a_switch_or_a_role_that_looks_like_another_name_is_refused(change: dict[str, Any], path: str) -> None:
    data = minimal(**{"vms": [{"name": "caf\u00e9", "node": "N1", "memory_mib": 1}], **change})
    data["nodes"][0]["switches"] = ["Caf\u00e9"]
    assert [problem.partition(":")[0] for problem in problems_of(data)] == [path]


def test_fields_given_twice_take_time_in_proportion_to_their_number() -> None:
    def cpu_s(fields: int) -> float:
        text = "{" + ", ".join(f'"k{i}": 1' for i in range(fields) for _ in range(2)) + "}"
        began_s = time.process_time()
        assert len(problems_of(text)) == fields
        return time.process_time() - began_s

    few_s, many_s = (min(cpu_s(fields) for _ in range(3)) for fields in (1000, 16_000))
    assert many_s < 16 * 4 * few_s


def test_what_a_wrong_name_may_mean_is_only_looked_for_where_it_is_shown() -> None:
    wrong = [{"name": f"v{i}", "node": "N3", "memory_mib": 1} for i in range(100)]
    problems = problems_of(minimal(vms=wrong))
    assert problems[MOST_SHOWN - 1] == f'vms[{MOST_SHOWN - 1}].node: no node is called "N3"; the nodes are N1, N2'
    assert set(problems[MOST_SHOWN:]) == {f'vms[{i}].node: no node is called "N3"' for i in range(MOST_SHOWN, 100)}


def test_everything_that_is_wrong_is_named_at_once() -> None:
    data = minimal(vms=[{"name": "v", "node": "N9", "memory_mib": 1, "possible_owners": ["N8"]}])
    assert len(problems_of(data)) == 2


@pytest.mark.parametrize("text", ["", "[]", "{", '"c"', '{"name": "a", "name": "b"}', '{"name": NaN}', "[" * 100_000])
def test_what_is_no_cluster_file_is_refused(text: str) -> None:
    assert problems_of(text)


def test_a_reserve_for_the_host_as_large_as_the_node_is_refused() -> None:
    data = minimal()
    data["nodes"][1]["reserved_mib"] = 8192
    data["nodes"][0]["reserved_mib"] = 4096
    assert problems_of(data) == (
        "nodes[1].reserved_mib: 8192 is not below memory_mib 8192 of N2; give less, or leave it out",
    )


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterFileError, match=r"nothing\.json: there is no such file"):
        read_cluster(tmp_path / "nothing.json")


def test_reading_what_was_written_gives_the_same_cluster() -> None:
    cluster = read_cluster(minimal(vms=[{"name": "v", "node": "N1", "memory_mib": 7}]))
    assert read_cluster(cluster_json(cluster)) == cluster


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "nodes", "vms", "memory_mib", "node", "volumes", "networks", "adapters", "state"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(data=JSON)
def test_whatever_json_it_holds_a_file_is_read_or_refused_never_a_crash(data: Any) -> None:
    try:
        read_cluster(json.dumps(data))
    except ClusterFileError as refusal:
        assert refusal.problems  # noqa: PT017
