"""A course of a rolling run ends, whatever is decided in it (R16)."""

from __future__ import annotations

import pytest
from building import cluster, vm

from shunter.topology.rolling import course
from shunter.topology.rolling.fleet import Fleet, phases_of
from shunter.topology.rolling.strategy import Deciding, Leave, Start, Strategy


class ToAndFro(Deciding):
    """Sends the same VM back to where it came from, again and again."""

    def next(self) -> Leave | Start | None:
        if self.fleet.heading:
            return None
        here = self.fleet.place["v"]
        return Start("v", here, "N2" if here == "N1" else "N1")


def test_a_vm_that_is_sent_to_and_fro_for_ever_ends_the_course_with_the_nodes_undone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(course, "Deciding", ToAndFro)
    of = cluster(3, [vm("v", "N1")])
    order = ("N1", "N2", "N3")
    ended = course.run(Fleet(of, phases_of(of.nodes, order)), Strategy(order, 1), 0, 600.0)
    assert ended.undone == order
    assert ended.turns == []
    assert len(ended.legs) == len(order) + 2
