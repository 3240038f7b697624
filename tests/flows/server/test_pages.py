"""Both pages: real servers of Prefect and MLflow over a project's own databases, on loopback only."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flows.server.server_process import free_port, start_server
from model.errors import WorkFailed

CONCEPTBOOTH = Path(sys.executable).parent / "conceptbooth"
PARAMS = Path(__file__).resolve().parents[3] / "params.yaml"
START_SECONDS = 200


@pytest.fixture
def taken_ports() -> Iterator[None]:
    """Another program on the usual ports."""
    with ExitStack() as others:
        for port in (4200, 5000):
            if free_port(port) == port:
                other = others.enter_context(socket.socket())
                other.bind(("127.0.0.1", port))
                other.listen()
        yield


def get(address: str) -> str:
    with urllib.request.urlopen(address, timeout=20) as answer:
        return str(answer.read().decode())


def addresses(lines: list[str]) -> dict[str, str]:
    """What was printed, by the page's name."""
    return dict(line.split() for line in lines if "http" in line)


def servers(lines: list[str]) -> dict[str, str]:
    """The servers behind the pages, by the page's name."""
    return {name: "/".join(address.split("/")[:3]) for name, address in addresses(lines).items()}


def surroundings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}


def is_open(address: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0


@pytest.mark.timeout(400)
def test_both_pages_come_up_beside_other_programs_and_go_down_together(tmp_path: Path, taken_ports: None) -> None:
    (tmp_path / "params.yaml").write_bytes(PARAMS.read_bytes())
    environment = surroundings()
    command = [str(CONCEPTBOOTH), "ui"]
    running = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        lines = [running.stdout.readline() for _ in range(4)]
        for address in addresses(lines).values():
            assert "<html" in get(address).lower()
        pages = servers(lines)
        assert set(pages) == {"Prefect", "MLflow"}
        assert all(address.startswith("http://127.0.0.1:") for address in pages.values())
        assert not {"4200", "5000"} & {address.rpartition(":")[2] for address in pages.values()}

        assert json.loads(get(pages["Prefect"] + "/ui-settings"))["api_url"] == pages["Prefect"] + "/api"
        home = tmp_path / ".conceptbooth"
        assert (home / "prefect" / "prefect.db").is_file()
        assert (home / "mlflow" / "mlflow.db").is_file()
        assert [path.name for path in tmp_path.iterdir() if path.name != "params.yaml"] == [".conceptbooth"]

        again = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
        assert again.returncode == 0
        assert servers(again.stdout.splitlines()) == pages
    finally:
        running.send_signal(signal.SIGINT)
        code = running.wait(60)
    assert code == 0
    assert not any(is_open(address) for address in pages.values())


def test_stopped_while_it_starts_it_says_that_and_nothing_of_trainings(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(PARAMS.read_bytes())
    running = subprocess.Popen(
        [str(CONCEPTBOOTH), "ui"], cwd=tmp_path, env=surroundings(), stderr=subprocess.PIPE, text=True
    )
    log = tmp_path / ".conceptbooth" / "ui" / "mlflow.log"
    while not log.exists() and running.poll() is None:
        time.sleep(0.05)
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 0
    assert said.strip().splitlines()[-1] == "stopped" and "kept" not in said


def test_servers_that_the_settings_name_are_shown_and_not_started(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(PARAMS.read_bytes())
    named = {
        "PREFECT_API_URL": "http://prefect.example:4200/api",
        "MLFLOW_TRACKING_URI": "http://u:p@mlflow.example:5000",
    }
    done = subprocess.run(
        [str(CONCEPTBOOTH), "ui"], cwd=tmp_path, env={**os.environ, **named}, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert servers(done.stdout.splitlines()) == {
        "Prefect": "http://prefect.example:4200",
        "MLflow": "http://mlflow.example:5000",
    }


def test_a_server_that_dies_takes_its_last_words_into_the_message(tmp_path: Path) -> None:
    server = start_server(
        "Some server",
        [sys.executable, "-c", "import sys; print('no database'); sys.exit(3)"],
        port=free_port(0),
        health="/health",
        log=tmp_path / "some.log",
        variables={},
    )
    with pytest.raises(WorkFailed, match=r"Some server ended with code 3; .*some\.log ends with:\n +no database"):
        server.wait_until_it_answers()


def test_stopping_a_server_stops_its_children(tmp_path: Path) -> None:
    port = free_port(0)
    parent = (
        "import subprocess, sys; "
        f"subprocess.run([sys.executable, '-m', 'http.server', '{port}', '--bind', '127.0.0.1', '-d', sys.argv[1]])"
    )
    command = [sys.executable, "-c", parent, str(tmp_path)]
    server = start_server("Files", command, port=port, health="/", log=tmp_path / "log", variables={})
    try:
        server.wait_until_it_answers()
    finally:
        server.stop()
    assert not is_open(server.address)


def test_a_taken_port_is_left_to_its_owner() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = int(other.getsockname()[1])
        assert free_port(taken) != taken
