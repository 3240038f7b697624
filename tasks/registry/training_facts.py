"""What the registry is told about a finished training: one value from its manifests, without MLflow."""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Self, TypeVar

from model.methods.method import Stage
from tasks.concepts.concepts import Concept
from tasks.figures.score_words import read_scores
from tasks.files.hashing import digest_of
from tasks.jobs.keys import StagePlan
from tasks.jobs.kinds import chain_order, kind_name
from tasks.project.params import EXACT
from tasks.store.artefacts import IMAGES, WEIGHTS
from tasks.store.manifest import FileRecord, Input, Manifest
from tasks.store.scores import load_scores
from tasks.store.store import Store

RECORD_SCHEMA = 1
SCORE_NAMES = ("clip_i", "clip_t", "base_clip_i", "base_clip_t")
MORE_SCORES = ("retrieval", "dino", "base_retrieval", "base_dino")
"""Not in every evaluation: those of before they were measured, or without an identity model."""
MAIN_SETTINGS = ("learning_rate", "max_train_steps", "batch_size", "attention_mean_weight", "attention_variance_weight")
"""Of a stage; told even where they are what every stage has."""
StageT = TypeVar("StageT", bound=StagePlan | Manifest)


@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """A training with its evaluation, as the artefact store holds them."""

    concept: Concept
    prepare: Manifest
    class_images: Manifest | None = None
    """Of a training with prior preservation."""
    stages: tuple[Manifest, ...]
    """Of the training, in the order in which they ran."""
    evaluation: Manifest
    gallery: Manifest
    scores: Mapping[str, Any]
    """The evaluation's scores.json."""

    @classmethod
    def read(cls, store: Store, concept: Concept, manifests: Mapping[str, Manifest]) -> Self:
        """From the manifests of one training, by stage name. Raises store errors where scores.json is not as it was."""
        evaluation = manifests["evaluate"]
        return cls(
            concept=concept,
            prepare=manifests["prepare"],
            class_images=manifests.get("class_images"),
            stages=_training_stages(manifests),
            evaluation=evaluation,
            gallery=manifests["gallery"],
            scores=load_scores(store, evaluation),
        )

    @property
    def key(self) -> str:
        """What makes it this content: the last stage's key (which holds all before it) and the evaluation's."""
        return _key(self.stages[-1].key, self.evaluation.key)

    @property
    def weights(self) -> FileRecord:
        """The concept's weights after the last stage."""
        return self.stages[-1].files[WEIGHTS]

    @property
    def form(self) -> str:
        """The form of those weights, as params.yaml calls it: `small` or `exact`."""
        return str(self.stages[-1].parameters.get("form", EXACT))

    @property
    def image_set(self) -> Input:
        """The images of the training; its digest is DVC's hash of the folder."""
        return next(read for read in self.prepare.inputs if read.kind == "image_set")

    @property
    def image_count(self) -> int:
        """How many images the concept was learnt from."""
        return sum(name.startswith(f"{IMAGES}/") for name in self.prepare.files)

    @property
    def base(self) -> Mapping[str, Any]:
        """Reference, revision and digest of the base model."""
        base = self.stages[-1].base
        if base is None:
            raise ValueError(f"manifest of {self.stages[-1].stage} {self.stages[-1].key}: it names no base model")
        return base

    @property
    def method(self) -> str:
        """Name of the training method."""
        return self.stages[-1].labels["method"]

    def tags(self) -> dict[str, str]:
        """What runs and versions carry: keys, data version, origin. Every value is text."""
        drawn = (self.class_images,) if self.class_images else ()
        manifests = (self.prepare, *drawn, *self.stages, self.evaluation, self.gallery)
        git = self.evaluation.git or {}
        facts = {
            "concept": self.concept.name,
            "super_category": self.concept.super_category,
            "placeholder_token": self.concept.placeholder_token,
            "key": self.key,
            "method": self.method,
            "preset": self.stages[-1].labels.get("preset"),
            "base": self.base["reference"],
            "base_revision": self.base["revision"],
            "base_digest": self.base.get("digest"),
            "data_version": self.image_set.digest,
            "data_state": self.prepare.labels.get("image_set_state"),
            "data_commit": self.prepare.labels.get("image_set_commit"),
            "git_commit": git.get("commit"),
            "git_dirty": git.get("dirty"),
            "weights_sha256": self.weights.sha256,
            "weights_size": self.weights.size,
            **{f"stage.{manifest.stage}": manifest.key for manifest in manifests},
        }
        return {f"conceptbooth.{name}": _text(value) for name, value in facts.items() if value not in (None, "")}

    def parameters(self) -> dict[str, str]:
        """Parameters of the whole training: the evaluation's, what all stages share, and each stage's settings."""
        shared = {
            "method": self.method,
            "base": self.base["reference"],
            "seed": self.stages[-1].seed,
            "super_category": self.concept.super_category,
            "images": self.image_count,
            "stages": [manifest.stage for manifest in self.stages],
            "numeric_policy": dict(self.stages[-1].numeric_policy),
            "form": self.form,
        }
        prompts = len(self.evaluation.parameters["prompts"])  # their words stand in the table
        told = flat({**shared, "evaluation": {**self.evaluation.parameters, "prompts": prompts}})
        return told | stage_settings([manifest.parameters["stage"] for manifest in self.stages])

    def metrics(self) -> dict[str, float]:
        """Scores, each with the ends of its 95 % interval, the base's, and what the training took, in seconds.

        MLflow draws a chart of each, and gathers those that share what stands before a slash: the scores come first,
        by themselves, and what explains them is folded away below.
        """
        metrics: dict[str, float] = {}
        for name in (*SCORE_NAMES, *(name for name in MORE_SCORES if name in self.scores)):
            figures = with_interval(name, self.scores[name])
            if name.startswith("base_"):
                metrics[f"untrained_base/{name.removeprefix('base_')}"] = figures[name]
            else:
                ends = {f"interval_95/{end}": value for end, value in figures.items() if end != name}
                metrics |= {name: figures[name], **ends}
        return metrics | {"time/training_seconds": sum(manifest.wall_seconds for manifest in self.stages)}

    def description(self) -> str:
        """The version in a few lines of Markdown."""
        readings = [
            f"- **{reading.name} {reading.trained}**, untrained base {reading.base}: {reading.meaning}"
            for reading in read_scores(self.scores)
        ]
        origin = (
            f"**{self.concept.name}** ({self.concept.super_category}), taught to `{self.base['reference']}` by "
            f"{self.method} from images `{self.image_set.digest}`."
        )
        return "\n".join([origin, "", *readings])


