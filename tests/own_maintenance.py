"""Maintenance of the user's own, as a flow imports it by name."""

from __future__ import annotations

maintained: list[str] = []


async def well(node: str) -> None:
    maintained.append(node)


async def fails_on_n2(node: str) -> None:
    if node == "N2":
        raise RuntimeError("the firmware of N2 was not accepted")


async def takes_nothing() -> None: ...


def not_awaited(node: str) -> None: ...


nothing_to_call = 1
