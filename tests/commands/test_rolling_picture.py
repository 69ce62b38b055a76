"""A rolling run as SVG, as a reader of the document finds it."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rolling_plans import GIB, UNTOUCHED, large_rolling_plan, move, rolling_plan, rolling_report, turn

from shunter.flows.picture import timeline_svg
from shunter.flows.timeline_frame import axis_ticks, hour_label
from shunter.topology.plan import Maintenance, Plan

SVG = "{http://www.w3.org/2000/svg}"
NASTY = st.one_of(
    st.text(max_size=40), st.sampled_from(['<script>alert("x")</script>', "]]>", "\x1b[31m", "\u202eflip", "'\"/>"])
)
SECONDS = st.floats(0, 1e6)


def drawn(what: Plan, width_px: int = 960) -> ET.Element:
    return ET.fromstring(timeline_svg(what, width_px=width_px))  # noqa: S314  our own


def words(picture: ET.Element) -> list[str]:
    return [element.text or "" for element in picture.iter(f"{SVG}text")]


def rects(picture: ET.Element, kind: str) -> list[ET.Element]:
    """Of the chart; the legend's are lower."""
    return [r for r in picture.iter(f"{SVG}rect") if r.get("class") == kind and float(r.get("height", "0")) > 15]


def px(element: ET.Element, name: str) -> float:
    return float(element.get(name, "nan"))


@given(
    name=NASTY, why=NASTY, at_s=SECONDS, lasts_s=SECONDS, mib=st.integers(-(2**40), 2**40), width=st.integers(1, 3000)
)
def test_whatever_the_names_the_picture_is_well_formed_and_carries_nothing_active(
    *, name: str, why: str, at_s: float, lasts_s: float, mib: int, width: int
) -> None:
    own = Maintenance.model_construct(
        node=name, paused_s=at_s, start_s=at_s, end_s=at_s + lasts_s, left_mib=mib, outcome="failed", reason=why
    )
    moving = move("a", "N1", "N2", 0, 1).model_copy(update={"vm": name, "source": name, "target": why})
    left_out = UNTOUCHED.model_copy(update={"node": why, "reason": why})
    of = rolling_plan(maintenance=(turn("N1", 0, 0, 1),), moves=())
    picture = drawn(
        of.model_copy(update={"cluster": name, "maintenance": (own,), "moves": (moving,), "untouched": (left_out,)}),
        width,
    )
    allowed = {"svg", "style", "rect", "text", "line", "g", "title", "path"}
    assert {element.tag.removeprefix(SVG) for element in picture.iter()} <= allowed
    assert not any(key.startswith("on") or "href" in key for e in picture.iter() for key in e.attrib)


def test_rows_are_the_nodes_in_the_order_of_their_turns() -> None:
    picture = drawn(rolling_plan())
    rows = {e.text: px(e, "y") for e in picture.iter(f"{SVG}text") if e.text in ("N1", "N2", "N3")}
    assert sorted(rows, key=rows.__getitem__) == ["N2", "N3", "N1"]


def test_emptying_maintenance_and_coming_back_join_on_a_row() -> None:
    picture = drawn(rolling_plan())
    for emptied, away in zip(rects(picture, "emptied"), rects(picture, "away"), strict=True):
        assert px(emptied, "x") + px(emptied, "width") == pytest.approx(px(away, "x"), abs=0.02)
    filled = rects(picture, "filled")
    assert len(filled) == 2  # nothing goes to the node that is maintained last
    first = rects(picture, "away")[0]
    assert px(filled[0], "x") == pytest.approx(px(first, "x") + px(first, "width"), abs=0.02)
    assert words(picture).count("maintenance 30 min 0 s") == 3


def test_a_tooltip_tells_the_whole_turn() -> None:
    tooltips = [element.text for element in drawn(rolling_report()).iter(f"{SVG}title")]
    assert (
        "N3: failed\n2 moves off it from 31 min 0 s on\nmaintenance from 35 min 0 s to 1 h 5 min (30 min 0 s)\n"
        "meanwhile at the least 48 GiB left over\ndid not come back; it stays paused" in tooltips
    )


