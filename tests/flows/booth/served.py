"""A booth that is served to a browser by this process, on a port of loopback."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn

from flows.booth.app import booth_app
from flows.booth.booth import Booth


@contextlib.contextmanager
def serving(booth: Booth) -> Iterator[str]:
    """The address of its pages, as long as the block runs; its drawings end with it."""
    with socket.create_server(("127.0.0.1", 0)) as own:
        config = uvicorn.Config(booth_app(booth, "127.0.0.1"), log_level="warning", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [own]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{own.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=20)
            booth.close()
