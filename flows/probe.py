"""Is there a Prefect API at this address? Asked by plain HTTP, before Prefect is imported and anything is done.

Who does not answer, or answers that he is busy, is waited for: a server may be restarting, or a machine be slow. Who
answers with something that no Prefect server says is not.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any, NoReturn

import httpx

from shunter.flows.errors import PrefectUnreachable
from shunter.flows.settings import Access, without_password

ANSWER_WITHIN_S = 300.0
CALL_DEADLINE_S = 10.0
ASK_AGAIN_S = 1.0
MOST_READ_BYTES = 4096
SHOWN_CHARACTERS = 60
BUSY = frozenset({429, 502, 503, 504})
CLOUD = "prefect.cloud"
HEALTH, VERSION = "/health", "/admin/version"
REMEDY = (
    "set PREFECT_API_URL to the address of a Prefect API (http://HOST:4200/api, say), or take it away "
    "(`prefect config unset PREFECT_API_URL`) to use an embedded server"
)


class _Silent(Exception):
    """It does not answer now; it may do so soon."""


def wait_for_api(url: str, access: Access, tell: Callable[[str], None], patience_s: float = ANSWER_WITHIN_S) -> None:
    """Return once a Prefect API of a fitting version answers. `tell`: hears of what is waited for, and of a version
    that is old.

    Raises PrefectUnreachable: nothing answers within `patience_s`, or what answers is no such API.
    """
    with _client(url, access) as client:
        server = _Server(client, without_password(url), tell)
        until_s, since, told = time.monotonic() + patience_s, datetime.now().astimezone(), ""
        while True:
            try:
                server.look()
            except _Silent as silent:
                said = f"the Prefect server {server.shown} does not answer since {since:%H:%M:%S} ({silent})"
                if time.monotonic() >= until_s:
                    raise PrefectUnreachable(f"{said}; nothing was touched. Start it, or {REMEDY}") from silent
                if said != told:
                    tell(f"{said}; it is waited for until {since + timedelta(seconds=patience_s):%H:%M:%S}")
                    told = said
                time.sleep(ASK_AGAIN_S)
            else:
                return


def _client(url: str, access: Access) -> httpx.Client:
    try:
        trusted = ssl.create_default_context(cafile=access.ca_file) if access.ca_file else True
        base = httpx.URL(url.rstrip("/"))
        if base.scheme not in ("http", "https") or not base.host:
            _refuse(without_password(url), "is no address that starts with http:// or https://")
        return httpx.Client(
            base_url=base,
            headers=dict(access.headers),
            verify=not access.any_certificate and trusted,
            timeout=CALL_DEADLINE_S,
        )
    except (OSError, ValueError, httpx.InvalidURL) as error:
        _refuse(without_password(url), f"cannot be asked ({error})", error)


class _Server:
    def __init__(self, client: httpx.Client, shown: str, tell: Callable[[str], None]) -> None:
        self._client, self.shown, self._tell = client, shown, tell

    def look(self) -> None:
        """Raises _Silent and PrefectUnreachable."""
        health = self._asked(HEALTH)
        if (self._client.base_url.host or "").endswith(CLOUD):
            return  # it keeps itself compatible, and has neither of these paths
        if health.document is not True:
            self._refuse(f"is no Prefect API: it answers GET {HEALTH} with {health}")
        found = self._asked(VERSION)
        theirs = re.match(r"(\d+)(?:\.(\d+))?", found.document) if isinstance(found.document, str) else None
        if theirs is None:
            self._refuse(f"is no Prefect API: it answers GET {VERSION} with {found}")
        ours = version("prefect").split(".")
        if theirs[1] != ours[0]:
            self._refuse(f"has version {theirs.string}, with which Prefect {version('prefect')} here cannot work")
        if int(theirs[2] or 0) < int(ours[1]):
            self._tell(
                f"the Prefect server {self.shown} has version {theirs.string}, which is older than Prefect "
                f"{version('prefect')} here: update it"
            )

    def _asked(self, path: str) -> _Answer:
        try:
            with self._client.stream("GET", path) as response:
                answer = _Answer(response, _beginning(response))
        except httpx.RequestError as error:
            self._judge(error)
        if response.status_code in BUSY:
            raise _Silent(str(answer))
        if response.status_code in (401, 403):
            self._refuse(
                f"does not let us in (GET {path}: {response.status_code} {response.reason_phrase})",
                "set PREFECT_API_AUTH_STRING, or PREFECT_API_KEY for Prefect Cloud, to what it expects",
            )
        if response.is_redirect:
            to = without_password(response.headers["location"])[:200]
            self._refuse(f"sends us elsewhere (GET {path}: {response.status_code}, to {to!r})")
        return answer

    def _judge(self, error: httpx.RequestError) -> NoReturn:
        """Silence, or an answer that is none."""
        causes = _causes(error)
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
            self._refuse(
                f"has a certificate that is not trusted ({error})",
                "set PREFECT_API_SSL_CERT_FILE to the file of those who issued it",
            )
        if any(isinstance(cause, ssl.SSLError) for cause in causes):
            self._refuse(f"does not speak TLS ({error})", "begin PREFECT_API_URL with http://, or set another one")
        if isinstance(error, httpx.RemoteProtocolError) and "disconnected" not in str(error):
            self._refuse(f"does not speak HTTP ({str(error)[:SHOWN_CHARACTERS]})", f"try https://, or {REMEDY}")
        if isinstance(error, httpx.DecodingError):
            self._refuse(f"is no Prefect API: what it answers cannot be decoded ({error})")
        raise _Silent(_in_words(error)) from error

    def _refuse(self, what: str, remedy: str = REMEDY) -> NoReturn:
        _refuse(self.shown, what, remedy=remedy)


@dataclass(frozen=True, slots=True)
class _Answer:
    response: httpx.Response
    body: bytes

    @property
    def document(self) -> Any:
        """None where it is no success, or no JSON."""
        if self.response.status_code != httpx.codes.OK:
            return None
        with suppress(ValueError, RecursionError):
            return json.loads(self.body)
        return None

    def __str__(self) -> str:
        text = self.body.decode("utf-8", errors="replace")
        said = f"{text[:SHOWN_CHARACTERS]!r}{'…' if len(text) > SHOWN_CHARACTERS else ''}" if text else "nothing else"
        return f"{self.response.status_code} {self.response.reason_phrase} and {said}"


def _beginning(response: httpx.Response) -> bytes:
    """Of the body; it may have no end."""
    read, until_s = b"", time.monotonic() + CALL_DEADLINE_S
    for some in response.iter_bytes():
        read += some
        if len(read) >= MOST_READ_BYTES or time.monotonic() > until_s:
            break
    return read


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found


def _in_words(error: httpx.RequestError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return f"nothing came within {CALL_DEADLINE_S:g} s"
    return str(error) or type(error).__name__


def _refuse(shown: str, what: str, cause: Exception | None = None, *, remedy: str = REMEDY) -> NoReturn:
    raise PrefectUnreachable(f"the Prefect server {shown} {what}; nothing was touched. To go on, {remedy}") from cause
