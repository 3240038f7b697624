"""A base of shapes alone: torch's fake tensors know how large they are and hold no numbers, so it takes no memory."""

from pathlib import Path
from typing import Any

import torch
import transformers
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from model.bases.base import Base
from model.bases.base_files import ModelSource, check_base_folder, empty_prompt_is_zero
from model.bases.pretrained import made_of_config
from model.bases.text_encoder import TextEncoder
from model.bases.tokens import base_tokenizers
from model.families.family import of_diffusers
from model.reading.documents import read_json


def weightless_base(folder: Path) -> Base:
    """The base of a pipeline folder by its configurations; what it computes has shapes and no values.

    It stands on the CPU, whose memory it does not take. Raises InputError for a folder that holds no base.
    """
    family = check_base_folder(folder, with_weights=False)

    def made(model_class: Any, part: str) -> Any:
        config = read_json(folder / part / "config.json", f"{part}/config.json")
        model = made_of_config(model_class, folder / part, config, f"base model '{folder}': {part}/")
        return model.eval().requires_grad_(False)

    readers = base_tokenizers(folder, str(folder))
    with FakeTensorMode(allow_non_fake_inputs=True):
        text_encoders = tuple(
            TextEncoder(part=part, reader=reader, model=made(getattr(transformers, part.model_class), part.folder))
            for part, reader in zip(family.text, readers, strict=True)
        )
        vae = made(of_diffusers(family.vae.model_class), family.vae.folder)
        denoiser = made(of_diffusers(family.denoiser.model_class), family.denoiser.folder)
    scheduler = folder / "scheduler" / "scheduler_config.json"
    return Base(
        source=ModelSource(str(folder), None),
        family=family,
        text_encoders=text_encoders,
        vae=vae,
        denoiser=denoiser,
        noise_scheduler=family.scheduler(read_json(scheduler, str(scheduler))),
        zeros_for_nothing=empty_prompt_is_zero(folder, family),
        device=torch.device("cpu"),
    )


def shapes_only(base: Base) -> FakeTensorMode:
    """The mode in which tensors beside such a base are made. Raises TypeError for a base with weights."""
    first = next(base.denoiser.parameters())
    if not isinstance(first.data, FakeTensor):
        raise TypeError("the base has weights; `weightless_base` makes one without")
    mode: FakeTensorMode = first.data.fake_mode
    return mode
