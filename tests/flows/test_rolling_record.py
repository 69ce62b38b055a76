"""What a rolling run leaves for the next one: under which name it is kept, and when it is believed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shunter.flows.rolling_record import Known, disbelief, variable_name

NAMES = st.text(min_size=1, max_size=300)


def test_the_variable_of_a_plain_name_is_readable() -> None:
    assert variable_name("prod-1") == "shunter-rolling-maintenance-prod-1"


@given(NAMES)
def test_any_cluster_has_a_name_that_prefect_takes(cluster: str) -> None:
    assert re.fullmatch(r"[a-z0-9_-]{1,255}", variable_name(cluster))


@given(NAMES, NAMES)
def test_two_clusters_never_share_a_record(one: str, other: str) -> None:
    assert (variable_name(one) == variable_name(other)) == (one == other)


@pytest.mark.parametrize(("one", "other"), [("prod-1", "Prod-1"), ("prod-1", "prod 1"), ("ü", "ö"), ("a", "a-")])
def test_names_that_look_alike_are_kept_apart(one: str, other: str) -> None:
    assert variable_name(one) != variable_name(other)


@pytest.mark.parametrize(
    ("cluster", "now_s", "doubt"),
    [
        ("prod-1", 500.0, ""),
        ("prod-1", 1500.0, ""),
        ("prod-1", 1501.0, "more than 1000 s"),
        ("prod-1", 499.0, "the cluster's clock was started anew"),
        ("prod-2", 500.0, "it is of the cluster prod-1"),
    ],
)
def test_a_record_is_believed_only_of_this_cluster_in_this_life_and_not_for_ever(
    cluster: str, now_s: float, doubt: str
) -> None:
    known = Known(cluster="prod-1", began_s=100.0, told_s=500.0)
    found = disbelief(known, cluster, now_s, within_s=1000.0)
    assert (found == "") == (doubt == "")
    assert doubt in found
