"""What is done to a node in a rolling run, by the name that a form can give it."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Awaitable, Callable

from shunter.engine.control import Control
from shunter.engine.maintenance import Action, ByHand, Own, Reboot
from shunter.topology.errors import RequestError

IMPORT_PATH = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"


def own_work(path: str) -> Callable[[str], Awaitable[None]]:
    """The coroutine function that `path` names, as "package.module:coroutine". It is given the node's name.

    Raises RequestError where there is none: whoever starts a run can name what is installed for the worker, and of that
    only what is written for this: not Python's own library.
    """
    module, _, name = path.partition(":")
    if module.partition(".")[0] in sys.stdlib_module_names:
        raise RequestError(f"own_action {path}: {module} is of Python's own library; name a coroutine of your own")
    try:
        work = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise RequestError(f"own_action {path}: {error}; install it for the worker that runs this flow") from error
    if not inspect.iscoroutinefunction(work) or not _takes_a_name(work):
        raise RequestError(f"own_action {path}: it must be written `async def {name}(node: str) -> None`")
    chosen: Callable[[str], Awaitable[None]] = work
    return chosen


def action_of(kind: str, own: Callable[[str], Awaitable[None]] | None, control: Control) -> Action:
    """`kind`: "reboot" or "by hand". `own` is done in place of both."""
    if own is not None:
        return Own(own)
    return ByHand(control) if kind == "by hand" else Reboot()


def _takes_a_name(work: Callable[..., object]) -> bool:
    try:
        inspect.signature(work).bind("N1")
    except TypeError:
        return False
    return True