def test_what_failed_and_what_was_left_out_is_seen_and_told_below() -> None:
    picture = drawn(rolling_report())
    assert len(rects(picture, "failed")) == 1
    assert "✗ maintenance 30 min 0 s" in words(picture)
    assert "✓ maintenance 30 min 0 s" in words(picture)
    assert "✗ N3 failed: did not come back; it stays paused" in words(picture)
    assert "✗ N1 left out: one node has failed" in words(picture)
    alarmed = {e.text for e in picture.iter(f"{SVG}text") if e.get("class") == "alarm"}
    assert {"N1", "N3"} <= alarmed
    assert "N2" not in alarmed


def test_memory_left_over_is_drawn_below_on_the_same_axis_of_time() -> None:
    picture = drawn(rolling_plan())
    assert "least 48 GiB" in words(picture)
    # N2 leaves 64 GiB from second 0 on, N3 48 from second 2000, N1 80 from second 3900
    steps = rects(picture, "left")
    heights = [px(step, "height") for step in steps]
    assert heights[0] / heights[2] == pytest.approx(64 / 80, abs=0.01)
    assert heights[1] / heights[2] == pytest.approx(48 / 80, abs=0.01)
    last, away = steps[2], rects(picture, "away")[2]
    assert px(last, "x") + px(last, "width") == pytest.approx(px(away, "x") + px(away, "width"), abs=0.02)


def test_too_little_memory_goes_below_the_line() -> None:
    of = rolling_plan(maintenance=(turn("N1", 0, 10, 50, 8 * GIB), turn("N2", 50, 60, 99, -8 * GIB)))
    picture = drawn(of)
    (zero,) = [line for line in picture.iter(f"{SVG}line") if line.get("class") == "zero"]
    (enough,), (lacking,) = rects(picture, "left"), rects(picture, "failed")
    assert px(enough, "y") + px(enough, "height") == pytest.approx(px(zero, "y1"), abs=0.02)
    assert px(lacking, "y") == pytest.approx(px(zero, "y1"), abs=0.02)
    assert "least −8 GiB" in words(picture)


def test_thousands_of_moves_on_64_rows_are_drawn_without_names_in_less_than_1_mb() -> None:
    svg = timeline_svg(large_rolling_plan())
    assert len(svg.encode()) < 1_000_000
    picture = ET.fromstring(svg)  # noqa: S314  our own
    assert not any("a-virtual-machine" in word for word in words(picture))
    strokes = [path.get("d", "").count("M") for path in picture.iter(f"{SVG}path") if path.get("transform")]
    assert sum(strokes) == 2 * 2560
    assert words(picture).count("30 min 0 s") == 64


def test_of_thousands_those_that_failed_are_still_told_one_by_one() -> None:
    of = large_rolling_plan()
    moves = [each.model_copy(update={"outcome": "done"}) for each in of.moves]
    moves[70] = moves[70].model_copy(update={"outcome": "failed", "reason": "no room"})
    picture = drawn(of.model_copy(update={"moves": tuple(moves), "executed": True}))
    told = [element.text or "" for element in picture.iter(f"{SVG}title")]
    assert sum("failed: no room" in text for text in told) == 2


def test_runs_of_hours_have_hours_on_their_axis() -> None:
    assert [hour_label(s, 9000) for s in (0, 1800, 3600, 5400)] == ["0", "30 min", "1 h", "1 h 30"]
    labels = [label for _, label in axis_ticks(90_000, 6, lambda at_s: hour_label(at_s, 90_000))]
    assert labels == ["0", "8 h", "16 h", "24 h"]
    assert "forecast end 1 h 36 min" in words(drawn(rolling_plan()))


@pytest.mark.parametrize(
    "fields",
    [
        {"moves": (), "maintenance": (), "untouched": (UNTOUCHED,)},
        {"moves": (), "maintenance": (), "makespan_s": 0.0, "lower_bound_s": 0.0},
        {"moves": ()},
    ],
    ids=["no node can go", "nothing at all", "empty nodes"],
)
def test_there_is_a_picture_even_where_there_is_little_to_see(fields: dict[str, Any]) -> None:
    assert "Rolling maintenance of c, as planned" in words(drawn(rolling_plan(**fields)))
