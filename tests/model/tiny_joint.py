"""Random bases with joint attention in the exact shape of published folders, small enough to train in a test.

Every parameter is drawn anew, so that none is zero or one and nothing can be left out unseen; attention is far from
even, and latents of pictures have a spread near one.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3ForCausalLM, Qwen3Model

SIDE, WIDTH, HEADS, HEAD = 64, 32, 3, 16
"""Pixels of a picture, width of the text model, attention heads of the transformer and their width."""
ROWS = 512
"""Of the embedding table: more than the tokenizer has tokens, as in Qwen3."""
END, TURN, CLOSE = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{% endif %}"
)
"""For turns of plain text the same characters as Qwen3's own."""
WORDS = (
    "a an the of on in at with and under inside photo picture painting drawing red turtle dog cat teddy bear "
    "tur tle pot teapot tea cup snow beach jungle box rain table garden next to tree sun small wooden white floor "
    "close view q user assistant"
)


def write_tiny_z_image(folder: Path, *, shard: str = "5GB", shift: float = 6.0, side: int = SIDE) -> Path:
    """A `ZImagePipeline` folder: 2 main layers, 1 refiner of each kind, Qwen3 of 4 layers; latents (4, 16, 16)."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformer = ZImageTransformer2DModel(
            in_channels=4,
            dim=HEADS * HEAD,
            n_layers=2,
            n_refiner_layers=1,
            n_heads=HEADS,
            n_kv_heads=HEADS,
            cap_feat_dim=WIDTH,
            axes_dims=[4, 6, 6],
            axes_lens=[1024, 128, 128],
        )
        vae = AutoencoderKL(**_codec(side), scaling_factor=0.3611, shift_factor=0.1159, force_upcast=True)
        text_encoder = Qwen3Model(_text_config(layers=4))
        for module in (transformer, text_encoder, vae):
            _draw(module)
        with torch.no_grad():
            _normalise(vae, spread=1 / vae.config.scaling_factor, middle=vae.config.shift_factor)
    pipeline = ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=shift),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tiny_qwen_tokenizer(),
        transformer=transformer,
    )
    pipeline.save_pretrained(folder, max_shard_size=shard)
    whole = Qwen3ForCausalLM(text_encoder.config)  # the published folder keeps the whole model, read as a Qwen3Model
    whole.model = text_encoder
    whole.tie_weights()
    for file in (folder / "text_encoder").iterdir():
        file.unlink()
    whole.save_pretrained(folder / "text_encoder", max_shard_size=shard)
    return folder


def write_tiny_klein(folder: Path, *, shard: str = "5GB", distilled: bool = False, side: int = SIDE) -> Path:
    """A `Flux2KleinPipeline` folder: 2 double and 2 single blocks, Qwen3 of 28 layers, of which a folder cannot say
    that fewer are read; latents (4, 16, 16), which the transformer reads as (16, 8, 8)."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformer = Flux2Transformer2DModel(
            in_channels=16,
            num_layers=2,
            num_single_layers=2,
            attention_head_dim=HEAD,
            num_attention_heads=HEADS,
            joint_attention_dim=3 * WIDTH,
            axes_dims_rope=(4, 4, 4, 4),
            guidance_embeds=False,
        )
        vae = AutoencoderKLFlux2(**_codec(side))
        text_encoder = Qwen3ForCausalLM(_text_config(layers=28))
        for module in (transformer, text_encoder, vae):
            _draw(module)
        with torch.no_grad():
            _normalise(vae, spread=2.0, middle=0.3)
            patches = Flux2KleinPipeline._patchify_latents(vae.encode(_noise_pictures()).latent_dist.mode())
            vae.bn.running_mean.copy_(patches.mean(dim=(0, 2, 3)))
            vae.bn.running_var.copy_(patches.var(dim=(0, 2, 3)))
    pipeline = Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tiny_qwen_tokenizer(),
        transformer=transformer,
        is_distilled=distilled,
    )
    pipeline.save_pretrained(folder, max_shard_size=shard)
    index = folder / "model_index.json"
    told = json.loads(index.read_text()) | {"tokenizer": ["transformers", "Qwen2TokenizerFast"]}  # as published
    index.write_text(json.dumps(told, indent=2) + "\n")
    return folder


