"""The folders of embedded Prefect servers that keep nothing. What killed ones left behind is removed by later ones."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shunter.flows import file_lock

PREFIX = "shunter-prefect-"
LOG = "server.log"
"""Held by the server (`file_lock`) for as long as it lives."""
YOUNG_S = 60.0
"""So old a folder is before anybody judges by its log that it is not in use."""
REMOVED_WITHIN_S = 3.0


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A folder for one server, which must have ended when the block is left."""
    remove_forsaken(Path(tempfile.gettempdir()))
    home = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        yield home
    finally:
        remove(home)


def remove(home: Path) -> None:
    """All of it, also while something that is coming to its end still writes there, as far as the system lets us."""
    until_s = time.monotonic() + REMOVED_WITHIN_S
    while home.exists() and time.monotonic() < until_s:
        shutil.rmtree(home, ignore_errors=True)


def remove_forsaken(temporary: Path) -> None:
    """The folders there whose server was killed together with whoever had started it."""
    for home in temporary.glob(f"{PREFIX}*"):
        with suppress(OSError):  # somebody else's, or removed at this moment
            if _is_forsaken(home):
                # where files of it are open Windows refuses this, elsewhere nobody finds them by their path any more
                remove(home.rename(home.with_suffix(".forsaken")))


def _is_forsaken(home: Path) -> bool:
    about = home.lstat()
    if not stat.S_ISDIR(about.st_mode) or (hasattr(os, "getuid") and about.st_uid != os.getuid()):
        return False
    if time.time() - about.st_mtime < YOUNG_S:
        return False
    log = home / LOG
    return not log.exists() or not file_lock.is_held(log)
