"""Who may ask the booth what: only pages of its own, under its own address, each browser with its own token.

Whatever a person opens in the same browser can send requests to loopback, and a name that its owner points there
(DNS rebinding) reads the answers. So the address that was asked for has to be ours, and whatever changes something has
to carry a header that pages of others cannot send. Nothing that a page shows comes from anywhere else.
"""

import ipaddress
import socket
from collections.abc import Awaitable, Callable
from http.cookies import SimpleCookie

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tasks.booth.visitors import is_token, new_token

COOKIE = "conceptbooth_visitor"
HEADER = "x-conceptbooth"
"""On each request that changes something."""
MOST_BODY = 64 * 2**10
"""Of a request that brings no file."""
_SAFE = ("GET", "HEAD")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "font-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
GALLERY_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"
"""Of a gallery, which holds its pictures and its style inside itself, and runs no script."""
Next = Callable[[Request], Awaitable[Response]]


class Guard:
    """The first and the last look at each request."""

    def __init__(self, host: str) -> None:
        self._names = {"localhost", host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
        self._is_loopback = is_loopback(host)

    async def __call__(self, request: Request, call_next: Next) -> Response:
        """Refuse it, or answer it with the visitor's token and with what browsers need to be told."""
        if problem := self.problem(request):
            return JSONResponse({"problems": [problem]}, status_code=403)
        # what is PUT is a picture, which its route takes in pieces and counts
        if request.method not in (*_SAFE, "PUT") and _size(request) > MOST_BODY:
            return JSONResponse({"problems": [f"a request may have {MOST_BODY:,} bytes"]}, status_code=413)
        token = _cookie(request)
        known = is_token(token)
        request.state.token = token if known else new_token()
        response = await call_next(request)
        if not known:
            # No `Secure`: on loopback there is no TLS. Strict: other sites' links come without it.
            response.set_cookie(COOKIE, request.state.token, max_age=30 * 86400, httponly=True, samesite="strict")
        headers = response.headers
        headers.setdefault("content-security-policy", POLICY)
        headers.setdefault("cache-control", "no-store")
        headers["x-content-type-options"] = "nosniff"
        headers["referrer-policy"] = "no-referrer"
        headers["cross-origin-resource-policy"] = "same-origin"
        return response

    def problem(self, request: Request) -> str | None:
        """Why a request is refused; None if it is not."""
        asked = request.headers.get("host", "")
        if not self._is_ours(asked):
            return (
                f"this page is not called {asked[:80]!r}: open it under the address that `conceptbooth booth` printed"
            )
        if request.method in _SAFE:
            return None
        origin = request.headers.get("origin")
        if request.headers.get(HEADER) != "1" or (origin is not None and origin.partition("://")[2] != asked):
            return "only the booth's own pages may ask for that"
        return None

    def _is_ours(self, asked: str) -> bool:
        name = asked.rpartition(":")[0] if asked.rpartition(":")[2].isdigit() else asked
        name = name.strip("[]").lower()
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._is_loopback  # a bare address cannot be pointed elsewhere by its owner


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server there."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _cookie(request: Request) -> str | None:
    try:
        found = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except Exception:  # noqa: BLE001 - whatever other pages of this host keep in theirs
        return None
    return found.value if found else None


def _size(request: Request) -> int:
    length = request.headers.get("content-length", "")
    if length.isdigit():
        return int(length)
    return MOST_BODY + 1 if "transfer-encoding" in request.headers else 0
