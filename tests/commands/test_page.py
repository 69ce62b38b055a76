"""The HTML page: all that is known, nothing from outside, and harmless whatever things are called."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from building import cluster, node, vm
from hypothesis import given
from hypothesis import strategies as st
from reading import Read

from shunter.commands.page import page_of_check, page_of_plan
from shunter.topology.plan import Finding, Move, NodeMemory, Outcome, Plan, RoleMove, Unplaced, Verdict, VolumeMove
from shunter.topology.planning import plan_evacuation
from shunter.topology.preflight import check, with_requirements
from shunter.topology.recheck import check_plan

HOSTILE = '<script>alert("x")</script>'
NASTY = st.one_of(
    st.text(min_size=1, max_size=30),
    st.sampled_from(
        [HOSTILE, "</style>", "</table>", "-->", "<!--", "{{ 7 * 7 }}", "\" onload='x'", "\u202eflip", "\x00"]
    ),
)


def move(vm_name: str, start_s: float, end_s: float, outcome: Outcome | None = None, **fields: Any) -> Move:
    return Move(vm=vm_name, source="N1", target="N2", start_s=start_s, end_s=end_s, outcome=outcome, **fields)


def finding(rule: str, severity: Any, subject: str, message: str) -> Finding:
    return Finding(rule=rule, severity=severity, subject=subject, message=message, remedy=f"mend {subject}")


def report(**fields: Any) -> Plan:
    """A night on which something of everything happened."""
    given_fields: dict[str, Any] = {
        "cluster": "prod-1",
        "ok": False,
        "executed": True,
        "reserve_nodes": 1,
        "moves": (
            move("web-1", 0, 10, "done", why="most room", estimate_s=9.0, downtime_s=0.4),
            move("db-1", 10, 100, "failed", reason="the target ran out of memory", after=("web-1",)),
        ),
        "role_moves": (RoleMove(name="old-1", source="N1", target="N3", start_s=100),),
        "volume_moves": (VolumeMove(volume="CSV1", source="N1", target="N2", start_s=101),),
        "unplaced": (
            Unplaced(
                vm="db-1",
                node="N1",
                verdicts=(
                    Verdict(target="N2", rule="I3", reason="8192 MiB free", remedy="free 8192 MiB"),
                    Verdict(target="N3", rule="R13", reason="Intel → AMD", remedy="shut it down first"),
                ),
            ),
        ),
        "findings": (
            finding("R03", "warning", "node N2", "N2 lacks updates"),
            finding("R11", "error", "vm db-1", "db-1 shares a disk"),
        ),
        "degraded_backups": ("web-1",),
        "makespan_s": 100.0,
        "lower_bound_s": 95.0,
        "memory": (
            NodeMemory(node="N1", for_vms_mib=10240, before_mib=6144, after_mib=4096, emptied=True),
            NodeMemory(node="N2", for_vms_mib=10240, before_mib=1024, after_mib=3072, line_mib=5120),
        ),
        **fields,
    }
    return Plan(**given_fields)


@pytest.mark.parametrize(
    "page", [page_of_plan(report(), ["N1"]), page_of_check(check(cluster(2, [vm("web")])))], ids=["report", "check"]
)
def test_a_page_needs_nothing_from_outside_and_lets_nothing_else_run(page: str) -> None:
    read = Read(page)
    names = {name for _, attributes in read.elements for name in attributes}
    assert not names & {"src", "href", "action", "data", "poster", "srcset", "xlink:href", "style"}
    assert not {name for name in names if name.startswith("on")}
    assert "@import" not in page
    assert "url(" not in page
    assert "://" not in page
    (policy,) = [value for value in read.values_of("content") if "default-src" in value]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for kind in ("style", "script"):
        (inside,) = read.inside[kind]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_every_move_is_a_row_of_the_table_with_all_that_is_known_of_it() -> None:
    rows = Read(page_of_plan(report(), ["N1"])).rows
    heads = ["VM", "from", "to", "start", "end", "takes", "expected", "downtime", "outcome", "why there"]
    assert heads in rows
    assert ["web-1", "N1", "N2", "0 s", "10 s", "10 s", "9.0 s", "0.4 s", "done", "most room"] in rows
    failed = "failed, runs on its source: the target ran out of memory"
    assert ["db-1", "N1", "N2", "10 s", "1 min 40 s", "1 min 30 s", "", "", failed, " (after web-1)"] in rows
    assert ["old-1", "N1", "N3", "1 min 40 s"] in rows
    assert ["volume CSV1", "N1", "N2", "1 min 41 s"] in rows


def test_columns_that_would_be_empty_are_left_out_of_a_plan() -> None:
    rows = Read(page_of_plan(report(executed=False, moves=(move("web-1", 0, 10, why="most room"),)), ["N1"])).rows
    assert ["VM", "from", "to", "start", "end", "takes", "why there"] in rows
    assert ["web-1", "N1", "N2", "0 s", "10 s", "10 s", "most room"] in rows


def test_a_bar_stands_on_the_rows_of_both_nodes_where_its_time_is() -> None:
    read = Read(page_of_plan(report(moves=(move("a", 0, 50), move("b", 50, 100))), ["N1"]))
    bars = [attributes for tag, attributes in read.elements if tag == "rect" and "data-m" in attributes]
    assert [bar["data-m"] for bar in bars] == ["0", "0", "1", "1"]
    source, target, later, _ = bars
    assert (source["x"], source["width"]) == (target["x"], target["width"]) == ("0%", "49.505%")
    assert (later["x"], later["width"]) == ("49.505%", "49.505%")
    assert source["y"] != target["y"]
    assert source["class"] == target["class"] != later["class"]


def test_what_failed_looks_different_from_what_was_done() -> None:
    read = Read(page_of_plan(report(), ["N1"]))
    bars = [attributes for tag, attributes in read.elements if tag == "rect" and "data-m" in attributes]
    assert ["failed" in bar["class"] for bar in bars] == [False, False, True, True]


def test_verdicts_and_findings_are_told_each_with_what_would_help() -> None:
    read = Read(page_of_plan(report(), ["N1"]))
    assert ["N2", "I3", "8192 MiB free", "free 8192 MiB"] in read.rows
    assert ["db-1", "N3", "R13", "Intel → AMD", "shut it down first"] in read.rows
    for told in ("N2 lacks updates", "mend node N2", "db-1 shares a disk", "mend vm db-1"):
        assert told in read.text
    assert read.text.index("Stands against it") < read.text.index("db-1 shares a disk")
    assert read.text.index("db-1 shares a disk") < read.text.index("Worth knowing") < read.text.index("lacks updates")
    assert "Backups to be repeated (R17)" in read.text


def test_findings_that_are_alike_stand_together_and_one_by_one() -> None:
    many = tuple(finding("R19", "warning", f"vm web-{i}", f"web-{i} has changed") for i in range(30))
    read = Read(page_of_plan(report(findings=many), ["N1"]))
    assert "and 19 more" in read.text
    assert "All 30 findings, one by one" in read.text
    assert ["R19", "warning", "vm web-29", "web-29 has changed", "mend vm web-29"] in read.rows


def test_memory_is_told_before_and_after_with_what_stays_free_and_the_line_of_the_reserve() -> None:
    rows = Read(page_of_plan(report(), ["N1"])).rows
    assert ["N1 was to be emptied", "", "6 → 4 of 10 GiB", "6 GiB", ""] in rows
    assert ["N2", "", "1 → 3 of 10 GiB", "7 GiB", "5 GiB"] in rows


@pytest.mark.parametrize(
    ("after_mib", "line_mib", "said"), [(11000, None, "more than there is"), (6000, 5120, "beyond the line")]
)
def test_a_node_that_is_too_full_is_named_in_words(after_mib: int, line_mib: int | None, said: str) -> None:
    full = NodeMemory(node="N2", for_vms_mib=10240, before_mib=0, after_mib=after_mib, line_mib=line_mib)
    assert said in Read(page_of_plan(report(memory=(full,)), ["N1"])).text


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"ok": True, "findings": (), "unplaced": ()}, "done as asked"),
        ({}, "done in part"),
        ({"interrupted": True}, "interrupted"),
        ({"moves": (), "role_moves": ()}, "not done"),
        ({"executed": False, "findings": ()}, "can be done in part"),
        ({"executed": False}, "refused"),
    ],
)
def test_the_head_says_in_words_how_it_stands(fields: dict[str, Any], state: str) -> None:
    read = Read(page_of_plan(report(**fields), ["N1"], when="2030-01-02 03:04+00:00"))
    assert read.inside["strong"] == [state]
    assert "2030-01-02 03:04+00:00" in read.text


def test_of_a_check_the_page_shows_findings_and_what_the_loss_of_each_node_means() -> None:
    vms = [vm("web", "N1", 10240), vm("db", "N2", 10240)]
    found = check(cluster([node("N1", 16384), node("N2", 16384)], vms))
    read = Read(page_of_check(found))
    assert ["N1", "not all restart", "web"] in read.rows
    assert ["N2", "not all restart", "db"] in read.rows
    assert "Worth knowing" in read.text
    for told in found.findings:
        assert told.remedy in read.text


def test_names_from_outside_stay_text() -> None:
    of = cluster(
        [node(HOSTILE, 16384), node("N2", 16384)], [vm(f"vm {HOSTILE}", HOSTILE, 2048), vm("db", HOSTILE, 32000)]
    )
    planned = with_requirements(of, plan_evacuation(of, [HOSTILE]))
    for page in (page_of_plan(planned, [HOSTILE]), page_of_check(check(of))):
        read = Read(page)
        assert len(read.inside["script"]) == 1
        assert HOSTILE in read.text


@given(name=NASTY, why=NASTY)
def test_whatever_the_names_the_page_is_made_of_the_same_elements(name: str, why: str) -> None:
    def page(name: str, why: str) -> Read:
        moving = Move.model_construct(
            vm=name, source=name, target=name + "'", start_s=0.0, end_s=1.0, why=why, after=(name,), outcome="failed",
            estimate_s=1.0, downtime_s=None, reason=why,
        )  # fmt: skip
        verdict = Verdict.model_construct(target=name, rule=name, reason=why, remedy=why)
        stays = Unplaced.model_construct(vm=name, node=name, verdicts=(verdict,))
        told = Finding.model_construct(rule=name, severity="error", subject=name, message=why, remedy=why)
        of = report().model_copy(
            update={"cluster": name, "moves": (moving,), "unplaced": (stays,), "findings": (told,)}
        )
        return Read(page_of_plan(of, [name], when=why))

    def shape(read: Read) -> list[tuple[str, list[str]]]:
        return [(tag, list(attributes)) for tag, attributes in read.elements]

    assert shape(page(name, why)) == shape(page("N1", "because"))


def test_two_thousand_moves_make_a_page_of_less_than_2_mb() -> None:
    nodes = [node(f"N{i}", 600_000) for i in range(1, 9)]
    of = cluster(nodes, [vm(f"vm-{i}", "N1", 256) for i in range(200)])
    planned = plan_evacuation(of, ["N1"])
    assert check_plan(of, planned, ["N1"]) == ()
    moves = [move.model_copy(update={"vm": f"{move.vm}-{i}"}) for i in range(10) for move in planned.moves]
    page = page_of_plan(planned.model_copy(update={"moves": tuple(moves)}), ["N1"])
    assert page.count("<tr data-m=") == 2000
    assert len(page.encode()) < 2_000_000


def test_of_very_many_verdicts_the_page_says_how_many_it_leaves_out() -> None:
    verdicts = tuple(Verdict(target=f"N{i}", rule="I3", reason="full", remedy="free some") for i in range(2000))
    page = page_of_plan(report(unplaced=(Unplaced(vm="db-1", node="N1", verdicts=verdicts),)), ["N1"])
    assert "All 2000 verdicts, one by one" in page
    assert "… and 500 more; --json has them all." in page


@pytest.mark.parametrize(
    "command",
    [("plan", "evacuate", "N1"), ("plan", "repair"), ("simulate", "evacuate", "N1"), ("check",)],
    ids=" ".join,
)
def test_a_command_writes_its_page_beside_the_json(
    shunter: Any, crowded: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    path = tmp_path / "page.html"
    answer = shunter(*command, "--cluster", crowded, "--html", str(path), "--json")
    assert answer.document["cluster"] == "c"
    read = Read(path.read_text(encoding="utf-8"))
    assert re.search(r" (on|of) c · 20\d\d-\d\d-\d\d \d\d:\d\d[+-]\d\d:\d\d", read.text)


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_done(
    shunter: Any, crowded: str, tmp_path: Path
) -> None:
    answer = shunter("check", "--cluster", crowded, "--html", str(tmp_path / "nowhere" / "x.html"))
    assert (answer.code, answer.out) == (2, "")
    assert "--html': there is no folder" in answer.err
