"""The denoiser's training: it counts samples, resumes to the same step, and goes on from a milestone's weights."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from safetensors.torch import load_file

from toyworld import autoencoder
from toyworld.second import build, dataset, denoiser, milestone
from toyworld.second.captions import all_words
from toyworld.second.denoiser import CHECKPOINT, EMA, HISTORY, Span, rate, train
from toyworld.second.painter import Recipe
from toyworld.tokenizer import build as build_tokenizer

RECIPE = Recipe(channels=(16, 16, 32), heads=(1, 1, 1), text_width=16, text_layers=1, text_heads=1, batch=4, warmup=8)
SPAN = Span(until=24)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work folder as it is before the denoiser: pictures, tokenizer, a small autoencoder, latents."""
    monkeypatch.setattr(dataset, "SHARD", 6)
    monkeypatch.setattr(denoiser, "HELD_BACK", 4)
    for shard in range(2):
        dataset.render_shard(tmp_path / "world", shard)
    build_tokenizer(all_words(), entries=build.ENTRIES, length=build.LENGTH).save_pretrained(tmp_path / "tokenizer")
    torch.manual_seed(0)
    autoencoder.build(replace(build.VAE, channels=(8, 8, 8, 8))).save_pretrained(tmp_path / "vae")
    build.encode_shards(tmp_path, (0, 2), "cpu")
    build.encode_shards(tmp_path, (1, 2), "cpu")
    return tmp_path


def fresh(work: Path) -> None:
    for name in (CHECKPOINT, EMA, HISTORY):
        (work / name).unlink(missing_ok=True)


def weights(work: Path) -> dict[str, torch.Tensor]:
    return load_file(work / CHECKPOINT)


def test_latents_are_those_of_the_shards_that_are_there(work: Path) -> None:
    latents, views = denoiser.load_latents(work)
    assert latents.shape == (12, 8, 16, 16) and latents.dtype == torch.float16 and len(views) == 12
    model = AutoencoderKL.from_pretrained(work / "vae")
    again = autoencoder.encode(model, dataset.images(work / "world", 1)) * model.config.scaling_factor
    assert torch.allclose(latents[6:].float(), again, atol=0.02)
    dataset.render_shard(work / "world", 2)
    build.encode_shards(work, (0, 1), "cpu")
    assert len(denoiser.load_latents(work)[1]) == 18, "shards that were rendered later are picked up"


def test_no_latents_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run the stage latents first"):
        denoiser.load_latents(tmp_path)


def test_a_stopped_training_takes_the_same_steps(work: Path) -> None:
    assert train(work, RECIPE, SPAN) == 24
    through = weights(work)
    fresh(work)
    assert train(work, RECIPE, replace(SPAN, until=12)) == 12
    assert train(work, RECIPE, SPAN) == 24
    resumed = weights(work)
    assert int(resumed["step"]) == 6 and int(resumed["samples"]) == 24
    for name, value in through.items():
        assert name == "spent" or torch.equal(value, resumed[name]), name
    rows = [json.loads(line) for line in (work / HISTORY).read_text("utf-8").splitlines()]
    assert [row["samples"] for row in rows] == [12, 24] and all(0 < row["validation"] < 5 for row in rows)
    assert denoiser.facts(work, RECIPE)["samples"] == 24


def test_text_encoder_and_denoiser_learn_together(work: Path) -> None:
    train(work, RECIPE, replace(SPAN, until=4))
    before = weights(work)
    train(work, RECIPE, replace(SPAN, until=8))
    after = weights(work)
    for part in ("now.text.", "now.unet.", "ema.text.", "ema.unet."):
        assert any(not torch.equal(before[k], after[k]) for k in before if k.startswith(part)), part


