"""Everything that is read from environment variables and from Prefect's configuration; imports no Prefect.

Prefect reads its settings while it is imported, so what a process wants of it must be said before: enter
`prefect_at_hand` first, then import flows.

SHUNTER_PREFECT_HOME    folder in which an embedded Prefect keeps its database; without it, nothing is kept
SHUNTER_STATE_DIR       folder in which runs leave theirs; without it, the user's own for such things
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_state_path

from shunter.flows.embedded import EmbeddedServer
from shunter.flows.errors import PrefectUnreachable

PROBE_DEADLINE_S = 10.0


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

    def wait_until_ready(self) -> None:
        """Return once the server answers. Raises PrefectUnreachable.

        What does not need Prefect is best done before this call: an embedded server takes some seconds to start.
        """
        if self.embedded is not None:
            self.embedded.wait_until_ready()
            return
        request = urllib.request.Request(f"{self.api_url.rstrip('/')}/health")  # noqa: S310 - as configured
        try:
            urllib.request.urlopen(request, timeout=PROBE_DEADLINE_S).close()  # noqa: S310 - as configured
        except urllib.error.HTTPError:
            return  # whoever answers is there; what it thinks of this path differs between servers
        except (OSError, ValueError) as error:
            raise PrefectUnreachable(
                f"the Prefect server {self.api_url} does not answer ({error}): start it, or take the address away "
                "(PREFECT_API_URL, or `prefect config unset PREFECT_API_URL`) to use an embedded one"
            ) from error


@contextmanager
def prefect_at_hand(*, quiet: bool = False) -> Iterator[PrefectAtHand]:
    """See to it that flows run in this process find a Prefect server: the configured one, else an embedded one.

    An embedded server starts at once in a process of its own and ends with the block; its data are deleted unless
    SHUNTER_PREFECT_HOME names a folder. `quiet` keeps Prefect's log lines off the terminal.
    Enter and leave it outside of any event loop, and before `prefect` is imported.
    """
    if "prefect" in sys.modules:
        raise RuntimeError("prefect is imported already, with its settings: enter prefect_at_hand before that")
    said = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"} if quiet else {}
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


def configured_api_url(environment: Mapping[str, str], folder: Path, user_home: Path) -> str | None:
    """The address of the Prefect server that Prefect itself would take, None where none is configured.

    In Prefect's order: environment, `.env`, `prefect.toml` and `pyproject.toml` of the folder, the active profile.
    """
    return (
        environment.get("PREFECT_API_URL")
        or _from_dot_env(folder / ".env")
        or _from_table(folder / "prefect.toml", "api", "url")
        or _from_table(folder / "pyproject.toml", "tool", "prefect", "api", "url")
        or _from_profile(environment, user_home)
    )


def _from_profile(environment: Mapping[str, str], user_home: Path) -> str | None:
    home = Path(environment.get("PREFECT_HOME") or user_home / ".prefect").expanduser()
    path = Path(environment.get("PREFECT_PROFILES_PATH") or home / "profiles.toml").expanduser()
    active = environment.get("PREFECT_PROFILE") or _from_table(path, "active")
    return _from_table(path, "profiles", active, "PREFECT_API_URL") if active else None


def _from_dot_env(path: Path) -> str | None:
    if not path.is_file():
        return None
    line = re.compile(r"""^\s*(?:export\s+)?PREFECT_API_URL\s*=\s*(["']?)(?P<url>[^"'#\s]*)\1""", re.MULTILINE)
    found = line.search(path.read_text(encoding="utf-8", errors="replace"))
    return (found["url"] or None) if found else None


def _from_table(path: Path, *keys: str) -> str | None:
    if not path.is_file():
        return None
    try:
        value: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return None  # Prefect, which owns the file, complains of it
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) and value else None


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
