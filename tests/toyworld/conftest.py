"""What the tests of the shipped models share: the evaluator, and one set of pictures drawn by the base."""

from collections.abc import Iterator

import pytest
import torch
from PIL import Image

from toyworld.checks import draw_base
from toyworld.evaluator import Judge
from toyworld.manifest import EVALUATOR


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
    return draw_base()
