import os

import pytest
import torch
import torch.utils.deterministic

from model.runtime.numerics import deterministic


def switches() -> tuple[bool, bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )


def test_cuda_is_made_deterministic_and_left_as_before(monkeypatch):
    """The switches are torch's own and can be looked at without a GPU."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = switches()
    with pytest.raises(KeyboardInterrupt), deterministic(torch.device("cuda")):
        # With warn_only torch keeps the nondeterministic backward pass of fused attention.
        assert switches() == (True, False, False)
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8", "a base may be on the GPU without open_device"
        raise KeyboardInterrupt
    assert switches() == before
