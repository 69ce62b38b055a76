"""Holding the two nodes of a migration, so that no other run uses them meanwhile (I1, R15)."""

from __future__ import annotations

from typing import Protocol


class Hold(Protocol):
    """Two nodes that are ours until released. A hold is not a fence: ask `still_ours` before each step that matters."""

    async def still_ours(self) -> bool: ...

    async def release(self) -> None: ...


class Holds(Protocol):
    async def try_hold(self, nodes: tuple[str, ...]) -> Hold | None:
        """Take all of these nodes at once, without waiting. None: at least one is held by another run."""
        ...


class OwnHold:
    def __init__(self, held: set[str], nodes: tuple[str, ...]) -> None:
        self._held, self._nodes = held, nodes

    async def still_ours(self) -> bool:
        return self._held.issuperset(self._nodes)

    async def release(self) -> None:
        self._held.difference_update(self._nodes)


class OwnHolds:
    """Holds within one process: for virtual time, and for callers without a Prefect server."""

    def __init__(self) -> None:
        self._held: set[str] = set()

    async def try_hold(self, nodes: tuple[str, ...]) -> Hold | None:
        if not self._held.isdisjoint(nodes):
            return None
        self._held.update(nodes)
        return OwnHold(self._held, nodes)
