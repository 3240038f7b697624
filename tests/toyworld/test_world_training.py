"""The training tools: schedule, averages, Muon, and a denoiser's training that resumes where it stopped."""

import time
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import nn

from toyworld import denoiser
from toyworld.muon import optimisers, orthogonalise
from toyworld.training import Average, optimiser_tensors, rate_factor, restore_optimisers


def test_rates_warm_up_stay_and_fall_to_nothing() -> None:
    factors = [rate_factor(share) for share in (0, 0.005, 0.01, 0.5, 0.65, 0.825, 1)]
    assert factors[:2] == [0.02, 0.5] and factors[2:5] == [1, 1, 1]
    assert factors[5] == pytest.approx(0.5) and factors[6] == 0


def test_orthogonalise_brings_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((16, 16), (8, 40), (40, 8)):
        matrix = torch.randn(shape) @ torch.diag(torch.logspace(0, -1, shape[1]))
        values = torch.linalg.svdvals(orthogonalise(matrix))
        assert values.min() > 0.3 and values.max() < 1.3
        assert torch.allclose(orthogonalise(matrix.T), orthogonalise(matrix).T, atol=1e-3)


def test_average_follows_the_weights() -> None:
    module = nn.Linear(2, 2)
    average = Average(module, decay=0.5)
    nn.init.constant_(module.weight, 3.0)
    for _ in range(40):
        average.update(module)
    assert torch.allclose(average.weights["weight"], torch.full((2, 2), 3.0), atol=1e-4)


def test_optimisers_restore_exactly() -> None:
    def step(module: nn.Module, pair: list[torch.optim.Optimizer]) -> None:
        module(torch.ones(3, 4)).square().sum().backward()
        for optimiser in pair:
            optimiser.step()
            optimiser.zero_grad()

    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 2))
    pair = optimisers(module, muon_lr=1e-2, adam_lr=1e-2)
    step(module, pair)
    twin = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 2))
    twin.load_state_dict(module.state_dict())
    other = optimisers(twin, muon_lr=1e-2, adam_lr=1e-2)
    restore_optimisers(other, optimiser_tensors(pair))
    step(module, pair)
    step(twin, other)
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), twin.parameters(), strict=True))


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with latents that a caption fully decides, and a denoiser small enough for seconds."""

    def small(recipe: denoiser.Recipe, latent_channels: int, text_width: int) -> UNet2DConditionModel:
        return UNet2DConditionModel(
            sample_size=16, in_channels=latent_channels, out_channels=latent_channels, block_out_channels=(16, 16),
            layers_per_block=1, cross_attention_dim=text_width, attention_head_dim=1, norm_num_groups=8,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        )  # fmt: skip

    monkeypatch.setattr(denoiser, "build", small)
    torch.manual_seed(0)
    patterns = torch.randn(3, 4, 1, 1).expand(3, 4, 16, 16)
    caption = torch.randint(0, 3, (1200,))
    tensors = {"latents": patterns[caption].contiguous(), "states": torch.randn(3, 5, 8), "caption": caption}
    save_file(tensors, tmp_path / "latents.safetensors")
    return tmp_path


def test_the_velocity_is_learned(tiny: Path) -> None:
    data, generator = load_file(tiny / "latents.safetensors"), torch.Generator().manual_seed(0)
    unet, schedule = denoiser.build(denoiser.Recipe(), 4, 8), denoiser.scheduler()
    pair = optimisers(unet, muon_lr=2e-3, adam_lr=2e-3)
    losses = []
    for _ in range(40):
        rows = torch.randint(0, len(data["latents"]), (16,), generator=generator)
        states = data["states"][data["caption"][rows]]
        loss = denoiser.velocity_loss(unet, schedule, data["latents"][rows], states, generator)
        loss.backward()
        for optimiser in pair:
            optimiser.step()
            optimiser.zero_grad()
        losses.append(float(loss.detach()))
    assert sum(losses[-8:]) < 0.6 * sum(losses[:8])


def test_training_stops_on_time_and_resumes(tiny: Path) -> None:
    recipe = denoiser.Recipe(batch=16)
    denoiser.train(tiny, recipe, rank=0, world=1, until=time.time() + 4, port=29631)
    first = denoiser.facts(tiny, recipe)
    assert first["samples"] == first["steps"] * 16 > 0
    assert 0 < first["validation_loss"] < 2
    weights = load_file(tiny / "unet-ema.safetensors")
    denoiser.train(tiny, recipe, rank=0, world=1, until=time.time() + 2, port=29632)
    second = denoiser.facts(tiny, recipe)
    assert second["steps"] > first["steps"] and second["training_seconds"] >= first["training_seconds"]
    moved = load_file(tiny / "unet-ema.safetensors")
    assert set(moved) == set(weights) and any(not torch.equal(moved[k], weights[k]) for k in weights)
