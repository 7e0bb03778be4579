"""A real server that speaks S3, as a process on this machine, and one in front of it that has bad days."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from ports import free_port

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


@contextmanager
def serving() -> Iterator[int]:
    """Gives the port of a server with no buckets."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield port
    finally:
        server.kill()
        server.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/data.json", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.2)


def make_bucket(port: int) -> str:
    """Makes a bucket and returns its name."""
    name = f"w2s-{uuid.uuid4().hex[:12]}"
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{name}", method="PUT")
    with urllib.request.urlopen(request, timeout=60):
        return name


def use(patch: pytest.MonkeyPatch, port: int) -> None:
    """Makes this process, and those it starts, use the server."""
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
        patch.setenv(name, value)


class Moody:
    """Answers the next `refusals` requests with `status`, and hands all others on to a server.

    Args:
        target: the server's port.
    """

    def __init__(self, target: int) -> None:
        self.target, self.refusals, self.status, self.refused = target, 0, 503, 0
        self.asked: list[tuple[str, str]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.port = self.server.server_port
        Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Takes no more connections."""
        self.server.shutdown()
        self.server.server_close()


def _handler(moody: Moody) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            with suppress(OSError):
                super().handle_one_request()

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        def answer(self) -> None:
            moody.asked.append((self.command, self.path))
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if moody.refusals > 0:
                moody.refusals, moody.refused = moody.refusals - 1, moody.refused + 1
                return self.tell(moody.status, {}, b"")
            url = f"http://127.0.0.1:{moody.target}{self.path}"
            # Without a type of its own urllib would call it a form, which the server takes for parameters.
            headers = {"Content-Type": "application/octet-stream", **dict(self.headers)}
            request = urllib.request.Request(url, body or None, headers, method=self.command)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return self.tell(answer.status, dict(answer.headers), answer.read())
            except urllib.error.HTTPError as error:
                return self.tell(error.code, dict(error.headers), error.read())

        def tell(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response_only(status)
            length = {"Content-Length": headers.get("Content-Length", str(len(body)))}
            for name, value in {**headers, **length}.items():
                if name.lower() not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    return Handler


@contextmanager
def moody(target: int) -> Iterator[Moody]:
    """Gives a server in front of the one on the port `target`."""
    front = Moody(target)
    try:
        yield front
    finally:
        front.close()


def other_cache(real: str, place: str) -> str:
    """Makes the cache of another machine: the same assets, and no copy of any store."""
    os.makedirs(place)
    for name in os.listdir(real) if os.path.isdir(real) else ():
        if name not in ("stores", "stores.json", "stores.lock"):
            os.symlink(os.path.join(real, name), os.path.join(place, name))
    return place
