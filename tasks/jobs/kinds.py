"""The kinds of stages there are, one row each. A new kind begins with a row here.

Keys read from it whose code and which libraries have a say, plans and lineage how a kind is called and whether it is a
link of a training's chain, and the flow which Prefect task makes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_TORCH = ("torch", "diffusers", "transformers", "tokenizers", "numpy", "pillow")


@dataclass(frozen=True, kw_only=True)
class StageKind:
    """What is the same for all stages of a kind."""

    name: str
    """Stages are called by it, or begin with it and a dash: train-1-embedding."""
    module: str
    """Holds its Prefect task, under the kind's name; what it imports is the code that has a say."""
    words: str
    """What its work is called: "training" has "training code"."""
    packages: tuple[str, ...]
    """Libraries that have a say."""
    lora_packages: tuple[str, ...] = ()
    """Libraries that have a say as well where the stage trains a LoRA."""
    in_lineage: bool = True
    """Whether it is a link of the chain from a model back to its images."""


KINDS: Mapping[str, StageKind] = {
    kind.name: kind
    for kind in (
        StageKind(name="prepare", module="tasks.stages.prepare", words="preparation", packages=("numpy", "pillow")),
        StageKind(name="class_images", module="tasks.stages.class_images", words="class images", packages=_TORCH),
        StageKind(
            name="train",
            module="tasks.stages.train",
            words="training",
            packages=_TORCH,
            lora_packages=("peft",),
        ),
        StageKind(name="evaluate", module="tasks.stages.evaluate", words="evaluation", packages=_TORCH),
        StageKind(name="gallery", module="tasks.stages.gallery", words="gallery", packages=("jinja2", "pillow")),
        # A comparison asks for them; no registered model is made from them.
        StageKind(name="maps", module="tasks.stages.maps", words="maps", packages=_TORCH, in_lineage=False),
    )
}
"""By name; a chain's stages come in this order."""


def kind_name(stage: str) -> str:
    """The kind of a stage, by the stage's name: "train" for train-1-embedding. It may be none that is known here."""
    return stage.split("-")[0]


def in_lineage(stage: str) -> bool:
    """Whether a stage of this name, or an input that is called so, is a link of a training's chain."""
    kind = KINDS.get(kind_name(stage))
    return kind is not None and kind.in_lineage


def chain_order(stage: str) -> tuple[int, int]:
    """Sorts the stages of a chain: by kind, those that train by their number."""
    kind, *rest = stage.split("-")
    return list(KINDS).index(kind), int(rest[0]) if rest else 0


def stage_words(stage: str) -> str:
    """How people call a stage: "stage 3" for train-3-unet, "class images" for class_images."""
    return f"stage {stage.split('-')[1]}" if kind_name(stage) == "train" else stage.replace("_", " ")
