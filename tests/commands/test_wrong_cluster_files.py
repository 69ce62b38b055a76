"""Wrong cluster files: exit code 2, each field with its path and what to give on standard error, no traceback."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wrong import ABSENT, GOOD, MIB, changed

NAME = "a name (1 to 255 characters, no blanks at its ends, no control characters)"
VM_FIELDS = (
    "name, node, memory_mib, memory_startup_mib, memory_maximum_mib, state, clustered, logical_processors, priority, "
    "dirty_mib_per_s, possible_owners, preferred_owners, processor_compatibility, switches, volumes, backup, "
    "configuration_in_cluster_is_current"
)
INTEL_OLDER = {"manufacturer": "GenuineIntel", "version": "6.85.7"}

WRONG_FIELDS: list[tuple[str, Any, str]] = [
    # the cluster
    ("name", ABSENT, "name: required: give a name"),
    ("name", "", f'name: must be {NAME}, not ""'),
    ("name", "   ", f'name: must be {NAME}, not "   "'),
    ("name", 7, "name: must be a name, not 7"),
    ("name", "a" * 256, f"name: must be {NAME}, not "),
    (
        "windows_version",
        "2008",
        'windows_version: must be one of 2008R2, 2012, 2012R2, 2016, 2019, 2022, 2025, not "2008"',
    ),
    ("windows_version", 2022, "windows_version: must be one of 2008R2, 2012, 2012R2, 2016, 2019, 2022, 2025, not 2022"),
    ("witness", "yes", 'witness: must be true or false, not "yes"'),
    ("same_subnet", 1, "same_subnet: must be true or false, not 1"),
    ("node", [], "node: no such field; did you mean nodes?"),
    (
        "colour",
        "red",
        "colour: no such field; there are name, windows_version, witness, same_subnet, nodes, vms, volumes, networks, "
        "affinity_rules, roles, migrations, storage_jobs",
    ),
    # nodes
    ("nodes", ABSENT, "nodes: required: give a list in brackets of 1 or more"),
    ("nodes", [], "nodes: must be a list in brackets of 1 or more, not []"),
    ("nodes", {"N1": {}}, "nodes: must be a list in brackets of 1 or more, not {"),
    ("nodes", [{"name": "N", "memory_mib": 4}] * 2001, "nodes: a list of 2001 is more than any cluster has; give at"),
    ("nodes.1", "N2", 'nodes[1]: must be an object in braces with name, memory_mib, not "N2"'),
    ("nodes.1.name", ABSENT, "nodes[1].name: required: give a name"),
    ("nodes.1.name", "n1", 'nodes[1].name: two are called "N1"; give each a name of its own'),
    ("nodes.1.name", " N2", f'nodes[1].name: must be {NAME}, not " N2"'),
    ("nodes.1.name", "N2\u202e", "nodes[1].name: holds what cannot be seen, U+202E RIGHT-TO-LEFT OVERRIDE: "),
    ("nodes.1.name", "N\u00ad2", "nodes[1].name: holds what cannot be seen, U+00AD SOFT HYPHEN: "),
    ("nodes.1.name", "N\u034f2", "nodes[1].name: holds what cannot be seen, U+034F COMBINING GRAPHEME JOINER: "),
    ("nodes.1.name", "N2\ufe0f", "nodes[1].name: holds what cannot be seen, U+FE0F VARIATION SELECTOR-16: "),
    ("nodes.1.name", "\u2800", 'nodes[1].name: holds what cannot be seen, U+2800 BRAILLE PATTERN BLANK: "\\u2800"; '),
    ("vms.0.node", "N1\u115f", "vms[0].node: holds what cannot be seen, U+115F HANGUL CHOSEONG FILLER: "),
    ("vms.0.volumes", ["CSV1\u200b"], "vms[0].volumes[0]: holds what cannot be seen, U+200B ZERO WIDTH SPACE: "),
    ("nodes.1.name", "N\x1b[2J", f'nodes[1].name: must be {NAME}, not "N\\u001b[2J"'),
    ("nodes.1.name", "N\ud800", "nodes[1].name: holds half a character; write it anew"),
    ("nodes.1.memory_mib", ABSENT, f"nodes[1].memory_mib: required: give {MIB}"),
    ("nodes.1.memory_mib", "lots", f'nodes[1].memory_mib: must be {MIB}, not "lots"'),
    ("nodes.1.memory_mib", 0, f"nodes[1].memory_mib: must be {MIB}, not 0"),
    ("nodes.1.memory_mib", 2**31 + 1, f"nodes[1].memory_mib: must be {MIB}, not 2147483649"),
    ("nodes.1.memory_mib", 4096.5, f"nodes[1].memory_mib: must be {MIB}, not 4096.5"),
    ("nodes.1.memory_mib", 4096.0, f"nodes[1].memory_mib: must be {MIB}, not 4096.0"),
    ("nodes.1.memory_mib", True, f"nodes[1].memory_mib: must be {MIB}, not true"),
    ("nodes.1.memory_mib", None, f"nodes[1].memory_mib: must be {MIB}, not null"),
    ("nodes.1.memory_mib", float("nan"), f"nodes[1].memory_mib: must be {MIB}, not NaN"),
    ("nodes.1.memory_mib", float("inf"), f"nodes[1].memory_mib: must be {MIB}, not Infinity"),
    ("nodes.1.memory_mib", 10**30, f"nodes[1].memory_mib: must be {MIB}, not 1000000000000000000000000000000"),
    ("nodes.1.memory_mb", 5, "nodes[1].memory_mb: no such field; did you mean memory_mib?"),
    (
        "nodes.1.reserved_mib",
        32768,
        "nodes[1].reserved_mib: 32768 is not below memory_mib 32768 of N2; give less, or leave it out",
    ),
    (
        "nodes.1.reserved_mib",
        -1,
        "nodes[1].reserved_mib: must be a whole number of MiB from 0 to 2147483648, not -1",
    ),
    (
        "nodes.1.logical_processors",
        0,
        "nodes[1].logical_processors: must be a whole number from 1 to 8192, or null, not 0",
    ),
    ("nodes.1.cpu_percent", 101, "nodes[1].cpu_percent: must be a number from 0 to 100, not 101"),
    ("nodes.1.cpu_percent", float("nan"), "nodes[1].cpu_percent: must be a number from 0 to 100, not NaN"),
    (
        "nodes.1.state",
        "Up",
        'nodes[1].state: must be one of up, paused, down, joining, isolated, quarantined, not "Up"',
    ),
    (
        "nodes.1.paused_by",
        "us",
        'nodes[1].paused_by: N2 is up, not paused; give null, or the state "paused"',
    ),
    ("nodes.1.paused_by", "me", 'nodes[1].paused_by: must be one of us, elsewhere, or null, not "me"'),
    ("nodes.1.votes", 2, "nodes[1].votes: must be 0 or 1, not 2"),
    ("nodes.1.votes", True, "nodes[1].votes: must be 0 or 1, not true"),
    (
        "nodes.1.processor",
        "Intel",
        'nodes[1].processor: must be an object in braces with manufacturer, version, or null, not "Intel"',
    ),
    ("nodes.0.processor.version", ABSENT, "nodes[0].processor.version: required: give a name"),
    ("nodes.2.processor", INTEL_OLDER, "nodes[1].processor: N1 and N3 differ, give it for N2"),
    ("nodes.1.architecture", "arm64", 'nodes[1].architecture: must be one of x64, ia64, not "arm64"'),
    (
        "nodes.1.os_build",
        "10.0.20348.2700",
        'nodes[1].os_build: must be a build such as "20348.2700", or null, not "10.0.20348.2700"',
    ),
    (
        "nodes.1.edition",
        "home",
        "nodes[1].edition: must be one of datacenter, enterprise, standard, azure_local, hyperv_server, not",
    ),
    ("nodes.1.installation", "nano", 'nodes[1].installation: must be one of core, full, not "nano"'),
    ("nodes.1.updates", "KB5040437", 'nodes[1].updates: must be a list in brackets, not "KB5040437"'),
    ("nodes.1.system_drive", "C:\\", 'nodes[1].system_drive: must be a drive such as "C:", not "C:\\\\"'),
    ("nodes.1.tcp_offload", 0, "nodes[1].tcp_offload: must be true or false, not 0"),
    ("nodes.0.switches", ["lan", "LAN"], 'nodes[0].switches[1]: "LAN" is named twice; name it once'),
    (
        "nodes.0.adapters.0.network",
        "LAN",
        'nodes[0].adapters[0].network: no network is called "LAN"; the networks are LM',
    ),
    (
        "nodes.0.adapters.1",
        {"name": "NIC-1", "network": "LM", "link_mbps": 1000},
        'nodes[0].adapters[1].name: two are called "NIC-1"; give each a name of its own',
    ),
    (
        "nodes.0.adapters.0.link_mbps",
        0,
        "nodes[0].adapters[0].link_mbps: must be a whole number of Mbit/s from 1 to 10000000, not 0",
    ),
    # VMs
    ("vms", "web-1", 'vms: must be a list in brackets, not "web-1"'),
    ("vms.0.node", "N9", 'vms[0].node: no node is called "N9"; the nodes are N1, N2, N3, N4'),
    ("vms.0.node", ABSENT, "vms[0].node: required: give a name"),
    ("vms.0.memory_mib", ABSENT, f"vms[0].memory_mib: required: give {MIB}"),
    ("vms.0.memory_mib", -5, f"vms[0].memory_mib: must be {MIB}, not -5"),
    ("vms.0.memory_startup_mib", 0, f"vms[0].memory_startup_mib: must be {MIB}, not 0"),
    (
        "vms.0.memory_maximum_mib",
        1024,
        "vms[0].memory_maximum_mib: 1024 is less than memory_mib 4096 of web-1; give at least that, or leave it out",
    ),
    ("vms.1.name", "WEB-1", 'vms[1].name: two are called "web-1"; give each a name of its own'),
    ("vms.0.state", "stopped", 'vms[0].state: must be one of running, paused, off, saved, failed, not "stopped"'),
    ("vms.0.clustered", "true", 'vms[0].clustered: must be true or false, not "true"'),
    ("vms.0.logical_processors", 1.5, "vms[0].logical_processors: must be a whole number from 1 to 8192, or null, not"),
    ("vms.0.priority", "high", 'vms[0].priority: must be a whole number from 0 to 4000, not "high"'),
    ("vms.0.dirty_mib_per_s", -1, "vms[0].dirty_mib_per_s: must be a number of MiB/s from 0 to 1000000, not -1"),
    ("vms.0.possible_owners", ["N1", "n1"], 'vms[0].possible_owners[1]: "N1" is named twice; name it once'),
    ("vms.0.possible_owners", ["N1", "N7"], 'vms[0].possible_owners[1]: no node is called "N7"; the nodes are N1, N2'),
    ("vms.0.preferred_owners", "N1", 'vms[0].preferred_owners: must be a list in brackets, not "N1"'),
    ("vms.0.processor_compatibility", None, "vms[0].processor_compatibility: must be true or false, not null"),
    ("vms.0.switches", ["lan", "lan"], 'vms[0].switches[1]: "lan" is named twice; name it once'),
    ("vms.0.volumes", ["CSV9"], 'vms[0].volumes[0]: no volume is called "CSV9"; the volumes are CSV1'),
    ("vms.0.backup", [], "vms[0].backup: must be true or false, not []"),
    ("vms.0.colour", "red", f"vms[0].colour: no such field; there are {VM_FIELDS}"),
    # volumes
    ("volumes.0.kind", "lun", 'volumes[0].kind: must be one of csv, disk, not "lun"'),
    (
        "volumes.0.owner",
        "N3",
        "volumes[0].owner: N3 does not reach CSV1; name one of reachable_from: N1, N2",
    ),
    ("volumes.0.owner", "X", 'volumes[0].owner: no node is called "X"; the nodes are N1, N2, N3, N4'),
    ("volumes.0.state", "redirected", "volumes[0].state: must be one of online, redirected_backup, redirected_stuck, "),
    ("volumes.1", {"name": "csv1"}, 'volumes[1].name: two are called "CSV1"; give each a name of its own'),
    # networks
    (
        "networks.0.roles",
        ["migration"],
        "networks[0].roles[0]: must be one of live_migration, cluster, management, vm, storage",
    ),
    ("networks.0.roles", ["vm", "vm"], 'networks[0].roles[1]: "vm" is named twice; name it once'),
    ("networks.0.subnet", "10.0.2.5/24", 'networks[0].subnet: "10.0.2.5/24" is no subnet; write it like 10.0.2.0/24'),
    (
        "networks.0.nodes",
        ["N2", "N3", "N4"],
        "nodes[0].adapters[0].network: LM joins N2, N3, N4, not N1; name N1 in its nodes, or another network",
    ),
    # rules, roles, migrations, jobs
    (
        "affinity_rules.0.kind",
        "apart",
        "affinity_rules[0].kind: must be one of different_node, same_node, different_fault_domain, same_fault_domain",
    ),
    ("affinity_rules.0.vms", ["web-1"], "affinity_rules[0].vms: must be a list in brackets of 2 or more, not "),
    ("affinity_rules.0.vms", ["web-1", "WEB-1"], 'affinity_rules[0].vms[1]: "web-1" is named twice; name it once'),
    ("affinity_rules.0.vms", ["web-1", "x"], 'affinity_rules[0].vms[1]: no VM is called "x"; the VMs are web-1, web-2'),
    ("roles.0.kind", "dns", 'roles[0].kind: must be one of core, file_server, other, not "dns"'),
    ("roles.0.node", ABSENT, "roles[0].node: required: give a name"),
    ("roles.0.name", "Web-1", 'roles[0].name: a VM is called "Web-1" too; leave it out, a VM is a role already'),
    ("storage_jobs.0.percent", 140, "storage_jobs[0].percent: must be a number from 0 to 100, not 140"),
    ("storage_jobs.0.volume", "CSV2", 'storage_jobs[0].volume: no volume is called "CSV2"; the volumes are CSV1'),
]


@pytest.mark.parametrize(
    ("where", "value", "said"), WRONG_FIELDS, ids=[f"{c[0]}-{i}" for i, c in enumerate(WRONG_FIELDS)]
)
def test_a_wrong_field_is_refused_with_its_path_and_what_to_give(
    shunter: Any, write_cluster: Any, where: str, value: Any, said: str
) -> None:
    answer = shunter("plan", "evacuate", "N1", "--cluster", write_cluster(changed(where, value)), "--json")
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("migrations", "said"),
    [
        (
            [{"vm": "web-1", "source": "N1", "target": "N3"}, {"vm": "web-2", "source": "N2", "target": "N3"}],
            "migrations[1].target: N3 is in the migration of web-1 already, and a node takes part in one at a time "
            "(R15); leave one of them out",
        ),
        (
            [{"vm": "web-1", "source": "N1", "target": "N3"}, {"vm": "web-1", "source": "N1", "target": "N4"}],
            "migrations[1].vm: web-1 is in another migration already; leave one of them out",
        ),
        (
            [{"vm": "web-1", "source": "N2", "target": "N3"}],
            "migrations[0].source: web-1 is on N1, not on N2; correct one of them, or leave the migration out",
        ),
        (
            [{"vm": "web-1", "source": "N1", "target": "n1"}],
            "migrations[0].target: is its source, N1; name the node that it moves to",
        ),
        (
            [{"vm": "old-1", "source": "N3", "target": "N4"}],
            "migrations[0].vm: old-1 is off; only a running VM migrates",
        ),
        ([{"vm": "web-9", "source": "N1", "target": "N2"}], 'migrations[0].vm: no VM is called "web-9"; the VMs are'),
        ([{"vm": "web-1", "source": "N1"}], "migrations[0].target: required: give a name"),
        (
            [{"vm": "web-1", "source": "N1", "target": "N2", "by": "me"}],
            'migrations[0].by: must be one of us, elsewhere, not "me"',
        ),
    ],
)
def test_r15_migrations_that_cannot_be_under_way_are_refused(
    shunter: Any, write_cluster: Any, migrations: list[Any], said: str
) -> None:
    answer = shunter("plan", "evacuate", "N1", "--cluster", write_cluster(changed("migrations", migrations)), "--json")
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err


def test_a_migration_between_nodes_that_no_network_joins_is_refused(shunter: Any, write_cluster: Any) -> None:
    data = changed("migrations", [{"vm": "web-1", "source": "N1", "target": "N4"}])
    data["nodes"][3]["adapters"] = []
    for node in data["nodes"][1:3]:
        node["adapters"] = data["nodes"][0]["adapters"]
    answer = shunter("plan", "evacuate", "N1", "--cluster", write_cluster(data))
    assert answer.code == 2
    assert "migrations[0].target: no network joins N1 and N4; correct their adapters, or leave" in answer.err


def test_a_migration_to_a_node_that_is_down_is_refused(shunter: Any, write_cluster: Any) -> None:
    data = changed("migrations", [{"vm": "web-1", "source": "N1", "target": "N4"}])
    data["nodes"][3]["state"] = "down"
    answer = shunter("plan", "evacuate", "N1", "--cluster", write_cluster(data))
    assert answer.code == 2
    assert "migrations[0].target: N4 is down: nothing migrates there; correct its state, or leave" in answer.err


def test_a_second_adapter_on_a_network_is_refused_where_windows_ignores_it(shunter: Any, write_cluster: Any) -> None:
    data = changed("nodes.0.adapters.1", {"name": "nic-2", "network": "LM", "link_mbps": 10000})
    assert shunter("plan", "evacuate", "N1", "--cluster", write_cluster(data)).code != 2
    data["windows_version"] = "2012R2"
    answer = shunter("plan", "evacuate", "N1", "--cluster", write_cluster(data))
    assert answer.code == 2
    assert "nodes[0].adapters[1].network: N1 has another adapter on LM, and Windows 2012R2 uses one" in answer.err


def test_a_rule_about_fault_domains_needs_some(shunter: Any, write_cluster: Any) -> None:
    data = changed("affinity_rules.0.kind", "different_fault_domain")
    assert shunter("plan", "evacuate", "N1", "--cluster", write_cluster(data)).code != 2
    del data["nodes"][0]["fault_domain"]
    answer = shunter("plan", "evacuate", "N1", "--cluster", write_cluster(data))
    assert answer.code == 2
    assert "affinity_rules[0].kind: different_fault_domain needs nodes with a fault_domain, and none has" in answer.err


WRONG_TEXTS: list[tuple[str, bytes, str]] = [
    ("empty", b"", "c.json: is empty; give one JSON document"),
    ("blank", b" \n", "c.json: is empty; give one JSON document"),
    ("a list", b"[]", "c.json: is not a cluster; give one JSON object in braces, with name and nodes"),
    ("a number", b"7", "c.json: is not a cluster; give one JSON object in braces, with name and nodes"),
    ("cut off", b'{"name": "c", ', "c.json: is not JSON: Expecting property name enclosed in double quotes at line 1"),
    ("a comma too many", b'{"name": "c",\n}', "at line 2 column 1; correct it there"),
    ("two documents", b"{} {}", "c.json: is not JSON: Extra data at line 1 column 4; correct it there"),
    ("a field twice", b'{"name": "c", "nodes": [{"name": "a", "name": "b"}]}', "nodes[0].name: given twice in one obj"),
    ("UTF-16", '{"name": "c"}'.encode("utf-16"), "c.json: is UTF-16; save it as UTF-8 (in PowerShell: Set-Content"),
    ("Latin-1", '{"name": "ü"}'.encode("latin-1"), "is not UTF-8 text (byte 0xfc at offset 10); save it as UTF-8"),
    ("binary", bytes(range(256)), "c.json: is not UTF-8 text (byte 0x80 at offset 128); save it as UTF-8"),
    ("null bytes", b"\x00" * 100, "c.json: is not JSON: Expecting value at line 1 column 1; correct it there"),
    ("nested for ever", b"[" * 200_000, "c.json: is nested too deeply; give what you mean"),
    ("nested deeply", b'{"name": ' + b"[" * 300 + b"]" * 300 + b"}", "is nested too deeply; give what you mean"),
    (
        "NaN",
        b'{"name": "c", "nodes": [{"name": "N1", "memory_mib": NaN}]}',
        f"nodes[0].memory_mib: must be {MIB}, not N",
    ),
    (
        "1e999",
        b'{"name": "c", "nodes": [{"name": "N1", "memory_mib": 1e999}]}',
        f"nodes[0].memory_mib: must be {MIB}, no",
    ),
    (
        "a number of 5,000 digits",
        b'{"name": "c", "nodes": [{"name": "N1", "memory_mib": ' + b"9" * 5000 + b"}]}",
        f"nodes[0].memory_mib: must be {MIB}, not Infinity",
    ),
]


@pytest.mark.parametrize(("text", "said"), [case[1:] for case in WRONG_TEXTS], ids=[case[0] for case in WRONG_TEXTS])
def test_what_is_no_cluster_file_is_refused_with_what_it_is(
    shunter: Any, tmp_path: Path, text: bytes, said: str
) -> None:
    file = tmp_path / "c.json"
    file.write_bytes(text)
    answer = shunter("plan", "evacuate", "N1", "--cluster", str(file), "--json")
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Path]:
    """Written to after a while, so that whoever waits for it does not do so for ever."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no named pipes in folders")
    path = tmp_path / "pipe.json"
    os.mkfifo(path)

    def end() -> None:
        with contextlib.suppress(OSError):  # nobody reads it: as it should be
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))

    timer = threading.Timer(5.0, end)
    timer.start()
    yield path
    timer.cancel()
    timer.join()


