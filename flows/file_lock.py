"""A lock on an open file that ends with its process, whatever ends that: how others see that a run is alive."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

if sys.platform == "win32":
    import msvcrt

    FAR = 2**30
    """Windows keeps others from reading what is locked; there is nothing there."""

    def hold(file: IO[Any]) -> None:
        """Until the file is closed. Where the file system knows no locks, nobody will see it held."""
        with suppress(OSError):
            before = file.tell()
            file.seek(FAR)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            file.seek(before)

    def is_held(path: Path) -> bool:
        """Raises OSError where there is no such file."""
        with path.open("rb") as file:
            file.seek(FAR)
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            except PermissionError:
                return True
            return False

else:
    import fcntl

    def hold(file: IO[Any]) -> None:
        """Until the file is closed. Where the file system knows no locks, nobody will see it held."""
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)

    def is_held(path: Path) -> bool:
        """Raises OSError where there is no such file."""
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False
