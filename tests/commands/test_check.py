"""`shunter check` from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_a_sound_cluster_ends_with_0_and_nothing_to_complain_of(shunter: Any, roomy: str) -> None:
    answer = shunter("check", "--cluster", roomy)
    assert (answer.code, answer.err) == (0, "")
    assert "N1, N2 and N3: every VM would restart elsewhere" in answer.out
    assert "roomy is fit for live migration: nothing to complain of." in answer.out


def test_what_stands_against_every_run_ends_with_3_and_all_is_printed_all_the_same(
    shunter: Any, write_cluster: Any, roomy: str
) -> None:
    cluster = json.loads(Path(roomy).read_text(encoding="utf-8"))
    cluster["volumes"] = [{"name": "CSV1", "state": "redirected_stuck"}]
    cluster["vms"][0]["configuration_in_cluster_is_current"] = False
    file = write_cluster(cluster)
    answer = shunter("check", "--cluster", file, "--json")
    assert (answer.code, answer.err) == (3, "")
    found = answer.document
    assert (found["kind"], found["cluster"], found["ok"]) == ("check", "roomy", False)
    assert [(f["rule"], f["severity"], f["subject"]) for f in found["findings"]] == [
        ("R18", "error", "volume CSV1"),
        ("R19", "warning", "vm web-1"),
    ]
    assert found["survives_loss"] == [{"node": name, "ok": True, "unplaced": []} for name in ("N1", "N2", "N3")]

    shown = shunter("check", "--cluster", file)
    assert shown.code == 3
    assert shown.out.index("Stands against every run") < shown.out.index("Worth knowing")
    assert "Resume-ClusterResource -VolumeName CSV1" in shown.out

    assert shunter("plan", "evacuate", "N1", "--cluster", file).code == 3


def test_r18_a_run_restores_direct_io_before_it_begins_or_is_refused(
    shunter: Any, write_cluster: Any, roomy: str, tmp_path: Path
) -> None:
    cluster = json.loads(Path(roomy).read_text(encoding="utf-8"))
    cluster["volumes"] = [{"name": "CSV1", "state": "redirected_stuck"}]
    simulated = ("simulate", "evacuate", "N1", "--cluster", write_cluster(cluster), "--json")
    assert (shunter(*simulated).code, shunter(*simulated).document["executed"]) == (0, True)

    faults = tmp_path / "refused.json"
    faults.write_text('[{"when": {"volume": "CSV1"}, "do": "direct_io_refused"}]', encoding="utf-8")
    refused = shunter(*simulated, "--faults", str(faults))
    assert (refused.code, refused.document["executed"]) == (3, False)
    assert [(f["rule"], f["severity"]) for f in refused.document["findings"]] == [("R18", "error")]


def test_a_warning_does_not_change_the_exit_code(shunter: Any, write_cluster: Any, roomy: str) -> None:
    cluster = {**json.loads(Path(roomy).read_text(encoding="utf-8")), "same_subnet": False}
    answer = shunter("check", "--cluster", write_cluster(cluster), "--json")
    assert answer.code == 0
    assert [(f["rule"], f["severity"]) for f in answer.document["findings"]] == [("R07", "warning")]


@pytest.mark.parametrize("arguments", [(), ("--cluster", "absent.json"), ("--cluster", "a-name")])
def test_a_wrong_request_ends_with_2(shunter: Any, arguments: tuple[str, ...]) -> None:
    answer = shunter("check", *arguments, "--json")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err


def test_sixty_four_nodes_and_many_alike_fit_on_a_screen(shunter: Any, write_cluster: Any) -> None:
    vms = [{"name": f"vm-{i}", "node": f"N{i % 64 + 1}", "memory_mib": 1024} for i in range(640)]
    for i in range(0, 640, 5):
        vms[i]["configuration_in_cluster_is_current"] = False
    nodes = [{"name": f"N{i}", "memory_mib": 65536} for i in range(1, 65)]
    answer = shunter("check", "--cluster", write_cluster({"name": "wide", "nodes": nodes, "vms": vms}))
    assert answer.code == 0
    assert len(answer.out.splitlines()) < 15
    assert "vms vm-0, vm-5, vm-10, vm-15, vm-20 and 123 more: the VM was changed" in answer.out
    assert "each of 64 nodes: every VM would restart elsewhere" in answer.out


def test_on_a_terminal_that_knows_ascii_alone_nothing_else_is_printed(
    shunter: Any, crowded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rich.console.ConsoleOptions.ascii_only", True)
    assert shunter("check", "--cluster", crowded).out.isascii()


@pytest.mark.parametrize("example", ["four-nodes", "branch-office"])
def test_the_examples_are_fit(shunter: Any, example: str) -> None:
    assert shunter("check", "--cluster", str(ROOT / f"examples/{example}.json")).code == 0


def test_what_nodes_do_not_say_of_themselves_and_were_given_is_listed(
    shunter: Any, write_cluster: Any, roomy: str
) -> None:
    cluster = json.loads(Path(roomy).read_text(encoding="utf-8"))
    for node in cluster["nodes"]:
        node.pop("switches", None)
        node.pop("fault_domain", None)
    cluster["nodes"][1] |= {"switches": ["lan"], "fault_domain": "rack-1"}
    found = shunter("check", "--cluster", write_cluster(cluster), "--json").document["findings"]
    (told,) = [f for f in found if "taken from" in f["message"]]
    assert (told["severity"], told["subject"]) == ("info", "cluster roomy")
    assert told["message"].startswith("switches and fault_domain: not given for N1 and N3, and taken from")
