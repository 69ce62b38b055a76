"""The process of an embedded Prefect server; see `embedded`. Says its port, then "ready"; ends with its input.

python -m shunter.flows.embedded_server HOME [--forget]
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from shunter.flows.temporary_homes import remove

if TYPE_CHECKING:
    import uvicorn

END_DEADLINE_S = 10.0
STANDARD_INPUT = 0


class Life:
    """Ends this process when its input ends: whoever started it is gone, or needs it no longer.

    `forget`: the folder that goes with it. `server`: once there is one.
    """

    def __init__(self, forget: Path | None) -> None:
        self._forget = forget
        self.server: uvicorn.Server | None = None
        threading.Thread(target=self._end_with_input, name="end-with-input", daemon=True).start()

    def _end_with_input(self) -> None:
        while os.read(STANDARD_INPUT, 1024):  # not through sys.stdin, which would be locked when this process ends
            pass
        if self._forget is None and self.server is not None and self.server.started:
            self.server.should_exit = True
            threading.main_thread().join(END_DEADLINE_S)
        elif self._forget is not None:
            os.chdir(self._forget.parent)
            remove(self._forget)
        os._exit(0)  # what is kept is kept by transactions; nobody waits for anything else


def main() -> None:
    home, forget = Path(sys.argv[1]), "--forget" in sys.argv[2:]
    life = Life(home if forget else None)
    # named as TCP, else asyncio leaves Nagle's algorithm on, and each answer takes 40 ms
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    _say(str(listener.getsockname()[1]))
    _serve(listener, life)


def _serve(listener: socket.socket, life: Life) -> None:
    # not before the port is said, for which somebody waits
    import uvicorn  # noqa: PLC0415
    from prefect.server.api.server import create_app  # noqa: PLC0415

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if self.started:
                _say("ready")

    config = uvicorn.Config(create_app, factory=True, log_level="error", lifespan="on", timeout_graceful_shutdown=1)
    life.server = Server(config)
    life.server.run(sockets=[listener])


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
