"""S3 for tests: moto's server over HTTP, and a relay before it that can fail like the real thing.

No real S3 server is to be had here. Moto keeps what it is given, answers conditional writes rightly and speaks the real
protocol to the real client; it checks no credentials, and forgets everything when it ends.
"""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from uuid import uuid4

from flows.server.server_process import free_port
from tasks.store.s3 import s3_client

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
OWN_HEADERS = {"host", "transfer-encoding", "connection"}
OWN_ANSWERS = OWN_HEADERS | {"content-length", "date", "server"}


@contextmanager
def moto_server() -> Iterator[str]:
    """The address of a server of its own."""
    port = free_port(0)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except ConnectionRefusedError:
                    assert server.poll() is None, "moto's server does not start"
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def new_bucket(endpoint_url: str) -> str:
    """A bucket that no other test has."""
    name = f"bucket-{uuid4().hex[:12]}"
    s3_client(endpoint_url).create_bucket(Bucket=name)
    return name


class Relay(BaseHTTPRequestHandler):
    """Hands every request on, unless told otherwise; counts them by method."""

    protocol_version = "HTTP/1.1"
    server: "RelayServer"
    DENIED: ClassVar[str] = "<Error><Code>{code}</Code><Message>told to</Message></Error>"

    def _hand_on(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else None
        self.server.seen.append((self.command, self.path))
        if self.server.answer is not None and self.server.concerns in self.path:
            status, code = self.server.answer
            content = self.DENIED.format(code=code).encode() if self.command != "HEAD" else b""
            self._reply(status, {"Content-Type": "application/xml"}, content)
            return
        dropped = OWN_HEADERS | self.server.ignored_headers
        headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
        connection = HTTPConnection("127.0.0.1", self.server.target, timeout=30)
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        if self.server.lose_answers:
            self.server.lose_answers -= 1
            self.close_connection = True
            self.connection.close()
            return
        kept = {k: v for k, v in answer.getheaders() if k.lower() not in OWN_ANSWERS}
        length_said = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self._reply(answer.status, kept, content, length_said)

    def _reply(self, status: int, headers: dict[str, str], content: bytes, length: str | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _hand_on

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


class RelayServer(ThreadingHTTPServer):
    """A relay before a server of S3, and what it does wrong."""

    daemon_threads = True

    def __init__(self, endpoint_url: str) -> None:
        super().__init__(("127.0.0.1", 0), Relay)
        self.target = int(endpoint_url.rpartition(":")[2])
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.seen: list[tuple[str, str]] = []
        self.answer: tuple[int, str] | None = None
        """Status and code that it answers with instead."""
        self.concerns = ""
        """Only requests with this in their path are answered so."""
        self.ignored_headers: set[str] = set()
        """In small letters."""
        self.lose_answers = 0
        """So many requests are carried out and never answered."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


@contextmanager
def relay(endpoint_url: str) -> Iterator[RelayServer]:
    """A relay before the server at this address."""
    server = RelayServer(endpoint_url)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
