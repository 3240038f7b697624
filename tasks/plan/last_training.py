"""What a concept's last finished training was made from and left: a record of the store, beside its artefacts.

    concepts/<name>/trained.jsonl                       whoever trained it last
    registries/<registry>/<name>/<content>.jsonl        for each version, beside the others of its registry

First line: what is there; second: what all of it was made from, by stage.
`conceptbooth plan` compares it with what the concept is made from now, to say what changed and in which words, without
opening an artefact; of a thousand concepts that are up to date it reads the first lines alone. It decides nothing:
whether a stage runs is decided by its key, and a record that is missing is written again from the manifests.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from tasks.jobs.jobs import Job
from tasks.jobs.keys import StagePlan
from tasks.project.settings import Settings
from tasks.registry.store_records import record_paths, training_record_path, write_address
from tasks.registry.training_facts import SCORE_NAMES, content_key
from tasks.store.documents import read_document
from tasks.store.manifest import SCHEMA as MANIFEST_SCHEMA
from tasks.store.manifest import Manifest
from tasks.store.store import Store

RECORD_SCHEMA = 1
CONCEPTS = "concepts/"
"""Where the store keeps records of concepts."""


@dataclass(frozen=True, kw_only=True)
class FinishedStage:
    """One stage as it was done."""

    stage: str
    key: str
    digest: str
    """Of the artefact's files."""
    files: Mapping[str, Sequence[Any]]
    """sha256 and size of each, by name."""


@dataclass(frozen=True, kw_only=True)
class LastTraining:
    """A concept's last finished training."""

    concept: str
    at: str
    """When its newest artefact was made: UTC, ISO 8601."""
    manifest_schema: int
    images: Mapping[str, str]
    """md5 of each image, by its path in the concept's folder."""
    content: str
    """Key of what was registered."""
    version: int | None
    """Of the registered model; None where that is not known, because the record was made from manifests alone."""
    scores: Mapping[str, Mapping[str, float]]
    """Means with their 95 % intervals."""
    stages: tuple[FinishedStage, ...]
    facts_json: str
    """The record's second line."""

    @cached_property
    def facts(self) -> dict[str, dict[str, Any]]:
        """By stage all that went into its key, as `StagePlan.facts` names it; empty where that cannot be read."""
        try:
            facts = json.loads(self.facts_json)
        except ValueError:
            return {}
        return facts if isinstance(facts, dict) else {}

    def stage(self, name: str) -> FinishedStage | None:
        """The stage of that name."""
        return next((stage for stage in self.stages if stage.stage == name), None)

    def to_json(self) -> bytes:
        """Stable bytes, so that an unchanged record is not written again."""
        content = {
            "schema": RECORD_SCHEMA,
            **{field.name: getattr(self, field.name) for field in fields(self) if field.name != "facts_json"},
            "stages": [asdict(stage) for stage in self.stages],
        }
        return f"{json.dumps(content, sort_keys=True, allow_nan=False)}\n{self.facts_json}\n".encode()

    @classmethod
    def from_json(cls, content: bytes) -> "LastTraining | None":
        """Read `to_json`'s bytes; None where they are not a record of this schema: it will be written again."""

        def build(values: dict[str, Any]) -> "LastTraining":
            del values["schema"]
            stages = tuple(FinishedStage(**stage) for stage in values.pop("stages"))
            return cls(stages=stages, facts_json=facts, **values)

        try:
            first, facts, _ = content.decode().split("\n")
            return read_document(first, "record of a training", RECORD_SCHEMA, build)
        except ValueError:
            return None


def last_training_path(concept: str) -> str:
    """Where the record of a concept lies in the store."""
    return f"{CONCEPTS}{concept}/trained.jsonl"


def last_training_of(
    job: Job, manifests: Mapping[str, Manifest], version: int | None, scores: Mapping[str, Any]
) -> LastTraining:
    """The record of a job that is done, from the manifests of all its stages."""
    return LastTraining(
        concept=job.concept.name,
        at=max(manifests[plan.stage].created for plan in job.stages),
        manifest_schema=MANIFEST_SCHEMA,
        images={file.relpath: file.md5 for file in job.images.files},
        content=content_key(manifests),
        version=version,
        scores={name: scores[name] for name in SCORE_NAMES},
        stages=tuple(_done(plan, manifests[plan.stage]) for plan in job.stages),
        facts_json=facts_json(job),
    )


def write_last_training(store: Store, settings: Settings, trained: LastTraining) -> None:
    """Keep the record, as the concept's last and as that of a version of this registry. Raises StoreFailed."""
    write_address(store, settings)
    content = trained.to_json()
    for path in (training_record_path(settings, trained.concept, trained.content), last_training_path(trained.concept)):
        present = store.record(path)
        if present is None or present.content != content:
            store.write_record(path, content)


def read_last_training(store: Store, settings: Settings, concept: str) -> LastTraining | None:
    """The last training of a concept that was registered where this project registers, else the last of anybody.

    None where there is no record that can be read. Raises StoreFailed.
    """
    record = store.record(last_training_path(concept))
    last = LastTraining.from_json(record.content) if record else None
    ours = record_paths(store, settings, concept)
    if last and training_record_path(settings, concept, last.content) in ours:
        return last
    read = [LastTraining.from_json(found.content) for found in store.read_records(ours).values()]
    return max((found for found in read if found), key=lambda found: found.at, default=last)


def find_training(store: Store, job: Job) -> LastTraining | None:
    """The record of just this job, whoever trained the concept since; None where there is none. Raises StoreFailed."""
    keys, name = {plan.key for plan in job.stages}, job.concept.name
    paths = [training_record_path(job.settings, name, job_content(job)), last_training_path(name)]
    read = [LastTraining.from_json(record.content) for record in store.read_records(paths).values()]
    return next((found for found in read if found and keys <= {stage.key for stage in found.stages}), None)


def job_content(job: Job) -> str:
    """Key of what the job will register."""
    return content_key({plan.stage: plan for plan in job.stages})


def facts_json(job: Job) -> str:
    """All that goes into the keys of a job's stages, as one line."""
    facts = {
        plan.stage: {name: value for name, value in plan.facts().items() if name != "stage"} for plan in job.stages
    }
    return json.dumps(facts, sort_keys=True, allow_nan=False)


def _done(plan: StagePlan, manifest: Manifest) -> FinishedStage:
    files = {name: (record.sha256, record.size) for name, record in manifest.files.items()}
    return FinishedStage(stage=plan.stage, key=plan.key, digest=manifest.digest(), files=files)
