"""The evaluator: a CLIP model, which sees pictures and reads prompts in one space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPModel

from model.bases.base_files import ModelSource, model_source
from model.bases.pretrained import fetch, first_line, load_frozen
from model.bases.tokens import load_tokenizer
from model.bases.weight_files import weight_patterns
from model.errors import InputError
from model.reading.documents import read_json
from model.runtime.quiet import quiet_libraries

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

_HUB_FILES = [
    "config.json",
    *weight_patterns("model"),
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
]
_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Any transformers `CLIPModel` with its tokenizer and image processor."""

    source: ModelSource
    model: CLIPModel
    tokenizer: CLIPTokenizer
    image_processor: CLIPImageProcessorPil
    device: torch.device

    @classmethod
    def load(cls, reference: str, revision: str | None = None, *, device: torch.device | str = "cpu") -> Evaluator:
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
        except Exception as error:  # the library raises whatever a damaged file leads it to
            raise InputError(f"{what}: its image processor cannot be loaded ({first_line(error)})") from error
        return cls(
            source=source,
            model=model,
            tokenizer=tokenizer,
            image_processor=image_processor,
            device=torch.device(device),
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
        model_type = read_json(folder / "config.json", "config.json").get("model_type")
    except (AttributeError, ValueError) as error:
        raise InputError(f"{what}: its config.json cannot be read ({first_line(error)}); name a CLIPModel") from error
    if model_type != "clip":
        raise InputError(f"{what} is a {model_type} model; one with image and text, a CLIPModel, is needed")
    if not any(folder.glob("model*.safetensors")):
        raise InputError(
            f"{what}: no model.safetensors, and pickle is never read; name a CLIP model that has it, or the commit of "
            "a pull request that adds it on the hub"
        )
