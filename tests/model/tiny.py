"""Random models in the exact shape of the real ones, small enough to train in a test."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    Dinov2Config,
    Dinov2Model,
    ViTConfig,
    ViTModel,
)

WORDS = ["a", "photo", "of", "the", "turtle", "teddy", "bear", "teapot", "in", "on", "snow", "beach", "red", "box"]
MAX_TOKENS = 16
WIDTH, WIDTH_2, POOLED = 16, 24, 12


def tiny_tokenizer(*, pad_token: str = "<|endoftext|>") -> CLIPTokenizer:
    """A CLIP tokenizer that knows WORDS as one token each and spells everything else."""
    byte_letters = sorted(_byte_alphabet())
    merges = _merges(WORDS)
    entries = [*byte_letters, *(f"{letter}</w>" for letter in byte_letters), *("".join(pair) for pair in merges)]
    entries += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {entry: number for number, entry in enumerate(entries)}
    return CLIPTokenizer(vocab=vocab, merges=merges, pad_token=pad_token, model_max_length=MAX_TOKENS)


def write_tiny_base(
    folder: Path, *, prediction_type: str = "v_prediction", pad_token: str = "<|endoftext|>", seed: int = 0
) -> Path:
    """A Stable Diffusion pipeline folder: 16 px pictures, 8x8 latents, cross-attention at 8x8 and 4x4."""
    tokenizer = tiny_tokenizer(pad_token=pad_token)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet, vae = _unet(cross_attention_dim=WIDTH), _vae()
        text_encoder = CLIPTextModel(_text_config(tokenizer))
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=_scheduler(prediction_type),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def write_tiny_xl_base(
    folder: Path, *, prediction_type: str = "epsilon", force_zeros_for_empty_prompt: bool = True, seed: int = 0
) -> Path:
    """A Stable Diffusion XL pipeline folder of the same sizes, with two text encoders of different widths."""
    first, second = tiny_tokenizer(), tiny_tokenizer(pad_token="!")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet = _unet(
            cross_attention_dim=WIDTH + WIDTH_2,
            use_linear_projection=True,
            transformer_layers_per_block=(1, 2),
            addition_embed_type="text_time",
            addition_time_embed_dim=4,
            projection_class_embeddings_input_dim=6 * 4 + POOLED,
        )
        vae = _vae(force_upcast=True)
        text_encoder = CLIPTextModel(_text_config(first))
        # Stable Diffusion XL's own configuration is one of those that call the end token 2.
        text_encoder_2 = CLIPTextModelWithProjection(
            _text_config(
                second,
                hidden_size=WIDTH_2,
                hidden_act="gelu",
                projection_dim=POOLED,
                eos_token_id=2,
                num_hidden_layers=3,
            )
        )
    pipeline = StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=text_encoder,
        text_encoder_2=text_encoder_2,
        tokenizer=first,
        tokenizer_2=second,
        unet=unet,
        scheduler=_scheduler(prediction_type),
        force_zeros_for_empty_prompt=force_zeros_for_empty_prompt,
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def write_tiny_clip(folder: Path, *, seed: int = 0) -> Path:
    """A CLIP model folder for 16 px pictures."""
    tokenizer = tiny_tokenizer()
    text, vision = (
        _text_config(tokenizer),
        CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=16,
            patch_size=8,
        ),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


def write_tiny_identity_model(folder: Path, *, kind: str = "vit", seed: int = 0) -> Path:
    """A `vit` or `dinov2` folder for 16 px pictures."""
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 16, "patch_size": 8}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if kind == "vit":
            model = ViTModel(ViTConfig(intermediate_size=32, **shape), add_pooling_layer=False)
        else:
            model = Dinov2Model(Dinov2Config(mlp_ratio=2, **shape))
    model.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


def _unet(**settings: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=2,
        norm_num_groups=4,
        **settings,
    )


def _vae(**settings: Any) -> AutoencoderKL:
    return AutoencoderKL(
        sample_size=16,
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=2,
        scaling_factor=0.5,
        **settings,
    )


def _scheduler(prediction_type: str) -> DDPMScheduler:
    return DDPMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type=prediction_type,
        clip_sample=False,
        steps_offset=1,
    )


def _text_config(tokenizer: CLIPTokenizer, **settings: Any) -> CLIPTextConfig:
    usual = {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": MAX_TOKENS,
        "projection_dim": 8,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return CLIPTextConfig(**usual | settings)


def _byte_alphabet() -> set[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    return set(ByteLevel.alphabet())


def _merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte-pair merges, learned until every word is one token."""
    spelled = [[*word[:-1], f"{word[-1]}</w>"] for word in words]
    merges = []
    while any(len(pieces) > 1 for pieces in spelled):
        pairs = Counter(pair for pieces in spelled for pair in pairwise(pieces))
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        spelled = [_merged(pieces, best) for pieces in spelled]
    return merges


def _merged(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    result: list[str] = []
    for piece in pieces:
        if result and (result[-1], piece) == pair:
            result[-1] += piece
        else:
            result.append(piece)
    return result
