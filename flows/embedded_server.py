"""The process of an embedded Prefect server; see `embedded`. Says its port, then "ready"; ends with its input.

python -m shunter.flows.embedded_server HOME [--forget]
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path


def main() -> None:
    home, forget = Path(sys.argv[1]), "--forget" in sys.argv[2:]
    # named as TCP, else asyncio leaves Nagle's algorithm on, and each answer takes 40 ms
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    _say(str(listener.getsockname()[1]))

    def clean_up() -> None:
        if forget:
            shutil.rmtree(home, ignore_errors=True)

    try:
        _serve(listener, clean_up)
    finally:
        clean_up()


def _serve(listener: socket.socket, clean_up: Callable[[], None]) -> None:
    # not before the port is said, for which somebody waits
    import uvicorn  # noqa: PLC0415
    from prefect.server.api.server import create_app  # noqa: PLC0415

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if self.started:
                _say("ready")

    config = uvicorn.Config(create_app, factory=True, log_level="error", lifespan="on", timeout_graceful_shutdown=1)
    server = Server(config)

    def end_with_input() -> None:
        sys.stdin.read()
        server.should_exit = True
        if not server.started:
            clean_up()
            os._exit(0)  # it would first start to the end; nobody waits for it

    threading.Thread(target=end_with_input, name="end-with-input", daemon=True).start()
    server.run(sockets=[listener])


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
