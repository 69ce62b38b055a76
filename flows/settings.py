"""Everything that is read from environment variables and from Prefect's configuration; imports no Prefect.

Prefect reads its settings while it is imported, so what a process wants of it must be said before: enter
`prefect_at_hand` first, then import flows.

SHUNTER_PREFECT_HOME    folder in which an embedded Prefect keeps its database; without it, nothing is kept
SHUNTER_STATE_DIR       folder in which runs leave theirs; without it, the user's own for such things
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platformdirs import user_state_path

from shunter.flows.embedded import EmbeddedServer

QUIET = ("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "PREFECT_LOGGING_INTERNAL_LEVEL")
"""The second is for what Prefect cannot send to its server, each piece of which it would show in full."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a Prefect server is spoken to, besides its address."""

    headers: Mapping[str, str] = field(default_factory=dict)
    ca_file: str | None = None
    any_certificate: bool = False


def state_folder() -> Path:
    """Where what is to outlive a run is kept on this machine."""
    named = os.environ.get("SHUNTER_STATE_DIR")
    if not named:
        return user_state_path("shunter", appauthor=False)
    folder = Path(named)
    with suppress(RuntimeError):  # "~somebody", and there is no such user: then it is the name of a folder
        folder = folder.expanduser()
    return folder.absolute()


@dataclass(frozen=True, slots=True)
class PrefectAtHand:
    """The Prefect server that flows of this process will use. `api_url` as Prefect takes it."""

    api_url: str
    embedded: EmbeddedServer | None = None

    @property
    def shown(self) -> str:
        """Its address, for people."""
        return without_password(self.api_url)

    @property
    def is_gone(self) -> bool:
        """Whether it has ended for good. Of a server that is not ours nobody knows."""
        return self.embedded is not None and self.embedded.has_ended

    def wait_until_ready(self, tell: Callable[[str], None] = lambda _: None) -> None:
        """Return once the server answers requests. `tell`: hears what is waited for when that takes long.

        Raises PrefectUnreachable. What does not need Prefect is best done before this call: an embedded server takes
        some seconds to start.
        """
        if self.embedded is not None:
            self.embedded.wait_until_ready(tell)
            return
        from shunter.flows.probe import wait_for_api  # noqa: PLC0415  whoever needs no server needs no HTTP client

        wait_for_api(self.api_url, configured_access(os.environ, Path.cwd(), Path.home()), tell)


@contextmanager
def prefect_at_hand(*, quiet: bool = False) -> Iterator[PrefectAtHand]:
    """See to it that flows run in this process find a Prefect server: the configured one, else an embedded one.

    An embedded server starts at once in a process of its own and ends with the block; its data are deleted unless
    SHUNTER_PREFECT_HOME names a folder. `quiet` keeps Prefect's log lines off the terminal.
    Enter and leave it outside of any event loop, and before `prefect` is imported.
    """
    if "prefect" in sys.modules:
        raise RuntimeError("prefect is imported already, with its settings: enter prefect_at_hand before that")
    said = dict.fromkeys(QUIET, "CRITICAL") if quiet else {}
    url = configured_api_url(os.environ, Path.cwd(), Path.home())
    if url is not None:
        with _environment(said):
            yield PrefectAtHand(url)
        return
    kept_in = os.environ.get("SHUNTER_PREFECT_HOME")
    with EmbeddedServer.started(Path(kept_in).expanduser().resolve() if kept_in else None) as server:
        no_proxy = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"]))
        with _environment(said | server.environment | {"NO_PROXY": no_proxy}):
            yield PrefectAtHand(server.api_url, server)


def without_password(url: str) -> str:
    """An address as people may read it."""
    return re.sub(r"//[^/@\s]*@", "//", url)


def configured_api_url(environment: Mapping[str, str], folder: Path, user_home: Path) -> str | None:
    """The address of the Prefect server that Prefect itself would take, None where none is configured."""
    return _Configured(environment, folder, user_home).text("api", "url")


def configured_access(environment: Mapping[str, str], folder: Path, user_home: Path) -> Access:
    """How Prefect itself would speak to its server."""
    configured = _Configured(environment, folder, user_home)
    headers = configured.table("client", "custom_headers")
    if login := configured.text("api", "auth_string"):
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    elif key := configured.text("api", "key"):
        headers["Authorization"] = f"Bearer {key}"
    careless = configured.text("api", "tls_insecure_skip_verify") or ""
    return Access(headers, configured.text("api", "ssl_cert_file"), careless.lower() in {"true", "1", "yes", "on"})


@dataclass(frozen=True, slots=True)
class _Configured:
    """What is configured for Prefect, looked for where and in the order in which Prefect does.

    Environment, `.env`, `prefect.toml` and `pyproject.toml` of the folder, the active profile.
    """

    environment: Mapping[str, str]
    folder: Path
    user_home: Path

    def text(self, *keys: str) -> str | None:
        """None where it is nowhere, or empty."""
        value = self._value(keys)
        return str(value) if value else None

    def table(self, *keys: str) -> dict[str, str]:
        """Empty where it is nowhere, or no table of texts."""
        value = self._value(keys)
        try:
            found = json.loads(value) if isinstance(value, str) else value
        except ValueError:
            return {}  # Prefect complains of it
        return {str(name): str(each) for name, each in found.items()} if isinstance(found, dict) else {}

    def _value(self, keys: tuple[str, ...]) -> Any:
        name = "_".join(("PREFECT", *keys)).upper()
        return (
            self.environment.get(name)
            or _from_dot_env(self.folder / ".env", name)
            or _from_table(self.folder / "prefect.toml", *keys)
            or _from_table(self.folder / "pyproject.toml", "tool", "prefect", *keys)
            or self._from_profile(name)
        )

    def _from_profile(self, name: str) -> Any:
        home = Path(self.environment.get("PREFECT_HOME") or self.user_home / ".prefect").expanduser()
        path = Path(self.environment.get("PREFECT_PROFILES_PATH") or home / "profiles.toml").expanduser()
        active = self.environment.get("PREFECT_PROFILE") or _from_table(path, "active")
        return _from_table(path, "profiles", active, name) if isinstance(active, str) else None


def _from_dot_env(path: Path, name: str) -> str | None:
    if not path.is_file():
        return None
    line = re.compile(rf"""^\s*(?:export\s+)?{name}\s*=\s*(?:'([^']*)'|"([^"]*)"|([^"'#\s]*))""", re.MULTILINE)
    found = line.search(path.read_text(encoding="utf-8", errors="replace"))
    return next(filter(None, found.groups()), None) if found else None


def _from_table(path: Path, *keys: str) -> Any:
    if not path.is_file():
        return None
    try:
        value: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return None  # Prefect, which owns the file, complains of it
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


@contextmanager
def _environment(said: Mapping[str, str]) -> Iterator[None]:
    """Set these variables; afterwards everything is as before."""
    before = {name: os.environ.get(name) for name in said}
    os.environ.update(said)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
