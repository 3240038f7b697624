"""The memory of a stage: what shapes alone predict is what the training then takes, counted tensor by tensor."""

import dataclasses
from pathlib import Path

import pytest

from model.bases.parameters import modules_of
from model.bases.published_configs import write_published
from model.bases.weightless import shapes_only, weightless_base
from model.methods.presets import get_method
from model.runtime.allocations import AllocationCounter
from model.training.fitting import Forecast, ways_to_fit
from model.training.footprint import stage_footprint, usual_prompt
from model.training.train import train_stage

TOKENIZER = Path(__file__).resolve().parents[3] / "toyworld" / "base" / "tokenizer"
METHOD = get_method("attndreambooth", "toyworld")


@pytest.fixture(scope="module")
def shapes(base_folders):
    return weightless_base(base_folders["sd2"])


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Of shapes alone, by their short names."""
    folder = tmp_path_factory.mktemp("published")
    return {name: weightless_base(write_published(name, folder / name, TOKENIZER)) for name in ("sd21", "sdxl")}


def counted(base, stage, images, prompt, previous) -> int:
    """The most that a real training has in use."""
    counter = AllocationCounter()
    modules = [base.vae.encoder, base.vae.quant_conv, *modules_of(base).values()]
    counter.add(tensor for module in modules for tensor in (*module.parameters(), *module.buffers()))
    with counter:
        train_stage(base=base, stage=stage, images=images, prompt=prompt, previous=previous, seed=0)
    return counter.most


@pytest.mark.parametrize(
    ("trains", "settings"),
    [
        ("embedding", {}),
        ("cross_attention", {}),
        ("unet", {"batch_size": 8, "augmented_views": 8}),
        ("unet", {"gradient_checkpointing": True}),
        ("unet", {"lora_rank": 2, "lora_alpha": 2.0}),
        ("unet", {"class_prediction_weight": 1.0, "weight_pull": 1.0}),
        ("embedding", {"context_embedding_weight": 1.0, "context_attention_weight": 1.0}),
    ],
)
def test_what_is_predicted_is_what_a_training_takes(base, shapes, images, prompt, make_stage, trains, settings):
    stage = make_stage(trains, **settings)
    first = make_stage("embedding", max_train_steps=1)
    previous = None
    if trains != "embedding":
        previous = train_stage(base=base, stage=first, images=images, prompt=prompt, previous=None, seed=0).weights
    taken = counted(base, stage, images, prompt, previous)
    predicted = stage_footprint(shapes, stage, prompt, before=[first] if previous else []).highest
    assert predicted == pytest.approx(taken, rel=0.15)


def test_a_base_of_shapes_is_as_before(shapes, make_stage, prompt):
    names = [name for name, _ in shapes.denoiser.named_parameters()]
    stage = make_stage("unet", lora_rank=2, lora_alpha=2.0, gradient_checkpointing=True)
    once = stage_footprint(shapes, stage, prompt, autocast="bfloat16", device="cuda")
    assert once == stage_footprint(shapes, stage, prompt, autocast="bfloat16", device="cuda")
    assert [name for name, _ in shapes.denoiser.named_parameters()] == names
    assert not shapes.denoiser.is_gradient_checkpointing
    assert not any(parameter.requires_grad for parameter in shapes.denoiser.parameters())


def test_a_base_with_weights_is_no_base_of_shapes(base):
    with pytest.raises(TypeError, match="has weights"):
        shapes_only(base)


@pytest.mark.parametrize(
    ("name", "spared", "autocast", "low", "high"),
    [("sd21", False, "none", 27, 32), ("sd21", True, "none", 16.5, 21), ("sdxl", False, "bfloat16", 112, 128)],
)
def test_published_bases_take_what_was_counted_of_them(published, name, spared, autocast, low, high):
    """Stage 3 at batch 8, in GB: 29 to 32, with gradient checkpointing 18 to 21, and 122."""
    *before, stage = get_method("attndreambooth", "published").stages
    stage = dataclasses.replace(stage, gradient_checkpointing=spared)
    found = stage_footprint(
        published[name], stage, usual_prompt(METHOD), before=before, device="cuda", autocast=autocast
    )
    assert low < found.highest / 1e9 < high


def test_ways_to_fit_are_found_and_do_fit(shapes):
    looked: list[str] = []
    method, lora = (
        get_method(name, "toyworld", {"unet": {"batch_size": 16}}) for name in ("dreambooth", "dreambooth_lora")
    )
    forecast = Forecast(shapes, device="cuda", autocast="bfloat16", on_look=looked.append)
    (plain,) = forecast.stages(method)
    spared = forecast.stage(method, 0, gradient_checkpointing=True)
    one = forecast.stage(method, 0, gradient_checkpointing=True, batch_size=1)
    assert one.highest < spared.highest < plain.highest and len(looked) == 3

    (way,) = ways_to_fit(forecast, method, {}, plain.highest - 1)
    assert way.settings == "gradient_checkpointing: true (every stage)" and way.learns_the_same
    assert way.highest == spared.highest and len(looked) == 3, "what is known is not looked at again"

    limit = (one.highest + spared.highest) // 2
    smaller, other = ways_to_fit(forecast, method, {"method: dreambooth_lora": lora}, limit)
    size = int(smaller.settings.removeprefix("gradient_checkpointing: true, batch_size: ").split()[0])
    assert not smaller.learns_the_same and other.settings.startswith("method: dreambooth_lora")
    found = forecast.stage(method, 0, gradient_checkpointing=True, batch_size=size)
    assert 1 <= size < 16 and found.highest <= limit, "what is told of a batch between two is no less than it takes"
    assert found.highest == pytest.approx(smaller.highest, rel=0.1)

    assert ways_to_fit(forecast, method, {}, one.highest // 2) == []
