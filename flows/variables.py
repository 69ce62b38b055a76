"""Prefect variables that several runs may write at the same time."""

from __future__ import annotations

from typing import Any

from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.variables import Variable


async def keep(name: str, value: Any) -> None:
    """Write it, whether it is there or not.

    Prefect looks whether a variable is there, and creates or changes it then; another run may have done the one or
    removed it in between. Then it is as that run left it now, and it is written once more.
    """
    try:
        await Variable.aset(name, value, overwrite=True)
    except (ObjectAlreadyExists, ObjectNotFound):
        await Variable.aset(name, value, overwrite=True)
