"""How processes are begun that must outlive a Ctrl-C, or a terminal that is closed, under the run that needs them.

What reaches a terminal's processes reaches all of them. Ours end with the input that the run holds open for them.
"""

from __future__ import annotations

import sys
from typing import Any

CREATE_NEW_PROCESS_GROUP = 0x00000200
CREATE_NO_WINDOW = 0x08000000
"""As in `subprocess`, which has them on Windows only."""


def apart_from_the_terminal(platform: str = sys.platform) -> dict[str, Any]:
    """What `subprocess.Popen` is given besides.

    On Windows, where sessions do not exist, the process gets a console of its own, which nobody sees, and a group of
    its own: Ctrl-C and the closing of a console are told to those of that console alone.
    """
    if platform == "win32":
        return {"creationflags": CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW}
    return {"start_new_session": True}
