"""What Prefect's client raises when its server is silent, or answers what no Prefect server would: one error of ours.

A proxy in between may begin with that at any time, and then the client raises whatever it stumbles over: HTTP errors,
what is no JSON, fields that are missing. All of it is known by where it was raised: while the client asked.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from shunter.flows.errors import PrefectUnreachable
from shunter.flows.settings import without_password

OURS_AND_PREFECTS = ("shunter.", "prefect.")
CLIENT = "prefect.client."
LONGEST = 300
SHOWN_CHARACTERS = 60


def is_unanswered(error: BaseException) -> bool:
    """Whether it was raised while Prefect's client asked its server."""
    if isinstance(error, httpx.HTTPError):
        return True
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    known = [module for module in modules if module.startswith(OURS_AND_PREFECTS)]
    return bool(known) and known[-1].startswith(CLIENT)


def is_silence(error: BaseException | None) -> bool:
    """Whether nothing at all was answered: the server may be back in a moment."""
    while error is not None and not isinstance(error, httpx.RequestError):
        error = error.__cause__
    return error is not None


@contextmanager
def told_as_unreachable(what: str, consequence: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Raises PrefectUnreachable for it. `what` could not be done; `consequence`: what that means, asked for then."""
    try:
        yield
    except Exception as error:
        if not is_unanswered(error):
            raise
        raise PrefectUnreachable(f"{what}: {what_came(error)}{consequence()}") from error


def what_came(error: BaseException) -> str:
    """The server's answer in a few words, or what was made of it."""
    while error.__cause__ is not None and not isinstance(error, httpx.HTTPError):
        error = error.__cause__
    if isinstance(error, httpx.HTTPStatusError):
        response, request = error.response, error.request
        asked = f"{request.method} {without_password(str(request.url))}"
        body = response.text if response.is_stream_consumed else ""
        said = f" ({body[:SHOWN_CHARACTERS]!r})" if body else ""
        return f"{asked} was answered with {response.status_code} {response.reason_phrase}{said}"
    if isinstance(error, httpx.RequestError):
        return f"the Prefect server does not answer ({str(error) or type(error).__name__})"
    first_line = next(iter(str(error).splitlines()), "")[:LONGEST]
    return f"the Prefect server answers with what no Prefect server says ({type(error).__name__}: {first_line})"
