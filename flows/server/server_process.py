"""A server of our own on loopback, as a child process: started, waited for, stopped with its children."""

import importlib.util
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.errors import WorkFailed

LOOPBACK = "127.0.0.1"
START_SECONDS = 240
"""A server on a busy machine needs 25 seconds; one that needs more than this will not come."""
STOP_SECONDS = 10
_PROXIES = {"ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"}
# The first is for commands, which tell what goes wrong themselves: what a server says is its log.
_SERVERS = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
LOG_TAIL = 5


@dataclass(frozen=True, kw_only=True)
class ServerProcess:
    """A running server."""

    name: str
    address: str
    health: str
    """Address that answers 200 once the server works."""
    log: Path
    process: subprocess.Popen[bytes]

    def wait_until_it_answers(self) -> None:
        """Return when the health address answers. WorkFailed, with the log's end, if the server dies or never does."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.check_alive()
            if answers(self.health):
                return
            time.sleep(0.25)
        raise WorkFailed(f"{self.name} at {self.address} does not answer after {START_SECONDS} s; {self._log_tail()}")

    def check_alive(self) -> None:
        """WorkFailed, with the log's end, if the process has ended by itself."""
        if (code := self.process.poll()) is not None:
            raise WorkFailed(f"{self.name} ended with code {code}; {self._log_tail()}")

    def stop(self) -> None:
        """End the server and all its children, with force after ten seconds."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._signal(number)
            deadline = time.monotonic() + STOP_SECONDS
            while time.monotonic() < deadline:
                self.process.poll()  # takes note of its end, or the process would count as there for ever
                if not self._signal(0):
                    return
                time.sleep(0.05)

    def _signal(self, number: int) -> bool:
        """Send a signal to the whole group; 0 only asks. Returns whether there is anyone left in it."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return False
        return True

    def _log_tail(self) -> str:
        with self.log.open(encoding="utf-8", errors="replace") as file:
            lines = deque((line.rstrip() for line in file if line.strip()), maxlen=LOG_TAIL)
        return f"its log {self.log} ends with:\n" + "\n".join(f"    {line}" for line in lines)


def start_server(
    name: str, command: Sequence[str], *, port: int, health: str, log: Path, variables: Mapping[str, str]
) -> ServerProcess:
    """Start a server in a process group of its own, so that Ctrl-C reaches us alone and we stop it in good order."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=server_environment(variables),
            cwd=log.parent,
            start_new_session=True,
        )
    address = f"http://{LOOPBACK}:{port}"
    return ServerProcess(name=name, address=address, health=address + health, log=log, process=process)


def server_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server of our own: what is set for the server of another installation does not reach it."""
    others = ("PREFECT_SERVER_", "PREFECT_API_DATABASE_", "PREFECT_UI_", "PREFECT_API_URL", "PREFECT_API_AUTH_STRING")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return {**kept, **_SERVERS, **variables}


def reach_loopback_directly() -> None:
    """Have the libraries of this process go to loopback themselves, whatever proxies the environment names.

    A proxy by SOCKS that no installed library speaks is taken out: clients that read of it would not even start.
    """
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host.strip() for host in os.environ.get(name, "").split(",") if host.strip()]
        os.environ[name] = ",".join(dict.fromkeys([*hosts, LOOPBACK, "localhost"]))
    if importlib.util.find_spec("socksio") is None:
        for name in [name for name in os.environ if name.upper() in _PROXIES]:
            if os.environ[name].lower().startswith("socks"):
                del os.environ[name]


def free_port(preferred: int) -> int:
    """The preferred port of loopback, or any free one where another program has it."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise WorkFailed(f"no free port on {LOOPBACK}")


def answers(address: str, seconds: float = 5) -> bool:
    """Whether a GET of this address gives 200; asked directly, because a proxy has no business on loopback."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(address, timeout=seconds) as answer:
            return int(answer.status) == 200
    except OSError:  # also urllib's own errors
        return False
