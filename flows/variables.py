"""Prefect variables, in which runs leave what others, and people, are to know; several may write one at a time."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import httpx
from prefect.client.schemas.actions import VariableCreate, VariableUpdate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from shunter.flows.server import PrefectServer

MOST_CHARACTERS = 4500
"""Of JSON in one variable; Prefect takes 5000."""
MOST_FOUND = 200


def slug(*names: str) -> str:
    """Names as part of a variable's: lowercase letters, digits and dashes; different names never have the same."""
    readable = re.sub(r"[^a-z0-9]+", "-", "-".join(names).lower()).strip("-")[:160]
    told_apart = hashlib.sha256(json.dumps(names).encode()).hexdigest()[:8]
    return f"{readable}-{told_apart}"


async def read(server: PrefectServer, name: str) -> Any | None:
    """Its value; None where there is none. Raises Unavailable, as all of these do."""
    found = await server.ask(lambda client: client.read_variable_by_name(name))
    return None if found is None else found.value


async def found(server: PrefectServer, prefix: str) -> dict[str, Any]:
    """All variables whose names begin so."""
    wanted = {"variables": {"name": {"like_": prefix}}, "limit": MOST_FOUND}
    answer = await server.ask(lambda client: client.request("POST", "/variables/filter", json=wanted))
    return {each["name"]: each["value"] for each in answer.json() if each["name"].startswith(prefix)}


async def write(server: PrefectServer, name: str, value: Any) -> None:
    """Write it, whether it is there or not. Another run may write or remove it at the same time."""
    for _ in range(3):
        try:
            await server.ask(lambda client: client.update_variable(VariableUpdate(name=name, value=value)))
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.NOT_FOUND:
                raise
        else:
            return
        try:
            await server.ask(lambda client: client.create_variable(VariableCreate(name=name, value=value)))
        except ObjectAlreadyExists:
            continue  # written by somebody since
        return


async def remove(server: PrefectServer, name: str) -> bool:
    """Whether there was one."""
    try:
        await server.ask(lambda client: client.delete_variable_by_name(name))
    except ObjectNotFound:
        return False
    return True
