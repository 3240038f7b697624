"""Prefect and MLflow on PostgreSQL, as docs/operations.md sets them up; skipped where no server can be started."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from flows.server.server_process import free_port, start_server
from tests.flows.postgresql import INITDB, postgresql
from tests.tasks.finished_training import concept, project, training

pytestmark = pytest.mark.skipif(INITDB is None, reason="PostgreSQL's initdb is not here (Debian: postgresql)")


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with postgresql("prefect", "mlflow") as server:
        yield server


def test_prefect_records_many_flows_at_once(postgres, tmp_path, monkeypatch):
    port = free_port(0)
    server = start_server(
        "Prefect",
        [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"],
        port=port,
        health="/api/health",
        log=tmp_path / "prefect.log",
        variables={
            "PREFECT_HOME": str(tmp_path / "home"),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{postgres}/prefect",
        },
    )
    try:
        server.wait_until_it_answers()
        from prefect import flow, get_client, task
        from prefect.settings import temporary_settings

        @task
        def double(number: int) -> int:
            return 2 * number

        @flow(persist_result=False)
        def doubles(first: int) -> list[int]:
            return [double(number) for number in range(first, first + 5)]

        url = f"{server.address}/api"

        def run(first: int) -> list[int]:
            with temporary_settings({"api.url": url}):
                return doubles(first)

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(run, range(4))) == [[2 * n for n in range(first, first + 5)] for first in range(4)]
        with temporary_settings({"api.url": url}), get_client(sync_client=True) as client:
            runs = client.read_flow_runs()
        assert [run.state_name for run in runs] == ["Completed"] * 4
    finally:
        server.stop()


def test_mlflow_registers_the_same_training_once_whoever_comes_first(postgres, tmp_path):
    from tasks.registry.all_versions import registered_versions
    from tasks.registry.reference import CANDIDATE
    from tasks.registry.registration import register
    from tasks.registry.versions import KEY_TAG

    address = f"postgresql+psycopg2://{postgres}/mlflow"
    settings = project(tmp_path / "project", mlflow_tracking_uri=address)
    manifests = training(settings)
    first = register(settings, concept(settings), manifests)
    barrier, versions = threading.Barrier(2), []

    def again() -> None:
        barrier.wait()
        versions.append(register(settings, concept(settings), manifests).version)

    racers = [threading.Thread(target=again) for _ in range(2)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert versions == [first.version, first.version]
    [known] = registered_versions(settings)[concept(settings).name]
    assert (known.version, known.aliases, known.tags[KEY_TAG]) == (first.version, {CANDIDATE}, first.key)
