"""The judge of the second edition: a CLIPModel and a ViTModel of 128 pixels, trained apart from the base.

On other pictures, with the held-out art and combinations among them: a judge must know the things that it judges, while
the base must not.
"""

import random
from pathlib import Path

import numpy as np
from diffusers import AutoencoderKL
from transformers import CLIPTokenizer

from toyworld import evaluator as shared
from toyworld.contrast import Pictures, tokenize
from toyworld.manifest import ROOM
from toyworld.second import dataset
from toyworld.second.art import piece
from toyworld.second.captions import describe
from toyworld.training import Steps

EVALUATOR = ROOM / "evaluator-128"
JUDGED = "judged"


def load_pictures(work: Path) -> Pictures:
    """The judge's pictures. An identity is a piece in a hue, whatever its scene, style, company or asked-for colour."""
    numbers, dice = dataset.shards(work / JUDGED), random.Random("judged captions")
    views = [view for n in numbers for view in dataset.views(work / JUDGED, n)]
    # A hue that is recoloured away cannot be seen: such a picture counts for the piece as it usually is.
    things = [f"{view.piece}/{0 if view.colour else view.hue}" for view in views]
    kinds = [piece(view.piece).category for view in views]
    words = CLIPTokenizer.from_pretrained(work / "tokenizer")
    return Pictures(
        images=np.concatenate([dataset.images(work / JUDGED, n) for n in numbers]),
        tokens=tokenize(words, [describe(view, dice) for view in views]),
        identity=np.unique(things, return_inverse=True)[1],
        group=np.unique(kinds, return_inverse=True)[1],
        favoured=np.flatnonzero([piece(view.piece).held_out for view in views]),
        vae=AutoencoderKL.from_pretrained(work / "vae").requires_grad_(False),
    )


def clip_stage(work: Path, steps: int, folder: Path = EVALUATOR) -> dict[str, object]:
    """Train and save the CLIPModel."""
    words = CLIPTokenizer.from_pretrained(work / "tokenizer")
    model, seen = shared.train_clip(load_pictures(work), words, Steps(steps), work / "clip.log")
    shared.save(folder / "clip", model, words)
    return {"seed": shared.CLIP_SEED, "samples": seen, "parameters": model.num_parameters()}


def vit_stage(work: Path, steps: int, folder: Path = EVALUATOR) -> dict[str, object]:
    """Train and save the ViTModel."""
    model, seen = shared.train_vit(load_pictures(work), Steps(steps), work / "vit.log")
    shared.save(folder / "vit", model, None)
    return {"seed": shared.VIT_SEED, "samples": seen, "parameters": model.num_parameters()}
