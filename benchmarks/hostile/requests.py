"""Whether requests at the same time get their own pictures.

Two concepts' packages of tiny models, loaded by MLflow into one process, are asked by many threads at once. Each answer
is compared, byte for byte and with its marks, with what the same request gets alone.
"""

import random
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow.pyfunc
import torch

from benchmarks.hostile.parts import Tried
from model.bases.base import load_base
from model.bases.prompt import ConceptPrompt
from model.weights.concept import ConceptWeights
from tasks.project.settings import Settings
from tasks.registry.package import write_package
from tasks.registry.training_facts import TrainingFacts
from tasks.store.store import open_store
from tests.model.tiny import write_tiny_base
from tests.tasks.finished_training import concept, project, training

CONCEPTS = ("turtle", "teapot")
PROMPTS = ("a {}", "a photo of a {} on the beach", "the {} in the snow", "a red {} in the box", "a photo of the {}")


REQUESTS, THREADS, SEED = 100, 16, 0


def attempts() -> Iterator[Tried]:
    """Ask alone, ask together, compare."""
    rng = random.Random(SEED)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        settings = project(Path(folder) / "project")
        shutil.rmtree(settings.root / "base")
        write_tiny_base(settings.root / "base")
        models = {name: packaged(settings, number, name) for number, name in enumerate(CONCEPTS)}
        requests = [
            (rng.choice(CONCEPTS), {"prompt": rng.choice(PROMPTS), "n": 1, "seed": rng.randrange(4)})
            for _ in range(REQUESTS)
        ]

        def answer(request: tuple[str, dict[str, object]]) -> object:
            try:
                return models[request[0]].predict([request[1]], params={"num_inference_steps": 1}).to_dict("records")
            except Exception as error:  # noqa: BLE001 - a request that fails is counted, and the others go on
                return repr(error)

        alone = [answer(request) for request in requests]
        with ThreadPoolExecutor(THREADS) as pool:
            together = list(pool.map(answer, requests))
    for (name, row), one, other in zip(requests, alone, together, strict=True):
        said = "its own picture" if one == other else f"another answer than alone: {str(other)[:100]}"
        yield Tried(what=f"{name}: {row['prompt']}, seed {row['seed']}", held=one == other, said=said)


def packaged(settings: Settings, number: int, name: str) -> mlflow.pyfunc.PyFuncModel:
    """A concept's package, loaded."""
    base = load_base(str(settings.root / "base"))
    word = torch.linspace(-1, 1 + number, base.text_encoders[0].width)[None] * (1 - 2 * number)
    file = settings.root / f"{name}.safetensors"
    ConceptWeights(prompt=ConceptPrompt(f"<{name}>", name), embeddings=(word,)).save(file)
    manifests = training(settings, seed=number, weights=file.read_bytes())
    record = TrainingFacts.read(open_store(settings), concept(settings, name), manifests)
    folder = settings.root / f"package-{name}"
    folder.mkdir()
    package = write_package(
        folder, settings, open_store(settings), record, run_id=str(number) * 32, model_id=f"m-{number}"
    )
    return mlflow.pyfunc.load_model(str(package))
