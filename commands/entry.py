"""Where the command starts. Signals are heard, and outputs made safe, before anything else is imported."""

# ruff: noqa: PLC0415  (see above)
from __future__ import annotations

import logging
import sys
from typing import Any

from shunter.commands import background, interrupts, streams


def main() -> None:
    """Neither a signal nor an output that breaks ends a run, or leaves a traceback."""
    sys.unraisablehook = interrupts.ask_again_if_lost
    interrupts.end_in_order()
    streams.secure()
    logging.raiseExceptions = False  # Prefect would tell of each log line that its server does not take
    try:
        import shunter.commands.main  # noqa: F401  its commands join the app
        from shunter.commands.apps import app

        app()
    except SystemExit as end:
        code: Any = end.code
    except Exception:
        if not interrupts.asked_to_end():
            raise
        code = interrupts.INTERRUPTED
    interrupts.ignore()
    if interrupts.asked_to_end():
        code = interrupts.INTERRUPTED
        streams.say("shunter: interrupted; nothing was touched")
    lost = streams.unwritten()
    if lost is not None:
        from shunter.commands import exits

        code = exits.unanswered(lost, code)
    background.end(code)
