"""What a concept's last finished training was made from and left: a record of the store, beside its artefacts.

    concepts/<name>/trained.jsonl                       whoever trained it last
    registries/<registry>/<name>/<content>.jsonl        for each version, beside the others of its registry

First line: what is there; second: what all of it was made from, by stage; third: seal, predecessor, and a signature
where the machine that trained has a key.
`conceptbooth plan` compares it with what the concept is made from now, to say what changed and in which words, without
opening an artefact; of a thousand concepts that are up to date it reads the first lines alone. It decides nothing:
whether a stage runs is decided by its key, and a record that is missing is written again from the manifests.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from model.reading.documents import parse_json
from tasks.jobs.jobs import Job
from tasks.jobs.keys import StagePlan
from tasks.project.settings import Settings
from tasks.registry.store_records import record_paths, training_record_path, write_address
from tasks.registry.training_facts import SCORE_NAMES, content_key
from tasks.signing.keys import Signer
from tasks.store.documents import read_values
from tasks.store.manifest import SCHEMA as MANIFEST_SCHEMA
from tasks.store.manifest import Manifest
from tasks.store.sealed import CHANGED, Seal, sealed_lines, unsealed_lines
from tasks.store.shapes import check_fields, check_shape
from tasks.store.store import Store

RECORD_SCHEMA = 2
UNSEALED_SCHEMA = 1
"""Of records from before they were sealed; they read as before."""
KIND = "training record"
"""What its signature is over."""
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
    scores: Mapping[str, Mapping[str, float | None]]
    """Means with their 95 % intervals, None where a single picture tells of none."""
    stages: tuple[FinishedStage, ...]
    facts_json: str
    """The record's second line."""
    previous: str | None = field(default=None, compare=False)
    """Seal of the concept's last training before this one, in this store; None for the first, or of before."""
    seal: Seal | None = field(default=None, compare=False)
    """As it was read; None where it was not, or was written before records were sealed."""

    @cached_property
    def facts(self) -> dict[str, dict[str, Any]]:
        """By stage all that went into its key, as `StagePlan.facts` names it; empty where that cannot be read."""
        try:
            facts: dict[str, dict[str, Any]] = parse_json(self.facts_json, "it")
            check_shape(Mapping[str, Mapping[str, Any]], facts, "it")
            for each in facts.values():
                check_fields(StagePlan, each)
        except ValueError:
            return {}
        return facts

    def stage(self, name: str) -> FinishedStage | None:
        """The stage of that name."""
        return next((stage for stage in self.stages if stage.stage == name), None)

    @property
    def body(self) -> bytes:
        """Both lines, as stable bytes: an unchanged record is not written again."""
        kept = (field.name for field in fields(self) if field.name not in ("facts_json", "previous", "seal"))
        content = {
            "schema": RECORD_SCHEMA,
            **{name: getattr(self, name) for name in kept},
            "stages": [asdict(stage) for stage in self.stages],
        }
        return f"{json.dumps(content, sort_keys=True, allow_nan=False)}\n{self.facts_json}\n".encode()

    def to_json(self, signer: Signer | None = None) -> bytes:
        """The record as it is kept."""
        return sealed_lines(KIND, self.body, {"previous": self.previous}, signer)

    @classmethod
    def read(cls, content: bytes) -> "LastTraining":
        """Read `to_json`'s bytes. Raises ValueError where they are no record, or not as it was sealed."""
        body, told, seal = unsealed_lines(content, 2)
        first, facts, _ = body.decode().split("\n")

        def build(values: dict[str, Any]) -> "LastTraining":
            if seal is None and values["schema"] != UNSEALED_SCHEMA:
                raise ValueError(CHANGED)
            del values["schema"]
            check_fields(cls, values | told)
            stages = tuple(FinishedStage(**stage) for stage in values.pop("stages"))
            return cls(stages=stages, facts_json=facts, previous=told.get("previous"), seal=seal, **values)

        return read_values(parse_json(first, "it"), "record of a training", (RECORD_SCHEMA, UNSEALED_SCHEMA), build)

    @classmethod
    def from_json(cls, content: bytes) -> "LastTraining | None":
        """`read`; None where the bytes are not a record that is whole: it will be written again."""
        try:
            return cls.read(content)
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
    last, own = (
        last_training_path(trained.concept),
        training_record_path(settings, trained.concept, trained.content),
    )
    there = store.read_records([last, own])
    read = {path: LastTraining.from_json(record.content) for path, record in there.items()}
    same = {path for path, record in read.items() if record and record.seal and record.body == trained.body}
    if same == {last, own}:
        return
    before = read.get(last)
    previous = before.seal.digest if before and before.seal else None
    if last in same and before:
        previous = before.previous
    content = replace(trained, previous=previous).to_json(store.record_signer)
    for path in (own, last):
        if path not in same:
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
