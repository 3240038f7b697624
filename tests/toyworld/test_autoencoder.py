"""The autoencoder: it learns, whitening it is exact, and the last phase spares the encoder."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from toyworld.autoencoder import Recipe, build, encode, psnr, statistics, to_tensor, train_phase, whiten
from toyworld.training import Steps
from toyworld.world import View, render

RECIPE = Recipe(channels=(8, 8, 16), batch=4)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    pieces = ("noto-owl", "noto-turtle", "fluent-teacup", "noto-robot")
    return np.stack(
        [np.asarray(render(View(piece=p, scene=s))) for p in pieces for s in ("in the snow", "in the city")]
    )


@pytest.fixture
def vae() -> AutoencoderKL:
    torch.manual_seed(0)
    return build(RECIPE)


def test_latents_are_a_quarter_of_the_picture(vae: AutoencoderKL, images: np.ndarray) -> None:
    assert encode(vae, images).shape == (8, 4, 16, 16)


@torch.no_grad()
def test_whitening_changes_the_latents_and_no_picture(vae: AutoencoderKL, images: np.ndarray) -> None:
    def decoded() -> torch.Tensor:
        return vae.decode(vae.encode(to_tensor(images)).latent_dist.mean).sample

    before, quality = decoded(), psnr(vae, images)
    whiten(vae, images, noise=0.1)
    assert torch.allclose(decoded(), before, atol=1e-3)
    assert psnr(vae, images) == pytest.approx(quality, abs=0.01)
    latents = vae.encode(to_tensor(images)).latent_dist
    facts = statistics(latents.mean)
    assert facts["std"] == pytest.approx(1, abs=0.1) and facts["channel_correlation"] < 0.1
    assert torch.allclose(latents.std, torch.full_like(latents.std, 0.1))


def test_the_first_phase_learns(vae: AutoencoderKL, images: np.ndarray, tmp_path) -> None:
    before = psnr(vae, images)
    seen = train_phase(vae, images, RECIPE, Steps(60), phase="first", logfile=tmp_path / "log")
    assert seen == 60 * RECIPE.batch and psnr(vae, images) > before + 1
    assert "vae first step 0" in (tmp_path / "log").read_text("utf-8")


def test_polishing_leaves_the_latents_alone(vae: AutoencoderKL, images: np.ndarray, tmp_path) -> None:
    latents, decoder = encode(vae, images), vae.decoder.conv_out.weight.clone()
    train_phase(vae, images, RECIPE, Steps(2), phase="polish", logfile=tmp_path / "log")
    assert torch.equal(encode(vae, images), latents)
    assert not torch.equal(vae.decoder.conv_out.weight, decoder)
