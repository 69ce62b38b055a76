"""A server on loopback that answers what a test wants: what no Prefect server says, or another server's answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

import httpx

HTML = "<!doctype html><title>Welcome to nginx!</title>"


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Request], bytes]
"""The bytes of a whole answer; none: the connection is closed."""


def http(status: str, body: Any = "", kind: str = "application/json", **headers: str) -> bytes:
    content = (body if isinstance(body, str) else json.dumps(body)).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + content


def html(status: str = "200 OK") -> bytes:
    return http(status, HTML, "text/html")


def always(answer: bytes) -> Answer:
    return lambda _: answer


def like_prefect(then: Answer, version: str = "3.8.8") -> Answer:
    """A Prefect server to whoever looks before he begins; after that `then`."""

    def answer(request: Request) -> bytes:
        if request.path == "/api/health":
            return http("200 OK", True)
        return http("200 OK", json.dumps(version)) if request.path == "/api/admin/version" else then(request)

    return answer


def forwarded(server: str) -> Answer:
    """What that API answers."""

    def answer(request: Request) -> bytes:
        headers = {name: value for name, value in request.headers.items() if name.lower() != "accept-encoding"}
        url = server.removesuffix("/api") + request.path
        got = httpx.request(request.method, url, headers=headers, content=request.body, timeout=60)
        return http(f"{got.status_code} {got.reason_phrase}", got.text, got.headers.get("content-type", "text/plain"))

    return answer


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """Yields the address of the server, as an API's."""

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            self.close_connection = True
            if not self.raw_requestline or not self.parse_request():
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.wfile.write(answer(Request(self.command, self.path, dict(self.headers.items()), body)))

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/api"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
