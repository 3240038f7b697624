"""What a gallery shows: one training, its pictures and its scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL.Image import Image

from model.scores.interval import Interval
from tasks.figures.score_words import Reading, interval, read_scores

STAGE_LESSONS = {
    "embedding": "learns a word for the concept",
    "cross_attention": "learns where in the picture the word belongs",
    "unet": "learns what the concept looks like",
}
"""What each kind of stage is for, in words; a stage of another name is shown without."""


@dataclass(frozen=True, kw_only=True)
class GalleryFacts:
    """What the gallery says about the training that it shows."""

    concept: str
    super_category: str
    names_category: bool
    """Whether prompts call the concept "[V] turtle", or [V] alone."""
    instance_prompt: str
    """The prompt of the previews, with one ``{}`` where the concept goes."""
    licence: str
    source: str
    consent: str
    method: str
    base: str
    """The base model as its user names it: a folder, or a hub id."""
    evaluator: str
    data_version: str
    """DVC digest of the image set."""
    keys: Mapping[str, str]
    """Key of each stage by its name, in the order in which they ran."""
    seed: int
    content: str
    """Key of the training's content, by which every registry knows its version."""

    @property
    def called(self) -> str:
        """What prompts call the concept."""
        return f"[V] {self.super_category}" if self.names_category else "[V]"

    @property
    def indefinite_category(self) -> str:
        """The super-category with its article: "a turtle", "an owl"."""
        return f"{'an' if self.super_category[:1].lower() in 'aeiou' else 'a'} {self.super_category}"


@dataclass(frozen=True, kw_only=True)
class OnTheWay:
    """What the model drew of one prompt while a stage trained, always from the same noise."""

    prompt: str
    """With one ``{}`` where the concept goes."""
    pictures: Sequence[tuple[int, Image]]
    """Each with the step after which it was drawn."""


@dataclass(frozen=True, kw_only=True)
class StageView:
    """One picture drawn after a training stage, and where the model looked for each word meanwhile."""

    name: str
    preview: Image
    placeholder: Image
    super_category: Image | None
    """None if the prompt does not name it."""
    on_the_way: Sequence[OnTheWay] = ()
    """One a prompt, where the machine that trained it has drawn any."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One prompt with what the trained model and the untrained base drew for it."""

    prompt: str
    """As written, with one ``{}`` where the concept goes."""
    generations: Sequence[Image]
    base_generations: Sequence[Image]
    clip_i: Interval
    clip_t: Interval


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Everything that a gallery shows."""

    facts: GalleryFacts
    concept_images: Sequence[Image]
    scenes: Sequence[Scene]
    stages: Sequence[StageView]
    readings: Sequence[Reading]


def gallery_of(
    *,
    facts: GalleryFacts,
    concept_images: Sequence[Image],
    prompts: Sequence[str],
    generations: Sequence[Sequence[Image]],
    base_generations: Sequence[Sequence[Image]],
    stages: Sequence[StageView],
    scores: Mapping[str, Any],
) -> Gallery:
    """A gallery from the parts of an evaluation: one list of pictures per prompt, and its scores (``scores.json``)."""
    return Gallery(
        facts=facts,
        concept_images=concept_images,
        scenes=[
            Scene(
                prompt=prompt,
                generations=pictures,
                base_generations=base,
                clip_i=interval(score["clip_i"]),
                clip_t=interval(score["clip_t"]),
            )
            for prompt, pictures, base, score in zip(
                prompts, generations, base_generations, scores["prompts"], strict=True
            )
        ],
        stages=stages,
        readings=read_scores(scores),
    )
