"""A training does not hang on who watches it: Prefect's pages may go away, and `conceptbooth ui` may end."""

import fcntl
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.settings import temporary_settings

from flows.output.progress import PageReporter
from flows.server.local_api import PrefectApi, database_alone, prefect_api
from flows.server.server_process import answers
from tasks.project.settings import Settings


def settings_at(root: Path) -> Settings:
    (root / "params.yaml").touch()
    return Settings(root=root)


def progress_on_the_pages() -> list[float]:
    key = ArtifactFilterKey(any_=["watched-train-1-embedding"])  # other tests may share the database
    with get_client(sync_client=True) as client:
        return [artifact.data for artifact in client.read_artifacts(artifact_filter=ArtifactFilter(key=key))]


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrefectApi]:
    """A server over a new database, whose tables another one was about to make when it started."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    with database_alone(), ExitStack() as stopping:
        api = stopping.enter_context(prefect_api(settings_at(tmp_path)))
        assert api.server is not None
        while "waiting: another server" not in api.server.log.read_text(encoding="utf-8"):
            api.server.check_alive()
            assert not answers(api.server.health)
            time.sleep(0.1)
        assert not (tmp_path / "prefect.db").exists()
        stopping = stopping.pop_all()
    with stopping:
        yield api


def test_work_goes_on_with_one_warning_when_the_api_is_gone(api: PrefectApi) -> None:
    warnings: list[str] = []
    reporter = PageReporter(warnings.append, clock=iter(range(0, 1000, 10)).__next__)
    with temporary_settings({"api.url": api.url}):
        api.wait_until_it_answers()
        reporter.begin("watched train-1-embedding", 4, "steps")
        reporter.advance(1, "loss 0.5")
        assert progress_on_the_pages() == [25.0]
        assert api.server is not None and warnings == []
        api.server.stop()
        for done in (2, 3, 4):
            reporter.advance(done)
        reporter.end()
        reporter.begin("watched train-2-cross_attention", 4, "steps")
        reporter.advance(1)
        reporter.end()
    assert len(warnings) == 1
    assert "Prefect" in warnings[0] and "the work goes on" in warnings[0]


class Healthy(BaseHTTPRequestHandler):
    """Answers as the pages' server does when asked for its health."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize("half_written", [False, True])
def test_a_training_has_an_api_of_its_own_beside_pages_that_run_or_start(tmp_path: Path, half_written: bool) -> None:
    settings = settings_at(tmp_path)
    folder = settings.home / "ui"
    folder.mkdir(parents=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), Healthy) as pages, (folder / "lock").open("w") as lock:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        fcntl.flock(lock, fcntl.LOCK_EX)  # as `conceptbooth ui` does while it runs
        page = json.dumps([{"name": "Prefect", "address": f"http://127.0.0.1:{pages.server_port}"}])
        (folder / "addresses.json").write_text(page[:10] if half_written else page)
        with prefect_api(settings) as api:
            assert api.server is not None
            assert api.server.process.poll() is None
        pages.shutdown()
