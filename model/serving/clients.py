"""Whether the client for whom a served model draws is still there.

A server hands a model the rows and not the connection. So the server's application is put into another one, which looks
at the connection while the inner one works, and which the threads that draw can ask.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

# Threads that a request's own task starts see that task's value.
_gone: ContextVar[threading.Event | None] = ContextVar("the client has gone", default=None)


class ClientGone(Exception):
    """Nobody waits for the pictures any more."""


def check_client() -> None:
    """Raise ClientGone if the request that this thread works for has lost its client, or was answered already."""
    gone = _gone.get()
    if gone is not None and gone.is_set():
        raise ClientGone


class WatchedClients:
    """An ASGI application around another, which it tells (`check_client`) when a client has gone.

    A body of more than `most_bytes` is answered with status 413 before it is read whole.
    """

    def __init__(self, application: Application, most_bytes: int) -> None:
        self._application = application
        self._most_bytes = most_bytes

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        body: list[Message] = []
        size, more = 0, True
        while more:  # the connection can only be watched behind the body
            message = await receive()
            body.append(message)
            size += len(message.get("body", b""))
            more = message["type"] == "http.request" and bool(message.get("more_body"))
            if size > self._most_bytes:
                await _refuse(send, self._most_bytes)
                return
        gone, left = threading.Event(), asyncio.Event()

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()
            left.set()

        async def read_again() -> Message:
            if body:
                return body.pop(0)
            await left.wait()
            return {"type": "http.disconnect"}

        before = _gone.set(gone)
        watcher = asyncio.create_task(watch())
        try:
            await self._application(scope, read_again, send)
        finally:
            gone.set()  # also where the server has answered for the model, as when its time was over
            _gone.reset(before)
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher


def watch_clients(most_bytes: int) -> None:
    """Have the next application that FastAPI makes in this process watched: that of the server which loads a model."""
    import fastapi

    plain = fastapi.FastAPI

    class Watched(plain):  # type: ignore[misc, valid-type]
        def __init__(self, *given: Any, **named: Any) -> None:
            fastapi.FastAPI = plain  # type: ignore[misc]
            super().__init__(*given, **named)

        def build_middleware_stack(self) -> Any:
            return WatchedClients(super().build_middleware_stack(), most_bytes)

    fastapi.FastAPI = Watched  # type: ignore[misc]


async def _refuse(send: Send, most_bytes: int) -> None:
    said = f"a request may have {most_bytes:,} bytes\n".encode()
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": said})
