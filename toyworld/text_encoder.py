"""The base's text encoder: the text half of a small CLIP, trained on captions against a vision half that is dropped."""

from pathlib import Path

import numpy as np
import torch
from transformers import CLIPTextModel, CLIPTokenizer

from toyworld.contrast import Pictures, build_clip, tokenize, train
from toyworld.training import Budget

SEED = 1


def train_text_encoder(
    tokenizer: CLIPTokenizer, images: np.ndarray, captions: list[str], budget: Budget, logfile: Path
) -> tuple[CLIPTextModel, int]:
    """A trained `CLIPTextModel`, and the number of pictures seen."""
    torch.manual_seed(SEED)
    clip = build_clip(tokenizer)
    seen = train(
        clip,
        Pictures(images=images, tokens=tokenize(tokenizer, captions)),
        budget,
        batch=128,
        seed=SEED,
        logfile=logfile,
    )
    return clip.text_model, seen


@torch.no_grad()
def text_states(encoder: CLIPTextModel, tokens: torch.Tensor, batch: int = 512) -> torch.Tensor:
    """What the denoiser attends to: float32 (captions, length, width)."""
    return torch.cat([encoder(tokens[i : i + batch]).last_hidden_state for i in range(0, len(tokens), batch)])
