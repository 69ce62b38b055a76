"""What can be wrong with what was asked, before anything is touched.

ShunterError                    every error that is a message for a person, not a bug
├── RequestError                the request is wrong: an unknown node, a bad option
│   └── ClusterFileError        a cluster file that cannot be believed; names each offending field
└── clusters.port.ClusterError  what a cluster answers (refused, failed, unknown): see there
"""

from __future__ import annotations

from collections.abc import Sequence

MOST_SHOWN = 20


class ShunterError(Exception):
    """An error whose text names the subject, what is wrong and what to do."""


class RequestError(ShunterError):
    """The request itself is wrong; nothing was touched."""


class ClusterFileError(RequestError):
    """A cluster file is refused.

    `problems` holds one line for each offending field, each starting with the field's path; the text shows the first.
    """

    def __init__(self, problems: Sequence[str], source: str = "") -> None:
        self.problems = tuple(problems)
        self.source = source
        left = len(self.problems) - MOST_SHOWN
        lines = [*self.problems[:MOST_SHOWN], *([f"and {left} more problems"] if left > 0 else [])]
        super().__init__((f"{source}: " if source else "") + "\n".join(lines))
