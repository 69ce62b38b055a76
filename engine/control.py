"""What an operator may ask of a rolling run while it goes on; it is heeded at the next safe point."""

from __future__ import annotations

import asyncio

from shunter.engine.stop import Stop


class Control(Stop):
    """A stop, and besides: hold and go on, skip a node, say that a node's maintenance by hand is done.

    Used in the thread of the event loop.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held = False
        self.skipped: set[str] = set()
        self._by_hand: dict[str, asyncio.Future[bool]] = {}

    def hold(self) -> None:
        """No node leaves and no migration starts until `go_on`; what is under way goes on."""
        self.held = True
        self.wake()

    def go_on(self) -> None:
        self.held = False
        self.wake()

    def skip(self, node: str) -> None:
        """This node has no turn, unless its maintenance has begun."""
        self.skipped.add(node)
        self.wake()

    # -------------------------------------------------------------- maintenance by hand

    def waiting_for(self) -> tuple[str, ...]:
        """The nodes that wait to be maintained by hand."""
        return tuple(self._by_hand)

    def done_by_hand(self, node: str, *, well: bool = True) -> None:
        """The operator says that the node's maintenance is over. Raises KeyError if it is not waited for."""
        answer = self._by_hand[node]
        if not answer.done():
            answer.set_result(well)

    async def until_done_by_hand(self, node: str) -> bool:
        """Wait for the operator's word."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._by_hand[node] = answer
        try:
            return await answer
        finally:
            del self._by_hand[node]
