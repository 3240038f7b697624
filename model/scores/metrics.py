"""The scores of a concept's pictures: CLIP-I, CLIP-T, prompt retrieval, and DINO where an identity model is given.

Every picture goes through each model once; its embeddings are handed out too, for whatever is asked of them later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from model.errors import InputError
from model.scores.bootstrap import bootstrap_interval
from model.scores.image_scores import likeness, prompt_likeness, prompt_retrieval
from model.scores.interval import Interval

if TYPE_CHECKING:
    from PIL import Image

    from model.scores.evaluator import Evaluator
    from model.scores.identity_model import IdentityModel

SCORES = {
    "clip_i": "mean cosine to the concept's images, by CLIP",
    "clip_t": "cosine to the prompt with the placeholder taken out, by CLIP",
    "retrieval": "share of pictures that are nearest to their own prompt of all prompts, by CLIP",
    "dino": "mean cosine to the concept's images, by the identity model",
}
"""What each score says of a picture; `dino` is there where an identity model is given."""


@dataclass(frozen=True, kw_only=True)
class PromptScores:
    """The scores of one prompt's pictures."""

    prompt: str
    intervals: Mapping[str, Interval]
    pictures: Mapping[str, Sequence[float]]
    """The value of every picture, in the pictures' order: what a comparison needs (`model.scores.bootstrap`)."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How good a concept's pictures are, overall and for each prompt; scores by name, as in `SCORES`."""

    intervals: Mapping[str, Interval]
    images_per_prompt: int
    prompts: tuple[PromptScores, ...]

    def to_dict(self) -> dict[str, Any]:
        """The scores as plain values for JSON."""
        return {
            **{name: asdict(interval) for name, interval in self.intervals.items()},
            "images_per_prompt": self.images_per_prompt,
            "prompts": [
                {
                    "prompt": scored.prompt,
                    **{name: asdict(interval) for name, interval in scored.intervals.items()},
                    "pictures": {name: list(values) for name, values in scored.pictures.items()},
                }
                for scored in self.prompts
            ],
        }


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """Unit embeddings by each model; those of the identity model are None where there is none."""

    clip_generated: Tensor
    """(prompts, pictures, width)"""
    clip_instance: Tensor
    """(instance images, width)"""
    clip_text: Tensor
    """(prompts, width)"""
    identity_generated: Tensor | None = None
    identity_instance: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Those that are there, by name."""
        return {name: value.cpu().contiguous() for name, value in vars(self).items() if value is not None}


def embed(
    generated: Sequence[Sequence[Image.Image]],
    instance_images: Sequence[Image.Image],
    prompts_without_placeholder: Sequence[str],
    *,
    evaluator: Evaluator,
    identity_model: IdentityModel | None = None,
) -> Embeddings:
    """Embed generated pictures, a list for each prompt, all lists of one length; instance images; prompts.

    Raises InputError without pictures, for lists that do not match, and for prompts too long.
    """
    _check_numbers(generated, len(instance_images), len(prompts_without_placeholder))
    return Embeddings(
        clip_text=evaluator.embed_text(prompts_without_placeholder),
        clip_instance=evaluator.embed_images(instance_images),
        identity_instance=identity_model.embed_images(instance_images) if identity_model else None,
        **_embed_generated(generated, evaluator, identity_model),
    )


def embed_others(
    embeddings: Embeddings,
    generated: Sequence[Sequence[Image.Image]],
    *,
    evaluator: Evaluator,
    identity_model: IdentityModel | None = None,
) -> Embeddings:
    """The same instance images and prompts beside other pictures, made by the same models.

    Raises InputError without pictures, and for lists that do not match the prompts.
    """
    _check_numbers(generated, len(embeddings.clip_instance), len(embeddings.clip_text))
    return replace(embeddings, **_embed_generated(generated, evaluator, identity_model))


def _check_numbers(generated: Sequence[Sequence[Image.Image]], instance_images: int, prompts: int) -> None:
    counts = {len(pictures) for pictures in generated}
    if len(generated) != prompts or len(counts) != 1 or 0 in counts or not instance_images:
        raise InputError(
            f"scores need instance images ({instance_images} given) and for each of the {prompts} prompts the same "
            f"number of pictures (given: {[len(pictures) for pictures in generated]})"
        )


def _embed_generated(
    generated: Sequence[Sequence[Image.Image]], evaluator: Evaluator, identity_model: IdentityModel | None
) -> dict[str, Any]:
    flat = [picture for pictures in generated for picture in pictures]
    shape = (len(generated), len(generated[0]))
    return {
        "clip_generated": evaluator.embed_images(flat).unflatten(0, shape),
        "identity_generated": identity_model.embed_images(flat).unflatten(0, shape) if identity_model else None,
    }


def scores_of(embeddings: Embeddings, prompts: Sequence[str]) -> Scores:
    """Every score that the embeddings allow, each with its 95 % interval.

    Intervals resample prompts, and pictures within each (`bootstrap_interval`). The order of pictures and prompts does
    not matter.
    """
    pictures = embeddings.clip_generated
    values = {
        "clip_i": likeness(pictures, embeddings.clip_instance),
        "clip_t": prompt_likeness(pictures, embeddings.clip_text),
        "retrieval": prompt_retrieval(pictures, embeddings.clip_text),
    }
    if embeddings.identity_generated is not None and embeddings.identity_instance is not None:
        values["dino"] = likeness(embeddings.identity_generated, embeddings.identity_instance)
    rows = {name: value.cpu().double().numpy() for name, value in values.items()}  # (prompts, pictures); MPS: no double
    return Scores(
        intervals={name: bootstrap_interval(value) for name, value in rows.items()},
        images_per_prompt=pictures.shape[1],
        prompts=tuple(
            PromptScores(
                prompt=prompt,
                intervals={name: bootstrap_interval(value[place]) for name, value in rows.items()},
                pictures={name: value[place].tolist() for name, value in rows.items()},
            )
            for place, prompt in enumerate(prompts)
        ),
    )
