"""The benchmark of bases runs, and its shapes are those of the real ones."""

import json
import sys

import pytest
import torch

from benchmarks import bases
from benchmarks.base_shapes import base_of, random_base
from model.bases.base import load_base
from model.bases.parameters import modules_of, parameters_of
from model.bases.tokens import tokenize
from model.diffusion.predict import predict
from model.diffusion.text_encoding import encode_text
from model.training.train import train_stage


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "millions", "latents"),
    [
        ("sd-2.1", {"unet": 866, "vae": 84, "text_encoder": 340}, (4, 64, 64)),
        ("sdxl", {"unet": 2567, "vae": 84, "text_encoder": 123, "text_encoder_2": 695}, (4, 128, 128)),
    ],
)
def test_the_shapes_are_those_of_the_real_ones(name: str, millions: dict[str, int], latents: tuple[int, ...]) -> None:
    """Without memory: on torch's meta device, which computes shapes alone."""
    base = random_base(name, torch.device("meta"))
    modules = modules_of(base) | {"vae": base.vae}
    counts = {part: sum(parameter.numel() for parameter in module.parameters()) for part, module in modules.items()}
    assert {part: round(count / 1e6) for part, count in counts.items()} == millions
    text = encode_text(base, [tokenize(base.tokenizers, "a turtle")])
    assert text.states.shape == (1, 77, base.denoiser.config.cross_attention_dim)
    noisy = torch.zeros(1, *latents, device="meta")
    assert predict(base, noisy, torch.tensor(1, device="meta"), text, base.time_ids).shape == noisy.shape
    side = base.resolution
    assert base.vae.encode(torch.zeros(1, 3, side, side, device="meta")).latent_dist.mean.shape[1:] == latents


def test_stages_and_drawing_are_measured_at_the_largest_batch_that_fits(monkeypatch, tmp_path, capsys) -> None:
    def with_little_memory(*, stage, **options):
        if stage.batch_size > 2:
            hook = options["base"].denoiser.register_forward_pre_hook(_run_out_of_memory)
        try:
            return train_stage(stage=stage, **options)
        finally:
            if stage.batch_size > 2:
                hook.remove()

    monkeypatch.setattr(bases, "train_stage", with_little_memory)
    monkeypatch.setattr(torch, "set_num_threads", lambda _count: None)
    arguments = ["--shapes", "tiny-xl", "--device", "cpu", "--batch-sizes", "4", "2", "1", "--steps", "4"]
    monkeypatch.setattr(sys, "argv", ["bases", *arguments, "--json", str(tmp_path / "figures.json")])
    bases.main()
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    stages, drawing = figures[:-1], figures[-1]
    assert [figure["work"] for figure in stages] == [f"stage '{n}'" for n in ("embedding", "cross_attention", "unet")]
    assert all((figure["batch_size"], figure["too_large"]) == (2, [4]) for figure in stages)
    assert all(figure["seconds"] > 0 and figure["gib"] > 0 for figure in figures)
    assert drawing["work"].startswith("drawing") and drawing["batch_size"] == 1
    assert "stage 'cross_attention'" in capsys.readouterr().out


def test_a_smaller_base_has_the_shape_of_stable_diffusion(monkeypatch, tmp_path) -> None:
    written = {}
    monkeypatch.setattr(bases, "base_of", lambda shape, name, _device: base_of(shape, name, torch.device("meta")))
    monkeypatch.setattr(bases, "write_base", lambda base, folder: written.update({folder: base}) or folder)
    assert bases.sd_shaped(tmp_path) == tmp_path
    base = written[tmp_path]
    counts = [sum(each.numel() for each in module.parameters()) for module in (base.denoiser, base.vae)]
    assert [round(count / 1e6) for count in counts] == [56, 84] and base.resolution == 256


def test_a_random_base_is_written_and_loads(tmp_path) -> None:
    base = random_base("tiny-xl", torch.device("cpu"))
    loaded = load_base(str(bases.write_base(base, tmp_path)))
    assert loaded.family is base.family and loaded.resolution == base.resolution
    ours, theirs = parameters_of(base), parameters_of(loaded)
    assert set(ours) == set(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_random_base_is_frozen() -> None:
    base = random_base("tiny-xl", torch.device("cpu"))
    modules = [base.denoiser, base.vae, *(encoder.model for encoder in base.text_encoders)]
    assert not any(parameter.requires_grad for module in modules for parameter in module.parameters())


def _run_out_of_memory(*_: object) -> None:
    raise torch.OutOfMemoryError  # no device that can really run out is at hand
