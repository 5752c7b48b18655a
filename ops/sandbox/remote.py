"""`python -m ops.sandbox.remote --port N`: the remote systems that the reference app `sources` refreshes from.

    GET /resources/<id>   ->  {"id": "r7", "version": 12, "content": "..."}, or 410 once it is gone
    PUT /resources/<id>   <-  {"delay_seconds": 2.5, "gone": true, "content": "..."}, any of them
    PUT /resources        <-  the same for all resources, those not yet asked for too

Every id is there from the first question on. Each question finds the resource changed: its version grows
by one, when the question comes in, not when the answer leaves; so a delayed answer is older than a later,
faster one.
"""

from __future__ import annotations

import argparse
import json
import socketserver
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

_PREFIX = "/resources"
_MOST_BYTES = 1_000_000
_IDLE_SECONDS = 60.0


@dataclass(frozen=True)
class Resource:
    """What the remote system has: its version, and how it answers."""

    version: int = 0
    content: str | None = None
    delay_seconds: float = 0.0
    gone: bool = False


class RemoteServer:
    """The server, in this process; ends with `close` or its `with` block.

    Parameters
    ----------
    port : on 127.0.0.1; 0 takes any free one.
    """

    def __init__(self, port: int = 0) -> None:
        self._resources: dict[str, Resource] = {}
        self._default = Resource()
        self._lock = Lock()
        self._closing = Event()
        self._server = _Server(("127.0.0.1", port), self)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """What SOURCES_REMOTE_URL must be."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> RemoteServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End; answers that are being delayed leave at once."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve(self) -> None:
        """Serve in this thread until the process ends."""
        self._server.serve_forever()

    def change(self, id: str | None = None, **changes: Any) -> None:
        """Change how a resource, or without an id each, answers: `delay_seconds`, `gone`, `content`.

        Raises
        ------
        ValueError : a change that there is not, or of the wrong type.
        """
        _check(changes)
        with self._lock:
            if id is None:
                self._default = replace(self._default, **changes)
                self._resources = {key: replace(one, **changes) for key, one in self._resources.items()}
            else:
                self._resources[id] = replace(self._resources.get(id, self._default), **changes)

    def look(self, id: str) -> Resource:
        """Give a resource as it is now: one version on, unless it is gone; waits its delay."""
        with self._lock:
            resource = self._resources.get(id, self._default)
            if not resource.gone:
                resource = replace(resource, version=resource.version + 1)
            self._resources[id] = resource
        self._closing.wait(resource.delay_seconds)
        return resource


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # clients keep their connections open
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], remote: RemoteServer) -> None:
        self.remote = remote
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind, without HTTPServer's question for this machine's name: it may wait for a name server."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let clients go away as they like."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    wbufsize = -1  # head and body in one packet
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        id = self._id()
        if not id:
            self._answer(HTTPStatus.NOT_FOUND, {"error": f"expected {_PREFIX}/<id>"})
            return
        resource = self.server.remote.look(id)
        if resource.gone:
            self._answer(HTTPStatus.GONE, {"error": f"{id} is gone"})
        else:
            content = f"{id} as of version {resource.version}" if resource.content is None else resource.content
            self._answer(HTTPStatus.OK, {"id": id, "version": resource.version, "content": content})

    def do_PUT(self) -> None:
        id = self._id()
        try:
            length = int(self.headers.get("Content-Length", "0"))
            changes = json.loads(self.rfile.read(min(length, _MOST_BYTES)))
            if id is None or not isinstance(changes, dict):
                raise ValueError(f"expected a JSON object at {_PREFIX} or {_PREFIX}/<id>")
            self.server.remote.change(id or None, **changes)
        except (ValueError, TypeError) as error:
            self.close_connection = True
            self._answer(HTTPStatus.BAD_REQUEST, {"error": str(error)})
            return
        self._answer(HTTPStatus.OK, {"id": id, **changes})

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""

    def _id(self) -> str | None:
        """Give the id that the path names; empty for all of them, None for another path."""
        path = urlsplit(self.path).path
        if path.rstrip("/") == _PREFIX:
            return ""
        return unquote(path.removeprefix(f"{_PREFIX}/")) if path.startswith(f"{_PREFIX}/") else None

    def _answer(self, status: HTTPStatus, data: dict[str, Any]) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _check(changes: dict[str, Any]) -> None:
    kinds: dict[str, tuple[type, ...]] = {"delay_seconds": (int, float), "gone": (bool,), "content": (str,)}
    for key, value in changes.items():
        if key not in kinds:
            raise ValueError(f"unknown key {key!r}; there are: {', '.join(kinds)}")
        if not isinstance(value, kinds[key]) or (key == "delay_seconds" and (value is True or value is False)):
            raise ValueError(f"{key}: {value!r} is of the wrong type")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="plays the remote systems that `sources` refreshes from")
    parser.add_argument("--port", type=int, default=0)
    remote = RemoteServer(parser.parse_args().port)
    print(remote.url, flush=True)
    remote.serve()
