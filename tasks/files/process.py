"""Which process does something, so that others on this machine can tell whether it still lives."""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """This process, as `is_over` wants it."""
    return {"machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid())}


def is_over(process: Mapping[str, Any]) -> bool:
    """Whether it is known to be no more; of a process elsewhere, or of something else, that is not known."""
    try:
        machine, pid, started = process["machine"], int(process["pid"]), process["started"]
    except (ValueError, TypeError, KeyError):
        return False
    return bool(started) and machine == _machine() and _started(pid) != started


def this_boot() -> dict[str, str]:
    """This machine and since when it runs, as `was_rebooted` wants it; nothing where it has no name of its own."""
    with suppress(OSError):
        if number := Path("/etc/machine-id").read_text(encoding="ascii").strip():
            return {"host": f"{socket.gethostname()} {number}", "boot": _boot()}
    return {}


def was_rebooted(before: Mapping[str, Any]) -> bool:
    """Whether what `this_boot` said then was said of this machine, which has begun anew since."""
    now = this_boot()
    return bool(now) and before.get("host") == now["host"] and before.get("boot") != now["boot"]


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _machine() -> str:
    """Two processes of one name here can see each other: the host, since when it runs, and the room for its pids."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(_boot())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _started(pid: int) -> str:
    """When a process began, by the kernel's count: a pid is used again, a pid with its beginning is not."""
    try:
        facts = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if facts[0] in "ZX" else facts[19]  # one that has ended and was not asked how is over, too
