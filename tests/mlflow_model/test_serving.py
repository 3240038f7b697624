"""A promoted version on a machine that has MLflow, the libraries and the base, and nothing of this project."""

import base64
import io
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import tasks.promotion.promotion
from flows.server.server_process import free_port, start_server
from model.bases.base import load_base
from model.drawing.sample import generate
from model.drawing.sampling_options import Sampling
from model.marks.marking import read_mark
from model.weights.concept import ConceptWeights
from tasks.production.ledger import read_ledger
from tasks.production.registry import production_model
from tasks.promotion.promotion import check_production, put_into_production
from tasks.promotion.source import find_source
from tasks.registry.reference import CHAMPION, VersionReference
from tasks.registry.training_facts import content_key
from tasks.registry.versions import model_name
from tasks.store.store import open_store
from tasks.tracking.client import connect
from tests.lineage_project import CONCEPT
from tests.tasks.finished_training import migrated_database

PROMPT = "a photo of a {} on the beach"
ROOMS = ("flows", "tasks", "model", "toyworld")
# Runs in every process of Python at its start, after the installed project has put itself on the path.
HIDE_THE_PROJECT = f"""
import importlib.util, os, sys
sys.meta_path = [finder for finder in sys.meta_path if "__editable__" not in getattr(finder, "__module__", "")]
sys.path_hooks = [hook for hook in sys.path_hooks if "__editable__" not in getattr(hook, "__module__", "")]
sys.path = [place for place in sys.path if not os.path.isfile(os.path.join(place, "flows", "cli.py"))]
if any(importlib.util.find_spec(room) for room in {ROOMS}):
    sys.stderr.write("the project is on the path\\n")
    os._exit(3)
"""
LOAD = """
import json, sys
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
loaded = mlflow.pyfunc.load_model(sys.argv[2])
table = loaded.predict(json.loads(sys.argv[3]))
ROOMS = ("model.", "flows.", "tasks.", "conceptbooth_")
ours = {f"{name}.": module.__file__ for name, module in sys.modules.items() if f"{name}.".startswith(ROOMS)}
places = {name.removeprefix(name[: name.find("model.")]).rstrip("."): place for name, place in ours.items()}
print(json.dumps({"table": table.to_dict("records"), "places": places}))
"""


@dataclass(frozen=True)
class Machine:
    """A folder far from the project, the variables of its processes, and what it loads."""

    folder: Path
    variables: dict[str, str]
    registry: str
    uri: str


@pytest.fixture(scope="module")
def machine(lineage_project, tmp_path_factory) -> Iterator[Machine]:
    """A machine on which the champion is to be served."""
    folder = tmp_path_factory.mktemp("machine")
    shutil.copyfile(migrated_database(), folder / "production.db")
    there = {
        "production_store": folder / "production",
        "production_tracking_uri": f"sqlite:///{folder}/production.db",
    }
    settings = lineage_project.settings.model_copy(update=there)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks.promotion.promotion, "smoke_test", lambda *_: (16, 16))  # what follows here tries it harder
        place, source = (
            check_production(settings),
            find_source(settings, open_store(settings), VersionReference.parse(f"{CONCEPT}/2")),
        )
        ledger = read_ledger(place, CONCEPT)
        put_into_production(settings, place, ledger, source, (), {}, reason="to be served", approved_by=None)
    shutil.copytree(settings.root / "base", folder / "base")
    (folder / "hide").mkdir()
    (folder / "hide" / "sitecustomize.py").write_text(HIDE_THE_PROJECT)
    variables = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "hide"),
        "HOME": str(folder),
        "CONCEPTBOOTH_BASE": str(folder / "base"),
        "CONCEPTBOOTH_DEVICE": "cpu",
        "MLFLOW_TRACKING_URI": settings.production_tracking_uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
    }
    uri = f"models:/{production_model(settings, CONCEPT)}@{CHAMPION}"
    yield Machine(folder, variables, settings.production_tracking_uri, uri)
    connect(lineage_project.settings).delete_registered_model_alias(model_name(CONCEPT), CHAMPION)


