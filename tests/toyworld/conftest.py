"""What the tests of the shipped models share: the evaluator, and one thread each."""

from collections.abc import Iterator

import pytest
import torch

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
