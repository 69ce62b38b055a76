"""Variables that several runs write at the same time, on a real Prefect server."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from prefect.variables import Variable

from shunter.flows.server import PrefectServer
from shunter.flows.variables import found, remove, write


def told(story: Callable[[PrefectServer], Coroutine[Any, Any, None]]) -> None:
    async def connected() -> None:
        async with PrefectServer.connected(logging.getLogger("test")) as server:
            await story(server)

    asyncio.run(connected())


@pytest.mark.usefixtures("prefect_server")
def test_two_runs_that_write_a_new_variable_at_the_same_time_both_get_on() -> None:
    async def story(server: PrefectServer) -> None:
        for _ in range(3):
            name = f"kept-{uuid.uuid4().hex[:8]}"
            await asyncio.gather(*(write(server, name, {"run": number}) for number in (1, 2)))
            assert await Variable.aget(name) in ({"run": 1}, {"run": 2})

    told(story)


@pytest.mark.usefixtures("prefect_server")
def test_what_is_there_is_written_over() -> None:
    async def story(server: PrefectServer) -> None:
        name = f"kept-{uuid.uuid4().hex[:8]}"
        await write(server, name, {"run": 1})
        await write(server, name, {"run": 2})
        assert await Variable.aget(name) == {"run": 2}

    told(story)


@pytest.mark.usefixtures("prefect_server")
def test_variables_are_found_by_how_their_names_begin_and_removed_once() -> None:
    async def story(server: PrefectServer) -> None:
        prefix = f"found-{uuid.uuid4().hex[:8]}-"
        await write(server, f"{prefix}a", {"run": 1})
        await write(server, f"{prefix}b", {"run": 2})
        await write(server, f"not-{prefix}c", {"run": 3})
        assert await found(server, prefix) == {f"{prefix}a": {"run": 1}, f"{prefix}b": {"run": 2}}
        assert await remove(server, f"{prefix}a")
        assert not await remove(server, f"{prefix}a")

    told(story)
