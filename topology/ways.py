"""Placements that can be reached live: the solver's answers, each with a way there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shunter.topology.detours import Way, straight_way, way_with_detours
from shunter.topology.exact import Answer, Question, answers

MOST_DETOURS = 4


def solutions(question: Question) -> Iterator[tuple[Answer, Way | None]]:
    """The answers that leave fewest undone first, and of those what takes the fewest steps, each with a way to it; None
    where no way was found, and with the last one, which is not `found`.
    """
    stuck: list[Answer] = []
    detoured: list[tuple[Answer, Way]] = []
    size = None
    for answer in answers(question):
        if stuck and (not answer.found or _size(answer) != size):
            for other, way in _with_detours(question, stuck):
                if way is None:
                    yield other, None
                else:
                    detoured.append((other, way))
            stuck = []
        size = _size(answer)
        straight = straight_way(question.cluster, answer.targets, question.promised) if answer.found else None
        if straight is None and answer.found:
            stuck.append(answer)
            continue
        better = [pair for pair in detoured if straight is None or _steps(pair) <= _steps((answer, straight))]
        detoured = [pair for pair in detoured if pair not in better]
        yield from sorted(better, key=_steps)
        yield answer, straight


def _size(answer: Answer) -> tuple[int, int]:
    return answer.undone, len(answer.targets)


def _steps(reached: tuple[Answer, Way]) -> tuple[int, int]:
    answer, way = reached
    return answer.undone, len(way.steps)


def _with_detours(question: Question, stuck: Sequence[Answer]) -> Iterator[tuple[Answer, Way | None]]:
    options = {vm.name: mover.options for mover in question.movers for vm in mover.unit.live}
    for answer in stuck[:MOST_DETOURS]:
        yield answer, way_with_detours(question.cluster, answer.targets, options, question.promised)
