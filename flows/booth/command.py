"""`conceptbooth booth`: the page for whoever owns concepts, on loopback unless it is said otherwise, until Ctrl-C."""

import socket

from rich.text import Text

from flows.booth.guard import is_loopback
from flows.output.console import notices, results
from flows.server.server_process import LOOPBACK, free_port
from model.errors import InputError, WorkFailed
from tasks.project.settings import Settings

USUAL_PORT = 7860
_GRACE_SECONDS = 3


def run_booth(settings: Settings, *, host: str | None, port: int | None, read_only: bool) -> None:
    """Serve the pages until Ctrl-C. Trainings that were started there go on after it.

    Raises:
        InputError: there is no such address here.
        WorkFailed: the port is taken.
    """
    import uvicorn

    from flows.booth.app import booth_app
    from flows.booth.booth import Booth

    host = host or LOOPBACK
    own = _listening(host, port if port is not None else free_port(USUAL_PORT))
    with own:
        booth = Booth(settings, read_only=read_only or settings.booth_read_only)
        try:
            _say(host, own.getsockname()[1], booth.read_only)
            config = uvicorn.Config(
                booth_app(booth, host),
                log_level="warning",
                access_log=False,  # addresses of drawings are nobody's business
                server_header=False,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
            uvicorn.Server(config).run(sockets=[own])
        except KeyboardInterrupt:
            pass
        finally:
            booth.close()
    notices().print("stopped")


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise InputError(f"--host {host}: no address of this machine ({error.strerror or error})") from error
    own = socket.socket(family, kind, protocol)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        own.bind(address)
    except OSError as error:
        own.close()
        raise WorkFailed(f"{host}:{port} cannot be used ({error.strerror}); name another with --port") from error
    own.listen(128)
    return own


def _say(host: str, port: int, read_only: bool) -> None:
    shown = f"[{host}]" if ":" in host else host
    results().print(Text.assemble("Booth    ", (f"http://{shown}:{port}/", "bold")), soft_wrap=True)
    if not is_loopback(host):
        may = "draw and look" if read_only else "draw, add concepts and train"
        said = f"everybody who reaches this address may {may}, unencrypted; put a proxy with TLS and a login before it"
        notices().print(Text.assemble(("warning: ", "yellow"), said), soft_wrap=True)
    notices().print(Text("Ctrl-C stops it; trainings that it started go on", "dim"))
