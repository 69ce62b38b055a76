"""A few of the spoilt inputs of `benchmarks/fuzzing.py`: each is answered or refused, and none is a crash."""

from __future__ import annotations

from pathlib import Path

import pytest
from inputs import attempt, draw


@pytest.mark.parametrize("first", range(0, 300, 100))
def test_whatever_comes_in_it_is_answered_or_refused_with_what_is_wrong(first: int, tmp_path: Path) -> None:
    for number in range(first, first + 100):
        outcome = attempt(draw(0, number), tmp_path)
        assert outcome.trouble is None, f"input {number}: {outcome.trouble}: {outcome.detail}"
