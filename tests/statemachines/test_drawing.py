"""The document of the lifecycles: what a table looks like in it, and that it cannot go stale unnoticed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, auto
from pathlib import Path

import pytest

from shunter.statemachines.drawing import document, main, section
from shunter.statemachines.lifecycle import About, Deadline, Lifecycle, Row


class State(StrEnum):
    SHUT = auto()
    MOVING = auto()
    OPEN = auto()
    LOST_SIGHT = auto()


class Event(StrEnum):
    OPEN = auto()
    CLOSE = auto()
    SEEN_SHUT = auto()
    SEEN_OPEN = auto()
    ANSWER_LOST = auto()


@dataclass(slots=True)
class Door:
    state: State = State.SHUT
    label: str = "door"


DOOR = Lifecycle[State, Event](
    noun="door",
    initial=State.SHUT,
    states={
        State.SHUT: About("Nobody comes in.", resting=True, after_restart="nothing"),
        State.MOVING: About("It swings.", deadline=Deadline(1.5, 20)),
        State.OPEN: About("Everybody comes in; the house's patience limits it.", after_restart="give up"),
        State.LOST_SIGHT: About("It is dark.", deadline=Deadline(1, 5)),
    },
    rows=(
        Row(Event.OPEN, State.SHUT, State.MOVING, only_if="unlocked"),
        Row(Event.CLOSE, State.OPEN, State.MOVING),
        Row(Event.SEEN_SHUT, (State.MOVING, State.OPEN, State.LOST_SIGHT), State.SHUT),
        Row(Event.SEEN_OPEN, (State.MOVING, State.LOST_SIGHT), State.OPEN),
        Row(Event.ANSWER_LOST, State.MOVING, State.LOST_SIGHT),
    ),
    commands=frozenset({Event.OPEN, Event.CLOSE}),
    lost_sight=State.LOST_SIGHT,
)

DRAWN = """## Door

```mermaid
stateDiagram-v2
    state "any other state" as box_1
    [*] --> shut
    shut --> moving: open [unlocked]
    open --> moving: close
    box_1 --> shut: seen_shut
    moving --> open: seen_open
    lost_sight --> open: seen_open
    moving --> lost_sight: answer_lost
    classDef rests stroke-width:3px
    class shut rests
    classDef together stroke-dasharray:4
    class box_1 together
```

| state | what is true | deadline | after a restart |
|---|---|---|---|
| `shut` | Nobody comes in. | rests | nothing |
| `moving` | It swings. | 1.5 × estimate, at least 20 s | look |
| `open` | Everybody comes in; the house's patience limits it. | none | give up |
| `lost_sight` | It is dark. | 1 × estimate, at least 5 s | look |

| event | kind | from | to | only if |
|---|---|---|---|---|
| `open` | command | `shut` | `moving` | unlocked |
| `close` | command | `open` | `moving` |  |
| `seen_shut` | observation | `moving`, `open`, `lost_sight` | `shut` |  |
| `seen_open` | observation | `moving`, `lost_sight` | `open` |  |
| `answer_lost` | observation | `moving` | `lost_sight` |  |
"""


def test_a_lifecycle_is_drawn_as_a_diagram_and_two_tables() -> None:
    assert section(DOOR) == DRAWN


def test_the_document_in_docs_is_what_the_tables_say(pytestconfig: pytest.Config) -> None:
    written = (pytestconfig.rootpath / "docs" / "lifecycles.md").read_text(encoding="utf-8")
    assert written == document(), "run python -m shunter.statemachines.drawing docs/lifecycles.md"


def test_checking_finds_a_stale_or_missing_document_and_leaves_it_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = tmp_path / "lifecycles.md"
    stale.write_text("as it was last year", encoding="utf-8")
    assert main(["--check", str(stale)]) == 1
    assert stale.read_text(encoding="utf-8") == "as it was last year"
    assert capsys.readouterr().err == f"{stale} is stale: run python -m shunter.statemachines.drawing {stale}\n"
    assert main(["--check", str(tmp_path / "missing.md")]) == 1


def test_a_document_that_was_just_written_is_not_stale(tmp_path: Path) -> None:
    path = tmp_path / "lifecycles.md"
    assert main([str(path)]) == 0
    assert main(["--check", str(path)]) == 0


def test_a_call_without_a_file_says_how_to_call(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 2
    assert "usage: " in capsys.readouterr().err
