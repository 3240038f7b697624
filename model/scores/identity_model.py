"""A model that tells things apart by their look alone: DINO, DINOv2, or any other ViT trained for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from transformers import AutoImageProcessor, Dinov2Model, ViTModel

from model.bases.base_files import ModelSource, model_source
from model.bases.pretrained import fetch, first_line, load_frozen
from model.bases.weight_files import weight_patterns
from model.errors import InputError
from model.reading.documents import read_json
from model.runtime.quiet import quiet_libraries

if TYPE_CHECKING:
    from PIL import Image

_HUB_FILES = ["config.json", *weight_patterns("model"), "preprocessor_config.json"]
_BATCH = 64
# A ViT's pooling layer is not part of what DINO has trained; many folders come without one.
_KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "vit": (ViTModel, {"add_pooling_layer": False}),
    "dinov2": (Dinov2Model, {}),
}


@dataclass(frozen=True, kw_only=True)
class IdentityModel:
    """Any transformers `ViTModel` or `Dinov2Model` with its image processor."""

    source: ModelSource
    model: Any
    image_processor: Any
    device: torch.device

    @classmethod
    def load(cls, reference: str, revision: str | None = None, *, device: torch.device | str = "cpu") -> IdentityModel:
        """Load from a folder, or from the hub at a 40-digit commit. Raises InputError if it is no such model."""
        source = model_source(reference, revision, what="identity model")
        folder, what = fetch(source, _HUB_FILES), f"identity model '{reference}'"
        try:
            model_type = read_json(folder / "config.json", "config.json").get("model_type")
        except (AttributeError, ValueError) as error:
            said = f"{what}: its config.json cannot be read ({first_line(error)}); name a ViTModel or Dinov2Model"
            raise InputError(said) from error
        if model_type not in _KINDS:
            raise InputError(f"{what} is a {model_type} model; a ViTModel or Dinov2Model, such as DINO, is needed")
        model_class, options = _KINDS[model_type]
        model = load_frozen(model_class, folder, f"{what}:", device, **options)
        try:
            with quiet_libraries():
                image_processor = AutoImageProcessor.from_pretrained(
                    folder, local_files_only=True, trust_remote_code=False, backend="pil"
                )
        except Exception as error:  # the library raises whatever a damaged file leads it to
            raise InputError(f"{what}: its image processor cannot be loaded ({first_line(error)})") from error
        return cls(source=source, model=model, image_processor=image_processor, device=torch.device(device))

    @torch.no_grad()
    def embed_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Unit embeddings (images, width) of pictures of any size: the class token after the last layer."""
        embedded = []
        for start in range(0, len(images), _BATCH):
            batch = [image.convert("RGB") for image in images[start : start + _BATCH]]
            pixels = self.image_processor(batch, return_tensors="pt")["pixel_values"]
            embedded.append(self.model(pixels.to(self.device)).last_hidden_state[:, 0])
        return F.normalize(torch.cat(embedded), dim=-1)
