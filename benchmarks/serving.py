"""Whether requests at the same time get their own pictures: `python -m benchmarks.serving [--requests 100]`.

Two concepts' packages of tiny models, loaded by MLflow into one process, are asked by many threads at once. Each answer
is compared, byte for byte and with its marks, with what the same request gets alone.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow.pyfunc
import torch

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
PLACES = ("a {}", "a photo of a {} on the beach", "the {} in the snow", "a red {} in the box", "a photo of the {}")


def main() -> None:
    """Ask alone, ask together, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        settings = project(Path(folder) / "project")
        shutil.rmtree(settings.root / "base")
        write_tiny_base(settings.root / "base")
        models = [packaged(settings, number, name) for number, name in enumerate(CONCEPTS)]
        requests = [
            (rng.choice(models), {"prompt": rng.choice(PLACES), "n": 1, "seed": rng.randrange(4)})
            for _ in range(asked.requests)
        ]

        def answer(request: tuple[mlflow.pyfunc.PyFuncModel, dict[str, object]]) -> object:
            try:
                return request[0].predict([request[1]], params={"num_inference_steps": 1}).to_dict("records")
            except Exception as error:  # noqa: BLE001 - a request that fails is counted, and the others go on
                return repr(error)

        began = time.monotonic()
        alone = [answer(request) for request in requests]
        between = time.monotonic()
        with ThreadPoolExecutor(asked.threads) as pool:
            together = list(pool.map(answer, requests))
        ended = time.monotonic()
    held = sum(one == other for one, other in zip(alone, together, strict=True))
    print(
        f"{held} of {len(requests)} requests of {len(CONCEPTS)} concepts got their own picture, {asked.threads} at once"
    )
    print(f"alone, one after the other: {between - began:.1f} s; together: {ended - between:.1f} s")
    sys.exit(0 if held == len(requests) else 1)


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


if __name__ == "__main__":
    main()
