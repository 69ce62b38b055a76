"""What Prefect still sends when a command ends, log lines and events: it is waited for, unless nobody hears it."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


class _Background:
    unheard = False


def drop() -> None:
    """Nothing of it is waited for: each piece would be tried for seconds, and there may be hundreds."""
    _Background.unheard = True


def end(code: int) -> NoReturn:
    """End the process with this code."""
    if not _Background.unheard:
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the interpreter would wait for the threads that send it
