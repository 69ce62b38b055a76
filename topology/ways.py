"""Placements that can be reached live: the solver's answers, each with a way there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shunter.topology.detours import Way, straight_way, way_with_detours
from shunter.topology.exact import Answer, Question, answers

MOST_DETOURS = 4


def solutions(question: Question) -> Iterator[tuple[Answer, Way | None]]:
    """The answers in the solver's order, with a way to each; None where no way was found, and with the last one, which
    is not `found`. Of answers that move equally many, those reached with no detour come first.
    """
    stuck: list[Answer] = []
    size = None
    for answer in answers(question):
        if stuck and (not answer.found or _size(answer) != size):
            yield from _with_detours(question, stuck)
            stuck = []
        size = _size(answer)
        way = straight_way(question.cluster, answer.targets, question.promised) if answer.found else None
        if way is None and answer.found:
            stuck.append(answer)
        else:
            yield answer, way


def _size(answer: Answer) -> tuple[int, int]:
    return len(answer.left), len(answer.targets)


def _with_detours(question: Question, stuck: Sequence[Answer]) -> Iterator[tuple[Answer, Way | None]]:
    options = {vm.name: mover.options for mover in question.movers for vm in mover.unit.live}
    for answer in stuck[:MOST_DETOURS]:
        yield answer, way_with_detours(question.cluster, answer.targets, options, question.promised)
