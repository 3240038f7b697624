"""MLflow's own server, with a model that works until it is told that nobody waits."""

import json
import socket
import threading
import time
from collections.abc import Iterator

import fastapi
import mlflow.pyfunc
import pytest
import uvicorn
from mlflow.pyfunc import scoring_server

from flows.server.server_process import free_port
from model.serving.clients import watch_clients

MODEL = """
import time
from pathlib import Path
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from model.serving.clients import ClientGone, check_client

class Slow(PythonModel):
    def predict(self, context, model_input, params=None):
        (prompt,) = model_input["prompt"]
        until = time.monotonic() + (20 if prompt.startswith("slow") else 0)
        with Path(__file__).with_name("log").open("a") as log:
            print(prompt, "began", file=log, flush=True)
            try:
                while time.monotonic() < until:
                    check_client()
                    time.sleep(0.02)
                print(prompt, "done", file=log)
            except ClientGone:
                print(prompt, "stopped", file=log)
        return pd.DataFrame({"prompt": [prompt]})

set_model(Slow())
"""
MOST_BYTES = 100_000


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[tuple[int, "Log"]]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "slow.py").write_text(MODEL)
    mlflow.pyfunc.save_model(
        path=str(folder / "model"), python_model=str(folder / "slow.py"), pip_requirements=["mlflow"]
    )
    plain = fastapi.FastAPI
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", "3")
        watch_clients(MOST_BYTES)
        app = scoring_server.init(mlflow.pyfunc.load_model(str(folder / "model")))
    assert fastapi.FastAPI is plain
    port = free_port(5070)
    running = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.02)
    yield port, Log(next(folder.rglob("model/log"), folder / "model" / "log"))
    running.should_exit = True
    thread.join(10)


class Log:
    """What the model has written so far."""

    def __init__(self, file) -> None:
        self._file = file

    def wait_for(self, line: str, seconds: float = 2.5) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._file.exists() and line in self._file.read_text().splitlines():
                return True
            time.sleep(0.02)
        return False


def asked(port: int, prompt: str) -> socket.socket:
    body = json.dumps({"dataframe_records": [{"prompt": prompt}]}).encode()
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(head.encode() + b"\r\n\r\n" + body)
    return connection


def test_a_client_that_stays_is_answered(server):
    port, log = server
    with asked(port, "quick") as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    assert log.wait_for("quick done")


def test_work_stops_when_its_client_has_gone_and_goes_on_for_the_others(server):
    port, log = server
    with asked(port, "slow and hung up") as leaves, asked(port, "slow and patient"):
        assert log.wait_for("slow and hung up began")
        assert log.wait_for("slow and patient began")
        leaves.close()
        assert log.wait_for("slow and hung up stopped", 2)
        assert not log.wait_for("slow and patient stopped", 0.1)


def test_work_stops_when_the_server_has_answered_for_it(server):
    port, log = server
    with asked(port, "slow and timed out") as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 504")
        assert log.wait_for("slow and timed out stopped")


def test_a_body_beyond_all_bounds_is_not_read(server):
    port, _ = server
    with asked(port, "x" * 10 * MOST_BYTES) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")
    with asked(port, "quick again") as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
