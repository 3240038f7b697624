"""CLIP-I and CLIP-T: how much pictures look like the concept's images, and how much they show what was asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPModel

from model.base_files import ModelSource, model_source
from model.bootstrap import bootstrap_interval
from model.errors import InputError
from model.interval import Interval
from model.pretrained import fetch, first_line, load_frozen
from model.quiet import quiet_libraries
from model.tokens import load_tokenizer

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

_HUB_FILES = [
    "config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
]
_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class PromptScores:
    """The scores of one prompt's pictures."""

    prompt: str
    clip_i: Interval
    clip_t: Interval
    pictures: Mapping[str, Sequence[float]]
    """Of each score the value of every picture, in the pictures' order: what a comparison needs (`model.bootstrap`)."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How good a concept's pictures are, overall and for each prompt."""

    clip_i: Interval
    """Mean cosine of CLIP's image embeddings over all pairs of a generated and an instance image."""
    clip_t: Interval
    """Mean cosine of a generated image's and its prompt's embedding, the placeholder taken out of the prompt."""
    images_per_prompt: int
    prompts: tuple[PromptScores, ...]

    def to_dict(self) -> dict[str, Any]:
        """The scores as plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class ClipScorer:
    """A CLIP model that scores pictures; any transformers `CLIPModel` with its tokenizer and image processor."""

    source: ModelSource
    model: CLIPModel
    tokenizer: CLIPTokenizer
    image_processor: CLIPImageProcessorPil
    device: torch.device

    @classmethod
    def load(cls, reference: str, revision: str | None = None, *, device: torch.device | str = "cpu") -> ClipScorer:
        """Load from a folder, or from the hub at a 40-digit commit. Raises InputError if it is no CLIP model."""
        source = model_source(reference, revision, what="evaluator")
        folder = fetch(source, _HUB_FILES)
        what = f"evaluator '{reference}'"
        _check_clip_folder(folder, what)
        model = load_frozen(CLIPModel, folder, f"{what}:", device)
        tokenizer = load_tokenizer(folder, what)
        tokenizer.model_max_length = min(tokenizer.model_max_length, model.config.text_config.max_position_embeddings)
        try:
            with quiet_libraries():
                image_processor = CLIPImageProcessorPil.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise InputError(f"{what}: its image processor cannot be loaded ({first_line(error)})") from error
        return cls(
            source=source,
            model=model,
            tokenizer=tokenizer,
            image_processor=image_processor,
            device=torch.device(device),
        )

    def clip_scores(
        self,
        generated: Sequence[Sequence[Image.Image]],
        instance_images: Sequence[Image.Image],
        prompts_without_placeholder: Sequence[str],
    ) -> Scores:
        """CLIP-I and CLIP-T of generated pictures, a list for each prompt, all lists of one length.

        As in Textual Inversion's evaluation (arXiv 2208.01618): cosines of CLIP embeddings, for CLIP-I over all pairs
        of generated and instance images. Intervals resample prompts, and pictures within each
        (`bootstrap_interval`). The order of pictures and prompts does not matter.

        Raises InputError without pictures, for lists that do not match, and for prompts too long.
        """
        counts = {len(pictures) for pictures in generated}
        if len(generated) != len(prompts_without_placeholder) or len(counts) != 1 or 0 in counts or not instance_images:
            raise InputError(
                f"scores need instance images ({len(instance_images)} given) and for each of the "
                f"{len(prompts_without_placeholder)} prompts the same number of pictures "
                f"(given: {[len(pictures) for pictures in generated]})"
            )
        count = counts.pop()
        text = self.embed_text(prompts_without_placeholder)  # (prompts, width)
        instance = self.embed_images(instance_images)  # (instance images, width)
        flat = self.embed_images([picture for pictures in generated for picture in pictures])
        pictures = flat.unflatten(0, (len(generated), count))  # (prompts, pictures, width)
        clip_i = (pictures @ instance.T).mean(dim=-1).cpu().double().numpy()  # (prompts, pictures); MPS has no doubles
        clip_t = (pictures @ text[:, :, None])[..., 0].cpu().double().numpy()  # (prompts, pictures)
        return Scores(
            clip_i=bootstrap_interval(clip_i),
            clip_t=bootstrap_interval(clip_t),
            images_per_prompt=count,
            prompts=tuple(
                PromptScores(
                    prompt=prompt,
                    clip_i=bootstrap_interval(i),
                    clip_t=bootstrap_interval(t),
                    pictures={"clip_i": i.tolist(), "clip_t": t.tolist()},
                )
                for prompt, i, t in zip(prompts_without_placeholder, clip_i, clip_t, strict=True)
            ),
        )

    @torch.no_grad()
    def embed_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Unit image embeddings (images, width) of RGB pictures of any size."""
        embedded = []
        for start in range(0, len(images), _BATCH):
            batch = [image.convert("RGB") for image in images[start : start + _BATCH]]
            pixels = self.image_processor(batch, return_tensors="pt")["pixel_values"]
            embedded.append(self.model.get_image_features(pixels.to(self.device)).pooler_output)
        return F.normalize(torch.cat(embedded), dim=-1)

    @torch.no_grad()
    def embed_text(self, texts: Sequence[str]) -> torch.Tensor:
        """Unit text embeddings (texts, width). Raises InputError, with all of them, for texts that are too long."""
        room = self.tokenizer.model_max_length
        lengths = [len(self.tokenizer(text, verbose=False)["input_ids"]) for text in texts]
        too_long = [
            f'prompt "{text}": {length} tokens, the evaluator takes {room}; shorten it'
            for text, length in zip(texts, lengths, strict=True)
            if length > room
        ]
        if too_long:
            raise InputError(*too_long)
        embedded = []
        for start in range(0, len(texts), _BATCH):
            batch = list(texts[start : start + _BATCH])
            encoded = self.tokenizer(batch, padding="max_length", return_tensors="pt").to(self.device)
            embedded.append(self.model.get_text_features(**encoded).pooler_output)
        return F.normalize(torch.cat(embedded), dim=-1)


def _check_clip_folder(folder: Path, what: str) -> None:
    """Raise InputError unless the folder says that it holds a CLIP model in safetensors."""
    try:
        model_type = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError) as error:
        raise InputError(f"{what}: its config.json cannot be read ({first_line(error)})") from error
    if model_type != "clip":
        raise InputError(f"{what} is a {model_type} model; one with image and text, a CLIPModel, is needed")
    if not any(folder.glob("model*.safetensors")):
        raise InputError(
            f"{what}: no model.safetensors, and pickle is never read; name a CLIP model that has it, or the commit of "
            "a pull request that adds it on the hub"
        )
