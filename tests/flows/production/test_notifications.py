"""Who wants to know is told once about each record of the ledger, or again after a failure."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr

from flows.production.notifications import EVENT, notify_of_change
from tasks.project.settings import Settings
from tasks.store.folder_blobs import FolderBlobs
from tests.tasks.production.test_ledger import record


@contextmanager
def receiver(*answers: int) -> Iterator[tuple[str, list[dict]]]:
    """An address that answers so, then 200; and what it was sent."""
    left, bodies = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = left.pop(0) if left else 200
            if status == 200:
                bodies.append(json.loads(body))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", bodies
        server.shutdown()


def test_a_record_is_told_once_and_after_a_refusal_again(tmp_path):
    place, entry = FolderBlobs(tmp_path / "store"), record(1, "a", overridden={"git_clean": "a trial"})
    with receiver(400) as (url, bodies):
        settings = Settings(root=tmp_path, notify_url=SecretStr(url))
        problem = notify_of_change(settings, place, entry)
        assert problem is not None and problem.endswith(" answers 400")
        assert notify_of_change(settings, place, entry) is None
        assert notify_of_change(settings, place, entry) is None
        (sent,) = bodies
    assert (sent["event"], sent["concept"], sent["seq"], sent["seal"]) == (EVENT, "owl", 1, entry.seal)
    assert sent["overridden"] == {"git_clean": "a trial"}


def test_nobody_asked_and_nothing_is_noted(tmp_path):
    place = FolderBlobs(tmp_path / "store")
    assert notify_of_change(Settings(root=tmp_path), place, record(1, "a")) is None
    assert list(place.entries("announced/")) == []


def test_prefect_gets_an_event_that_automations_can_wait_for(tmp_path, prefect_url):
    import time

    import httpx

    entry = record(1, "a")
    settings = Settings(root=tmp_path, prefect_api_url=prefect_url)
    assert notify_of_change(settings, FolderBlobs(tmp_path / "store"), entry) is None
    wanted = {"filter": {"event": {"name": [EVENT]}, "order": "DESC"}}
    deadline = time.monotonic() + 60
    found: list[dict] = []
    while not found and time.monotonic() < deadline:
        found = httpx.post(f"{prefect_url}/events/filter", json=wanted).json()["events"]
        time.sleep(0.2)
    assert [(event["payload"]["seal"], event["resource"]["prefect.resource.name"]) for event in found] == [
        (entry.seal, "owl")
    ]


def test_an_event_that_prefect_does_not_take_is_told_and_sent_again(tmp_path, prefect_url):
    place, entry = FolderBlobs(tmp_path / "store"), record(1, "a")
    away = Settings(root=tmp_path, prefect_api_url="http://127.0.0.1:9/api")
    problem = notify_of_change(away, place, entry)
    assert problem is not None and problem.startswith("the event was not sent: Prefect at http://127.0.0.1:9/api: ")
    there = Settings(root=tmp_path, prefect_api_url=prefect_url)
    assert notify_of_change(there, place, entry) is None
    assert len(list(place.entries("announced/owl/"))) == 1


@pytest.fixture(autouse=True)
def _root(tmp_path) -> None:
    (tmp_path / "params.yaml").touch()
