"""A PostgreSQL server for tests, where one can be started."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.server.server_process import free_port

_FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
INITDB = shutil.which("initdb") or (str(_FOUND[-1]) if _FOUND else None)


@contextmanager
def postgresql(*databases: str) -> Iterator[str]:
    """user@host:port of a server with these databases, as long as the block runs."""
    assert INITDB is not None
    binaries, port = Path(INITDB).resolve().parent, free_port(0)
    folder = Path(tempfile.mkdtemp(prefix="conceptbooth-postgres-"))  # pytest's folders are closed to other users
    owner = "nobody" if os.getuid() == 0 else None  # it refuses to run as root, which tests in a container often are
    if owner:
        shutil.chown(folder, owner)

    def run(*command: str) -> None:
        done = subprocess.run(command, user=owner, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + done.stdout

    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    run(str(binaries / "initdb"), "-D", f"{folder}/data", "-U", "tester", "--auth=trust", "-E", "UTF8", "--no-sync")
    control = (str(binaries / "pg_ctl"), "-D", f"{folder}/data", "-w")
    run(*control, "-l", f"{folder}/log", "-o", options, "start")
    try:
        for name in databases:
            run(str(binaries / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "tester", name)
        yield f"tester@127.0.0.1:{port}"
    finally:
        run(*control, "-m", "immediate", "stop")
        shutil.rmtree(folder)
