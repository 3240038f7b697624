"""Methods on a base with joint attention: what each stage trains, resuming, drawing, and LoRAs that others load."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from PIL import Image

from model.bases.base import load_base
from model.bases.prompt import ConceptPrompt
from model.bases.tokens import tokenize
from model.diffusion.text_encoding import encode_nothing, encode_text
from model.drawing.attention_maps import attention_maps
from model.drawing.sample import denoise, generate, initial_noise
from model.drawing.sampling_options import Sampling
from model.errors import InputError
from model.exports.diffusers_pipeline import concept_pipeline
from model.exports.low_rank import as_diffusers_saves, low_rank, of_one_rank
from model.methods.presets import get_method
from model.training.checkpoint import Checkpoints
from model.training.checkpoint_interval import CheckpointInterval
from model.training.train import train_stage
from model.weights.concept import ConceptWeights
from model.weights.lora import DOWN, UP, lora_layers
from tests.model.comfyui_names import comfyui_place
from tests.model.tiny_joint import SIDE

SAMPLING = Sampling(num_inference_steps=3, guidance_scale=4.0)
PROMPT = ConceptPrompt("<v>", "teddy bear")
LORA = {"lora_rank": 2, "lora_alpha": 4.0}
TRAINED = {
    "Z-Image": (
        {f"layers.{n}.attention.{layer}" for n in (0, 1) for layer in ("to_q", "to_k", "to_v", "to_out.0")},
        {
            f"{blocks}.*.{layer}"
            for blocks in ("layers", "noise_refiner", "context_refiner")
            for layer in (
                *("attention.to_q", "attention.to_k", "attention.to_v", "attention.to_out.0"),
                *("feed_forward.w1", "feed_forward.w2", "feed_forward.w3"),
            )
        },
    ),
    "FLUX.2 klein": (
        {
            f"transformer_blocks.{n}.attn.{layer}"
            for n in (0, 1)
            for layer in ("to_q", "add_k_proj", "add_v_proj", "to_out.0")
        },
        {
            *("single_transformer_blocks.*.attn.to_qkv_mlp_proj", "single_transformer_blocks.*.attn.to_out"),
            *(f"transformer_blocks.*.attn.{layer}" for layer in ("to_q", "to_k", "to_v", "to_out.0")),
            *(
                f"transformer_blocks.*.attn.{layer}"
                for layer in ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
            ),
            *(f"transformer_blocks.*.{part}.linear_{end}" for part in ("ff", "ff_context") for end in ("in", "out")),
        },
    ),
}
"""By family what stage 2 trains, and the kinds of layers that get a LoRA in stage 3."""


@pytest.fixture(scope="module")
def base(joint_base):
    return joint_base


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)) for _ in range(2)]


@pytest.fixture(scope="module")
def train(base, pictures):
    def run(stage, previous=None, **options):
        settings = {"base": base, "images": pictures, "prompt": PROMPT, "seed": 0} | options
        return train_stage(stage=stage, previous=previous, **settings)

    return run


@pytest.fixture(scope="module")
def stages(train, make_stage):
    """What the three stages leave, the last two as LoRAs."""
    first = train(make_stage("embedding", learning_rate=0.1)).weights
    second = train(make_stage("cross_attention", learning_rate=0.05, **LORA), first).weights
    third = train(make_stage("unet", learning_rate=0.05, **LORA), second).weights
    return first, second, third


def test_what_each_stage_trains(base, stages):
    first, second, third = stages
    (row,) = first.embeddings
    assert not first.lora and not first.changed
    assert torch.equal(row, second.embeddings[0]) and torch.equal(row, third.embeddings[0])
    trained, adapted = TRAINED[base.family.name]
    assert {name.rpartition(".lora_")[0].removeprefix("transformer.") for name in second.lora} == trained
    found = {re.sub(r"\.\d+\.", ".*.", name.rpartition(".lora_")[0]) for name in third.lora}
    assert found == {f"transformer.{layer}" for layer in adapted}
    assert all(tensor.abs().sum() > 0 for tensor in third.lora.values()), "all of them learn"
    assert not any(parameter.requires_grad for parameter in base.denoiser.parameters())


def test_whole_weights_by_option(base, train, make_stage, stages):
    second = train(make_stage("cross_attention"), stages[0]).weights
    assert set(second.changed) == {f"transformer.{layer}.weight" for layer in TRAINED[base.family.name][0]}
    third = train(make_stage("unet"), second).weights
    assert len(third.changed) == len(list(base.denoiser.parameters()))
    assert third.touched == set(third.changed)


@pytest.mark.parametrize("trains", ["embedding", "unet"])
def test_a_stage_goes_on_bitwise_where_it_was_stopped(train, make_stage, stages, tmp_path, trains):
    settings = {} if trains == "embedding" else LORA
    stage = make_stage(trains, max_train_steps=3, gradient_checkpointing=trains == "unet", **settings)
    previous = None if trains == "embedding" else stages[1]
    whole = train(stage, previous).weights

    def checkpoints():
        every = CheckpointInterval(steps=1)
        return Checkpoints(tmp_path, identity="x", every=every, warn=pytest.fail)

    def stop(step):
        if step.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(stage, previous, checkpoints=checkpoints(), on_step=stop)
    again = train(stage, previous, checkpoints=checkpoints()).weights
    assert torch.equal(again.embeddings[0], whole.embeddings[0])
    assert again.lora.keys() == whole.lora.keys()
    assert all(torch.equal(again.lora[name], tensor) for name, tensor in whole.lora.items())


def test_weights_come_back_from_their_file_and_draw(base, stages, tmp_path):
    stages[2].save(tmp_path / "concept.safetensors")
    loaded = ConceptWeights.load(tmp_path / "concept.safetensors")
    [[drawn]] = generate(base, loaded, [PROMPT.text], 1, SAMPLING)
    [[plain]] = generate(base, None, [PROMPT.class_text], 1, SAMPLING)
    assert drawn.size == plain.size == (SIDE, SIDE) and drawn.tobytes() != plain.tobytes()
    maps = attention_maps(base, loaded, SAMPLING, word="photo")
    assert maps.image.tobytes() == drawn.tobytes()
    for each in (maps.placeholder, maps.super_category, maps.word):
        assert each.shape == base.latent_shape[1:] and each.max() == 1 and each.min() == 0


@torch.no_grad()
def latents(base, weights):
    text = encode_text(base, [tokenize(base.tokenizers, PROMPT.text, PROMPT)], weights.embeddings)
    with weights.applied(base):
        return denoise(base, initial_noise(base, 7, 0), text, encode_nothing(base), SAMPLING)


def drawn_by(base, pipeline):
    """Latents in the denoiser's scale."""
    pipeline.set_progress_bar_config(disable=True)
    options = {"height": SIDE, "width": SIDE, "output_type": "latent", "num_inference_steps": 3}
    guidance = base.family.pipeline_guidance(SAMPLING.guidance_scale)
    found = pipeline(prompt=PROMPT.text, latents=initial_noise(base, 7, 0), guidance_scale=guidance, **options).images
    return found if found.shape[1:] == base.latent_shape else base.family.normalised(base.vae, found)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_an_exported_pipeline_draws_what_we_draw(joint_folder, base, stages, tmp_path):
    wanted = latents(base, stages[2])
    concept_pipeline(load_base(str(joint_folder)), stages[2]).save_pretrained(tmp_path)
    close(drawn_by(base, base.family.pipeline_class.from_pretrained(tmp_path)), wanted)


