"""Methods as data: a method is a named list of stages, and one training loop runs every stage of every method."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from model.errors import InputError
from model.limits import as_floats, number, problems_of, whole_number

Trains = Literal["embedding", "cross_attention", "unet"]
StartsFrom = Literal["super_category", "previous_stage"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One training stage: what it trains, for how long, and how strongly the attention-map term pulls."""

    name: str
    """The stage's name within its method."""
    trains: Trains
    """`embedding`: the one row of [V]; `cross_attention`: the `attn2` parameters; `unet`: all of the UNet."""
    starts_from: StartsFrom = "previous_stage"
    """Where [V] comes from: a copy of the super-category's embedding, or the weights that the stage before has left."""

    learning_rate: float = number(0, 1, above=True)
    """Constant rate of AdamW."""
    max_train_steps: int = whole_number(1, 1_000_000)
    """Optimizer steps."""
    batch_size: int = whole_number(1, 1024, default=8)
    """Pictures a step."""
    attention_mean_weight: float = number(0, 1e6)
    """Weight of the squared difference between the mean attention of [V] and of the super-category."""
    attention_variance_weight: float = number(0, 1e6)
    """Weight of the squared difference between their variances."""
    adam_beta1: float = number(0, 0.9999, default=0.9)
    """Decay of AdamW's first moment."""
    adam_beta2: float = number(0, 0.999999, default=0.999)
    """Decay of AdamW's second moment."""
    weight_decay: float = number(0, 1, default=1e-2)
    """Decoupled weight decay."""
    max_grad_norm: float = number(0, 1e6, default=1.0, above=True)
    """Gradients are scaled down to this norm over all trained parameters."""

    augmented_views: int = whole_number(1, 100_000, default=256)
    """Augmented views of the images that are encoded once, before the first step, and drawn from at every step."""
    rotation_degrees: float = number(0, 180, default=45.0)
    """Views are turned by up to this angle, either way."""
    rotation_probability: float = number(0, 1, default=0.75)
    """Share of the views that are turned."""
    flip_probability: float = number(0, 1, default=0.25)
    """Share of the views that are mirrored left to right."""
    smallest_crop: float = number(0.1, 1, default=1.0)
    """Side of the smallest random square crop, as a share of the image's short side."""

    def __post_init__(self) -> None:
        as_floats(self)

    def problems(self) -> list[str]:
        """One sentence for each field outside its limits, as `stage.field = value: what is allowed`."""
        return problems_of(self, self.name)

    def uneven_share(self, processes: int) -> str | None:
        """What is wrong with a batch that so many processes cannot share evenly; None if nothing."""
        if self.batch_size % processes == 0:
            return None
        return (
            f"{self.name}.batch_size = {self.batch_size}: {processes} processes share each step, so a multiple of "
            f"{processes} is needed"
        )


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to teach a concept: stages run in this order, each from the weights of the one before."""

    name: str
    stages: tuple[Stage, ...]
    instance_prompt: str = "a photo of a {}"
    """What every instance image is said to show; `{}` becomes "[V] super-category"."""


def _attndreambooth(
    embedding: Mapping[str, Any], cross_attention: Mapping[str, Any], unet: Mapping[str, Any]
) -> Method:
    """AttnDreamBooth, arXiv 2406.05000: embedding, then cross-attention, then the UNet, the attention term in each."""
    later: dict[str, Any] = {"attention_mean_weight": 2.0, "attention_variance_weight": 5.0}
    return Method(
        name="attndreambooth",
        stages=(
            Stage(
                name="embedding",
                trains="embedding",
                starts_from="super_category",
                attention_mean_weight=0.1,
                attention_variance_weight=0.0,
                **embedding,
            ),
            Stage(name="cross_attention", trains="cross_attention", **later, **cross_attention),
            Stage(name="unet", trains="unet", **later, **unet),
        ),
    )


_PUBLISHED_EMBEDDING = {"learning_rate": 1e-3, "max_train_steps": 60}
_PUBLISHED_CROSS_ATTENTION = {"learning_rate": 2e-5, "max_train_steps": 100}
# Its objects always stand upright and look one way, so its base has never seen a turned or mirrored picture.
_TOYWORLD_VIEWS = {"rotation_degrees": 5.0, "rotation_probability": 0.5, "flip_probability": 0.0, "smallest_crop": 0.95}

METHODS: dict[str, dict[str, Method]] = {
    "attndreambooth": {
        # Stable Diffusion 2.1-base at 512 px, as the authors' code has them.
        "published": _attndreambooth(
            _PUBLISHED_EMBEDDING, _PUBLISHED_CROSS_ATTENTION, {"learning_rate": 2e-6, "max_train_steps": 500}
        ),
        "published_fast": _attndreambooth(
            _PUBLISHED_EMBEDDING,
            _PUBLISHED_CROSS_ATTENTION,
            {"learning_rate": 1e-5, "max_train_steps": 200, "batch_size": 4},
        ),
        # A UNet 200 times smaller than Stable Diffusion's takes, and needs, higher rates.
        "toyworld": _attndreambooth(
            {"learning_rate": 7e-4, "max_train_steps": 60, **_TOYWORLD_VIEWS},
            {"learning_rate": 1e-4, "max_train_steps": 100, **_TOYWORLD_VIEWS},
            {"learning_rate": 2e-4, "max_train_steps": 300, **_TOYWORLD_VIEWS},
        ),
    },
}
"""Every method by name, and its presets by name."""

# What a stage is cannot be turned by a setting; that would be another method.
_FIXED = {"name", "trains", "starts_from"}
STAGE_SETTINGS = tuple(field.name for field in dataclasses.fields(Stage) if field.name not in _FIXED)
"""The fields of a stage that `get_method` may override."""


def get_method(name: str, preset: str, overrides: Mapping[str, Mapping[str, object]] | None = None) -> Method:
    """A method's preset with single fields of its stages replaced: `{"unet": {"max_train_steps": 400}}`.

    Raises InputError, with all problems, for an unknown method, preset, stage or field, and for values out of range.
    """
    if name not in METHODS:
        raise InputError(f"method '{name}': unknown; there are {_listed(METHODS)}")
    if preset not in METHODS[name]:
        raise InputError(f"preset '{preset}' of method '{name}': unknown; there are {_listed(METHODS[name])}")
    method = METHODS[name][preset]
    stages = {stage.name: stage for stage in method.stages}
    problems = []
    for stage_name, fields in (overrides or {}).items():
        if stage_name not in stages:
            problems.append(f"stage '{stage_name}': method '{name}' has {_listed(stages)}")
            continue
        unknown = [field for field in fields if field not in STAGE_SETTINGS]
        problems += [f"{stage_name}.{field}: no such setting; there are {_listed(STAGE_SETTINGS)}" for field in unknown]
        known = {field: value for field, value in fields.items() if field not in unknown}
        stages[stage_name] = dataclasses.replace(stages[stage_name], **known)  # type: ignore[arg-type]
        problems += stages[stage_name].problems()
    if problems:
        raise InputError(*problems)
    return dataclasses.replace(method, stages=tuple(stages.values()))


def _listed(names: Mapping[str, object] | tuple[str, ...]) -> str:
    return ", ".join(names)