def test_two_processes_take_the_same_steps_and_stop_on_a_signal(work: Path) -> None:
    code = "import torch; from pathlib import Path; from toyworld.second import denoiser\n"
    code += "from toyworld.second.denoiser import Recipe, Span, train\ndenoiser.HELD_BACK = 4\n"
    code += f"span = Span(until=10**9, checkpoint_seconds=0); recipe = {RECIPE!r}\n"
    code += f"train(Path({str(work)!r}), recipe, span, rank={{}}, world=2, port=29641)"
    running = [
        subprocess.Popen([sys.executable, "-c", code.format(k)], stdout=subprocess.PIPE, text=True) for k in range(2)
    ]
    try:
        first = running[0].stdout
        assert first is not None
        while "kept: step 3 " not in first.readline():
            assert running[0].poll() is None
        running[0].terminate()
        assert [process.wait(timeout=60) for process in running] == [0, 0]
    finally:
        for process in running:
            process.kill()
    kept = weights(work)
    assert int(kept["samples"]) == 4 * int(kept["step"]) >= 12
    assert all(value.isfinite().all() for value in kept.values() if value.is_floating_point())


def test_rates_rise_after_each_beginning_and_fall_in_a_cooldown() -> None:
    recipe = replace(RECIPE, warmup=100)
    plain, cooled = Span(until=1000), Span(until=1000, cooldown=400)
    assert [rate(seen, 0, recipe, plain) for seen in (0, 50, 100, 999)] == [0.02, 0.5, 1, 1]
    assert [rate(seen, 500, recipe, plain) for seen in (500, 550, 600)] == [0.02, 0.5, 1]
    assert [rate(seen, 0, recipe, cooled) for seen in (600, 800, 1000)] == [1, 0.5, 0]


def test_a_milestone_is_a_pipeline_and_training_goes_on_from_it(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toyworld.second.painter.Recipe", lambda: RECIPE)
    train(work, RECIPE, replace(SPAN, until=12))
    folder = work / "base"
    facts = milestone.assemble(work, folder, work / "manifest.json")
    assert facts["samples"] == milestone.stage("unet", work / "manifest.json")["samples"] == 12
    kept = json.loads((work / "manifest.json").read_text("utf-8"))
    assert kept["stages"]["unet"]["history"][-1]["samples"] == 12 and "base/unet/config.json" in kept["files"]
    pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline("a photo of a beagle dog", num_inference_steps=2, guidance_scale=3.0).images[0]
    assert drawn.size == (128, 128) and pipeline.tokenizer.model_max_length == 77
    averaged = load_file(work / EMA)
    assert torch.allclose(pipeline.unet.conv_in.weight, averaged["unet.conv_in.weight"], atol=1e-3)

    fresh(work)  # a fresh clone has the milestone and no checkpoint
    assert train(work, RECIPE, replace(SPAN, until=16), milestone=(folder, 12)) == 16
    onward = weights(work)
    assert int(onward["since"]) == 12 and int(onward["step"]) == 4
    close = torch.allclose(onward["ema.unet.conv_in.weight"], averaged["unet.conv_in.weight"], atol=0.02)
    assert close, "it goes on from the milestone's weights, not from new ones"


@pytest.mark.parametrize(
    ("words", "said"), [(["bake"], "unknown stages ['bake']"), (["art", "--device", "tpu"], "--device tpu")]
)
def test_the_command_names_unknown_stages_and_devices(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["build", *words, "--work", str(tmp_path / "work")])
    with pytest.raises(SystemExit) as stopped:
        build.main()
    assert stopped.value.code == 2 and said in capsys.readouterr().err
    assert not (tmp_path / "work").exists(), "refused before work starts"


def test_the_autoencoder_alone_is_a_milestone(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, said = work / "base", {"samples": 7, "psnr": 27.4}
    (work / "facts").mkdir()
    (work / "facts" / "vae.json").write_text(json.dumps(said), "utf-8")
    milestone.keep_autoencoder(work, kept, work / "manifest.json")
    assert set(json.loads((work / "manifest.json").read_text("utf-8"))["files"]) == {
        "base/vae/config.json",
        "base/vae/diffusion_pytorch_model.safetensors",
    }
    monkeypatch.setattr(milestone, "BASE", kept)
    monkeypatch.setattr(milestone, "MANIFEST", work / "manifest.json")
    fresh_clone = build.Options(work=work / "clone")
    assert fresh_clone.milestone is None, "the denoiser begins from nothing"
    assert build.vae(fresh_clone) == said
    again, first = (AutoencoderKL.from_pretrained(folder / "vae") for folder in (work / "clone", work))
    assert torch.allclose(again.quant_conv.weight, first.quant_conv.weight, atol=1e-3)
