"""What is not the same in two snapshots of a cluster, told by identity: the same object has not changed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from operator import is_not
from typing import TypeVar

from shunter.topology.model import Node, VirtualMachine

Named = TypeVar("Named", Node, VirtualMachine)


def changed(before: Sequence[Named], after: Sequence[Named]) -> list[tuple[Named, Named]] | None:
    """What is not the same object any more, as it was and as it is; None where names or their order differ."""
    if before is after:
        return []
    if len(before) != len(after):
        return None
    found = list(compress(zip(before, after, strict=True), map(is_not, before, after)))
    return found if all(old.name == new.name for old, new in found) else None
