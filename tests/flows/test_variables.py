"""Variables that several runs write at the same time, on a real Prefect server."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from prefect.variables import Variable

from shunter.flows.variables import keep


@pytest.mark.usefixtures("prefect_server")
def test_two_runs_that_write_a_new_variable_at_the_same_time_both_get_on() -> None:
    async def story() -> None:
        for _ in range(3):
            name = f"kept-{uuid.uuid4().hex[:8]}"
            await asyncio.gather(*(keep(name, {"run": number}) for number in (1, 2)))
            assert await Variable.aget(name) in ({"run": 1}, {"run": 2})

    asyncio.run(story())


@pytest.mark.usefixtures("prefect_server")
def test_what_is_there_is_written_over() -> None:
    async def story() -> None:
        name = f"kept-{uuid.uuid4().hex[:8]}"
        await keep(name, {"run": 1})
        await keep(name, {"run": 2})
        assert await Variable.aget(name) == {"run": 2}

    asyncio.run(story())
