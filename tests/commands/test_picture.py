"""The timeline as SVG, as a reader of the document finds it."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from shunter.flows.migration_bars import bar_colours
from shunter.flows.picture import timeline_svg
from shunter.flows.timeline_frame import axis_ticks, rows_of
from shunter.topology.plan import Move, NodeMemory, Plan, Unplaced, Verdict

SVG = "{http://www.w3.org/2000/svg}"
NASTY = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ['<script>alert("x")</script>', "]]>", "&amp;", "a\x00b\x1b[31m", "\ud800", "\ufffe", "\u202eflip", "'\"/>"]
    ),
)
SECONDS = st.floats(0, 1e6)


def move(vm: str, source: str, target: str, start_s: float, end_s: float) -> Move:
    return Move(vm=vm, source=source, target=target, start_s=start_s, end_s=end_s)


def plan(*moves: Move, **fields: object) -> Plan:
    last_s = max((m.end_s for m in moves), default=0.0)
    said = {"cluster": "c", "ok": True, "reserve_nodes": 1, "moves": moves, "makespan_s": last_s}
    return Plan.model_construct(**{**dict(Plan(cluster="c", ok=True, reserve_nodes=1)), **said, **fields})


def drawn(what: Plan, width_px: int = 960) -> ET.Element:
    return ET.fromstring(timeline_svg(what, width_px=width_px))  # noqa: S314  our own


def words(picture: ET.Element) -> list[str]:
    return [element.text or "" for element in picture.iter(f"{SVG}text")]


def bars(picture: ET.Element) -> list[ET.Element]:
    return [group.find(f"{SVG}rect") for group in picture.iter(f"{SVG}g")]  # type: ignore[misc]


@given(vm=NASTY, source=NASTY, target=NASTY, why=NASTY, start_s=SECONDS, lasts_s=SECONDS, width=st.integers(1, 3000))
def test_whatever_the_names_the_picture_is_well_formed_and_carries_nothing_active(
    *, vm: str, source: str, target: str, why: str, start_s: float, lasts_s: float, width: int
) -> None:
    moving = Move.model_construct(
        vm=vm, source=source, target=target, start_s=start_s, end_s=start_s + lasts_s, why=why,
        outcome="failed", estimate_s=1.0, downtime_s=None, reason=why,
    )  # fmt: skip
    stays = Unplaced.model_construct(
        vm=vm, node=source, verdicts=(Verdict.model_construct(target=target, rule="I3", reason=why, remedy=why),)
    )
    picture = drawn(plan(moving, cluster=vm, unplaced=(stays,)), width)
    allowed = {"svg", "style", "rect", "text", "line", "g", "title"}
    assert {element.tag.removeprefix(SVG) for element in picture.iter()} <= allowed
    assert not any(name.startswith("on") or "href" in name for e in picture.iter() for name in e.attrib)


def test_a_migration_shows_on_the_rows_of_both_nodes_in_one_colour() -> None:
    picture = drawn(plan(move("web-1", "N1", "N2", 0.0, 10.0)))
    source, target = bars(picture)
    assert source.get("fill") == target.get("fill")
    assert source.get("y") != target.get("y")
    assert source.get("width") == target.get("width")
    assert {"web-1 → N2", "web-1 ← N1"} <= set(words(picture))


def test_a_tooltip_tells_nodes_times_and_the_reason() -> None:
    picture = drawn(plan(move("web-1", "N1", "N2", 0.0, 10.0).model_copy(update={"why": "the only node with room"})))
    tooltip = next(iter(picture.iter(f"{SVG}title"))).text
    assert tooltip == "web-1: N1 → N2\n0.0 s to 10.0 s (10.0 s)\nthe only node with room"


def test_an_empty_plan_is_a_picture_that_says_so() -> None:
    assert "Evacuation of c, as planned: nothing moves live" in words(drawn(plan()))


def test_what_stays_is_listed_with_its_first_reason() -> None:
    verdicts = tuple(Verdict(target=n, rule="I3", reason=f"no room on {n}", remedy="free some") for n in ("N2", "N3"))
    picture = drawn(plan(unplaced=(Unplaced(vm="db-1", node="N1", verdicts=verdicts),)))
    assert "✗ db-1 stays on N1: I3 no room on N2 (and 1 more)" in words(picture)


def test_end_and_lower_bound_are_one_mark_where_they_coincide() -> None:
    one = move("a", "N1", "N2", 0.0, 50.0)
    assert "forecast end 50.0 s = lower bound" in words(drawn(plan(one, lower_bound_s=50.0)))
    apart = words(drawn(plan(one, lower_bound_s=20.0)))
    assert "forecast end 50.0 s" in apart
    assert "lower bound 20.0 s" in apart


def test_sources_come_first_and_n2_before_n10() -> None:
    moves = [move("a", "N10", "N3", 0, 1), move("b", "N2", "N20", 0, 1)]
    assert rows_of(moves) == ["N2", "N10", "N3", "N20"]


def test_neighbours_on_a_row_differ_in_colour() -> None:
    moves = [move(f"v{i}", "N1", f"N{2 + i % 3}", float(i), i + 1.0) for i in range(30)]
    colours = bar_colours(moves, 6)
    assert all(a != b for a, b in pairwise(colours))


def test_the_axis_counts_in_units_that_suit() -> None:
    assert [label for _, label in axis_ticks(60, 6)] == ["0 s", "10 s", "20 s", "30 s", "40 s", "50 s", "60 s"]
    assert [label for _, label in axis_ticks(600, 5)] == ["0:00", "2:00", "4:00", "6:00", "8:00", "10:00"]
    assert [label for _, label in axis_ticks(7200, 2)] == ["0:00:00", "1:00:00", "2:00:00"]


def test_memory_before_and_after_is_in_the_picture_with_the_line_of_the_reserve() -> None:
    memory = (
        NodeMemory(node="N1", for_vms_mib=10240, before_mib=6144, after_mib=0, emptied=True),
        NodeMemory(node="N2", for_vms_mib=10240, before_mib=1024, after_mib=7168, line_mib=5120),
    )
    picture = drawn(plan(memory=memory))
    assert {"6 → 0 of 10 GiB", "1 → 7 of 10 GiB"} <= set(words(picture))
    tooltips = [element.text for element in picture.iter(f"{SVG}title")]
    assert "N1 (to be emptied)\nbefore 6144 MiB\nafter 0 MiB\nfor VMs 10240 MiB" in tooltips
    before = {rect.get("width") for rect in picture.iter(f"{SVG}rect") if rect.get("class") == "was"}
    (line,) = [line for line in picture.iter(f"{SVG}line") if line.get("class") == "mark"]
    room = next(rect for rect in picture.iter(f"{SVG}rect") if rect.get("class") == "row")
    assert float(line.get("x1", "0")) == float(room.get("x", "0")) + float(room.get("width", "0")) / 2
    assert len(before) == 2


def test_of_very_many_nodes_the_picture_shows_the_memory_that_changes() -> None:
    memory = tuple(
        NodeMemory(node=f"N{i}", for_vms_mib=1024, before_mib=0, after_mib=512 if i == 90 else 0) for i in range(100)
    )
    assert [text for text in words(drawn(plan(memory=memory))) if "GiB" in text] == ["0 → 0.5 of 1 GiB"]