def content_key(stages: Mapping[str, StageT]) -> str:
    """`TrainingFacts.key`, by the stages' manifests or plans, without reading anything."""
    return content_key_of({name: stage.key for name, stage in stages.items()})


def content_key_of(keys: Mapping[str, str]) -> str:
    """The same by the stages' keys alone, by stage."""
    last = max((stage for stage in keys if kind_name(stage) == "train"), key=chain_order)
    return _key(keys[last], keys["evaluate"])


def evaluated_content(evaluation: Manifest) -> str:
    """The same by the evaluation's manifest alone: it names the stages that it read."""
    return content_key_of({entry.kind: entry.key for entry in evaluation.inputs} | {"evaluate": evaluation.key})


def _key(training: str, evaluation: str) -> str:
    return digest_of({"schema": RECORD_SCHEMA, "training": training, "evaluation": evaluation})


def _training_stages(stages: Mapping[str, StageT]) -> tuple[StageT, ...]:
    """In the order in which they run: their names hold their numbers."""
    trainings = [stage for stage in stages.values() if stage.stage.startswith("train-")]
    return tuple(sorted(trainings, key=lambda stage: int(stage.stage.split("-")[1])))


def copy_out(store: Store, manifest: Manifest, name: str, folder: Path) -> Path:
    """A file of the store under its own name, as MLflow will call it."""
    return Path(shutil.copyfile(store.file(manifest, name), folder / Path(name).name))


def with_interval(name: str, score: Mapping[str, float | None]) -> dict[str, float]:
    """A score and the ends of its 95 % interval, if it has them, as figures of their own."""
    figures = {name: score["mean"], f"{name}_low": score["low"], f"{name}_high": score["high"]}
    return {figure: value for figure, value in figures.items() if value is not None}


def stage_settings(stages: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Settings of stages for the run of the whole, `unet.learning_rate`: the main ones, and what is not as ever."""
    usual = {field.name: field.default for field in fields(Stage) if field.default is not MISSING}
    return {
        said: text
        for stage in stages
        for name, value in stage.items()
        if name != "name" and (name in MAIN_SETTINGS or name not in usual or value != usual[name])
        for said, text in flat({name: value}, f"{stage['name']}.").items()
    }


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested values as MLflow's flat parameters: `sampling.guidance_scale`; those that are None are left out."""
    return dict(_flat(values, prefix))


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