def test_a_lora_that_diffusers_loads_draws_what_we_draw(joint_folder, base, stages, tmp_path):
    """What was loaded is compared name by name: a loader that knows no name loads nothing and only logs."""
    weights = stages[2]
    found = low_rank(base, weights)
    assert found.relative == 0
    base.family.pipeline_class.save_lora_weights(tmp_path, **as_diffusers_saves(found.layers))
    pipeline = base.family.pipeline_class.from_pretrained(joint_folder)
    pipeline.load_lora_weights(tmp_path)
    loaded = {
        f"transformer.{name.replace('.default_0', '').replace('.default', '')}": parameter
        for name, parameter in pipeline.transformer.named_parameters()
        if ".lora_" in name
    }
    wanted = of_one_rank(found.layers)
    assert loaded.keys() == wanted.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in wanted.items())
    scales = {
        layer.scaling[name]
        for layer in pipeline.transformer.modules()
        if hasattr(layer, "scaling")
        for name in layer.scaling
    }
    assert scales == {1.0}, "alpha is the rank"
    assert all(name.endswith((DOWN, UP)) and name.startswith("transformer.") for name in wanted), "without alphas"
    for layer in lora_layers(wanted):
        comfyui_place(base.family.name, layer.removeprefix("transformer."))
    card = [*base.family.usage_imports, *base.family.word_usage(base.family.text[0], "<v>")]
    exec("\n".join(card), {"pipeline": pipeline, "embeddings": {"qwen3_4b": weights.embeddings[0]}})
    close(drawn_by(base, pipeline), latents(base, weights))


def test_every_method_takes_a_step(base, pictures, train):
    for name in (
        "attndreambooth",
        "textual_inversion",
        "dreambooth",
        "core",
        "dti",
        "attndreambooth_dop",
        "dreambooth_prior",
    ):
        method = get_method(name, "published" if name == "core" else "joint_attention")
        prompt, previous = dataclasses.replace(PROMPT, names_category=method.names_category), None
        for stage in method.stages:
            short = {"max_train_steps": 2 if stage.norm_kept_until else 1, "batch_size": 2, "augmented_views": 2}
            short |= {"class_images": 2} if stage.class_images else {}
            short |= {"norm_kept_from": 1, "norm_kept_until": 2} if stage.norm_kept_until else {}
            stage = dataclasses.replace(stage, **short)
            class_images = pictures if stage.class_images else ()
            trained = train(stage, previous, prompt=prompt, class_images=class_images)
            previous = trained.weights
            assert np.isfinite(trained.curve[-1].loss), name


def test_a_language_model_is_not_trained(train, make_stage, stages):
    with pytest.raises(InputError, match=r"train_text_encoder = true: the text model of .* is a language model"):
        train(make_stage("unet", train_text_encoder=True), stages[1])


def test_a_lora_of_layers_that_the_base_has_not_is_refused(base, stages):
    other = {name.replace(".attn", ".attn1").replace(".attention", ".attn"): t for name, t in stages[2].lora.items()}
    with pytest.raises(InputError, match=r"parameter transformer\..* does not fit base model"):
        generate(base, dataclasses.replace(stages[2], lora=other), [PROMPT.text], 1, SAMPLING)
