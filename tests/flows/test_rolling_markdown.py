"""A rolling run as the Markdown that is left on the Prefect server."""

from __future__ import annotations

import base64
import re

from rolling_plans import UNTOUCHED, WAYS, large_rolling_plan, no_adapter, rolling_plan, rolling_report

from shunter.flows.markdown import document
from shunter.topology.plan import Unplaced


def test_the_nodes_stand_in_their_order_with_their_times_and_what_was_left_over() -> None:
    lines = document(rolling_plan(), []).splitlines()
    head = lines.index("### The nodes in their order")
    assert lines[head + 2 : head + 7] == [
        "| node | emptied from | maintenance from | to | moves off it | least left over |",
        "|---|---|---|---|---|---|",
        "| N2 | 0 s | 1 min 0 s | 31 min 0 s | 1 | 64 GiB |",
        "| N3 | 31 min 0 s | 35 min 0 s | 1 h 5 min | 2 | 48 GiB |",
        "| N1 | 1 h 5 min | 1 h 6 min | 1 h 36 min | 1 | 80 GiB |",
    ]


def test_of_a_report_it_says_what_to_do_about_nodes_that_are_not_done() -> None:
    text = document(rolling_report(), [])
    assert "- N3: did not come back; it stays paused" in text
    assert "- N1: mend N3, then start the run again" in text
    assert "| **failed** | did not come back; it stays paused |" in text
    assert "| N1 | one node has failed | mend N3, then start the run again |" in text


def test_the_ways_to_do_it_are_compared_and_the_chosen_one_is_marked() -> None:
    text = document(rolling_plan(alternatives=WAYS), [])
    assert "| one at a time | 2 h 30 min | 4 | 1.00 | 1 | 90 GiB |" in text
    assert "| **as fast as can be** (chosen) | 1 h 36 min | 4 | 1.25 | 2 | **−5 GiB** |" in text


def test_vms_in_the_way_are_told_with_their_verdicts() -> None:
    stays = Unplaced(vm="gpu-1", node="N1", verdicts=(no_adapter("N2"), no_adapter("N3")))
    text = document(rolling_plan(ok=False, untouched=(UNTOUCHED,), unplaced=(stays,)), [])
    assert "| gpu-1 | N1 | N3 | R20 | N3 has no such adapter | shut it down for the night |" in text


def test_the_picture_is_inside_even_where_nothing_moves() -> None:
    for of in (rolling_plan(), rolling_plan(moves=())):
        (encoded,) = re.findall(r"data:image/svg\+xml;base64,([^)]+)", document(of, []))
        assert "Rolling maintenance of c, as planned" in base64.b64decode(encoded).decode()


def test_of_thousands_of_moves_it_names_the_number_and_where_they_stand() -> None:
    text = document(large_rolling_plan(), [])
    assert "The 2560 live migrations stand one by one in what --json and --html write." in text
    assert sum(line.startswith("| ") for line in text.splitlines()) < 100
    assert len(text.encode()) < 1_000_000


def test_few_moves_stand_one_by_one() -> None:
    assert "| web-1 | N2 | N3 | 0 s | 1 min 0 s |" in document(rolling_plan(), [])


def test_what_to_do_about_nodes_and_vms_stands_once_where_it_is_the_same() -> None:
    left_out = tuple(UNTOUCHED.model_copy(update={"node": node}) for node in ("N10", "N9"))
    stays = tuple(Unplaced(vm=vm, node="N9", verdicts=(no_adapter("N2"),)) for vm in ("gpu-1", "gpu-2"))
    text = document(rolling_plan(ok=False, untouched=left_out, unplaced=stays), [])
    assert "- N9 and N10: mend N3, then start the run again" in text
    assert "- gpu-1 and gpu-2 on N9: shut it down for the night" in text