READERS: list[tuple[str, ...]] = [
    ("check", "--cluster"),
    ("plan", "evacuate", "N1", "--cluster"),
    ("evacuate", "N1", "--cluster"),
    ("simulate", "evacuate", "N1", "--cluster", "GOOD", "--faults"),
    ("plan", "resume", "N1", "--failback", "as-before", "--cluster", "GOOD", "--before"),
]


@pytest.mark.parametrize("arguments", READERS, ids=" ".join)
def test_a_pipe_is_refused_at_once(shunter: Any, write_cluster: Any, fifo: Path, arguments: tuple[str, ...]) -> None:
    given = [write_cluster(GOOD) if argument == "GOOD" else argument for argument in arguments]
    answer = shunter(*given, str(fifo))
    assert (answer.code, answer.out) == (2, "")
    assert "is a pipe, not a file; write what it gives into a file, and name that" in answer.err


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such devices")
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_a_device_is_refused_at_once(shunter: Any, tmp_path: Path, device: str) -> None:
    link = tmp_path / "c.json"
    link.symlink_to(device)
    for file in (device, str(link)):
        answer = shunter("plan", "evacuate", "N1", "--cluster", file)
        assert (answer.code, answer.out) == (2, "")
        assert "is a device, not a file" in answer.err


def test_a_symbolic_link_to_a_file_is_a_file(shunter: Any, write_cluster: Any, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(write_cluster(GOOD))
    assert shunter("plan", "evacuate", "N3", "--cluster", str(link)).code == 0


def test_a_file_larger_than_any_cluster_is_refused(shunter: Any, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    with file.open("wb") as hole:
        hole.truncate(2**40)
    answer = shunter("plan", "evacuate", "N1", "--cluster", str(file))
    assert answer.code == 2
    assert "c.json: is larger than 64 MiB; name the file that you mean" in answer.err


def test_a_byte_order_mark_is_no_fault(shunter: Any, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    assert shunter("plan", "evacuate", "N3", "--cluster", str(file)).code == 0


def test_a_file_of_many_faults_shows_the_first_and_counts_the_others(shunter: Any, write_cluster: Any) -> None:
    data = changed("vms", [{"name": f"v{i}", "node": "N9", "memory_mib": 1} for i in range(500)])
    data |= {"affinity_rules": []}
    answer = shunter("plan", "evacuate", "N1", "--cluster", write_cluster(data))
    assert answer.code == 2
    assert "vms[19].node" in answer.err
    assert "vms[20].node" not in answer.err
    assert "and 480 more problems" in answer.err


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="whoever may read everything can't be refused"
)
def test_a_file_that_may_not_be_read_is_named(shunter: Any, write_cluster: Any) -> None:
    file = write_cluster(GOOD)
    Path(file).chmod(0)
    answer = shunter("plan", "evacuate", "N1", "--cluster", file)
    assert answer.code == 2
    assert "cannot be read (Permission denied); name a file that you may read" in answer.err