def tiny_qwen_tokenizer() -> Qwen2Tokenizer:
    """A byte-level tokenizer with a chat template, its merges learned from a few words; pads on the right."""
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learned.decoder = decoders.ByteLevel()
    learned.train_from_iterator(
        [f" {word}" for word in WORDS.split()] + ["user", "assistant", "\n\n"],
        trainers.BpeTrainer(
            vocab_size=10_000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        ),
    )
    model = json.loads(learned.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=model["vocab"],
        merges=[tuple(merge) for merge in model["merges"]],
        unk_token=None,
        eos_token=CLOSE,
        pad_token=END,
        extra_special_tokens=[TURN],
        model_max_length=131_072,
        padding_side="right",
        chat_template=TEMPLATE,
    )
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in ("<think>", "</think>")])
    assert len(tokenizer) < ROWS, "some rows must stay free"
    return tokenizer


def _text_config(layers: int) -> Qwen3Config:
    """Qwen3-4B in small: grouped keys and values, heads wider than hidden / heads, output tied to the table."""
    return Qwen3Config(
        vocab_size=ROWS,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=HEAD,
        max_position_embeddings=1024,
        rope_parameters={"rope_theta": 1_000_000.0, "rope_type": "default"},
        tie_word_embeddings=True,
    )


def _codec(side: int) -> dict[str, Any]:
    """Settings of a VAE with a factor of 4."""
    return {
        "down_block_types": ["DownEncoderBlock2D"] * 3,
        "up_block_types": ["UpDecoderBlock2D"] * 3,
        "block_out_channels": [8, 16, 16],
        "layers_per_block": 1,
        "latent_channels": 4,
        "norm_num_groups": 4,
        "sample_size": side,
        "mid_block_add_attention": False,
    }


@torch.no_grad()
def _draw(module: torch.nn.Module) -> None:
    """Draw every parameter anew: matrices keep a signal's size, gains lie about one, the rest is small."""
    for name, parameter in module.named_parameters():
        noise = torch.randn_like(parameter)
        if name.endswith("pad_token") or "embed_tokens" in name:
            parameter.copy_(noise)
        elif parameter.ndim > 1:
            parameter.copy_(noise / math.sqrt(parameter[0].numel()))
        elif name.endswith("weight"):
            parameter.copy_(1 + 0.2 * noise)
        else:
            parameter.copy_(0.1 * noise)


def _noise_pictures() -> torch.Tensor:
    """Coloured noise with something of every scale in it, (16, 3, 64, 64) in -1 to 1."""
    scales = [torch.randn(16, 3, SIDE // step, SIDE // step) for step in (1, 4, 16)]
    pictures: torch.Tensor = sum(torch.nn.functional.interpolate(noise, SIDE) for noise in scales)
    return pictures.mul(0.6).tanh()


def _normalise(vae: Any, *, spread: float, middle: float) -> None:
    """Scale the ends: latents of that deviation and mean, decoded pictures of deviation 0.5."""
    latents = vae.encode(_noise_pictures()).latent_dist.mode()
    factor, channels = spread / latents.std(dim=(0, 2, 3)), latents.shape[1]
    vae.quant_conv.weight[:channels] *= factor.view(-1, 1, 1, 1)
    vae.quant_conv.bias[:channels] = (vae.quant_conv.bias[:channels] - latents.mean(dim=(0, 2, 3))) * factor + middle
    drawn = vae.decode(middle + spread * torch.randn(16, channels, SIDE // 4, SIDE // 4)).sample
    factor, last = 0.5 / drawn.std(dim=(0, 2, 3)), vae.decoder.conv_out
    last.weight *= factor.view(-1, 1, 1, 1)
    last.bias.copy_((last.bias - drawn.mean(dim=(0, 2, 3))) * factor)


JOINT = {"z-image": write_tiny_z_image, "klein": write_tiny_klein}
"""What writes a base of each family, by a short name."""
