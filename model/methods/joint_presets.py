"""Settings for bases of billions of parameters with joint attention, whose text model is Qwen3 (Z-Image, FLUX.2 klein).

Nobody has published any, and none was tuned: no published weights were at hand. What they follow from is said here.
"""

from typing import Any

LORA: dict[str, Any] = {"lora_rank": 16, "lora_alpha": 16.0, "learning_rate": 1e-4, "gradient_checkpointing": True}
"""Whole weights in float32, with gradients and AdamW's moments, take 16 bytes a parameter: 96 GB of 6 billion. Rank and
rate are those of diffusers' LoRA scripts; `lora_rank: 0, lora_alpha: 0` under a stage trains the layers themselves."""
_WORD_RATE = 1.6e-3
"""AdamW moves each number of a row by about the rate a step, so the rate goes with the spread of a row's numbers, its
norm by the root of its width. Words of Stable Diffusion 2.1 have 0.4 / sqrt(1024) = 0.0125 and the published 1e-3; the
table of Qwen3 begins with a spread of 0.02."""
_BATCH = 4
"""Half of the published batch, in twice its steps for the first two stages; the term's weights are a picture's."""
ATTNDREAMBOOTH: tuple[dict[str, Any], dict[str, Any], dict[str, Any]] = (
    {"learning_rate": _WORD_RATE, "max_train_steps": 120, "batch_size": _BATCH, "gradient_checkpointing": True},
    {"max_train_steps": 200, "batch_size": _BATCH, **LORA},
    {"max_train_steps": 500, "batch_size": _BATCH, **LORA},
)
"""The weights of the attention-map term stay the published ones: a share of the prompt's own tokens is counted as large
as in Stable Diffusion where attention is even, so they weigh as much (`model.families.family.Family.comparable`)."""
TEXTUAL_INVERSION: dict[str, Any] = {
    "learning_rate": _WORD_RATE,
    "max_train_steps": 3000,
    "batch_size": _BATCH,
    "rotation_probability": 0.0,
    "flip_probability": 0.5,
    "gradient_checkpointing": True,
}
DREAMBOOTH: dict[str, Any] = {
    "max_train_steps": 500,
    "batch_size": 1,
    "rotation_probability": 0.0,
    "flip_probability": 0.0,
    **LORA,
}
RARE_TOKEN = "q"
"""With the space before it one token of every tokenizer of this kind; "sks" is several."""
PRIOR: dict[str, Any] = {"prior_weight": 1.0, "class_images": 100}
