"""What decides a result: params.yaml, checked as a whole before any work starts."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from model.bases.base_files import NEWEST
from model.drawing.sampling_options import Sampling
from model.errors import InputError
from model.methods.method import Method
from model.methods.presets import get_method
from tasks.files.yaml_files import COMMIT, read_yaml, schema_problems

REVISION = rf"{COMMIT}|^{NEWEST}$"
EXACT: Literal["exact"] = "exact"
SMALL: Literal["small"] = "small"
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class _Section(BaseModel):
    """A part of params.yaml: no unknown keys, no text where a number belongs."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PrepareParams(_Section):
    max_short_side: int = Field(default=1024, ge=64, le=4096, description="larger images are shrunk to this; pixels")


def _sampling(name: str, description: str, **more: Any) -> Any:
    """A field within the limits that model.drawing.sampling_options.Sampling has for it."""
    limits = next(field for field in dataclasses.fields(Sampling) if field.name == name).metadata["limits"]
    return Field(ge=limits.low, le=limits.high, description=description, **more)


class SamplingParams(_Section):
    guidance_scale: float = _sampling("guidance_scale", "classifier-free guidance; 1 is none")
    num_inference_steps: int = _sampling("num_inference_steps", "DPM-Solver++ steps")
    batch_size: int = _sampling("batch_size", "pictures drawn at a time; they differ only by rounding", default=16)
    word_norm: float = _sampling("word_norm", "[V]'s length in those of its super-category; 0: as learnt", default=0.0)
    word_turn: float = _sampling("word_turn", "[V] turned to its super-category: 0 not, 1 onto it", default=0.0)


class EvaluationParams(_Section):
    prompts: str = Field(min_length=1, description="prompt set; a path from the project's root")
    images_per_prompt: int = Field(ge=1, le=1000, description="pictures of each prompt")
    base_images_per_prompt: int = Field(default=2, ge=1, le=1000, description="the same of the untrained base")
    seed: Seed = Field(default=0, description="the same seed draws the same picture")


class Params(_Section):
    """params.yaml as a whole."""

    base: str = Field(min_length=1, description="base model: a diffusers pipeline folder or a hub id")
    base_revision: str | None = Field(default=None, pattern=REVISION, description="commit of a hub id")
    base_licence: str | None = Field(default=None, min_length=1, description="what audits are told; in no key")
    evaluator: str = Field(min_length=1, description="CLIP model of the scores: a folder or a hub id")
    evaluator_revision: str | None = Field(default=None, pattern=REVISION, description="commit of a hub id")
    identity_model: str | None = Field(default=None, min_length=1, description="ViT or DINO of the score DINO, if any")
    identity_model_revision: str | None = Field(default=None, pattern=REVISION, description="commit of a hub id")
    method: str = Field(min_length=1, description="list of training stages")
    preset: str = Field(min_length=1, description="the method's set of hyper-parameters")
    stages: dict[str, dict[str, bool | int | float | str]] = Field(
        default_factory=dict, description="changes to the preset: stage, then field, then value"
    )
    model_form: Literal["small", "exact"] = Field(
        default=SMALL, description="form of the concept model, which is evaluated, registered and served"
    )
    seed: Seed = Field(default=0, description="seed of the training")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="autocast of training and drawing"
    )
    prepare: PrepareParams = PrepareParams()
    sampling: SamplingParams
    evaluation: EvaluationParams
    samples: tuple[str, ...] = Field(default=(), strict=False, description="concepts that come with the project")
    demo: str | None = Field(default=None, description="the concept of `conceptbooth demo`")

    @field_validator("stages", mode="before")
    @classmethod
    def _nothing_is_no_changes(cls, value: object) -> object:
        """`stages:` with nothing but comments under it."""
        return {} if value is None else value

    def training(self) -> Method:
        """The method with this file's changes to its stages; InputError if any of that is wrong."""
        return get_method(self.method, self.preset, self.stages)


def load_params(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        InputError: not there, no YAML, unknown keys, values out of range, unknown method or stage; all of it together.
    """
    return parse_params(read_yaml(path, path.name), path.name)


def parse_params(content: Any, label: str) -> Params:
    """Check the content of a params.yaml, which messages call `label`. Raises InputError with all problems."""
    if not isinstance(content, dict):
        raise InputError(f"{label}: lines such as `seed: 0` are needed, for {', '.join(Params.model_fields)}")
    params, problems = None, []
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        problems += schema_problems(error, label, _names(Params))
    # Asked also when the rest is wrong, so that one look shows everything.
    problems += [f"{label}: {problem}" for problem in _method_problems(content)]
    if params is None or problems:
        raise InputError(*problems)
    return params


def _method_problems(content: Mapping[str, Any]) -> list[str]:
    method, preset, stages = content.get("method"), content.get("preset"), content.get("stages") or {}
    shaped = isinstance(stages, Mapping) and all(isinstance(fields, Mapping) for fields in stages.values())
    if not (isinstance(method, str) and isinstance(preset, str) and method and preset and shaped):
        return []
    try:
        get_method(method, preset, stages)
    except InputError as error:
        return list(error.problems)
    return []


def _names(section: type[BaseModel]) -> list[str]:
    """All parameters, those of sections with a dot: `sampling.guidance_scale`."""
    names = []
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, _Section):
            names += [f"{name}.{deeper}" for deeper in _names(inner)]
        else:
            names.append(name)
    return names
