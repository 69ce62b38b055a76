"""Wrong command lines and fault plans: exit code 2, what is wrong and what to write on standard error, no traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wrong import GOOD, MIB

Place = Callable[[str], str]


@pytest.fixture
def place(tmp_path: Path, write_cluster: Any) -> Place:
    """Puts paths into command lines: {good} a good cluster file, {folder} a folder, {faults} a fault plan."""
    good = write_cluster(GOOD)
    (tmp_path / "folder").mkdir()
    (tmp_path / "bad.json").write_text('{"at_s": 1}', encoding="utf-8")
    names = {
        "good": good,
        "folder": tmp_path / "folder",
        "bad_faults": tmp_path / "bad.json",
        "nowhere": tmp_path / "nowhere",
        "long": "x" * 5000,
        "too_long_a_name": "x" * 256,
    }
    return lambda text: text.format(**names)


WRONG_COMMANDS: list[tuple[str, str]] = [
    ("plan evacuate N9 --cluster {good}", 'no node of cluster c is called "N9"; the nodes are N1, N2, N3, N4'),
    ("plan evacuate web-1 --cluster {good}", 'no node of cluster c is called "web-1"; the nodes are N1, N2, N3, N4'),
    ("plan evacuate --cluster {good}", "Missing argument 'NODE'"),
    ("plan evacuate '' --cluster {good}", "Invalid value for 'NODE': '' is no name; give one of 1 to 255 characters"),
    ("plan evacuate {too_long_a_name} --cluster {good}", "is no name; give one of 1 to 255 characters"),
    ("plan evacuate N\x1b[2J --cluster {good}", 'is called "N\\u001b[2J"; the nodes are N1, N2, N3, N4'),
    ("plan evacuate N1", "Missing option '--cluster'"),
    ("plan evacuate N1 --cluster ''", "Invalid value for '--cluster': '' is neither a file nor a name; give one"),
    ("plan evacuate N1 --cluster {nowhere}.json", "nowhere.json: there is no such file (looked for "),
    ("plan evacuate N1 --cluster {folder}", "folder: is a folder; name a file in it"),
    (
        "plan evacuate N1 --cluster /{too_long_a_name}.json",
        "cannot be read (File name too long); name a file that you may read",
    ),
    ("plan evacuate N1 --cluster /{long}.json", "is neither a file nor a name; give one of 1 to 4096 characters"),
    ("plan evacuate N1 --cluster ~no-such-user/c.json", "there is no such home folder; write the path in full"),
    ("plan evacuate N1 --cluster prod-1", 'no cluster is registered as "prod-1" that this command could read; give'),
    ("plan evacuate N1 --cluster {good} --cluster {good}", "Invalid value for '--cluster': is given more than once; g"),
    ("plan evacuate N1 --clster {good}", "No such option: --clster (Possible options: --cluster)"),
    ("plan evacute N1 --cluster {good}", "No such command 'evacute'. Did you mean 'evacuate'?"),
    ("plan evacuate N1 --cluster {good} --reserve-nodes -1", "'-1' is neither a number of nodes from 0 to 63 nor auto"),
    ("plan evacuate N1 --cluster {good} --reserve-nodes 64", "'64' is neither a number of nodes from 0 to 63 nor auto"),
    (
        "plan evacuate N1 --cluster {good} --reserve-nodes one",
        "'one' is neither a number of nodes from 0 to 63 nor auto",
    ),
    (
        "plan evacuate N1 --cluster {good} --reserve-nodes 1.0",
        "'1.0' is neither a number of nodes from 0 to 63 nor auto",
    ),
    ("plan evacuate N1 --cluster {good} --reserve-nodes ''", "'' is neither a number of nodes from 0 to 63 nor auto"),
    (
        "plan evacuate N1 --cluster {good} --reserve-nodes {long}",
        "' is neither a number of nodes from 0 to 63 nor auto",
    ),
    (
        "plan evacuate N1 --cluster {good} --reserve-nodes",
        "'--json' is neither a number of nodes from 0 to 63 nor auto",
    ),
    ("plan evacuate N1 --cluster {good} --svg {folder}", "folder is a folder; name a file in it"),
    (
        "plan evacuate N1 --cluster {good} --svg {nowhere}/x.svg",
        "nowhere; make it, or name a file in one that is there",
    ),
    ("plan evacuate N1 --cluster {good} --svg {long}", "cannot be a file (File name too long); name another"),
    ("plan evacuate N1 --cluster {good} --svg {good}", "is what --cluster names; name another file"),
    ("evacuate N9 --cluster {good}", 'no node of cluster c is called "N9"; the nodes are N1, N2, N3, N4'),
    ("evacuate N1 --cluster {good} --speed 0", "'0' is not a number above 0 and up to 10000"),
    ("evacuate N1 --cluster {good} --speed nan", "'nan' is not a number above 0 and up to 10000"),
    ("evacuate N1 --cluster {good} --speed inf", "'inf' is not a number above 0 and up to 10000"),
    ("evacuate N1 --cluster {good} --speed fast", "'fast' is not a number above 0 and up to 10000"),
    ("evacuate N1 --cluster {good} --log {nowhere}/log.jsonl", "nowhere; make it, or name a file in one that is there"),
    ("evacuate N1 --cluster {good} --log {good}", "is what --cluster names; name another file"),
    ("migrate web-9 N2 --cluster {good}", 'no VM of cluster c is called "web-9"; the VMs are web-1, web-2, old-1'),
    ("migrate web-1 N9 --cluster {good}", 'no node of cluster c is called "N9"; the nodes are N1, N2, N3, N4'),
    ("migrate web-1 --cluster {good}", "Missing argument 'NODE'"),
    ("repair --cluster {good} --reserve-nodes many", "'many' is neither a number of nodes from 0 to 63 nor auto"),
    ("simulate evacuate N1 --cluster {good} --seed x", "'x' is not a whole number of less than 20 digits"),
    ("simulate evacuate N1 --cluster {good} --seed 1e9", "'1e9' is not a whole number of less than 20 digits"),
    ("simulate evacuate N1 --cluster {good} --noise 1", "'1' is not a number from 0 to below 1; 0.3 means"),
    ("simulate evacuate N1 --cluster {good} --noise -0.1", "'-0.1' is not a number from 0 to below 1; 0.3 means"),
    ("simulate evacuate N1 --cluster {good} --noise nan", "'nan' is not a number from 0 to below 1; 0.3 means"),
    (
        "simulate evacuate N1 --cluster {good} --faults lots",
        "--faults lots, which is none of none, some, many: there is",
    ),
    (
        "simulate evacuate N1 --cluster {good} --faults {folder}",
        "is none of none, some, many: is a folder; name a file",
    ),
    ("simulate evacuate N1 --cluster {good} --faults ~no-such-user/x", "there is no such home folder; write the path"),
    ("simulate evacuate N1 --cluster {good} --faults {bad_faults}", "the fault plan: must be a list in brackets, such"),
    (
        "simulate evacuate N1 --cluster {good} --faults {bad_faults} --log {bad_faults}",
        "is what --faults names; name another file",
    ),
    (
        "simulate evacuate N1 --cluster {good} --svg {nowhere}.x --log {nowhere}.x",
        "nowhere.x is what --log names; name another file",
    ),
    ("plan evacuate N1 --cluster {good} --svg --json", "--json reads like an option; name a file"),
    ("check --cluster {good} --html {folder}", "is a folder; name a file in it"),
    ("why a N1 --cluster {good} --svg x", "No such option"),
    ("plan maintain", "Missing option '--cluster'"),
    ("plan maintain N9 --cluster {good}", 'no node of cluster c is called "N9"; the nodes are N1, N2, N3, N4'),
    ("plan maintain N1 N9 --cluster {good}", 'no node of cluster c is called "N9"; the nodes are N1, N2, N3, N4'),
    ("plan maintain '' --cluster {good}", "'' is no name; give one of 1 to 255 characters"),
    ("plan maintain web-1 --cluster {good}", 'no node of cluster c is called "web-1"; the nodes are N1, N2, N3, N4'),
    ("plan maintain --cluster {nowhere}.json", "nowhere.json: there is no such file (looked for "),
    ("plan maintain --cluster prod-1", 'no cluster is registered as "prod-1" that this command could read; give'),
    ("plan maintain --cluster {good} --maintenance-s 0", "'0' is not a number of seconds above 0 and up to 604800"),
    ("plan maintain --cluster {good} --maintenance-s -1", "'-1' is not a number of seconds above 0 and up to 604800"),
    ("plan maintain --cluster {good} --maintenance-s nan", "'nan' is not a number of seconds above 0 and up to 604800"),
    ("plan maintain --cluster {good} --maintenance-s 1e9", "'1e9' is not a number of seconds above 0 and up to 604800"),
    ("plan maintain --cluster {good} --maintenance-s 15m", "'15m' is not a number of seconds above 0 and up to 604800"),
    ("plan maintain --cluster {good} --window-s 0", "'0' is not a number of seconds above 0 and up to 604800"),
    ("plan maintain --cluster {good} --window-s inf", "'inf' is not a number of seconds above 0 and up to 604800"),
    ("plan maintain --cluster {good} --parallel 0", "'0' is not a whole number from 1 to 64"),
    ("plan maintain --cluster {good} --parallel 65", "'65' is not a whole number from 1 to 64"),
    ("plan maintain --cluster {good} --parallel all", "'all' is not a whole number from 1 to 64"),
    ("plan maintain --cluster {good} --parallel 2 --parallel 3", "'--parallel': is given more than once; give it once"),
    ("plan maintain --cluster {good} --reserve-nodes 64", "'64' is neither a number of nodes from 0 to 63 nor auto"),
    ("plan maintain --cluster {good} --prefer cost", "'cost' is none of time, moves"),
    ("plan maintain --cluster {good} --failback as_it_was", "'as_it_was' is none of none, as-it-was, spread"),
    ("plan maintain --cluster {good} --first N9", 'no node of cluster c is called "N9"; the nodes are N1, N2, N3, N4'),
    ("plan maintain --cluster {good} --apart N1,N9", 'no node of cluster c is called "N9"'),
    ("plan maintain N1 --cluster {good} --first N2", "N2 is not among the nodes to maintain; leave it out"),
    ("plan maintain --cluster {good} --first N1,,N2", "'N1,,N2' is no list of names; give names of 1 to 255"),
    ("plan maintain --cluster {good} --first ''", "'' is no list of names; give names of 1 to 255 characters"),
    ("plan maintain --cluster {good} --svg {good}", "is what --cluster names; name another file"),
    ("plan maintain --cluster {good} --nights 5", "No such option: --nights"),
    ("simulate maintain N9 --cluster {good}", 'no node of cluster c is called "N9"; the nodes are N1, N2, N3, N4'),
    ("simulate maintain --cluster {good} --noise 1", "'1' is not a number from 0 to below 1; 0.3 means"),
    ("simulate maintain --cluster {good} --faults {bad_faults}", "the fault plan: must be a list in brackets, such"),
    ("simulate maintain --cluster {good} --log {folder}", "folder is a folder; name a file in it"),
    ("rehearse evacuate", "No such command 'evacuate'"),
    ("rehearse maintain N9 --cluster {good}", 'no node of cluster c is called "N9"; the nodes are N1, N2, N3, N4'),
    ("rehearse maintain --cluster {good} --nights 0", "'0' is not a whole number from 1 to 100000"),
    ("rehearse maintain --cluster {good} --nights 1e3", "'1e3' is not a whole number from 1 to 100000"),
    ("rehearse maintain --cluster {good} --seed x", "'x' is not a whole number of less than 20 digits"),
    ("rehearse maintain --cluster {good} --faults lots", "--faults lots, which is none of none, some, many: there is"),
    ("rehearse maintain --cluster {good} --log x", "No such option: --log"),
    ("maintain N9 --cluster {good}", 'no node of cluster c is called "N9"; the nodes are N1, N2, N3, N4'),
    ("maintain N1 --cluster {good} --first N2", "N2 is not among the nodes to maintain; leave it out"),
    ("maintain --cluster {good} --warn-after-s 0", "--warn-after-s"),
    ("maintain --cluster {good} --stop-after-s soon", "--stop-after-s"),
    ("maintain --cluster {good} --retries -1", "'-1' is not a whole number from 0 to 64"),
    ("maintain --cluster {good} --failed-nodes x", "'x' is not a whole number from 0 to 63"),
    ("maintain --cluster {good} --speed 0", "'0' is not a number above 0 and up to 10000"),
    ("maintain --cluster {good} --log {good}", "is what --cluster names; name another file"),
]


@pytest.mark.parametrize(("line", "said"), WRONG_COMMANDS, ids=[case[0] for case in WRONG_COMMANDS])
def test_a_wrong_command_line_is_refused_with_what_to_write(shunter: Any, place: Place, line: str, said: str) -> None:
    arguments = [place(part) if part != "''" else "" for part in line.split(" ")]
    answer = shunter(*arguments, "--json")
    assert (answer.code, answer.out) == (2, "")
    assert said in " ".join(answer.err.split())
    assert "Traceback" not in answer.err
    assert "\x1b" not in answer.err


NODE_DOWN = {"at_s": 1, "do": "node_down", "node": "N2"}
WRONG_FAULTS: list[tuple[Any, str]] = [
    ("node_down", '[0]: must be an object in braces with do, not "node_down"'),
    ({**NODE_DOWN, "do": ["node_down"]}, "[0].do: must be one of migration_fails, answer_lost, migration_slow, node"),
    ({**NODE_DOWN, "do": "node_dwn"}, "[0].do: must be one of migration_fails, answer_lost, migration_slow, node"),
    ({"at_s": 1, "node": "N2"}, "[0].do: required: give one of migration_fails"),
    ({**NODE_DOWN, "nodes": "N2"}, "[0].nodes: no such field; did you mean node?"),
    ({**NODE_DOWN, "at_s": -1}, "[0].at_s: must be a number of seconds from 0 to 1000000000, or null, not -1"),
    ({**NODE_DOWN, "at_s": float("nan")}, "[0].at_s: must be a number of seconds from 0 to 1000000000, or null, not N"),
    ({**NODE_DOWN, "at_s": 1e999}, "[0].at_s: must be a number of seconds from 0 to 1000000000, or null, not Inf"),
    ({**NODE_DOWN, "at_s": "soon"}, "[0].at_s: must be a number of seconds from 0 to 1000000000, or null, not"),
    ({**NODE_DOWN, "node": "N9"}, '[0].node: no node is called "N9"; the nodes are N1, N2, N3, N4'),
    ({"at_s": 1, "do": "node_down"}, "[0]: node_down needs node; give it"),
    ({"do": "node_down", "node": "N2"}, "[0]: give either at_s or when"),
    ({**NODE_DOWN, "fraction": 0.5}, "[0]: node_down has no fraction; leave it out"),
    ({"do": "migration_fails", "when": {}}, "[0].when: is empty; name a vm, source, target, node or volume"),
    (
        {"do": "migration_fails", "when": {"vm": "x"}},
        '[0].when.vm: no VM is called "x"; the VMs are web-1, web-2, old-1',
    ),
    (
        {"do": "migration_fails", "when": {"vm": "web-1"}, "fraction": 2},
        "[0].fraction: must be a number from 0 to 1, not 2",
    ),
    (
        {"do": "migration_slow", "when": {"vm": "web-1"}, "factor": 0},
        "[0].factor: must be a number above 0 to 1000, not 0",
    ),
    (
        {"do": "answer_lost", "when": {"vm": "web-1"}, "moved": "yes"},
        '[0].moved: must be true or false, not "yes"',
    ),
    (
        {"do": "vm_memory_changed", "at_s": 1, "vm": "web-1", "memory_mib": 0},
        f"[0].memory_mib: must be {MIB}, or null, not 0",
    ),
    ({"do": "backup_starts", "at_s": 1}, "[0]: backup_starts needs either a vm or a volume; give one"),
    (
        {"do": "volume_state", "at_s": 1, "volume": "CSV1", "state": "on"},
        "[0].state: must be one of online, redirected",
    ),
    ({"do": "role_fails", "at_s": 1, "vm": "web-1"}, "[0]: role_fails needs node; give it"),
    (
        {"do": "role_fails", "at_s": 1, "vm": "web-1", "node": "N1", "times": 0},
        "[0].times: must be a whole number from 1 to 1000, or null, not 0",
    ),
    (
        {"do": "direct_io_refused", "at_s": 1},
        "[0]: direct_io_refused needs when; name there the volume",
    ),
]


@pytest.mark.parametrize(("fault", "said"), WRONG_FAULTS, ids=[case[1][:60] for case in WRONG_FAULTS])
def test_a_wrong_fault_is_refused_with_its_path_and_what_to_give(
    shunter: Any, write_cluster: Any, tmp_path: Path, fault: Any, said: str
) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps([fault]), encoding="utf-8")
    good = write_cluster(GOOD)
    answer = shunter("simulate", "evacuate", "N1", "--cluster", good, "--faults", str(faults), "--json")
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err


def test_all_that_is_wrong_with_a_fault_plan_is_said_at_once(shunter: Any, write_cluster: Any, tmp_path: Path) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps([{**NODE_DOWN, "node": "N9"}, {**NODE_DOWN, "at_s": -1}]), encoding="utf-8")
    answer = shunter("simulate", "evacuate", "N1", "--cluster", write_cluster(GOOD), "--faults", str(faults))
    assert answer.code == 2
    assert "[0].node" in answer.err
    assert "[1].at_s" in answer.err
