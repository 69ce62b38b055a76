"""What a run that empties a node leaves for the node's return: under which names, how much of it, and when believed."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shunter.flows.emptied_record import MOST_CHARACTERS, Emptied, disbelief, homes_in, parts_of, variable_name

NAMES = st.text(min_size=1, max_size=255)
KNOWN = Emptied(cluster="prod-1", node="N1", told_s=500.0, written="2026-11-26T01:00:00+00:00", flow_run="brave-lynx")


def test_the_variable_of_a_plain_name_is_readable() -> None:
    assert variable_name("prod-1", "N1").startswith("shunter-emptied-prod-1-n1-")


@given(NAMES, NAMES, st.integers(1, 99))
def test_any_node_of_any_cluster_has_a_name_that_prefect_takes(cluster: str, node: str, part: int) -> None:
    assert re.fullmatch(r"[a-z0-9_-]{1,255}", variable_name(cluster, node, part))


@given(NAMES, NAMES, NAMES, NAMES)
def test_two_nodes_never_share_a_record(one: str, its: str, other: str, others: str) -> None:
    assert (variable_name(one, its) == variable_name(other, others)) == ((one, its) == (other, others))


def test_names_that_run_together_alike_are_kept_apart() -> None:
    assert variable_name("a-b", "c") != variable_name("a", "b-c")


@given(homes=st.dictionaries(NAMES, st.sampled_from(["N1", "N2", "ü" * 200]), max_size=60))
def test_however_many_vms_a_node_had_each_part_fits_into_a_variable_and_all_together_tell_every_home(
    homes: dict[str, str],
) -> None:
    parts = parts_of(KNOWN, homes)
    assert homes_in(parts) == homes
    assert [part.part for part in parts] == list(range(1, len(parts) + 1))
    assert {part.parts for part in parts} == {len(parts)}
    assert all(len(json.dumps(part.model_dump(mode="json"))) <= MOST_CHARACTERS + 200 for part in parts)


def test_the_vms_of_a_usual_node_are_in_one_variable() -> None:
    assert len(parts_of(KNOWN, {f"server-{i:03}": "N1" for i in range(150)})) == 1


@pytest.mark.parametrize(
    ("cluster", "node", "now_s", "doubt"),
    [
        ("prod-1", "N1", 500.0, ""),
        ("prod-1", "N1", 500.0 + 30 * 86_400, ""),
        ("prod-1", "N1", 501.0 + 30 * 86_400, "30 days old"),
        ("prod-1", "N1", 499.0, "the cluster's clock was started anew"),
        ("prod-2", "N1", 500.0, "it is of N1 of the cluster prod-1"),
        ("prod-1", "N2", 500.0, "it is of N1 of the cluster prod-1"),
    ],
)
def test_a_record_is_believed_only_of_this_node_in_this_life_and_not_for_ever(
    cluster: str, node: str, now_s: float, doubt: str
) -> None:
    found = disbelief(KNOWN, cluster, node, now_s)
    assert (found == "") == (doubt == "")
    assert doubt in found