@pytest.fixture(scope="module")
def loaded(machine) -> dict[str, Any]:
    """What the champion draws after `load_model`, and where its code came from."""
    rows = json.dumps([{"prompt": PROMPT, "n": 2, "seed": 7}])
    done = subprocess.run(
        [sys.executable, "-P", "-c", LOAD, machine.registry, machine.uri, rows],
        cwd=machine.folder,
        env=machine.variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_champion_draws_with_its_own_code(lineage_project, machine, loaded):
    assert {"model", "model.drawing.sample"} <= loaded["places"].keys()
    release = machine.folder / "production" / "releases"
    assert all(Path(place).is_relative_to(release) for place in loaded["places"].values())
    table = loaded["table"]
    assert [row["prompt"] for row in table] == ["a photo of a <owl> turtle on the beach"] * 2
    assert [(row["seed"], row["index"]) for row in table] == [(7, 0), (7, 1)]
    last = lineage_project.last.manifests["train-3-unet"]
    weights = ConceptWeights.load(lineage_project.last.store.file(last, "concept.safetensors"))
    base = load_base(str(machine.folder / "base"))
    sampling = Sampling(guidance_scale=3.0, num_inference_steps=2, seed=7)
    (drawn,) = generate(base, weights, [weights.prompt.fill(PROMPT)], 2, sampling)
    assert [png(row["image"]).tobytes() for row in table] == [picture.tobytes() for picture in drawn]
    (machine.folder / "drawn.png").write_bytes(base64.b64decode(table[1]["image"]))
    mark = read_mark(machine.folder / "drawn.png")
    content = content_key(lineage_project.last.manifests)
    assert (mark.concept, mark.content, mark.prompt, mark.seed, mark.index) == (CONCEPT, content, PROMPT, 7, 1)


def test_mlflow_serves_the_champion_over_http(machine, loaded):
    port = free_port(5055)
    command = [
        *("env", "-i", *(f"{name}={value}" for name, value in machine.variables.items())),
        *(str(Path(sys.executable).parent / "mlflow"), "models", "serve", "--model-uri", machine.uri),
        *("--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)),
    ]
    server = start_server(
        "mlflow models serve",
        command,
        port=port,
        health="/ping",
        log=machine.folder / "serve.log",
        variables={},
    )
    try:
        server.wait_until_it_answers()
        answer = post(server.address, {"dataframe_records": [{"prompt": PROMPT, "n": 2, "seed": 7}]})
        assert answer["predictions"] == loaded["table"]
        pictures = [png(row["image"]) for row in answer["predictions"]]
        assert [(picture.format, picture.size) for picture in pictures] == [("PNG", (16, 16))] * 2
        assert pictures[0].tobytes() != pictures[1].tobytes()
        row = {"inputs": [{"prompt": PROMPT, "seed": 7}], "params": {"num_inference_steps": 1}}
        (drawn_otherwise,) = post(server.address, row)["predictions"]
        assert drawn_otherwise["image"] != loaded["table"][0]["image"]
        with pytest.raises(urllib.error.HTTPError) as refused:
            post(server.address, {"dataframe_records": [{"prompt": "a photo of a turtle"}]})
        assert refused.value.code == 400
        assert "no {} where the concept should stand" in refused.value.read().decode()
        # By what also tells the model whose client has gone; the connection may end before the client has sent it all.
        with pytest.raises(urllib.error.URLError) as too_long:
            post(server.address, {"dataframe_records": [{"prompt": PROMPT + "x" * 10_000_000}]})
        assert getattr(too_long.value, "code", 413) == 413
        places = ("in the snow", "in a box")
        rows = [{"prompt": f"a photo of a {{}} {place}", "seed": seed} for place in places for seed in range(4)]
        alone = [post(server.address, {"dataframe_records": [row]})["predictions"] for row in rows]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda row: post(server.address, {"dataframe_records": [row]}), rows * 3))
        assert [answer["predictions"] for answer in together] == alone * 3
    finally:
        server.stop()


def png(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text, validate=True)))


def post(address: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{address}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())
