"""What the tests of the shipped models share: the evaluator, and one set of pictures drawn by the base."""

from collections.abc import Iterator

import pytest
import torch
from PIL import Image

from toyworld.checks import PROMPTS
from toyworld.evaluator import Judge
from toyworld.manifest import BASE, EVALUATOR
from toyworld.samples import concepts
from toyworld.sheets import draw


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small gain nothing from threads, and on a busy machine threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def judge() -> Judge:
    return Judge(EVALUATOR)


@pytest.fixture(scope="session")
def base_pictures() -> dict[str, list[Image.Image]]:
    """By super-category of the concepts: the untrained base's pictures of PROMPTS."""
    torch.manual_seed(0)
    categories = [facts.super_category for facts in concepts().values()]
    prompts = [asked.prompt(category) for category in categories for asked in PROMPTS]
    drawn = draw(prompts, BASE, seed=500, steps=12)
    return {category: drawn[i * len(PROMPTS) : (i + 1) * len(PROMPTS)] for i, category in enumerate(categories)}
