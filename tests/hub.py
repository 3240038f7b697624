"""A hub on this machine: it gives the files of folders as the Hugging Face hub gives those of repositories."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

COMMIT = "c" * 40
"""Of every repository."""


@contextmanager
def hub(repositories: Mapping[str, Path]) -> Iterator[tuple[str, set[str]]]:
    """Its address, and the files (`owner/name/path`) that were fetched from it so far."""
    fetched: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(self.path.split("?")[0]).strip("/")
            if path.startswith("api/models/"):
                owner, name, *asked = path.removeprefix("api/models/").split("/")
                folder = repositories.get(f"{owner}/{name}") if asked[-1] == COMMIT else None
                about = _tree(folder) if folder and asked[0] == "tree" else {"id": f"{owner}/{name}", "sha": COMMIT}
                self._answer(200 if folder else 404, json.dumps(about).encode(), {"Content-Type": "application/json"})
                return
            model, _, name = path.partition(f"/resolve/{COMMIT}/")
            file = repositories[model] / name if model in repositories else None
            if file is None or not file.is_file():
                self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
                return
            if self.command == "GET":
                fetched.add(f"{model}/{name}")
            content = file.read_bytes()
            self._answer(200, content, {"ETag": f'"{_digest(file)}"', "X-Repo-Commit": COMMIT})

        def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in (headers | {"Content-Length": str(len(content))}).items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", fetched
        finally:
            server.shutdown()


def _tree(folder: Path) -> list[dict[str, Any]]:
    """Its files, as the hub lists them."""
    return [
        {"type": "file", "path": file.relative_to(folder).as_posix(), "size": file.stat().st_size, "oid": _digest(file)}
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    ]


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
